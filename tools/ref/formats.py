"""Files that graft writes, opened by the tools they are for; a line a check ("ok ..." or "FAIL ...").

Usage: python tools/ref/formats.py GRAFT FOLDER [NETWORK]...
A PyTorch file of seeded weights goes from format to format, each written from the one before; the tool of each predicts
the same pictures.  Outputs must stay within 1e-5 of the first (PyTorch's), of the largest logit; probabilities within
1e-5.  Needs what peers.py needs, and onnx, onnxruntime, opencv-python-headless, safetensors.
"""
import pathlib
import subprocess
import sys

import numpy as np
import torch

import peers

failed = 0


def report(ok, text):
    global failed
    failed += not ok
    print(f"{'ok  ' if ok else 'FAIL'} {text}", flush=True)


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def compare(name, expected, found):
    if expected.shape != found.shape:
        return report(False, f"{name}: shape {found.shape}, expected {expected.shape}")
    difference, largest = float(np.abs(expected - found).max()), float(np.abs(expected).max())
    report(difference <= 1e-5 * largest, f"{name}: differs by {difference / largest:.2g} of the largest")  # False for NaN


def by_onnx(path, x):
    import cv2
    import onnx
    import onnxruntime
    onnx.checker.check_model(path, full_check=True)
    session = onnxruntime.InferenceSession(path)
    pictures = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    probabilities, logits = session.run(None, {"input": pictures})
    compare("ONNX Runtime's probabilities", softmax(logits), probabilities)
    one = session.run(["logits"], {"input": pictures[:1]})[0]  # the batch is free
    compare("ONNX Runtime, one picture", logits[:1], one)
    net = cv2.dnn.readNetFromONNX(path)
    net.setInput(pictures, "input")
    compare("OpenCV beside ONNX Runtime", logits, net.forward("logits"))
    return logits


def by_torch(name):
    def run(path, x):
        from safetensors.torch import load_file
        model = peers.network(name).eval()
        missing = model.load_state_dict(load_file(path), strict=False)
        report(not missing.unexpected_keys and all(k.endswith("num_batches_tracked") for k in missing.missing_keys),
               f"{name}: safetensors' names are the module's")
        with torch.no_grad():
            return model(peers.as_tensor(x)).numpy()
    return run


def chain(graft, folder, name):
    folder.mkdir(parents=True, exist_ok=True)
    peers.save(name, folder)
    x, expected = np.load(folder / "input.npy"), np.load(folder / "logits.npy")
    source = folder / "weights.pth"
    for suffix, tool, run in ((".safetensors", "PyTorch", by_torch(name)), (".onnx", "ONNX Runtime", by_onnx)):
        target = folder / ("model" + suffix)
        done = subprocess.run([graft, "convert", "-q", source, target], capture_output=True, text=True)
        if done.returncode != 0:
            return report(False, f"{name}: {source.name} to {target.name}: {done.stderr.strip()}")
        compare(f"{name}: {source.name} to {target.name}, by {tool}", expected, run(str(target), x))
        source = target


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    for network in sys.argv[3:] or ["efficientnet_lite0", "vgg16"]:
        chain(sys.argv[1], pathlib.Path(sys.argv[2]) / network, network)
    sys.exit(failed > 0)
