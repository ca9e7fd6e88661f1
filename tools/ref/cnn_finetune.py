"""The networks of the cnn_finetune scripts (Keras 1 and 2) in today's Keras: same layers, names and numbers.

ResNet-50 of Keras 1; ResNet-101 and -152, DenseNet-121, -161 and -169 with a Scale layer after every BatchNorm, as they
were converted from Caffe.  No softmax.
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
