#!/usr/bin/env python3
"""How far apart the frameworks' resizes are: 20 real pictures of scikit-image and scikit-learn to 224x224, all beside Pillow's
filter of that name.  Prints the table of docs/data.md.  Needs numpy, Pillow, scikit-image, scikit-learn, torchvision, TensorFlow.
Usage: ninja -C build tests/resize_dump; tools/ref/resize_compare.py [build/tests/resize_dump]"""
import os
import subprocess
import sys
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import skimage
import sklearn.datasets
from PIL import Image

HALF = sys.argv[2] if len(sys.argv) > 2 else ""  # PyTorch and TensorFlow do not go into one process
if HALF == "tensorflow":
    import tensorflow as tf
elif HALF == "torch":
    import torch
    from torchvision.transforms import v2

SIDE = 224
NAMES = ("astronaut.png brick.png camera.png cell.png chelsea.png clock_motion.png coffee.png coins.png grass.png gravel.png "
         "hubble_deep_field.jpg ihc.png moon.png motorcycle_left.png motorcycle_right.png page.png retina.jpg rocket.jpg").split()
dump = sys.argv[1] if len(sys.argv) > 1 else "build/tests/resize_dump"
if not HALF:
    print("| filter | who | mean | largest mean of a picture | largest of a value |\n|---|---|---|---|---|", flush=True)
    for half in ("torch", "tensorflow"):
        subprocess.run([sys.executable, __file__, dump, half], check=True)
    sys.exit()


def pillow(p, method):
    return np.asarray(p.resize((SIDE, SIDE), method))


def graft(p, name):
    with tempfile.NamedTemporaryFile(suffix=".png") as f:
        p.save(f.name)
        raw = subprocess.run([dump, f.name, str(SIDE), name], capture_output=True, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(SIDE, SIDE, 3)


def torchvision(p, mode, antialias, real=False):
    x = torch.from_numpy(np.array(p)).permute(2, 0, 1)
    y = v2.functional.resize(x.float() if real else x, [SIDE, SIDE], mode, antialias=antialias)
    return y.permute(1, 2, 0).numpy()


def tensorflow(p, method, antialias):
    return tf.image.resize(np.array(p), (SIDE, SIDE), method=method, antialias=antialias).numpy()


if HALF == "torch":
    linear, cubic = v2.InterpolationMode.BILINEAR, v2.InterpolationMode.BICUBIC
    ROWS = [
        ("bilinear", Image.BILINEAR, "graft", lambda p: graft(p, "bilinear")),
        ("bilinear", Image.BILINEAR, "torchvision, uint8 tensor, antialias=True", lambda p: torchvision(p, linear, True)),
        ("bilinear", Image.BILINEAR, "torchvision, float tensor, antialias=True", lambda p: torchvision(p, linear, True, True)),
        ("bilinear", Image.BILINEAR, "torchvision, antialias=False", lambda p: torchvision(p, linear, False)),
        ("bicubic", Image.BICUBIC, "graft", lambda p: graft(p, "bicubic")),
        ("bicubic", Image.BICUBIC, "torchvision, uint8 tensor, antialias=True", lambda p: torchvision(p, cubic, True)),
    ]
else:
    ROWS = [
        ("bilinear", Image.BILINEAR, "tf.image.resize, antialias=True", lambda p: tensorflow(p, "bilinear", True)),
        ("bilinear", Image.BILINEAR, "tf.image.resize and image_dataset_from_directory by default",
         lambda p: tensorflow(p, "bilinear", False)),
        ("bilinear", Image.BILINEAR, "Keras's load_img(target_size=...) by default: nearest", lambda p: pillow(p, Image.NEAREST)),
        ("bicubic", Image.BICUBIC, "tf.image.resize, antialias=True", lambda p: tensorflow(p, "bicubic", True)),
        ("bicubic", Image.BICUBIC, "tf.image.resize by default", lambda p: tensorflow(p, "bicubic", False)),
    ]
folder = os.path.join(os.path.dirname(skimage.__file__), "data")
pictures = [Image.open(os.path.join(folder, name)).convert("RGB") for name in NAMES]
pictures += [Image.fromarray(p) for p in sklearn.datasets.load_sample_images().images]
assert len(pictures) == 20
for name, method, who, resize in ROWS:
    far = [np.abs(np.asarray(resize(p), np.float64).clip(0, 255) - pillow(p, method)) for p in pictures]
    print(f"| {name} | {who} | {np.mean([d.mean() for d in far]):.2f} | {max(d.mean() for d in far):.2f} | "
          f"{max(d.max() for d in far):.0f} |", flush=True)
