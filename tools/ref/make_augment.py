#!/usr/bin/env python3
"""Makes tests/golden/data/augment/: small real pictures, NAME.png, and below each other in NAME.results.png what torchvision's
operations make of them, in the order of `operations` (tests/data/test_augment.c has the same list).
Needs torch, torchvision, Pillow, scikit-image.  Usage: make_augment.py FOLDER"""
import os
import sys

import numpy as np
import skimage
import torch
import torch.nn.functional as nn
import torchvision.transforms.functional as F
from PIL import Image
from torchvision.transforms import InterpolationMode

folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
torch.manual_seed(0)


def affine(mode, angle=0.0, translate=(0, 0), scale=1.0, shear=(0.0, 0.0), center=None):
    """torchvision's affine on a tensor; mode zeros, border, reflection: what lies around the picture."""
    def apply(x):
        h, w = x.shape[-2:]
        middle = [0.0, 0.0] if center is None else [center[0] - w * 0.5, center[1] - h * 0.5]
        inverse = F._get_inverse_affine_matrix(middle, angle, list(translate), scale, list(shear))
        theta = torch.tensor(inverse).reshape(2, 3)
        # torchvision's _gen_affine_grid: pixel centres relative to the picture's centre
        ys, xs = torch.meshgrid(torch.arange(h) + 0.5 - h / 2, torch.arange(w) + 0.5 - w / 2, indexing="ij")
        points = torch.stack([xs, ys, torch.ones_like(xs)], 2) @ theta.T
        grid = points / torch.tensor([w / 2, h / 2])
        out = nn.grid_sample(x[None].float(), grid[None], mode="bilinear", padding_mode=mode, align_corners=False)[0]
        out = out.round().clamp(0, 255).to(torch.uint8)
        if mode == "zeros":  # the same as the public function, and as Pillow inside
            public = F.affine(x, angle, list(translate), scale, list(shear), InterpolationMode.BILINEAR, None,
                              None if center is None else list(center))
            assert (public.int() - out.int()).abs().max() <= 1
            pillow = F.affine(F.to_pil_image(x), angle, list(translate), scale, list(shear),
                              InterpolationMode.BILINEAR, 0, None if center is None else list(center))
            inside = nn.grid_sample(torch.ones(1, 1, h, w), grid[None], mode="bilinear", align_corners=False)[0, 0] > 0.999
            difference = np.abs(np.asarray(pillow).astype(int) - out.permute(1, 2, 0).numpy().astype(int)).max(2)
            assert difference[inside.numpy()].max() <= 1 and inside.sum() > 100
        return out
    return apply


operations = [
    affine("zeros", angle=10.0),
    affine("zeros", angle=-33.0, translate=(5, -3), scale=1.3, shear=(7.0, 0.0)),
    affine("zeros", scale=0.7, shear=(0.0, 12.0)),
    affine("zeros", shear=(16.7, 0.0), center=(0, 0)),
    affine("border", angle=10.0, translate=(9, 4)),
    affine("reflection", angle=25.0, translate=(-11, 6)),
    lambda x: F.adjust_brightness(x, 1.37),
    lambda x: F.adjust_brightness(x, 0.2),
    lambda x: F.adjust_contrast(x, 1.9),
    lambda x: F.adjust_contrast(x, 0.4),
    lambda x: F.adjust_saturation(x, 1.8),
    lambda x: F.adjust_saturation(x, 0.3),
    lambda x: F.adjust_sharpness(x, 1.9),
    lambda x: F.adjust_sharpness(x, 0.1),
    lambda x: F.adjust_hue(x, 0.13),
    lambda x: F.adjust_hue(x, -0.4),
    lambda x: F.rgb_to_grayscale(x, 3),
    lambda x: F.gaussian_blur(x, [5, 5], [0.6, 0.6]),
    lambda x: F.gaussian_blur(x, [11, 11], [1.6, 1.6]),
    lambda x: F.posterize(x, 3),
    lambda x: F.solarize(x, 110),
    F.autocontrast,
    F.equalize,
]

for name in ("coffee", "chelsea"):
    picture = Image.open(os.path.join(os.path.dirname(skimage.__file__), "data", name + ".png")).convert("RGB")
    picture = picture.resize((48, 36), Image.LANCZOS)
    picture.save(os.path.join(folder, name + ".png"), optimize=True)
    x = F.pil_to_tensor(picture)
    results = torch.cat([f(x) for f in operations], 1)
    F.to_pil_image(results).save(os.path.join(folder, name + ".results.png"), optimize=True)
