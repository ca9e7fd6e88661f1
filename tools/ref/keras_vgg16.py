"""graft's logits beside Keras's: VGG16 of keras.applications with seeded weights in every .h5 that Keras 3 writes.

    keras_vgg16.py GRAFT FOLDER

Files: the whole model (model.save), the weights alone in the layout of the published files, and the model without its
top (include_top=False), whose pooled features graft shows through training a new head: it must load all 13 convolutions.
Largest difference of a logit: 1e-4 of the largest logit.  Prints a line a check, exits 1 when one failed.
"""
import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import h5py
import keras
import numpy as np
from keras.src.legacy.saving import legacy_h5_format

LIMIT = 1e-4


def make_model():
    keras.utils.set_random_seed(1)
    model = keras.applications.VGG16(weights=None)
    generator = np.random.default_rng(2)
    for layer in model.layers:
        if layer.weights:  # 1.6: Glorot's kernels let the activations fade, as He's do not
            layer.set_weights([w * 1.6 if w.ndim > 1 else generator.normal(0, .05, w.shape) for w in layer.get_weights()])
    return model


def check(name, fine, said):
    print(f"{'ok' if fine else 'FAIL'} keras {keras.__version__} {name}: {said}", flush=True)
    return fine


def main():
    graft, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    model = make_model()
    x = np.random.default_rng(0).normal(0, 50, (3, 224, 224, 3)).astype(np.float32)
    np.save(folder / "x.npy", x)
    model.save(folder / "whole.h5")
    with h5py.File(folder / "weights.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
    keras.Model(model.input, model.get_layer("block5_pool").output).save(folder / "notop.h5")
    model.layers[-1].activation = None
    expected = np.asarray(model(x))

    good = True
    for name in ("whole.h5", "weights.h5"):
        subprocess.run([graft, "predict", folder / name, folder / "x.npy", "--logits", folder / "found.npy", "-q"],
                       check=True, stdout=subprocess.DEVNULL)
        found = np.load(folder / "found.npy")
        worst = np.abs(found - expected).max() / np.abs(expected).max()
        good &= check(name, bool(worst <= LIMIT), f"logits within {worst:.1e} of the largest")
    np.savez(folder / "d.npz", x=x, y=np.arange(3))
    said = subprocess.run([graft, "train", "--weights", folder / "notop.h5", "-d", folder / "d.npz", "--val", "0",
                           "--epochs", "1", "--freeze", "head", "-o", folder / "run"], capture_output=True, text=True)
    good &= check("notop.h5", said.returncode == 0 and "26 tensors loaded" in said.stderr, "13 convolutions loaded")
    return good


sys.exit(0 if main() else 1)
