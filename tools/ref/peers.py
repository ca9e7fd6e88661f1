"""Numbers made by PyTorch and Keras that graft must reproduce; driven by tests/peers/run.sh.

  peers.py list [all]                          the networks, graft's names: one of each kind, or all
  peers.py options LOSSES                      graft's options for as many steps at the same rate as a losses.json has
  peers.py heads NETWORK                       graft's option for auxiliary heads as the framework trains them
  peers.py save NETWORK FOLDER                 seeded random weights/*, and what the framework makes of them:
    input*.npy, logits*.npy                    pictures of the network's size and of another, their logits
    data.npz, losses.json, after.npy           steps on a batch, five (VGG16: twenty), then the logits of the last input*.npy
    gradients.npz                              float64 and float32 gradients of the first step, by parameter
  peers.py check-logits EXPECTED FOUND [LIMIT] exit 1 when they differ by more than LIMIT (1e-4) of the largest logit
  peers.py check-losses EXPECTED EVENTS        exit 1 when a step's loss differs by more than 1e-3 of itself
  peers.py check-after FOLDER FOUND            exit 1 when the logits after the steps differ by more than 2e-4 a step
  peers.py check-gradients FOLDER SAME STEPPED exit 1 when a gradient's norm differs by more than 1e-3 of its layer's

Weights are drawn so that activations stay of order one and rounding is not amplified.  He-normal kernels, biases in
[-0.1, 0.1]; the head's kernel a quarter of that, so that no step changes the loss by much.  BatchNorm's gamma in
[0.3, 0.4], its beta in [1.4, 1.8], one in sixteen in -[0.7, 0.9] (none before depthwise convolutions, which would see an
almost dead channel whose small variance blows rounding up): few activations lie so near the ReLU's kink that rounding
decides: one that falls to the other side moves a gradient by 1e-3, and with beta 0 even the framework's own float32 is
3e-3 from its float64.  The last BatchNorm of a residual branch has a quarter of both, so that the sums do not grow with
depth, and only positive betas, so that they do not meet at 0.  Then the running statistics are those of a batch of random
pictures, the variances at least 0.01 and times [0.8, 1.2]: a channel that is almost dead would be blown up.
input.npy and data.npz's x are preprocessed pictures: float32 (n, height, width, channels).  A batch is all of data.npz,
so the order of its pictures changes no loss.  The update is Keras 2's: lr / (1 + decay * t), v = mu v - lr g,
w += mu v - lr g; it equals torch.optim.SGD(nesterov=True) when decay is 0.
check-gradients reads graft's gradients out of one step of rate 2^19 without momentum, whose change dwarfs the weights.
SAME is the model after a step with every row frozen: the same weights under graft's names.  The framework's tensor of each is
the one of the same numbers in any order, so that no list of names is needed.
"""
import json
import os
import sys
from pathlib import Path

import numpy as np

VGG_RATE = 2e-5  # without BatchNorm 1e-3 leaps over the minimum: the second loss is 12
SEED, CLASSES, BATCH, STEPS, OTHER = 1, 10, 8, 5, 128
RATE, MOMENTUM, DECAY, BIG_RATE, HEAD = 1e-3, 0.9, 1e-6, 2.0 ** 19, 0.25


class Torch:
    """A module of torchvision, timm or the PyPI packages."""

    def __init__(self, make, side=224, legacy=False, stem="weights", steps=STEPS, rate=RATE, other=OTHER, aux=(),
                 steady=False, data_seed=SEED):
        """`aux`: weights of the losses of the auxiliary heads, whose outputs follow the main one's.  `steady`: no
        BatchNorm to keep activations from the kink; biases do, as golden_networks.py's calm weights.  `data_seed`:
        of the pictures that it trains on, another one where the usual ones leave a maximum undecided."""
        self.data_seed = data_seed
        self.steps, self.rate, self.aux, self.steady = steps, rate, aux, steady
        self.make, self.legacy, self.file = make, legacy, stem + ".pth"
        self.sides = (side, other) if other else (side,)

    def start(self):
        import torch
        self.torch = torch

    def build(self):
        torch = self.torch
        torch.manual_seed(SEED)
        model = self.make()
        generator = np.random.default_rng(SEED)
        norms = (torch.nn.BatchNorm2d,)
        last = last_norms([(name, isinstance(m, norms)) for name, m in model.named_modules()])
        share = 0 if any(isinstance(m, torch.nn.Conv2d) and m.groups > 1 for m in model.modules()) else 1 / 16
        for name, m in model.named_modules():
            if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear)):
                fan = m.weight[0].numel()
                kernel = generator.standard_normal(m.weight.shape) * np.sqrt(2 / fan)
                shift = generator.uniform(-.1, .1, m.bias.shape) if m.bias is not None else None
                if m.weight.shape[0] == CLASSES:
                    kernel *= HEAD
                elif self.steady:
                    kernel = steady_kernel(kernel)
                    shift = 2 * shift + np.where(generator.uniform(size=shift.shape) < 1 / 8, -3, 3)
                self.fill(m.weight, kernel)
                if shift is not None:
                    self.fill(m.bias, shift)
            elif isinstance(m, norms):
                gamma, beta = scales_and_shifts(generator, m.weight.shape, name in last, share)
                self.fill(m.weight, gamma)
                self.fill(m.bias, beta)
        found = [m for m in model.modules() if isinstance(m, norms)]
        momenta = [m.momentum for m in found]
        for m in found:
            m.momentum = 1.0
        if found:
            with torch.no_grad():
                model.train()(self.tensor(pictures(BATCH, SEED + 3, self.sides[-1])))
        for m, momentum in zip(found, momenta):
            m.momentum = momentum
            self.fill(m.running_var, spread(generator, m.running_var.numpy()))
        return model

    def fill(self, tensor, values):
        tensor.data.copy_(self.torch.from_numpy(np.asarray(values, np.float32)))

    def tensor(self, x):
        return self.torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))

    def save(self, model, path):
        self.torch.save(model.state_dict(), path, _use_new_zipfile_serialization=not self.legacy)

    def load(self, path):
        model = self.make()
        model.load_state_dict(self.torch.load(path))
        return model

    def logits(self, model, x):
        with self.torch.no_grad():
            return self.outputs(model.eval(), self.tensor(x))[0].numpy()

    def outputs(self, model, x):
        out = model(x)
        return out if isinstance(out, tuple) else (out,)

    def loss(self, model, x, y):
        parts = [self.torch.nn.functional.cross_entropy(out, self.torch.from_numpy(y)) for out in self.outputs(model, x)]
        return sum(weight * part for weight, part in zip((1, *self.aux), parts, strict=True))

    def step(self, model, velocity, x, y, rate):
        params = list(model.train().parameters())
        model.zero_grad()
        loss = self.loss(model, self.tensor(x), y)
        loss.backward()
        with self.torch.no_grad():
            for i, p in enumerate(params):
                v = velocity.setdefault(i, self.torch.zeros_like(p))
                v.mul_(MOMENTUM).sub_(p.grad, alpha=rate)
                p.add_(v, alpha=MOMENTUM).sub_(p.grad, alpha=rate)
        return loss.item()

    def tensors(self, model):
        return {k: v.numpy() for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}

    def gradients(self, path, x, y):
        out = []
        for dtype in (self.torch.float64, self.torch.float32):
            model = self.load(path).to(dtype).train()
            self.loss(model, self.tensor(x).to(dtype), y).backward()
            out.append({k: p.grad.numpy() for k, p in model.named_parameters()})
        return out


class Keras:
    """A model of keras.applications, without the softmax."""
    file, steps, aux = "weights.h5", STEPS, ()

    def __init__(self, name, side=224, other=OTHER, rate=RATE, steady=False, data_seed=SEED, **options):
        self.data_seed = data_seed
        self.rate, self.name, self.steady, self.options = rate, name, steady, options
        self.sides = (side, other) if other else (side,)

    def start(self):
        os.environ["KERAS_BACKEND"] = "tensorflow"
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras
        import tensorflow
        self.keras, self.tf = keras, tensorflow

    def make(self, side=None):
        shape = (side or self.sides[0],) * 2 + (3,)
        return getattr(self.keras.applications, self.name)(weights=None, classes=CLASSES, classifier_activation=None,
                                                           input_shape=shape, **self.options)

    def norms(self, model):
        return [layer for layer in model.layers if isinstance(layer, self.keras.layers.BatchNormalization)]

    def build(self):
        model = self.make(self.sides[-1])
        generator = np.random.default_rng(SEED)
        # A branch ends in the BatchNorm that an addition reads.
        adds = [layer for layer in model.layers if isinstance(layer, self.keras.layers.Add)]
        reads = {t._keras_history.operation for add in adds for t in add.input}
        reads |= {t._keras_history.operation for op in reads if type(op).__name__ == "Scale" for t in [op.input]}
        last = {op.name for op in reads}
        share = 0 if any("Depthwise" in type(layer).__name__ for layer in model.layers) else 1 / 16
        for layer in model.layers:
            values, pair = [], None
            for w in layer.weights:
                kind = w.name.split("/")[-1].split(":")[0]
                if kind in ("kernel", "depthwise_kernel"):
                    depthwise = "Depthwise" in type(layer).__name__
                    fan = np.prod(w.shape[:2]) if depthwise else np.prod(w.shape[:-1])
                    kernel = generator.standard_normal(w.shape) * np.sqrt(2 / fan)
                    if w.shape[-1] == CLASSES:
                        kernel *= HEAD
                    elif self.steady:
                        kernel = steady_kernel(kernel.T).T
                    values.append(kernel)
                elif kind == "gamma":
                    pair = scales_and_shifts(generator, w.shape, layer.name in last, share)
                    values.append(pair[0])
                elif kind == "beta" and pair is None:  # no gamma: the same, as many times as large
                    gamma, beta = scales_and_shifts(generator, w.shape, layer.name in last, share)
                    values.append(beta / gamma)
                elif kind == "beta":
                    values.append(pair[1])
                elif kind == "bias":  # steady: a ReLU before BatchNorm; a dead channel would be blown up
                    values.append(generator.uniform(-.1, .1, w.shape) + (3 if self.steady and w.shape[0] != CLASSES else 0))
                else:
                    values.append(np.asarray(w))
            layer.set_weights(values)
        found = self.norms(model)
        momenta = [layer.momentum for layer in found]
        for layer in found:
            layer.momentum = 0.0
        if found:
            model(pictures(BATCH, SEED + 3, self.sides[-1]), training=True)
        for layer, momentum in zip(found, momenta):
            layer.momentum = momentum
            variance = layer.moving_variance
            variance.assign(spread(generator, np.asarray(variance)))
        return self.at(model, self.sides[0])

    def save(self, model, path):
        model.save(path)

    def load(self, path):
        model = self.make()
        model.load_weights(path)
        return self.at(model, self.sides[-1])

    def at(self, model, side):
        """The same weights for another input size."""
        if side == model.input_shape[1]:
            return model
        other = self.make(side)
        other.set_weights(model.get_weights())
        return other

    def logits(self, model, x):
        model = self.at(model, x.shape[1])
        return np.asarray(model(x, training=False))

    def loss_and_gradients(self, model, x, y):
        with self.tf.GradientTape() as tape:
            logits = model(x, training=True)
            loss = self.tf.reduce_mean(self.tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
        return float(loss), tape.gradient(loss, [w.value for w in model.trainable_weights])

    def step(self, model, velocity, x, y, rate):
        loss, gradients = self.loss_and_gradients(model, x, y)
        for i, (w, g) in enumerate(zip(model.trainable_weights, gradients)):
            g = np.asarray(g)
            velocity[i] = MOMENTUM * velocity.get(i, np.zeros_like(g)) - np.float32(rate) * g
            w.assign(np.asarray(w) + MOMENTUM * velocity[i] - np.float32(rate) * g)
        return loss

    def tensors(self, model):
        return {path: np.asarray(w) for path, w in self.named(model, False)}

    def named(self, model, trainable):
        """Weights with names that another model of the same layers has too: Keras's own numbers go on."""
        for i, layer in enumerate(model.layers):
            for w in layer.trainable_weights if trainable else layer.weights:
                yield f"{i} {type(layer).__name__}/{w.name}", w

    def gradients(self, path, x, y):
        out = []
        for dtype in ("float64", "float32"):
            self.keras.config.set_dtype_policy(dtype)  # floatx alone leaves the layers' policy as it was
            model = self.load(path)
            _, gradients = self.loss_and_gradients(model, x.astype(dtype), y)
            out.append({path: np.asarray(g) for (path, _), g in zip(self.named(model, True), gradients, strict=True)})
        return out


def steady_kernel(kernel):
    """Of no mean, and such that the inputs' variance passes: activations stay about the biases."""
    flat = kernel.reshape(len(kernel), -1)
    return ((flat - flat.mean(axis=1, keepdims=True)) * np.sqrt(.5)).reshape(kernel.shape)


def scales_and_shifts(generator, shape, last, share):
    gamma, beta = generator.uniform(.3, .4, shape), generator.uniform(1.4, 1.8, shape)
    negative = generator.uniform(size=shape) < share
    return (gamma / 4, beta / 4) if last else (gamma, np.where(negative, -beta / 2, beta))


def spread(generator, variance):
    return np.maximum(variance, .01) * generator.uniform(.8, 1.2, variance.shape)


class Scripts(Keras):
    """A network of the cnn_finetune scripts."""

    def make(self, side=None):
        import cnn_finetune
        return getattr(cnn_finetune, self.name)(self.options["depth"], CLASSES, side or self.sides[0])


def last_norms(modules):
    """BatchNorms of torchvision and timm that end a residual branch, by their names."""
    names = [name for name, is_norm in modules if is_norm]
    out = set()
    for name in names:
        block = name.rsplit(".", 1)[0]
        own = [n for n in names if n.rsplit(".", 1)[0] == block]
        if block.startswith(("layer", "blocks", "_blocks")) and name == own[-1]:
            out.add(name)
        elif block.startswith("features.") and block.endswith(".conv") and name == own[-1]:
            out.add(name)
    return out


def torchvision(name, **options):
    def make():
        import torchvision.models
        return getattr(torchvision.models, name)(weights=None, num_classes=CLASSES, **options)
    return make


def timm(name):
    def make():
        import timm
        return timm.create_model(name, num_classes=CLASSES)
    return make


def pypi(name):
    def make():
        import torch
        from efficientnet_lite_pytorch import EfficientNet
        model = EfficientNet.from_name(name, image_size=None)  # else padded as for its own size, whatever comes
        model._fc = torch.nn.Linear(model._fc.in_features, CLASSES)
        model._global_params = model._global_params._replace(drop_connect_rate=0.0)
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0
        return model
    return make


def caffe_googlenet():
    from googlenet_caffe import GoogLeNet
    return GoogLeNet(CLASSES, 0, 0)


NETWORKS = {
    "efficientnet_lite0": Torch(timm("tf_efficientnet_lite0"), stem="tf_efficientnet_lite0"),
    "efficientnet_lite1": Torch(timm("tf_efficientnet_lite1"), 240),
    "efficientnet_lite2": Torch(timm("tf_efficientnet_lite2"), 260),
    "efficientnet_lite3": Torch(timm("tf_efficientnet_lite3"), 300),
    "efficientnet_lite4": Torch(timm("tf_efficientnet_lite4"), 380),
    "efficientnet_lite0.tf": Torch(pypi("efficientnet-lite0"), legacy=True),
    "efficientnet_lite1.tf": Torch(pypi("efficientnet-lite1"), 240, legacy=True),
    "efficientnet_lite2.tf": Torch(pypi("efficientnet-lite2"), 260, legacy=True),
    "efficientnet_lite0.ra": Torch(timm("efficientnet_lite0"), stem="efficientnet_lite0_ra"),
    "mobilenet_v2": Torch(torchvision("mobilenet_v2", dropout=0)),
    "mobilenet_v2@0.6": Torch(torchvision("mobilenet_v2", dropout=0, width_mult=.6)),
    "mobilenet_v2.keras": Keras("MobileNetV2"),
    "mobilenet_v2.keras@0.35": Keras("MobileNetV2", alpha=.35),
    "mobilenet_v2.keras@0.5": Keras("MobileNetV2", alpha=.5),
    "mobilenet_v2.keras@0.75": Keras("MobileNetV2", alpha=.75),
    "mobilenet_v2.keras@1.3": Keras("MobileNetV2", alpha=1.3),
    "mobilenet_v2.keras@1.4": Keras("MobileNetV2", alpha=1.4),
    "resnet18": Torch(torchvision("resnet18")),
    "resnet34": Torch(torchvision("resnet34")),
    "resnet50": Torch(torchvision("resnet50")),
    "resnet101": Torch(torchvision("resnet101")),
    "resnet152": Torch(torchvision("resnet152")),
    "resnet50.keras": Keras("ResNet50"),
    "resnet101.keras": Keras("ResNet101"),
    "resnet152.keras": Keras("ResNet152"),
    "densenet121": Torch(torchvision("densenet121")),
    "densenet161": Torch(torchvision("densenet161")),
    "densenet169": Torch(torchvision("densenet169")),
    "densenet121.keras": Keras("DenseNet121"),
    "densenet169.keras": Keras("DenseNet169", data_seed=2),  # 1: a kink; 2e-6 on the pictures of 2, 4e-6 on those of 3
    "resnet50.keras1": Scripts("resnet", depth=50),
    "resnet101.cf": Scripts("resnet", depth=101, data_seed=2),  # 1: a kink, 1.1e-2 in the framework's own float32
    "resnet152.cf": Scripts("resnet", depth=152, data_seed=2),  # 1: a kink, 5.0e-2 in the framework's own float32
    "densenet121.cf": Scripts("densenet", depth=121, data_seed=2),  # 1: a kink that Winograd's rounding decides
    "densenet161.cf": Scripts("densenet", depth=161),
    "densenet169.cf": Scripts("densenet", depth=169, data_seed=2),  # 1: a kink, 6.0e-3; 2.3e-5 on these
    "googlenet": Torch(caffe_googlenet, rate=1e-4, aux=(1, 1), steady=True),
    "googlenet.tv": Torch(torchvision("googlenet", aux_logits=True, init_weights=False, dropout=0, dropout_aux=0), aux=(.3, .3)),
    "googlenet.tv.noaux": Torch(torchvision("googlenet", aux_logits=False, init_weights=False, dropout=0)),
    "inception_v3": Torch(torchvision("inception_v3", aux_logits=True, init_weights=False, dropout=0), 299, other=None, aux=(.4,)),
    "inception_v3.noaux": Torch(torchvision("inception_v3", aux_logits=False, init_weights=False, dropout=0), 299),
    "inception_v3.keras": Keras("InceptionV3", 299),
    "inception_v3.keras1": Scripts("inception_v3", 299, depth=0, steady=True),
    # Seed 1: two values of a max pool's window, channel 147 of features.17, differ by 3.4e-7 of themselves.
    "inception_v4": Torch(timm("inception_v4"), 299, data_seed=3),
    "inception_v4.keras": Scripts("inception_v4", 299, depth=0),
    "vgg11": Torch(torchvision("vgg11", dropout=0), rate=VGG_RATE),
    "vgg13": Torch(torchvision("vgg13", dropout=0), rate=VGG_RATE),
    "vgg16": Torch(torchvision("vgg16", dropout=0), steps=20, rate=VGG_RATE),
    "vgg19": Torch(torchvision("vgg19", dropout=0), rate=VGG_RATE),
    "vgg16.keras": Keras("VGG16", other=None, rate=VGG_RATE),
    "vgg19.keras": Keras("VGG19", other=None, rate=VGG_RATE),
}


EACH_KIND = ("efficientnet_lite0 efficientnet_lite0.tf efficientnet_lite0.ra mobilenet_v2 mobilenet_v2.keras resnet18 resnet50 "
             "resnet50.keras resnet101.cf densenet121 densenet121.keras densenet121.cf vgg16 vgg16.keras googlenet "
             "googlenet.tv inception_v3.noaux inception_v4")


def pictures(count, seed, side):
    generator = np.random.default_rng(seed)
    return generator.standard_normal((count, side, side, 3), dtype=np.float32)


def save(network, folder):
    (folder / "weights").mkdir(parents=True, exist_ok=True)
    network.start()
    model = network.build()
    path = folder / "weights" / network.file
    network.save(model, path)
    tensors = network.tensors(model)
    for i, side in enumerate(network.sides):
        x = pictures(4, SEED, side)
        np.save(folder / f"input{i}.npy", x)
        np.save(folder / f"logits{i}.npy", network.logits(model, x))
    y = np.random.default_rng(SEED + 1).permutation(CLASSES)[:BATCH].astype(np.int64)
    data = pictures(BATCH, network.data_seed + 2, network.sides[-1])
    np.savez(folder / "data.npz", x=data, y=y)
    model, velocity = network.load(path), {}
    losses = [network.step(model, velocity, data, y, network.rate / (1 + DECAY * step)) for step in range(network.steps)]
    (folder / "losses.json").write_text(json.dumps({"losses": losses, "rate": network.rate}) + "\n")
    np.save(folder / "after.npy", network.logits(model, x))
    double, single = network.gradients(path, data, y)
    np.savez(folder / "gradients.npz", **{f"w:{k}": v for k, v in tensors.items()},
             **{f"d:{k}": v for k, v in double.items()}, **{f"s:{k}": v for k, v in single.items()})


def numbers(tensor):
    return np.sort(np.asarray(tensor, np.float32).ravel()).tobytes()


def layer_of(name):
    """Of a tensor by graft's name; a unit's `conv` and `bn` are one layer, as in graft's rows."""
    layer = name.rsplit(".", 1)[0]
    unit, _, part = layer.rpartition(".")
    return unit if part in ("conv", "bn") else layer


def check_gradients(folder, same, stepped):
    from safetensors.numpy import load_file
    peer = np.load(Path(folder) / "gradients.npz")
    before, after = load_file(same), load_file(stepped)
    for name in [name for name, t in before.items() if name.endswith(".weight") and t.ndim == 1 and (t == 1).all()]:
        if (after[name] != 1).any():  # a BatchNorm without gamma has one of ones, which stays
            print(f"{name} was all ones and is not any more")
            return False
        del before[name]
    ours = {numbers(t): name for name, t in before.items()}
    theirs = {key[2:]: numbers(peer[key]) for key in peer.files if key.startswith("w:")}
    unknown = [name for name, key in theirs.items() if key not in ours]
    if unknown or len(ours) != len(before) or len(before) != len(theirs):
        print(f"tensors: {len(before)} of graft, {len(ours)} distinct, {len(theirs)} of the framework; lost: {unknown[:4]}")
        return False
    exact = {key[2:]: peer[key] for key in peer.files if key.startswith("d:")}
    whole = {}  # a layer's norm: where the next BatchNorm undoes a shift, its gradient is a small rest of large sums
    for name, g in exact.items():
        layer = layer_of(ours[theirs[name]])
        whole[layer] = np.hypot(whole.get(layer, 0), np.linalg.norm(g))
    largest = max(whole.values())
    worst, worst_name, worst_single, compared = 0.0, "", 0.0, 0
    for name, g in exact.items():
        mine = ours[theirs[name]]
        norm, scale = np.linalg.norm(g), whole[layer_of(mine)]
        found = np.linalg.norm((before[mine].astype(np.float64) - after[mine]) / BIG_RATE)
        single = np.linalg.norm(peer[f"s:{name}"].astype(np.float64))
        if scale < 1e-7 * largest:  # a shift that what follows undoes exactly: rounding, and in graft no more than that
            if not found <= 1e-5 * largest:
                print(f"{mine}: a gradient of {found:.1e} where there is none")
                return False
            continue
        error = abs(found - norm) / scale
        worst_single = max(worst_single, abs(single - norm) / scale)
        compared += 1
        if not error <= worst:
            worst, worst_name = error, mine
    print(f"{compared} gradient norms, the farthest from float64 by {worst:.1e} ({worst_name}); the framework's float32 by "
          f"{worst_single:.1e}; {len(before)} tensors, each mapped once")
    return bool(worst <= 1e-3) and compared > 0


def check_logits(expected, found, limit=1e-4):
    a, b = np.load(expected), np.load(found)
    if a.shape != b.shape:
        sys.exit(f"shape {b.shape}, expected {a.shape}")
    difference, largest = np.abs(a - b).max(), np.abs(a).max()
    print(f"largest difference {difference:.3g}, largest logit {largest:.3g}")
    return bool(difference <= float(limit) * largest)  # false for NaN


def check_losses(expected, events):
    a = json.loads(Path(expected).read_text())["losses"]
    lines = [json.loads(line) for line in Path(events).read_text().splitlines()]
    b = [line["loss"] for line in lines if line["event"] == "step"]
    print("expected", *(f"{v:.6f}" for v in a), " found", *(f"{v:.6f}" for v in b))
    return len(a) == len(b) and all(abs(v - w) <= 1e-3 * abs(v) for v, w in zip(a, b))


def check_after(folder, found):
    """Rounding of the steps adds up: the limit is by step."""
    steps = len(json.loads((Path(folder) / "losses.json").read_text())["losses"])
    return check_logits(Path(folder) / "after.npy", found, 2e-4 * steps)


def main():
    checks = {"check-logits": check_logits, "check-after": check_after, "check-losses": check_losses,
              "check-gradients": check_gradients}
    command, *arguments = sys.argv[1:] or [""]
    if command == "list":
        print(*NETWORKS) if arguments else print(EACH_KIND)
    elif command == "options":
        made = json.loads(Path(arguments[0]).read_text())
        print("--epochs", len(made["losses"]), "--lr", made["rate"])
    elif command == "heads":
        aux = NETWORKS[arguments[0]].aux
        print("--aux-weights", ",".join(map(str, aux))) if aux else print()
    elif command == "save" and len(arguments) == 2:
        if arguments[0] not in NETWORKS:
            sys.exit(f"peers.py: no network '{arguments[0]}'")
        save(NETWORKS[arguments[0]], Path(arguments[1]))
    elif command in checks and len(arguments) >= 2:
        sys.exit(not checks[command](*arguments))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
