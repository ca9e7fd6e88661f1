"""GoogLeNet as BVLC's Caffe model has it, in PyTorch; module names are Caffe's with dots for slashes.

In training and in evaluation it returns the logits of the main head, then of the heads on 4a and on 4d.
"""
import torch
from torch import nn
from torch.nn import functional as F

BLOCKS = {"3a": (192, 64, 96, 128, 16, 32, 32), "3b": (256, 128, 128, 192, 32, 96, 64),
          "4a": (480, 192, 96, 208, 16, 48, 64), "4b": (512, 160, 112, 224, 24, 64, 64),
          "4c": (512, 128, 128, 256, 24, 64, 64), "4d": (512, 112, 144, 288, 32, 64, 64),
          "4e": (528, 256, 160, 320, 32, 128, 128), "5a": (832, 256, 160, 320, 32, 128, 128),
          "5b": (832, 384, 192, 384, 48, 128, 128)}


class Group(nn.Module):
    """Layers under one name; a call runs one of them, with ReLU after a convolution."""

    def __init__(self, **layers):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name.lstrip("_"), layer)

    def forward(self, name, x):
        layer = self._modules[name]
        return F.relu(layer(x)) if isinstance(layer, nn.Conv2d) else layer(x)


def inception(channels, one, three_reduced, three, five_reduced, five, projection):
    return Group(_1x1=nn.Conv2d(channels, one, 1), _3x3_reduce=nn.Conv2d(channels, three_reduced, 1),
                 _3x3=nn.Conv2d(three_reduced, three, 3, padding=1), _5x5_reduce=nn.Conv2d(channels, five_reduced, 1),
                 _5x5=nn.Conv2d(five_reduced, five, 5, padding=2), pool_proj=nn.Conv2d(channels, projection, 1))


def head(channels, classes):
    return Group(conv=nn.Conv2d(channels, 128, 1), fc=nn.Linear(2048, 1024), classifier=nn.Linear(1024, classes))


class GoogLeNet(nn.Module):
    def __init__(self, classes=1000, dropout=0.4, aux_dropout=0.7):
        super().__init__()
        self.conv1 = Group(_7x7_s2=nn.Conv2d(3, 64, 7, 2, 3))
        self.conv2 = Group(_3x3_reduce=nn.Conv2d(64, 64, 1), _3x3=nn.Conv2d(64, 192, 3, padding=1))
        for name, widths in BLOCKS.items():
            self.add_module("inception_" + name, inception(*widths))
        self.loss1, self.loss2 = head(512, classes), head(528, classes)
        self.loss3 = Group(classifier=nn.Linear(1024, classes))
        self.norm = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1)
        self.dropout, self.aux_dropout = nn.Dropout(dropout), nn.Dropout(aux_dropout)

    def block(self, name, x):
        b = self._modules["inception_" + name]
        pool = F.max_pool2d(x, 3, 1, 1)
        return torch.cat([b("1x1", x), b("3x3", b("3x3_reduce", x)), b("5x5", b("5x5_reduce", x)),
                          b("pool_proj", pool)], 1)

    def auxiliary(self, b, x):
        four = 14 <= x.shape[2] <= 16  # where Caffe's windows are four a side; elsewhere graft's extension
        x = F.avg_pool2d(x, 5, 3) if four else F.adaptive_avg_pool2d(x, 4)
        x = F.relu(b("fc", torch.flatten(b("conv", x), 1)))
        return b("classifier", self.aux_dropout(x))

    def forward(self, x):
        def pool(x):
            return F.max_pool2d(x, 3, 2, ceil_mode=True)

        x = self.norm(pool(self.conv1("7x7_s2", x)))
        x = pool(self.norm(self.conv2("3x3", self.conv2("3x3_reduce", x))))
        x = pool(self.block("3b", self.block("3a", x)))
        first = x = self.block("4a", x)
        second = x = self.block("4d", self.block("4c", self.block("4b", x)))
        x = pool(self.block("4e", x))
        x = self.block("5b", self.block("5a", x))
        x = self.dropout(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))
        return self.loss3("classifier", x), self.auxiliary(self.loss1, first), self.auxiliary(self.loss2, second)
