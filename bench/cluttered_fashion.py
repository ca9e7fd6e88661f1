"""Makes pictures in which the right place is small: one garment of Fashion-MNIST somewhere on a cluttered ground of
rectangles and of scraps of other garments, which tell nothing.  Standard library only.

    cluttered_fashion.py IDX_FOLDER OUT [--train 800] [--test 400] [--size 160] [--garment 48]

OUT/train.csv and OUT/test.csv: path,label; OUT/boxes.csv: where the garments are, as `graft crops` writes boxes."""
import argparse
import csv
import os
import random

from grouped_fashion import NAMES, idx, png


def ground(size, draw):
    rows = [bytearray(bytes(draw.randrange(256) for _ in range(3)) * size) for _ in range(size)]
    for _ in range(12):
        w, h = draw.randint(6, size // 3), draw.randint(6, size // 3)
        x, y = draw.randrange(-w // 2, size - w // 2), draw.randrange(-h // 2, size - h // 2)
        left, right, colour = max(0, x), min(size, x + w), bytes(draw.randrange(256) for _ in range(3))
        for row in rows[max(0, y):min(size, y + h)]:
            row[3 * left:3 * right] = colour * (right - left)
    return rows


def paste(rows, pixels, part, side, x, y, tint):
    """The `part` (left, top, width) of a garment of 28 x 28 greys, `side` pixels large, where it has ink."""
    left, top, width = part
    for j in range(side):
        for i in range(side):
            ink = pixels[(top + j * width // side) * 28 + left + i * width // side] / 255
            at = 3 * (x + i)
            for c in range(3):
                rows[y + j][at + c] = int(rows[y + j][at + c] * (1 - ink) + ink * tint[c])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("idx")
    parser.add_argument("out")
    parser.add_argument("--train", type=int, default=800)
    parser.add_argument("--test", type=int, default=400)
    parser.add_argument("--size", type=int, default=160)
    parser.add_argument("--garment", type=int, default=48)
    o = parser.parse_args()
    images = idx(os.path.join(o.idx, "train-images-idx3-ubyte.gz"), 16)
    labels = idx(os.path.join(o.idx, "train-labels-idx1-ubyte.gz"), 8)
    draw, rows, boxes = random.Random(1), {"train": [], "test": []}, []
    for at in range(o.train + o.test):
        part = "train" if at < o.train else "test"
        os.makedirs(os.path.join(o.out, part), exist_ok=True)
        picture = ground(o.size, draw)
        for _ in range(4):
            other = draw.randrange(30000, 60000)
            scrap, side = (draw.randrange(18), draw.randrange(18), 10), o.garment // 3
            x, y = draw.randrange(o.size - side), draw.randrange(o.size - side)
            paste(picture, images[other * 784:(other + 1) * 784], scrap, side, x, y,
                  [draw.randrange(256) for _ in range(3)])
        x, y = draw.randrange(o.size - o.garment), draw.randrange(o.size - o.garment)
        paste(picture, images[at * 784:(at + 1) * 784], (0, 0, 28), o.garment, x, y,
              [draw.randrange(128, 256) for _ in range(3)])
        name = f"{part}/{at:05d}.png"
        png(os.path.join(o.out, name), o.size, picture)
        rows[part].append((name, NAMES[labels[at]]))
        boxes.append((name, x / o.size, y / o.size, o.garment / o.size, o.garment / o.size))
    lists = {part + ".csv": [("path", "label")] + list_ for part, list_ in rows.items()}
    lists["boxes.csv"] = [("path", "left", "top", "width", "height")] + boxes
    for name, list_ in lists.items():
        with open(os.path.join(o.out, name), "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(list_)


if __name__ == "__main__":
    main()
