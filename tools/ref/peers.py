"""Numbers made by PyTorch that graft must reproduce; driven by tests/peers/run.sh.

  peers.py save NETWORK FOLDER                 seeded random weights.pth, input.npy, logits.npy, data.npz
  peers.py losses NETWORK FOLDER               losses.json: the loss of every step of training on data.npz
  peers.py check-logits EXPECTED FOUND         exit 1 when they differ by more than 1e-4 of the largest logit
  peers.py check-losses EXPECTED EVENTS        exit 1 when a step's loss differs by more than 1e-3 of itself

NETWORK is vgg16 (torchvision) or efficientnet_lite0 (timm's tf_efficientnet_lite0); 10 classes, no dropout.
input.npy and data.npz's x are preprocessed pictures: float32 (n, height, width, channels).  A batch is all of data.npz,
so the order of its pictures changes no loss.  The update is Keras 2's: lr / (1 + decay * t), v = mu v - lr g,
w += mu v - lr g; it equals torch.optim.SGD(nesterov=True) when decay is 0.
"""
import json
import sys
from pathlib import Path

import numpy as np
import torch

SEED, CLASSES, SIDE, BATCH, STEPS = 1, 10, 224, 8, 20
RATE, MOMENTUM, DECAY = 1e-3, 0.9, 1e-6


def network(name):
    """The module with seeded weights; BatchNorm's parameters and statistics are drawn too, so that each one counts."""
    torch.manual_seed(SEED)
    if name == "vgg16":
        import torchvision
        model = torchvision.models.vgg16(weights=None, num_classes=CLASSES, dropout=0)
    elif name == "efficientnet_lite0":
        import timm
        model = timm.create_model("tf_efficientnet_lite0", num_classes=CLASSES)
    else:
        sys.exit(f"peers.py: no network '{name}'")
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor, low, high in ((module.weight, .8, 1.2), (module.bias, -.2, .2), (module.running_mean, -.2, .2),
                                      (module.running_var, .8, 1.2)):
                torch.nn.init.uniform_(tensor.data, low, high)
    return model


def pictures(count, seed):
    generator = np.random.default_rng(seed)
    return generator.standard_normal((count, SIDE, SIDE, 3), dtype=np.float32)


def as_tensor(x):
    return torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))


def save(name, folder):
    folder.mkdir(parents=True, exist_ok=True)
    model = network(name).eval()
    x = pictures(4, SEED)
    with torch.no_grad():
        logits = model(as_tensor(x)).numpy()
    torch.save(model.state_dict(), folder / "weights.pth")
    np.save(folder / "input.npy", x)
    np.save(folder / "logits.npy", logits)
    y = np.random.default_rng(SEED + 1).permutation(CLASSES)[:BATCH]
    np.savez(folder / "data.npz", x=pictures(BATCH, SEED + 2), y=y.astype(np.int64))


def losses(name, folder, decay=DECAY, steps=STEPS):
    model = network(name)
    model.load_state_dict(torch.load(folder / "weights.pth"))
    model.train()
    data = np.load(folder / "data.npz")
    x, y = as_tensor(data["x"]), torch.from_numpy(data["y"])
    velocity = [torch.zeros_like(p) for p in model.parameters()]
    out = []
    for step in range(steps):
        model.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        out.append(loss.item())
        rate = RATE / (1 + decay * step)
        with torch.no_grad():
            for p, v in zip(model.parameters(), velocity):
                v.mul_(MOMENTUM).sub_(p.grad, alpha=rate)
                p.add_(v, alpha=MOMENTUM).sub_(p.grad, alpha=rate)
    (folder / "losses.json").write_text(json.dumps({"losses": out}) + "\n")


def check_logits(expected, found):
    a, b = np.load(expected), np.load(found)
    if a.shape != b.shape:
        sys.exit(f"shape {b.shape}, expected {a.shape}")
    difference, largest = np.abs(a - b).max(), np.abs(a).max()
    print(f"largest difference {difference:.3g}, largest logit {largest:.3g}")
    return bool(difference <= 1e-4 * largest)  # false for NaN


def check_losses(expected, events):
    a = json.loads(Path(expected).read_text())["losses"]
    lines = [json.loads(line) for line in Path(events).read_text().splitlines()]
    b = [line["loss"] for line in lines if line["event"] == "step"]
    print("expected", *(f"{v:.6f}" for v in a), " found", *(f"{v:.6f}" for v in b))
    return len(a) == len(b) and all(abs(v - w) <= 1e-3 * abs(v) for v, w in zip(a, b))


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    command, first, second = sys.argv[1:]
    if command == "save":
        save(first, Path(second))
    elif command == "losses":
        losses(first, Path(second))
    elif command == "check-logits":
        sys.exit(not check_logits(first, second))
    elif command == "check-losses":
        sys.exit(not check_losses(first, second))
    else:
        sys.exit(f"peers.py: no command '{command}'")


if __name__ == "__main__":
    main()
