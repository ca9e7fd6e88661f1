"""Runs the files of tests/golden/weights/every_op.*, which test_export wrote, in the tools they are for, and keeps the
outputs beside them as float32, which the test compares with graft's own.

Usage: python tools/ref/run_exports.py [FOLDER]      (with every_op.input.f32 in it: GRAFT_MAKE_GOLDENS=FOLDER test_export)
Needs: numpy, keras with any backend, onnx, onnxruntime, opencv-python-headless.
"""
import pathlib
import sys

import numpy as np

folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/weights")
SIZE, BATCH = 13, 2
x = np.fromfile(folder / "every_op.input.f32", np.float32).reshape(BATCH, 3, SIZE, SIZE)


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def onnx_outputs(path):
    import cv2
    import onnx
    import onnxruntime
    onnx.checker.check_model(onnx.load(path), full_check=True)
    probabilities, logits = onnxruntime.InferenceSession(path).run(None, {"input": x})
    assert np.allclose(probabilities, softmax(logits), atol=1e-6)
    net = cv2.dnn.readNetFromONNX(path)
    net.setInput(x, "input")
    difference = np.abs(net.forward("logits") - logits).max() / np.abs(logits).max()
    print(f"onnx: OpenCV differs from ONNX Runtime by {difference:.2g} of the largest logit")
    assert difference < 1e-5
    return logits


def keras_outputs(path):
    import keras
    model = keras.saving.load_model(path)
    pictures = x.transpose(0, 2, 3, 1)
    probabilities = model.predict(pictures, verbose=0)
    model.layers[-1].activation = keras.activations.linear
    logits = keras.ops.convert_to_numpy(model(pictures))
    assert np.allclose(probabilities, softmax(logits), atol=1e-6)
    again = keras.saving.load_model(path)  # Keras keeps layers in the order that graft wrote them in
    assert [layer.name for layer in again.layers] == [layer["name"] for layer in again.get_config()["layers"]]
    print(f"keras: {len(model.layers)} layers, {model.count_params()} numbers")
    return logits


onnx_outputs(str(folder / "every_op.onnx")).tofile(folder / "every_op.onnx.f32")
keras_outputs(str(folder / "every_op.keras")).tofile(folder / "every_op.keras.f32")
keras_outputs(str(folder / "every_op.h5")).tofile(folder / "every_op.h5.f32")
