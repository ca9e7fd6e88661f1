"""The networks of the cnn_finetune scripts (Keras 1 and 2) in today's Keras: same layers, names and numbers.

ResNet-50 of Keras 1; ResNet-101 and -152, DenseNet-121, -161 and -169 with a Scale layer after every BatchNorm, as they
were converted from Caffe; Inception-V3 of release 0.2 and Inception-V4, whose layers Keras numbers itself.  No softmax.
"""
import keras
from keras import layers


class Scale(keras.layers.Layer):
    """y = gamma x + beta per channel."""

    def build(self, shape):
        self.gamma = self.add_weight(shape=(shape[-1],), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(shape[-1],), initializer="zeros", name="beta")

    def call(self, x):
        return x * self.gamma + self.beta


def resnet(depth, classes, side):
    blocks = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    deep = depth > 50

    def bn(x, stem):
        x = layers.BatchNormalization(epsilon=1.1e-5 if deep else 1e-3, name=("bn_" if stem == "conv1" else "bn") + stem)(x)
        return Scale(name=("scale_" if stem == "conv1" else "scale") + stem)(x) if deep else x

    def conv(x, n, k, stride, part):
        if k == 3:
            x = layers.ZeroPadding2D(1)(x)
        x = layers.Conv2D(n, k, strides=stride, use_bias=not deep, name="res" + part)(x)
        return bn(x, part)

    inputs = keras.Input((side, side, 3))
    x = layers.Conv2D(64, 7, strides=2, use_bias=not deep, name="conv1")(layers.ZeroPadding2D(3)(inputs))
    x = layers.MaxPooling2D(3, strides=2)(layers.ReLU()(bn(x, "conv1")))
    for s, n in enumerate(blocks):
        for i in range(n):
            letter = f"b{i}" if deep and s in (1, 2) and i else chr(ord("a") + i)
            stem, width, stride = f"{s + 2}{letter}_branch", 64 << s, 2 if s and not i else 1
            y = layers.ReLU()(conv(x, width, 1, stride, stem + "2a"))
            y = layers.ReLU()(conv(y, width, 3, 1, stem + "2b"))
            y = conv(y, 4 * width, 1, 1, stem + "2c")
            short = x if i else conv(x, 4 * width, 1, stride, stem + "1")
            x = layers.ReLU()(layers.Add()([y, short]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, name="fc1000")(x))


def densenet(depth, classes, side):
    counts, growth, channels = {121: ((6, 12, 24, 16), 32, 64), 161: ((6, 12, 36, 24), 48, 96),
                                169: ((6, 12, 32, 32), 32, 64)}[depth]

    def bn(x, stem):
        x = layers.BatchNormalization(epsilon=1.1e-5, name=stem + "_bn")(x)
        return layers.ReLU()(Scale(name=stem + "_scale")(x))

    inputs = keras.Input((side, side, 3))
    x = layers.Conv2D(channels, 7, strides=2, use_bias=False, name="conv1")(layers.ZeroPadding2D(3)(inputs))
    x = layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(1)(bn(x, "conv1")))
    for s, n in enumerate(counts):
        for i in range(n):
            stem = f"conv{s + 2}_{i + 1}"
            y = layers.Conv2D(4 * growth, 1, use_bias=False, name=stem + "_x1")(bn(x, stem + "_x1"))
            y = layers.ZeroPadding2D(1)(bn(y, stem + "_x2"))
            x = layers.Concatenate()([x, layers.Conv2D(growth, 3, use_bias=False, name=stem + "_x2")(y)])
        stem = f"conv{s + 2}_blk"
        x = bn(x, stem)
        if s < 3:
            x = layers.AveragePooling2D(2)(layers.Conv2D(x.shape[-1] // 2, 1, use_bias=False, name=stem)(x))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, name="fc6")(x))


def branch(x, *units, unit):
    """Units one after the other: (filters, height, width), with "v" for stride 1 and 2 for stride 2, both unpadded."""
    for unit_arguments in units:
        x = unit(x, *unit_arguments)
    return x


def average(x):
    return layers.AveragePooling2D(3, strides=1, padding="same")(x)


def inception_v3(_, classes, side):
    """Release 0.2: biases, ReLU before BatchNorm."""
    def unit(x, n, kh, kw, how=""):
        x = layers.Conv2D(n, (kh, kw), strides=2 if how == 2 else 1, padding="valid" if how else "same",
                          activation="relu")(x)
        return layers.BatchNormalization(epsilon=1e-3)(x)

    def ways(x, *rows):
        return [branch(x, *row, unit=unit) for row in rows]

    inputs = keras.Input((side, side, 3))
    x = branch(inputs, (32, 3, 3, 2), (32, 3, 3, "v"), (64, 3, 3), unit=unit)
    x = layers.MaxPooling2D(3, strides=2)(x)
    x = branch(x, (80, 1, 1), (192, 3, 3, "v"), unit=unit)
    x = layers.MaxPooling2D(3, strides=2)(x)
    for _ in range(3):
        parts = ways(x, [(64, 1, 1)], [(48, 1, 1), (64, 5, 5)], [(64, 1, 1), (96, 3, 3), (96, 3, 3)])
        x = layers.Concatenate()([*parts, unit(average(x), 32, 1, 1)])
    parts = ways(x, [(384, 3, 3, 2)], [(64, 1, 1), (96, 3, 3), (96, 3, 3, 2)])
    x = layers.Concatenate()([*parts, layers.MaxPooling2D(3, strides=2)(x)])
    for n, first in ((128, 128), (160, 160), (160, 160), (192, 160)):
        parts = ways(x, [(192, 1, 1)], [(n, 1, 1), (n, 1, 7), (192, 7, 1)],
                     [(first, 1, 1), (n, 7, 1), (n, 1, 7), (n, 7, 1), (192, 1, 7)])
        x = layers.Concatenate()([*parts, unit(average(x), 192, 1, 1)])
    parts = ways(x, [(192, 1, 1), (320, 3, 3, 2)], [(192, 1, 1), (192, 1, 7), (192, 7, 1), (192, 3, 3, 2)])
    x = layers.Concatenate()([*parts, layers.AveragePooling2D(3, strides=2)(x)])
    for _ in range(2):
        one, y = ways(x, [(320, 1, 1)], [(384, 1, 1)])
        y = layers.Concatenate()(ways(y, [(384, 1, 3)], [(384, 3, 1)]))
        z = branch(x, (448, 1, 1), (384, 3, 3), unit=unit)
        z = layers.Concatenate()(ways(z, [(384, 1, 3)], [(384, 3, 1)]))
        x = layers.Concatenate()([one, y, z, unit(average(x), 192, 1, 1)])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, name="predictions")(x))


def inception_v4(_, classes, side):
    def unit(x, n, kh, kw, how=""):
        x = layers.Conv2D(n, (kh, kw), strides=2 if how == 2 else 1, padding="valid" if how else "same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization(epsilon=1e-3)(x))

    def ways(x, *rows):
        return [branch(x, *row, unit=unit) for row in rows]

    inputs = keras.Input((side, side, 3))
    x = branch(inputs, (32, 3, 3, 2), (32, 3, 3, "v"), (64, 3, 3), unit=unit)
    x = layers.Concatenate()([layers.MaxPooling2D(3, strides=2)(x), unit(x, 96, 3, 3, 2)])
    x = layers.Concatenate()(ways(x, [(64, 1, 1), (96, 3, 3, "v")], [(64, 1, 1), (64, 1, 7), (64, 7, 1), (96, 3, 3, "v")]))
    x = layers.Concatenate()([unit(x, 192, 3, 3, 2), layers.MaxPooling2D(3, strides=2)(x)])
    for _ in range(4):
        parts = ways(x, [(96, 1, 1)], [(64, 1, 1), (96, 3, 3)], [(64, 1, 1), (96, 3, 3), (96, 3, 3)])
        x = layers.Concatenate()([*parts, unit(average(x), 96, 1, 1)])
    parts = ways(x, [(384, 3, 3, 2)], [(192, 1, 1), (224, 3, 3), (256, 3, 3, 2)])
    x = layers.Concatenate()([*parts, layers.MaxPooling2D(3, strides=2)(x)])
    for _ in range(7):
        parts = ways(x, [(384, 1, 1)], [(192, 1, 1), (224, 1, 7), (256, 7, 1)],
                     [(192, 1, 1), (192, 7, 1), (224, 1, 7), (224, 7, 1), (256, 1, 7)])
        x = layers.Concatenate()([*parts, unit(average(x), 128, 1, 1)])
    parts = ways(x, [(192, 1, 1), (192, 3, 3, 2)], [(256, 1, 1), (256, 1, 7), (320, 7, 1), (320, 3, 3, 2)])
    x = layers.Concatenate()([*parts, layers.MaxPooling2D(3, strides=2)(x)])
    for _ in range(3):
        one, y = ways(x, [(256, 1, 1)], [(384, 1, 1)])
        y = layers.Concatenate()(ways(y, [(256, 1, 3)], [(256, 3, 1)]))
        z = branch(x, (384, 1, 1), (448, 3, 1), (512, 1, 3), unit=unit)
        z = layers.Concatenate()(ways(z, [(256, 1, 3)], [(256, 3, 1)]))
        x = layers.Concatenate()([one, y, z, unit(average(x), 256, 1, 1)])
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes)(x))
