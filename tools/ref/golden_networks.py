"""Numbers of whole networks made by PyTorch, for tests/zoo/test_networks.c.

    golden_networks.py make FOLDER [NETWORK...]     writes FOLDER/NETWORK.json  (FOLDER: tests/golden/networks)
    golden_networks.py check FOLDER [NETWORK...]    remakes and compares; exit 1 when one differs
    golden_networks.py save FOLDER NETWORK          weights.pth, input.npy, logits.npy: the same network through files

Weights and pictures are formulas of a tensor's name and an element's index, the same here and in C, so only results are
kept: parameters and multiply-adds; logits in evaluation mode; with fixed and with batch statistics the loss (auxiliary heads weighted as in the
framework's own training) and every gradient's norm; the losses of some steps (batch statistics, Nesterov 0.9, lr 1e-4).
All in float64.  Dropout is off.
"""
import json
import sys
import typing
import warnings
from pathlib import Path

import numpy as np
import torch

CLASSES, RATE, MOMENTUM = 10, 1e-4, 0.9
RNG_TEST = 7  # src/base/rng.h
warnings.filterwarnings("ignore")


# ---- the formulas

def mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
    return z ^ (z >> np.uint64(31))


def units(name, count):
    """rng_unit(rng_hash(RNG_TEST, FNV-1a of the name, i, 0)) for i below count."""
    key = 0xcbf29ce484222325
    for byte in name.encode():
        key = (key ^ byte) * 0x100000001b3 % 2**64
    golden = np.uint64(0x9e3779b97f4a7c15)
    with np.errstate(over="ignore"):
        first = mix(mix(np.array([RNG_TEST], np.uint64) + golden) + np.uint64(key) + golden)
        hashed = mix(mix(first + np.arange(count, dtype=np.uint64) + golden) + golden)
    return (hashed >> np.uint64(40)).astype(np.float64) * 2.0**-24


def value_of(name, shape, calm):
    """Lively: He's uniform for kernels, which keeps activations of order one, and small biases.  Calm: kernels without a
    mean that keep the variance of their input, biases around 3 or, for an eighth of the channels, -3, so that few
    activations lie near ReLU's kink: one that the last bits of float32 move across it changes gradients by up to 1e-3, and
    batch statistics amplify the difference from layer to layer.  (Larger biases round the maxima of pools together.)"""
    u = units(name, int(np.prod(shape)))
    if len(shape) > 1:
        u = (2 * u - 1).reshape(shape[0], -1) * np.sqrt((3 if calm else 6) / np.prod(shape[1:]))
        u -= u.mean(axis=1, keepdims=True) if calm else 0
    elif name.endswith(".bias"):
        u = np.where(u < 1 / 8, -3, 3) + 0.4 * u - 0.2 if calm else 0.4 * u - 0.2
    else:
        u = 0.4 * u + (-0.2 if name.endswith(".running_mean") else 0.8)
    return torch.from_numpy(u.reshape(shape).astype(np.float32))


def pictures(count, side):
    """Noise around a colour of each picture's own, so that pictures differ."""
    noise = 2 * units("input", count * 3 * side * side) - 1
    colour = 2 * units("colour", count * 3) - 1
    x = 0.5 * noise.reshape(count, 3, side, side) + colour.reshape(count, 3, 1, 1)
    return torch.from_numpy(x.astype(np.float32))


def fill(model, calm):
    state = {name: value_of(name, tuple(t.shape), calm) for name, t in model.state_dict().items()
             if not name.endswith("num_batches_tracked")}
    model.load_state_dict(state, strict=False)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0
    return model


# ---- the networks

def googlenet():
    import googlenet_caffe
    return googlenet_caffe.GoogLeNet(CLASSES)


def googlenet_tv():
    import torchvision
    return torchvision.models.googlenet(weights=None, num_classes=CLASSES, aux_logits=True, init_weights=False)


def inception_v4():
    import timm
    return timm.create_model("inception_v4", num_classes=CLASSES)


def inception_v3(aux=True):
    import torchvision
    return torchvision.models.inception_v3(weights=None, num_classes=CLASSES, aux_logits=aux, init_weights=False)


# weights: of the outputs as the module returns them in training; logits: sizes; size, batch, steps: of the training part
class Network(typing.NamedTuple):
    make: typing.Callable
    weights: tuple
    logits: tuple
    size: int
    batch: int
    steps: int


NETWORKS = {
    "googlenet": Network(googlenet, (1, 1, 1), (224, 140), 224, 4, 5),
    "googlenet.tv": Network(googlenet_tv, (1, .3, .3), (224, 101), 128, 8, 5),
    "inception_v4": Network(inception_v4, (1,), (299, 139), 139, 3, 0),
    "inception_v3": Network(inception_v3, (1, 0.4), (299, 155), 299, 3, 0),  # smaller ones have no auxiliary head there
    "inception_v3.noaux": Network(lambda: inception_v3(False), (1,), (139,), 139, 3, 5),
}


# ---- the results

def multiply_adds(model, x):
    """Of convolutions and dense layers for one picture, without biases, as torchvision counts."""
    count = 0

    def add(module, _, out):
        nonlocal count
        count += out[0].numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(add) for m in model.modules() if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))]
    with torch.no_grad():
        model(x[:1])
    for hook in hooks:
        hook.remove()
    return count


def outputs_of(model, x):
    """All outputs, the main one first."""
    out = model(x)
    return list(out) if isinstance(out, tuple) else [out]


def loss_of(model, weights, x, y):
    outputs = outputs_of(model, x)
    return sum(w * torch.nn.functional.cross_entropy(o, y) for w, o in zip(weights, outputs))


def statistics_fixed(model):
    """Training mode, so that auxiliary heads run, with BatchNorm on its running statistics."""
    model.train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()
    return model


def norms_of(model, weights, x, y):
    model.zero_grad()
    loss = loss_of(model, weights, x, y)
    loss.backward()
    return loss.item(), {name: p.grad.norm().item() for name, p in model.named_parameters()}


def losses_of(model, weights, x, y, steps):
    params = list(model.parameters())
    velocity = [torch.zeros_like(p) for p in params]
    out = []
    for _ in range(steps):
        model.zero_grad()
        loss = loss_of(model, weights, x, y)
        loss.backward()
        out.append(loss.item())
        with torch.no_grad():
            for p, v in zip(params, velocity):
                v.mul_(MOMENTUM).sub_(p.grad, alpha=RATE)
                p.add_(v, alpha=MOMENTUM).sub_(p.grad, alpha=RATE)
    return out


def result_of(network, dtype=torch.float64):
    net = NETWORKS[network]
    model = fill(net.make(), False).to(dtype).eval()
    result = {"network": network, "classes": CLASSES, "logits": [], "size": net.size, "batch": net.batch}
    result["parameters"] = sum(p.numel() for p in model.parameters())
    result["multiply_adds"] = multiply_adds(model, pictures(1, net.logits[0]).to(dtype))
    with torch.no_grad():
        for side in net.logits:
            outputs = outputs_of(model, pictures(2, side).to(dtype))
            result["logits"].append({"size": side, "values": outputs[0].flatten().tolist()})
            if len(outputs) > 1:
                mean = torch.stack([o.softmax(1) for o in outputs]).mean(0)
                result["logits"][-1]["mean"] = mean.flatten().tolist()
    x, y = pictures(net.batch, net.size).to(dtype), torch.arange(net.batch) % CLASSES
    fill(model, True)
    result["fixed_loss"], result["fixed_norms"] = norms_of(statistics_fixed(model), net.weights, x, y)
    result["batch_loss"], result["batch_norms"] = norms_of(model.train(), net.weights, x, y)
    result["losses"] = losses_of(fill(model, True).train(), net.weights, x, y, net.steps)
    return result


def rounded(x):
    if isinstance(x, float):
        return float(f"{x:.8g}")
    if isinstance(x, dict):
        return {k: rounded(v) for k, v in x.items()}
    return [rounded(v) for v in x] if isinstance(x, list) else x


def close(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(close(v, w) for v, w in zip(a, b))
    return abs(a - b) <= 1e-6 * abs(a) + 1e-9 if isinstance(a, float) else a == b


def save(folder, network):
    net = NETWORKS[network]
    folder.mkdir(parents=True, exist_ok=True)
    model = fill(net.make(), False).eval()
    x = pictures(2, net.logits[0])
    with torch.no_grad():
        logits = outputs_of(model, x)[0]
    torch.save(model.state_dict(), folder / "weights.pth")
    np.save(folder / "input.npy", x.numpy().transpose(0, 2, 3, 1))
    np.save(folder / "logits.npy", logits.numpy())


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("make", "check", "save"):
        sys.exit(__doc__)
    command, folder, names = sys.argv[1], Path(sys.argv[2]), sys.argv[3:] or list(NETWORKS)
    good = True
    for name in names:
        path = folder / f"{name}.json"
        if command == "save":
            save(folder, name)
        elif command == "make":
            folder.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(rounded(result_of(name)), indent=0) + "\n")
        else:
            same = close(json.loads(path.read_text()), rounded(result_of(name)))
            print(f"{'ok' if same else 'FAIL'} {name}")
            good &= same
    sys.exit(not good)


if __name__ == "__main__":
    main()
