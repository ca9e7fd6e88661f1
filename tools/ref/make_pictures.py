#!/usr/bin/env python3
"""Makes tests/golden/data/: small pictures in every format with what Pillow decodes (.ppm), resizes and prepares,
and small array files.  Needs numpy and Pillow.  Usage: make_pictures.py FOLDER"""
import gzip
import os
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageOps

folder = sys.argv[1]
os.makedirs(os.path.join(folder, "idx"), exist_ok=True)
rng = np.random.default_rng(7)


def at(name):
    return os.path.join(folder, name)


def scene(w, h):
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    rgb = np.stack([127 + 120 * np.sin(x / 5 + y / 9), 255 * x / w, 127 + 127 * np.cos(y / 3) * np.sin(x / 11)], 2)
    rgb[h // 4:h // 2, w // 3:w // 2] = [250, 10, 20]
    rgb += rng.normal(0, 6, rgb.shape)
    return Image.fromarray(rgb.clip(0, 255).astype(np.uint8))


def golden(name):
    with Image.open(at(name)) as picture:
        ImageOps.exif_transpose(picture).convert("RGB").save(at(name + ".ppm"))


def exif(orientation):
    tags = Image.Exif()
    tags[0x112] = orientation
    return tags


picture = scene(32, 24)
picture.save(at("base.jpg"), quality=88)
picture.save(at("progressive.jpg"), quality=80, progressive=True)
picture.convert("CMYK").save(at("cmyk.jpg"), quality=90)
picture.convert("L").save(at("grey.jpg"), quality=85)
picture.save(at("rgb.png"))
picture.quantize(13).save(at("palette.png"))
alpha = picture.copy()
alpha.putalpha(Image.fromarray(np.tile(np.arange(32, dtype=np.uint8) * 8, (24, 1))))
alpha.save(at("alpha.png"))
picture.convert("L").point(lambda v: 255 * (v > 100)).convert("1").save(at("bits.png"))
alpha.save(at("lossless.webp"), lossless=True, exact=True)
picture.save(at("lossy.webp"), quality=70)
others = [ImageOps.invert(picture), ImageOps.mirror(picture)]
picture.save(at("animated.gif"), save_all=True, append_images=others, duration=50)
picture.save(at("animated.webp"), save_all=True, append_images=others, duration=50, lossless=True)
picture.save(at("rgb.bmp"))
picture.quantize(16).save(at("palette.bmp"))
for name in ("base.jpg progressive.jpg cmyk.jpg grey.jpg rgb.png palette.png alpha.png bits.png lossless.webp "
             "lossy.webp animated.gif animated.webp rgb.bmp palette.bmp").split():
    golden(name)

# 16 bits a channel, which Pillow does not write: rows of filter 0.  The golden is the high byte.
wide = rng.integers(0, 65536, (9, 14, 3), dtype=np.uint16)


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png16(name, values, colour):
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", 14, 9, 16, colour, 0, 0, 0)
    with open(at(name), "wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)))
        out.write(chunk(b"IEND", b""))
    high = (values >> 8).astype(np.uint8)
    Image.fromarray(np.repeat(high[:, :, None], 3, 2) if high.ndim == 2 else high).save(at(name + ".ppm"))


png16("rgb16.png", wide, 2)
png16("grey16.png", wide[:, :, 0], 0)

# One JPEG whose orientation the test rewrites, with Pillow's eight results; eight PNG that all show the same picture.
small = scene(13, 8)
small.save(at("oriented.jpg"), quality=90, exif=exif(6))
stored = Image.open(at("oriented.jpg"))
stored.load()
undo = {1: None, 2: Image.FLIP_LEFT_RIGHT, 3: Image.ROTATE_180, 4: Image.FLIP_TOP_BOTTOM, 5: Image.TRANSPOSE,
        6: Image.ROTATE_90, 7: Image.TRANSVERSE, 8: Image.ROTATE_270}
for o in range(1, 9):
    stored.getexif()[0x112] = o
    ImageOps.exif_transpose(stored).save(at(f"oriented{o}.ppm"))
    turned = small if undo[o] is None else small.transpose(undo[o])
    turned.save(at(f"upright{o}.png"), exif=exif(o))
    assert np.array_equal(ImageOps.exif_transpose(Image.open(at(f"upright{o}.png"))), small)

# Resizes, and the two preparing rules, as torchvision and Keras compute them with Pillow.
for name, kind in (("bilinear", Image.BILINEAR), ("bicubic", Image.BICUBIC)):
    for w, h in ((17, 11), (43, 33), (32, 7)):
        picture.resize((w, h), kind).save(at(f"{name}_{w}x{h}.ppm"))
size, shorter = 16, 19
middle = picture.resize((int(shorter * 32 / 24), shorter), Image.BICUBIC)
left, top = round((middle.width - size) / 2), round((middle.height - size) / 2)
crop = np.asarray(middle.crop((left, top, left + size, top + size)), np.float32)
((crop - np.float32(127)) * np.float32(1 / 128)).transpose(2, 0, 1).tofile(at("crop.f32"))
squash = np.asarray(picture.resize((size, size), Image.BILINEAR), np.float32)[:, :, ::-1]
(squash - np.array([103.5, 116.75, 123.25], np.float32)).transpose(2, 0, 1).tofile(at("squash.f32"))

# Arrays.
x, y = rng.integers(0, 256, (6, 5, 5, 3), dtype=np.uint8), np.array([0, 1, 2, 0, 1, 2])
np.savez(at("stored.npz"), x=x, y=y)
np.savez_compressed(at("packed.npz"), x=x, y=y.astype(np.uint8))
np.savez(at("float.npz"), x=np.arange(4 * 27, dtype=np.float32).reshape(4, 3, 3, 3), y=np.array([0, 1, 0, 1], np.int32))
for part, n in (("train", 20), ("t10k", 10)):
    images = rng.integers(0, 256, (n, 4, 4), dtype=np.uint8)
    images[:, 0, 0] = np.arange(n)
    with gzip.GzipFile(at(f"idx/{part}-images-idx3-ubyte.gz"), "wb", mtime=0) as out:
        out.write(struct.pack(">IIII", 0x803, n, 4, 4) + images.tobytes())
    with open(at(f"idx/{part}-labels-idx1-ubyte"), "wb") as out:
        out.write(struct.pack(">II", 0x801, n) + (np.arange(n) % 5).astype(np.uint8).tobytes())
