"""Files as Keras 0.x and 1 wrote them on Theano, read by graft: logits beside Keras's; a line a check.

Usage: python tools/ref/theano_files.py GRAFT FOLDER
VGG16 of the cnn_finetune scripts in the nb_layers format, Inception-V3 of release 0.2 and GoogLeNet with Keras 1's names.  Today's
Keras has the same weights the other way round: Theano's kernels are (out, in, height, width) and turned by 180 degrees, rows of
the dense layer behind a map go by channel, row, column.  GoogLeNet, which Keras has no layers for, is PyTorch's.
"""
import os
import pathlib
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import h5py
import numpy as np

import peers

LIMIT = 1e-4
failed = 0


def theano(layer, index, w, turned):
    if w.ndim == 4:
        return np.ascontiguousarray((w[::-1, ::-1] if turned else w).transpose(3, 2, 0, 1))
    if w.ndim == 2 and layer.name == "fc1":
        side = int(round((w.shape[0] / 512) ** .5))
        return w.reshape(side, side, 512, -1).transpose(2, 0, 1, 3).reshape(w.shape)
    return w


def keras0(model, path, turned):
    """layer_N of the scripts' Sequential, paddings, pools and dropouts counted."""
    slots = []
    for layer in model.layers:
        kind = type(layer).__name__
        slots += {"Conv2D": [None, layer], "MaxPooling2D": [None], "Flatten": [None]}.get(kind, [layer, None] if layer.weights else [])
    with h5py.File(path, "w") as file:
        file.attrs["nb_layers"] = len(slots)
        for n, layer in enumerate(slots):
            group = file.create_group(f"layer_{n}")
            values = layer.get_weights() if layer is not None else []
            group.attrs["nb_params"] = len(values)
            for k, w in enumerate(values):
                group.create_dataset(f"param_{k}", data=theano(layer, k, w, turned))


def keras1(model, path, turned):
    rows = []
    with h5py.File(path, "w") as file:
        for layer in model.layers:
            stem, _, number = layer.name.rpartition("_")
            if type(layer).__name__ in ("Conv2D", "BatchNormalization"):
                number = int(number) + 1 if number.isdigit() else 1
                name = f"{type(layer).__name__.replace('Conv', 'Convolution').lower()}_{number}"
            else:
                name = layer.name
            rows.append(name.encode())
            group = file.create_group(name)
            values = layer.get_weights()
            suffixes = ("gamma", "beta", "running_mean", "running_std") if len(values) == 4 else ("W", "b")[:len(values)]
            group.attrs["weight_names"] = np.array([f"{name}_{s}".encode() for s in suffixes]) if values else []
            for k, (suffix, w) in enumerate(zip(suffixes, values)):
                group.create_dataset(f"{name}_{suffix}", data=theano(layer, k, w, turned))
        file.attrs["layer_names"] = np.array(rows)


def googlenet(network, model, path):
    with h5py.File(path, "w") as file:
        layers = {}
        for key, w in network.tensors(model).items():
            layers.setdefault(key.rpartition(".")[0], []).append(w)
        rows = [name.replace(".", "/") for name in layers]
        for name, (w, b) in zip(rows, layers.values(), strict=True):
            group = file.create_group(name)
            group.attrs["weight_names"] = np.array([f"{name}_W".encode(), f"{name}_b".encode()])
            group.create_dataset(f"{name}_W", data=np.ascontiguousarray(w[:, :, ::-1, ::-1] if w.ndim == 4 else w.T))
            group.create_dataset(f"{name}_b", data=b)
        file.attrs["layer_names"] = np.array([row.encode() for row in rows])


def check(name, graft, path, x, expected, *options):
    global failed
    np.save(path.parent / "input.npy", x)
    done = subprocess.run([graft, "predict", "-q", path, path.parent / "input.npy", "--imgsz", str(x.shape[1]), "--logits",
                           path.parent / "found.npy", *options], capture_output=True, text=True)
    if done.returncode:
        failed += 1
        return print(f"FAIL {name}: {done.stderr.strip()}")
    found = np.load(path.parent / "found.npy")
    difference = float(np.abs(found - expected).max() / np.abs(expected).max())
    failed += not difference <= LIMIT
    print(f"{'ok  ' if difference <= LIMIT else 'FAIL'} {name}: differs by {difference:.1e} of the largest logit", flush=True)


def by_keras(graft, folder):
    for network, write, file in (
            (peers.Keras("VGG16", 64, other=None), keras0, "vgg16_weights.h5"),
            (peers.Scripts("inception_v3", 128, depth=0, steady=True, other=None), keras1,
             "inception_v3_weights_th_dim_ordering_th_kernels.h5")):
        network.start()
        network.keras.utils.clear_session()
        model = network.build()
        x = peers.pictures(4, peers.SEED, network.sides[0])
        expected = network.logits(model, x)
        for turned, options in ((True, []), (False, ["--kernels", "tf"])):
            write(model, folder / file, turned)
            check(" ".join([write.__name__, file, *options]), graft, folder / file, x, expected, *options)
            (folder / file).unlink()


def by_torch(graft, folder):
    network, path = peers.NETWORKS["googlenet"], folder / "googlenet_weights.h5"
    network.start()
    model = network.build()
    x = peers.pictures(4, peers.SEED, network.sides[0])
    googlenet(network, model, path)
    check(path.name, graft, path, x, network.logits(model, x))
    path.unlink()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    where = pathlib.Path(sys.argv[2])
    where.mkdir(parents=True, exist_ok=True)
    by_torch(sys.argv[1], where)
    by_keras(sys.argv[1], where)
    sys.exit(failed > 0)
