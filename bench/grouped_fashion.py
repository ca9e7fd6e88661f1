"""Makes a grouped data set of Fashion-MNIST: every group ("photographer") has its own background, tint and slant, every
garment is there as a few frames one after the other.  Standard library only.

    grouped_fashion.py IDX_FOLDER OUT [--groups 24] [--garments 25] [--frames 4] [--size 40]

OUT/train.csv and OUT/test.csv: path,label,group; the first half of the groups is for training, the others are unseen."""
import argparse
import csv
import gzip
import os
import random
import struct
import zlib

NAMES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]


def idx(path, head):
    with gzip.open(path) as file:
        return file.read()[head:]


def png(path, size, rows):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    raw = b"".join(b"\0" + bytes(row) for row in rows)
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)) +
                   chunk(b"IDAT", zlib.compress(raw, 6)) + chunk(b"IEND", b""))


def frame(pixels, style, size, dx, dy, noise, draw):
    """A garment of 28 x 28 greys over the group's background, slanted, tinted, shifted."""
    rows, margin = [], (size - 28) / 2
    for y in range(size):
        row = []
        for x in range(size):
            u = x - margin - dx - style["slant"] * (y - size / 2)
            v = y - margin - dy
            i, j = int(u + 0.5), int(v + 0.5)
            ink = pixels[j * 28 + i] / 255 if 0 <= i < 28 and 0 <= j < 28 else 0
            back = style["back"] if (x // style["stripe"] + y // style["stripe"]) % 2 else style["other"]
            for c in range(3):
                value = back[c] * (1 - ink) + ink * style["tint"][c] * 255 + draw.gauss(0, noise)
                row.append(max(0, min(255, int(value))))
        rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("idx")
    parser.add_argument("out")
    parser.add_argument("--groups", type=int, default=24)
    parser.add_argument("--garments", type=int, default=25)
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--size", type=int, default=40)
    o = parser.parse_args()
    images = idx(os.path.join(o.idx, "train-images-idx3-ubyte.gz"), 16)
    labels = idx(os.path.join(o.idx, "train-labels-idx1-ubyte.gz"), 8)
    draw, at = random.Random(1), 0
    rows = {"train": [], "test": []}
    for group in range(o.groups):
        part = "train" if group < o.groups // 2 else "test"
        style = {"back": [draw.randrange(256) for _ in range(3)], "other": [draw.randrange(256) for _ in range(3)],
                 "tint": [0.3 + 0.7 * draw.random() for _ in range(3)], "slant": draw.uniform(-0.5, 0.5),
                 "stripe": draw.choice([3, 5, 8, 40])}
        os.makedirs(os.path.join(o.out, part), exist_ok=True)
        for garment in range(o.garments):
            pixels = images[at * 784:(at + 1) * 784]
            dx, dy = draw.uniform(-3, 3), draw.uniform(-3, 3)
            for k in range(o.frames):
                name = f"{part}/g{group:02d}_{garment:03d}_{k}.png"
                png(os.path.join(o.out, name), o.size, frame(pixels, style, o.size, dx + 0.7 * k, dy, 12, draw))
                rows[part].append((name, NAMES[labels[at]], f"g{group:02d}"))
            at += 1
    for part, list_ in rows.items():
        with open(os.path.join(o.out, part + ".csv"), "w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("path", "label", "group"))
            writer.writerows(list_)


if __name__ == "__main__":
    main()
