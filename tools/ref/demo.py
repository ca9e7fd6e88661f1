"""The demo's job in graft and in PyTorch, three seeds each: means of accuracy and log-loss on the 1,000 held-out pictures.

    demo.py GRAFT FASHION WEIGHTS FOLDER [SEEDS]

Both: EfficientNet-Lite0 with its ImageNet weights, 128x128 (146, bicubic, centre crop), first 3,000 training pictures, first
1,000 of the test part, batch 16, 4 epochs of SGD (Nesterov 0.9, lr 1e-3, decay 1e-6), fixed BatchNorm statistics, dropout
0.2, a Glorot head; the epoch of lowest log-loss counts.  Order, head and dropout are each program's own random numbers.
The means must be within 0.01 accuracy and 0.03 log-loss; exits 1 otherwise.
"""
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet

from demo_data import read

EPOCHS, BATCH, RATE, DECAY = 4, 16, 1e-3, 1e-6


def pytorch(seed, weights, train, val):
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(weights))
    torch.manual_seed(seed)
    model._fc = torch.nn.Linear(1280, 10)
    torch.nn.init.xavier_uniform_(model._fc.weight)
    torch.nn.init.zeros_(model._fc.bias)
    model._global_params = model._global_params._replace(drop_connect_rate=0.0)
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum=0.9, nesterov=True)
    best, updates = (9.0, 0.0), 0
    for _ in range(EPOCHS):
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        for index in torch.randperm(len(train[1])).split(BATCH):
            for group in optimizer.param_groups:
                group["lr"] = RATE / (1 + DECAY * updates)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(train[0][index]), train[1][index]).backward()
            optimizer.step()
            updates += 1
        model.eval()
        with torch.inference_mode():
            logits = torch.cat([model(part) for part in val[0].split(100)])
        loss = torch.nn.functional.cross_entropy(logits, val[1]).item()
        best = min(best, (loss, (logits.argmax(1) == val[1]).float().mean().item()))
    return best


def graft(seed, program, fashion, weights, folder):
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    subprocess.run([program, "train", "--weights", weights, "-d", fashion, "--train-limit", "3000", "--val", "1000",
                    "--imgsz", "128", "--epochs", str(EPOCHS), "--recipe", "guide", "--bn", "stats", "--seed", str(seed), "-o", run, "-q"],
                   check=True, stdout=subprocess.DEVNULL)
    result = json.loads((run / "results.json").read_text())
    return result["val_log_loss"], result["val_top1"]


def main():
    program, fashion, weights, folder = sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    seeds = range(int(sys.argv[5]) if len(sys.argv) > 5 else 3)
    folder.mkdir(parents=True, exist_ok=True)
    train, val = read(fashion, "train", 3000), read(fashion, "t10k", 1000)
    ours, theirs = [], []
    for seed in seeds:
        ours.append(graft(seed, program, fashion, weights, folder))
        theirs.append(pytorch(seed, weights, train, val))
        print(f"seed {seed}: graft log-loss {ours[-1][0]:.4f} accuracy {ours[-1][1]:.4f}; "
              f"PyTorch {theirs[-1][0]:.4f} {theirs[-1][1]:.4f}", flush=True)
    a, b = np.mean(ours, 0), np.mean(theirs, 0)
    fine = abs(a[0] - b[0]) <= 0.03 and abs(a[1] - b[1]) <= 0.01
    print(f"{'ok' if fine else 'FAIL'} means: graft {a[0]:.4f} {a[1]:.4f}, PyTorch {b[0]:.4f} {b[1]:.4f}")
    return fine


sys.exit(0 if main() else 1)
