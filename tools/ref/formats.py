"""Files that graft writes, opened by the tools they are for; a line a check ("ok ..." or "FAIL ...").

Usage: python tools/ref/formats.py GRAFT FOLDER [NETWORK]...     (peers.py's names; efficientnet_lite0, vgg16, resnet50.keras)
The framework saves seeded weights in each of its own formats, and graft's outputs are compared with the framework's.  Then
they go from format to format, each file written from the one before; the tool of each predicts the same pictures.
Outputs must stay within 1e-5 of the framework's, of the largest logit; probabilities likewise.
Needs what peers.py needs, and onnx, onnxruntime, opencv-python-headless, safetensors.
"""
import os
import pathlib
import shutil
import subprocess
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import numpy as np

import peers

failed = 0
LIMIT = 1e-5  # float32 sums in another order differ by up to 4e-6 here


def report(ok, text):
    global failed
    failed += not ok
    print(f"{'ok  ' if ok else 'FAIL'} {text}", flush=True)


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def compare(name, expected, found):
    if found is None or expected.shape != found.shape:
        return report(False, f"{name}: shape {None if found is None else found.shape}, expected {expected.shape}")
    difference, largest = float(np.abs(expected - found).max()), float(np.abs(expected).max())
    report(difference <= LIMIT * largest, f"{name}: differs by {difference / largest:.2g} of the largest")  # False for NaN


def by_onnx(name, path, x):
    import cv2
    import onnx
    import onnxruntime
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path)
    pictures = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    probabilities, logits = session.run(None, {"input": pictures})
    compare(f"{name}: ONNX Runtime's probabilities", softmax(logits), probabilities)
    one = session.run(["logits"], {"input": pictures[:1]})[0]  # the batch is free
    compare(f"{name}: ONNX Runtime, one picture", logits[:1], one)
    net = cv2.dnn.readNetFromONNX(path)
    net.setInput(pictures, "input")
    compare(f"{name}: OpenCV beside ONNX Runtime", logits, net.forward("logits"))
    return logits


def by_keras(name, path, x):
    import keras
    model = keras.saving.load_model(path)
    probabilities = model.predict(x, verbose=0)
    model.layers[-1].activation = keras.activations.linear
    logits = keras.ops.convert_to_numpy(model(x))
    compare(f"{name}: Keras's probabilities", softmax(logits), probabilities)
    return logits


def by_torch(name, path, x):
    from safetensors.torch import load_file
    network = peers.NETWORKS[name]
    if not isinstance(network, peers.Torch) or name.endswith(".tf"):  # the PyPI package's module has names of its own
        return by_graft(name, path, x)
    model = network.make()
    missing = model.load_state_dict(load_file(path), strict=False)
    report(not missing.unexpected_keys and all(k.endswith("num_batches_tracked") for k in missing.missing_keys),
           f"{name}: safetensors' names are the module's")
    return network.logits(model, x)


def run(*arguments):
    done = subprocess.run(arguments, capture_output=True, text=True)
    if done.returncode != 0:
        report(False, f"{' '.join(map(str, arguments))}: {done.stderr.strip()}")
    return done.returncode == 0


def by_graft(name, path, x):
    folder = pathlib.Path(path).parent
    np.save(folder / "input.npy", x)
    if not run(graft, "predict", "-q", path, folder / "input.npy", "--logits", folder / "found.npy"):
        return None
    return np.load(folder / "found.npy")


def nameless(path, target):
    """As Keras 3.0 to 3.5 wrote it: without the layers' names."""
    import h5py
    shutil.copy(path, target)
    with h5py.File(target, "r+") as file:
        for layer in file["layers"].values():
            if "name" in layer["vars"].attrs:
                del layer["vars"].attrs["name"]


def keras_sources(name, model, folder, x, expected):
    """What Keras itself writes, in its other formats."""
    model.save(folder / "own.keras")
    model.save_weights(folder / "own.weights.h5")
    nameless(folder / "own.weights.h5", folder / "nameless.weights.h5")
    for file in ("own.keras", "own.weights.h5", "nameless.weights.h5"):
        path, target = folder / file, folder / "read.safetensors"
        if run(graft, "convert", "-q", "-m", name, path, target):
            compare(f"{name}: Keras's {file}, by graft", expected, by_graft(name, target, x))
        path.unlink()


def keras_targets(name, network, source, folder, x, expected):
    """Weights alone, into models that keras.applications builds."""
    for file, option in (("alone.weights.h5", []), ("alone.h5", ["--weights-only"])):
        if run(graft, "convert", "-q", *option, source, folder / file):
            model = network.make()
            model.load_weights(folder / file)
            compare(f"{name}: {file}, by Keras's load_weights", expected, network.logits(model, x))
            if file == "alone.h5":
                model = network.make()
                model.load_weights(folder / file, by_name=True)
                compare(f"{name}: {file}, by name", expected, network.logits(model, x))


def chain(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    network = peers.NETWORKS[name]
    network.start()
    model = network.build()
    x = peers.pictures(4, peers.SEED, network.sides[0])
    expected = network.logits(model, x)
    source = folder / network.file
    network.save(model, source)
    if isinstance(network, peers.Keras):
        keras_sources(name, model, folder, x, expected)
    for suffix, tool, use in ((".safetensors", "PyTorch", by_torch), (".keras", "Keras", by_keras), (".h5", "Keras", by_keras),
                              (".onnx", "ONNX Runtime", by_onnx)):
        target = folder / ("model" + suffix)
        hint = ["-m", name] if suffix == ".safetensors" else []
        if not run(graft, "convert", "-q", *hint, source, target):
            return
        compare(f"{name}: {source.name} to {target.name}, by {tool}", expected, use(name, str(target), x))
        if suffix == ".safetensors" and isinstance(network, peers.Keras):
            keras_targets(name, network, target, folder, x, expected)
        source = target


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    graft = sys.argv[1]
    for network in sys.argv[3:] or ["efficientnet_lite0", "vgg16", "resnet50.keras"]:
        where = pathlib.Path(sys.argv[2]) / network
        chain(where, network)
        shutil.rmtree(where)
    sys.exit(failed > 0)
