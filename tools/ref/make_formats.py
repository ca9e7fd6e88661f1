#!/usr/bin/env python3
"""Makes tests/golden/data/formats/: small TIFF, AVIF and HEIC pictures, and ones with a colour profile, with what Pillow makes
of them (NAME.ppm; of the HEIC, heif-convert's pixels).  Needs numpy, Pillow, tifffile; heif-enc and heif-convert for the HEIC.
Usage: make_formats.py FOLDER PICTURE"""
import os
import struct
import subprocess
import sys

import numpy as np
import tifffile
from PIL import Image, ImageCms, ImageOps

folder, source = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
picture = Image.open(source).convert("RGB")
w, h = picture.size
rng = np.random.default_rng(3)


def at(name):
    return os.path.join(folder, name)


def golden(name, made=None):
    with Image.open(at(name)) as p:
        (made or ImageOps.exif_transpose(p).convert("RGB")).save(at(name + ".ppm"))


alpha = picture.copy()
alpha.putalpha(Image.fromarray(np.tile(np.arange(w, dtype=np.uint8) * (255 // w), (h, 1))))
picture.save(at("lzw.tif"), compression="tiff_lzw")
picture.save(at("deflate.tif"), compression="tiff_adobe_deflate")
picture.save(at("jpeg.tif"), compression="jpeg", quality=90)
picture.convert("L").save(at("grey.tif"))
picture.quantize(20).save(at("palette.tif"), compression="packbits")
picture.convert("1").save(at("fax.tif"), compression="group4")
alpha.save(at("alpha.tif"), compression="tiff_lzw")
picture.convert("CMYK").save(at("cmyk.tif"))
picture.save(at("turned.tif"), tiffinfo={274: 6})
picture.save(at("pages.tif"), save_all=True, append_images=[ImageOps.invert(picture)])
tifffile.imwrite(at("tiles.tif"), np.asarray(alpha), photometric="rgb", extrasamples=["unassalpha"], tile=(16, 16),
                 compression="zlib")
picture.save(at("tiles.tif.ppm"))  # alpha is dropped, whatever it says
for name in "lzw deflate jpeg grey palette fax alpha cmyk turned pages".split():
    golden(name + ".tif")
wide = rng.integers(0, 65536, (h, w), dtype=np.uint16)
Image.fromarray(wide).save(at("grey16.tif"))
Image.fromarray((wide >> 8).astype(np.uint8)).convert("RGB").save(at("grey16.tif.ppm"))  # as a 16-bit PNG: the high byte
picture.save(at("lossy.avif"), quality=80, subsampling="4:4:4")
golden("lossy.avif")

picture.resize((128, 96)).save(at("heic.png"))
subprocess.run(["heif-enc", "-q", "80", "-o", at("photo.heic"), at("heic.png")], check=True, stdout=subprocess.DEVNULL)
subprocess.run(["heif-convert", at("photo.heic"), at("heic.png")], check=True, stdout=subprocess.DEVNULL)
Image.open(at("heic.png")).convert("RGB").save(at("photo.heic.ppm"))
os.remove(at("heic.png"))


def profile():
    """A matrix profile with the primaries of a wide gamut and a gamma of 1.8."""
    def s15(x):
        return struct.pack(">i", round(x * 65536))

    def xyz(*v):
        return b"XYZ \0\0\0\0" + b"".join(map(s15, v))

    title = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"wide\0" + b"\0" * 78
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(1.8 * 256)) + b"\0\0"
    tags = [(b"desc", title + b"\0" * (-len(title) % 4)), (b"wtpt", xyz(0.9642, 1, 0.8249)),
            (b"rXYZ", xyz(0.7977, 0.2880, 0.0)), (b"gXYZ", xyz(0.1352, 0.7119, 0.0)), (b"bXYZ", xyz(0.0313, 0.0001, 0.8249)),
            (b"rTRC", curve), (b"gTRC", curve), (b"bTRC", curve), (b"cprt", b"text\0\0\0\0none\0\0\0\0")]
    table, data, offset = b"", b"", 128 + 4 + 12 * len(tags)
    for name, body in tags:
        table += struct.pack(">4sII", name, offset + len(data), len(body))
        data += body
    body = struct.pack(">I", len(tags)) + table + data
    head = struct.pack(">I4sI4s4s4s12s4s", 128 + len(body), b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ", bytes(12), b"acsp")
    head += bytes(28) + s15(0.9642) + s15(1) + s15(0.8249)
    return head + bytes(128 - len(head)) + body


wide_gamut, srgb = profile(), ImageCms.createProfile("sRGB")
for name, options in (("profile.jpg", {"quality": 92}), ("profile.png", {}), ("profile.webp", {"lossless": True}),
                      ("profile.tif", {"compression": "tiff_lzw"})):
    picture.save(at(name), icc_profile=wide_gamut, **options)
    with Image.open(at(name)) as p:
        golden(name)
        converted = ImageCms.profileToProfile(p.convert("RGB"), ImageCms.ImageCmsProfile(__import__("io").BytesIO(wide_gamut)),
                                              srgb, outputMode="RGB")
        converted.save(at(name + ".srgb.ppm"))
