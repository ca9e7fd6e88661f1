"""Fashion-MNIST as the demo's network sees it: 146x146, bicubic, the middle 128x128, (x - 127) / 128, three equal channels."""
import gzip

import numpy as np
import torch
from PIL import Image


def read(fashion, stem, count):
    with gzip.open(fashion / f"{stem}-images-idx3-ubyte.gz") as file:
        grey = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)[:count]
    with gzip.open(fashion / f"{stem}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)[:count].astype(np.int64)
    crops = [np.asarray(Image.fromarray(g).convert("RGB").resize((146, 146), Image.BICUBIC))[9:137, 9:137] for g in grey]
    x = (np.stack(crops).astype(np.float32) - 127) / 128
    return torch.from_numpy(x.transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels)
