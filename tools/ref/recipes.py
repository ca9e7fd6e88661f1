"""fastai's fine_tune in PyTorch on the job of bench/recipes.sh: a line a seed, then the means.

    recipes.py FASHION WEIGHTS [SEED...]

EfficientNet-Lite0 with its ImageNet weights, 128x128 (146, bicubic, centre crop), first 3,000 training pictures, first 1,000 of
the test part, batch 16, 4 epochs: one with only the head and BatchNorm training, three with everything.  As fastai's Learner.
fine_tune(3, base_lr=2e-3, freeze_epochs=1) does it: AdamW (betas 0.9, 0.99, eps 1e-5, weight decay 0.01, none on biases and
BatchNorm), a one-cycle in each part (momentum 0.95, 0.85, 0.95), rates from lr/100 to lr over body halves and head, BatchNorm on
batch statistics.  The head is a dropout and one linear layer, as graft's.  The epoch of lowest log-loss counts, as in graft.
"""
import sys
from pathlib import Path

import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet

from demo_data import read

BATCH, EPOCHS = 16, 4


def one_cycle(done, high, pct, div=25.0):
    """fastai's fit_one_cycle at a share of its steps: rate and momentum."""
    def cosine(a, b, x):
        return a + (1 + np.cos(np.pi * (1 - x))) * (b - a) / 2
    if done < pct:
        return cosine(high / div, high, done / pct), cosine(0.95, 0.85, done / pct)
    x = (done - pct) / (1 - pct)
    return cosine(high, high / 1e5, x), cosine(0.85, 0.95, x)


def groups_of(model):
    """Three groups of layers (first half of the body, second half, head), each as decaying and other parameters."""
    half = len(model._blocks) // 2
    early = {id(p) for m in (model._conv_stem, model._bn0, *model._blocks[:half]) for p in m.parameters()}
    head = {id(p) for p in model._fc.parameters()}
    groups = [[[], []], [[], []], [[], []]]
    for p in model.parameters():
        which = 2 if id(p) in head else 0 if id(p) in early else 1
        groups[which][p.ndim == 1].append(p)
    return groups


def pytorch(seed, weights, train, val):
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(weights))
    torch.manual_seed(seed)
    model._fc = torch.nn.Linear(1280, 10)
    model._global_params = model._global_params._replace(drop_connect_rate=0.0)
    model = model.to(memory_format=torch.channels_last)  # a third faster here
    norms = {id(p) for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d) for p in m.parameters()}
    groups = groups_of(model)
    steps, best = (len(train[1]) + BATCH - 1) // BATCH, (9.0, 0.0)
    for epochs, high, pct, div, frozen in ((1, 2e-3, 0.99, 25.0, True), (EPOCHS - 1, 1e-3, 0.3, 5.0, False)):
        for i, pair in enumerate(groups):
            for p in pair[0] + pair[1]:
                p.requires_grad_(not frozen or i == 2 or id(p) in norms)
        factors = [1, 1, 1] if frozen else [0.01, 0.1, 1]
        optimizer = torch.optim.AdamW([{"params": ps, "weight_decay": 0 if flat else 0.01, "factor": factors[i]}
                                       for i, pair in enumerate(groups) for flat, ps in enumerate(pair)],
                                      betas=(0.9, 0.99), eps=1e-5)
        for epoch in range(epochs):
            model.train()
            for step, index in enumerate(torch.randperm(len(train[1])).split(BATCH)):
                rate, momentum = one_cycle((epoch * steps + step) / (epochs * steps), high, pct, div)
                for group in optimizer.param_groups:
                    group["lr"], group["betas"] = rate * group["factor"], (momentum, 0.99)
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(train[0][index]), train[1][index]).backward()
                optimizer.step()
            model.eval()
            with torch.inference_mode():
                logits = torch.cat([model(part) for part in val[0].split(100)])
            loss = torch.nn.functional.cross_entropy(logits, val[1]).item()
            best = min(best, (loss, (logits.argmax(1) == val[1]).float().mean().item()))
    return best


def main():
    fashion, weights = Path(sys.argv[1]), sys.argv[2]
    train, val = read(fashion, "train", 3000), read(fashion, "t10k", 1000)
    results = []
    for seed in [int(s) for s in sys.argv[3:]] or [0]:
        results.append(pytorch(seed, weights, train, val))
        print(f"pytorch seed {seed}  accuracy {results[-1][1]:.4f}  log-loss {results[-1][0]:.4f}", flush=True)
    loss, top1 = np.mean(results, 0)
    print(f"pytorch mean of {len(results)}  accuracy {top1:.4f}  log-loss {loss:.4f}")


main()
