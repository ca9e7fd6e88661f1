"""Files that graft writes, opened by the tools they are for; a line a check ("ok ..." or "FAIL ...").

Usage: python tools/ref/formats.py GRAFT FOLDER [NETWORK]...
NETWORK: peers.py's and golden_networks.py's names (efficientnet_lite0, vgg16, resnet50.keras, googlenet, googlenet.tv).
The framework saves seeded weights in each of its own formats, and graft's outputs are compared with the framework's.
Then they go from format to format, each file written from the one before; the tool of each predicts the same pictures.
Outputs must stay within 1e-5 of the framework's, of the largest logit; probabilities likewise.
Without NETWORK also: a model that graft has fine-tuned says the same in PyTorch, Keras and ONNX Runtime.
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

import golden_networks
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
    good = difference <= LIMIT * largest  # False for NaN
    report(good, f"{name}: differs by {difference / largest:.2g} of the largest")


def by_onnx(name, path, x):
    import cv2
    import onnx
    import onnxruntime
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path)
    pictures = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    probabilities, logits = session.run(None, {"input": pictures})
    if name != "googlenet":  # its heads predict together: heads()
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
    network = find(name)
    if isinstance(network, peers.Keras) or name.endswith(".tf"):  # the PyPI package's module has names of its own
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
                network.keras.utils.clear_session()  # Inception's layers have Keras's own numbers, which go on
                model = network.make()
                model.load_weights(folder / file, by_name=True)
                compare(f"{name}: {file}, by name", expected, network.logits(model, x))


class Golden:
    """A network of golden_networks.py as peers.py's are: weights by formula."""
    file = "weights.pth"

    def __init__(self, name):
        self.net, self.sides = golden_networks.NETWORKS[name], golden_networks.NETWORKS[name].logits

    def start(self):
        pass

    def make(self):
        return self.net.make()

    def build(self):
        return golden_networks.fill(self.make(), False).eval()

    def save(self, model, path):
        golden_networks.torch.save(model.state_dict(), path)

    def outputs(self, model, x):
        with golden_networks.torch.no_grad():
            pictures = golden_networks.torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
            return [o.numpy() for o in golden_networks.outputs_of(model.eval(), pictures)]

    def logits(self, model, x):
        return self.outputs(model, x)[0]


def find(name):
    return peers.NETWORKS[name] if name in peers.NETWORKS else Golden(name)


def caffe(folder, x, model):
    """GoogLeNet as Caffe's files have it, read by OpenCV and by graft."""
    import cv2
    import caffe_files
    if not hasattr(cv2.dnn, "readNetFromCaffe"):
        return print("skip googlenet: OpenCV from version 5 on reads no Caffe files")
    expected = Golden("googlenet").outputs(model, x)
    caffe_files.googlenet(folder, {k: v.numpy() for k, v in model.state_dict().items()}, expected[0].shape[1])
    net = cv2.dnn.readNetFromCaffe(str(folder / "googlenet.prototxt"), str(folder / "googlenet.caffemodel"))
    net.setInput(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    by_cv = net.forward("loss3/classifier").reshape(expected[0].shape)
    compare("googlenet: the .caffemodel, by OpenCV beside PyTorch", expected[0], by_cv)
    by_us = by_graft("googlenet", folder / "googlenet.caffemodel", x)
    compare("googlenet: the .caffemodel, by graft beside OpenCV", by_cv, by_us)


def heads(name, folder, x, model):
    """The mean over the heads that predict, by ONNX Runtime."""
    import onnxruntime
    outputs = Golden(name).outputs(model, x)
    mean = np.mean([softmax(o) for o in outputs], axis=0) if name == "googlenet" else softmax(outputs[0])
    found = onnxruntime.InferenceSession(str(folder / "model.onnx")).run(
        ["probabilities"], {"input": np.ascontiguousarray(x.transpose(0, 3, 1, 2))})[0]
    compare(f"{name}: probabilities of the heads that predict", mean, found)


def chain(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    network = find(name)
    network.start()
    model = network.build()
    x = peers.pictures(4, peers.SEED, network.sides[0])
    expected = network.logits(model, x)
    source = folder / network.file
    network.save(model, source)
    if isinstance(network, peers.Keras):
        keras_sources(name, model, folder, x, expected)
    if name == "googlenet":
        caffe(folder, x, model)
        refused = subprocess.run([graft, "convert", "-q", source, folder / "no.keras"], capture_output=True, text=True)
        report(refused.returncode == 3 and "LRN" in refused.stderr and not (folder / "no.keras").exists(),
               "googlenet: .keras is refused: Keras has no LRN")
    for suffix, tool, use in ((".safetensors", "PyTorch", by_torch), (".keras", "Keras", by_keras),
                              (".h5", "Keras", by_keras), (".onnx", "ONNX Runtime", by_onnx)):
        target = folder / ("model" + suffix)
        if name == "googlenet" and tool == "Keras":
            continue
        hint = ["-m", name] if suffix == ".safetensors" else []
        if not run(graft, "convert", "-q", *hint, "--imgsz", str(x.shape[1]), source, target):
            return
        compare(f"{name}: {source.name} to {target.name}, by {tool}", expected, use(name, str(target), x))
        if suffix == ".safetensors" and type(network) is peers.Keras:  # keras.applications builds it
            keras_targets(name, network, target, folder, x, expected)
        source = target
    if isinstance(network, Golden) and name != "inception_v3":
        heads(name, folder, x, model)


def tuned(folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    network = find(name)
    network.start()
    source, model = folder / network.file, folder / "run" / "model.safetensors"
    network.save(network.build(), source)
    x = peers.pictures(4, peers.SEED, network.sides[0])
    y = np.random.default_rng(peers.SEED).integers(0, 7, 16)
    y[:7] = range(7)
    np.savez(folder / "data.npz", x=peers.pictures(len(y), peers.SEED + 1, network.sides[0]), y=y)
    if not run(graft, "train", "-q", "-m", name, "--weights", source, "-d", folder / "data.npz", "--val", "0",
               "--epochs", "2", "--batch", "8", "-o", folder / "run"):
        return
    expected = by_graft(name, model, x)
    report(expected.shape[1] == 7, f"{name}, fine-tuned: a new head of seven classes")
    for suffix, tool, use in ((".keras", "Keras", by_keras), (".h5", "Keras", by_keras), (".onnx", "ONNX Runtime", by_onnx)):
        target = folder / ("model" + suffix)
        if run(graft, "convert", "-q", model, target):
            compare(f"{name}, fine-tuned: {target.name}, by {tool}", expected, use(name, str(target), x))
    if not isinstance(network, peers.Keras):
        from safetensors.torch import load_file
        classes, peers.CLASSES = peers.CLASSES, 7
        module = network.make()
        peers.CLASSES = classes
        module.load_state_dict(load_file(model), strict=False)
        compare(f"{name}, fine-tuned: {model.name}, by PyTorch", expected, network.logits(module, x))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    graft = sys.argv[1]
    for network in sys.argv[3:] or ["efficientnet_lite0", "vgg16", "resnet50.keras", "inception_v3.keras", "googlenet",
                                    "googlenet.tv"]:
        where = pathlib.Path(sys.argv[2]) / network
        chain(where, network)
        shutil.rmtree(where)
    for network in [] if sys.argv[3:] else ["efficientnet_lite0", "inception_v3.keras"]:
        where = pathlib.Path(sys.argv[2]) / network
        tuned(where, network)
        shutil.rmtree(where)
    sys.exit(failed > 0)
