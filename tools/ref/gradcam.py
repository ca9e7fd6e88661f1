"""`graft explain` beside Grad-CAM in PyTorch: a head of global average and one dense layer (EfficientNet-Lite0 with its
ImageNet weights) and a head of three dense layers (VGG11, seeded random weights).

    gradcam.py GRAFT WEIGHTS.pth FOLDER

A line a check, "ok ..." or "FAIL ..."; exit 1 when one failed.  Scratch files go to FOLDER."""
import json
import os
import subprocess
import sys

import numpy
import skimage.data
import torch
import torchvision
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

graft, weights, folder = sys.argv[1:4]
os.makedirs(folder, exist_ok=True)
photo = os.path.join(folder, "coffee.png")
Image.fromarray(skimage.data.coffee()).save(photo)
INFERNO = numpy.array([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], dtype=numpy.float64)


def seen(resample):
    """What enters the network: shorter side to 256, the middle 224."""
    picture = Image.open(photo).convert("RGB")
    scale = 256 / min(picture.size)
    picture = picture.resize((int(picture.width * scale), int(picture.height * scale)), resample)
    left, top = round((picture.width - 224) / 2), round((picture.height - 224) / 2)
    return numpy.asarray(picture.crop((left, top, left + 224, top + 224)), dtype=numpy.float64)


def heat(model, pooling, x, label):
    kept = []
    hook = pooling.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0]))
    logits = model(x)
    hook.remove()
    label = int(logits.argmax()) if label is None else label
    gradient, = torch.autograd.grad(logits[0, label], kept[0])
    cam = torch.relu((gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1, keepdim=True))
    cam = torch.nn.functional.interpolate(cam / cam.max(), size=(224, 224), mode="bilinear", align_corners=False)
    return cam[0, 0].detach().numpy(), label


def overlay(pixels, cam):
    at = numpy.clip(cam, 0, 1) * 4
    low = numpy.minimum(at.astype(int), 3)
    colour = INFERNO[low] + (at - low)[..., None] * (INFERNO[low + 1] - INFERNO[low])
    grey = pixels @ [0.299, 0.587, 0.114]
    return 0.45 * grey[..., None] + 0.55 * colour


failed = False
torch.manual_seed(0)
lite = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
vgg = torchvision.models.vgg11().eval()
with torch.no_grad():
    for module in vgg.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.bias.normal_(0, 0.1)
    vgg.classifier[6].weight *= 20  # random heads are nearly indifferent: spread them
vgg_file = os.path.join(folder, "vgg11.pth")
torch.save(vgg.state_dict(), vgg_file)
mean, deviation = numpy.array([0.485, 0.456, 0.406]), numpy.array([0.229, 0.224, 0.225])
for name, model, pooling, file, resample, prepare, labels in [
        ("efficientnet_lite0", lite, lite._avg_pooling, weights, Image.BICUBIC, lambda p: (p - 127) / 128, [None, 281]),
        ("vgg11", vgg, vgg.avgpool, vgg_file, Image.BILINEAR, lambda p: (p / 255 - mean) / deviation, [None, 3])]:
    for label in labels:
        pixels = seen(resample)
        x = torch.tensor(prepare(pixels).transpose(2, 0, 1)[None], dtype=torch.float32)
        cam, label_found = heat(model, pooling, x, label)
        wanted = overlay(pixels, cam)
        out = os.path.join(folder, "out.png")
        command = [graft, "explain", file, photo, "-o", out, "--json", "-q"] + (["--class", str(label)] if label else [])
        said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        found = numpy.asarray(Image.open(out), dtype=numpy.float64)
        worst = numpy.abs(found - wanted).max()
        # half a level is the rounding to bytes; another half allows for Pillow's resize, which graft matches within 1 of 255
        good = worst <= 1 and (said["map_h"], said["map_w"]) == (7, 7)
        failed |= not good
        print(f"{'ok' if good else 'FAIL'} {name} {'likeliest class' if label is None else f'class {label}'} "
              f"({label_found}): at most {worst:.2f} of 255 apart; the map spans {cam.min():.2f} to {cam.max():.2f}")
os.remove(vgg_file)
sys.exit(failed)
