"""Makes tests/golden/weights/: small files of every weight format, written by the real frameworks.

Usage: python tools/ref/make_weight_files.py [FOLDER]
Needs: torch, h5py, numpy, safetensors; keras with any backend; tf_keras and tensorflowjs (pip install --no-deps).
Every tensor's element i (C order) is i / 8 + the tensor's number in its file, so a test needs no second file of values.
"""
import collections
import os
import pathlib
import shutil
import sys
import zipfile

os.environ.setdefault("KERAS_BACKEND", "torch")
import h5py
import keras
import numpy as np
import safetensors.numpy
import torch

import caffe_files

folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/weights")
folder.mkdir(parents=True, exist_ok=True)


def ramp(number, *shape, dtype=np.float32):
    return (np.arange(int(np.prod(shape)), dtype=np.float64) / 8 + number).reshape(shape).astype(dtype)


def state_dict(prefix=""):
    tensors = collections.OrderedDict()
    tensors[prefix + "conv.weight"] = torch.from_numpy(ramp(0, 4, 3, 3, 3))
    tensors[prefix + "conv.bias"] = torch.nn.Parameter(torch.from_numpy(ramp(1, 4)))
    # C order of the transposed view counts up; its storage does not.
    tensors[prefix + "fc.weight"] = torch.from_numpy(np.ascontiguousarray(ramp(2, 5, 7).T)).t()
    tensors[prefix + "half"] = torch.from_numpy(ramp(3, 2, 3, dtype=np.float16))
    tensors[prefix + "bf16"] = torch.from_numpy(ramp(4, 2, 3)).to(torch.bfloat16)
    tensors[prefix + "slice"] = torch.from_numpy(ramp(0, 100))[40:48]  # values 5, 5.125, ...: offset 40
    tensors[prefix + "double"] = torch.from_numpy(ramp(6, 3, dtype=np.float64))
    tensors[prefix + "bn.num_batches_tracked"] = torch.tensor(7, dtype=torch.int64)
    tensors[prefix + "empty"] = torch.zeros(0, 3)
    return tensors


torch.save(state_dict(), folder / "zip.pth")
torch.save(state_dict(), folder / "legacy.pth", _use_new_zipfile_serialization=False)
torch.save({"epoch": 3, "lr": 0.5, "state_dict": state_dict("module.")}, folder / "checkpoint.pth")
torch.save({"model": state_dict()}, folder / "checkpoint_legacy.pth", _use_new_zipfile_serialization=False)
safetensors.numpy.save_file({"a": ramp(0, 2, 3), "b": ramp(1, 4), "c": np.zeros((0, 2), np.float32)},
                            folder / "small.safetensors", metadata={"made": "by safetensors"})

inputs = keras.Input((8, 8, 3), name="in")
x = keras.layers.Conv2D(4, 3, name="conv1")(inputs)
model = keras.Model(inputs, keras.layers.BatchNormalization(name="bn")(x))
model.set_weights([ramp(i, *w.shape) for i, w in enumerate(model.get_weights())])
model.save(folder / "keras_model.h5")
model.save_weights(folder / "keras3.weights.h5")
model.save(folder / "keras3.keras")
# As Keras 3.0 to 3.5 wrote them, without the layers' names, and tf.keras 2.13, which called the layers otherwise.
for name, group in (("keras3_nameless.weights.h5", "layers"), ("tfkeras.weights.h5", "_layer_checkpoint_dependencies")):
    shutil.copy(folder / "keras3.weights.h5", folder / name)
    with h5py.File(folder / name, "r+") as file:
        for layer in file["layers"].values():
            del layer["vars"].attrs["name"]
        if group != "layers":
            file.move("layers", group)
keras.config.set_dtype_policy("bfloat16")
half = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(.5), keras.layers.Dense(2, name="half")])
half.set_weights([ramp(i, *w.shape) for i, w in enumerate(half.get_weights())])
half.save_weights(folder / "keras3_bfloat16.weights.h5")
keras.config.set_dtype_policy("float32")
with zipfile.ZipFile(folder / "keras3.keras") as archive:  # a careless hand packed it again
    with zipfile.ZipFile(folder / "bad_packed.keras", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in archive.namelist():
            packed.writestr(name, archive.read(name))
with h5py.File(folder / "keras0.h5", "w", libver="earliest") as file:  # Keras 0.x counted all layers
    file.attrs["nb_layers"] = 4
    for layer, shapes in enumerate([[(2, 3, 3, 3), (2,)], [], [(2, 5), (5,)], []]):
        group = file.create_group(f"layer_{layer}")
        group.attrs["nb_params"] = len(shapes)
        for i, shape in enumerate(shapes):
            group.create_dataset(f"param_{i}", data=ramp(layer + i, *shape))



def tensorflowjs(target, quantization, shard):
    """By the converter itself, without its package's __init__, which wants frameworks that none of this needs."""
    import importlib.util
    import types
    import tf_keras
    if "tensorflowjs" not in sys.modules:
        where = importlib.util.find_spec("tensorflowjs").submodule_search_locations[0]
        for name in ("tensorflowjs", "tensorflowjs.converters"):
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__path__ = [where + name.removeprefix("tensorflowjs").replace(".", "/")]
    from tensorflowjs.converters import keras_h5_conversion
    inputs = tf_keras.Input((8, 8, 3), name="in")
    x = tf_keras.layers.Conv2D(4, 3, name="conv1")(inputs)
    model = tf_keras.Model(inputs, tf_keras.layers.BatchNormalization(name="bn")(x))
    model.set_weights([ramp(i, *w.shape) for i, w in enumerate(model.get_weights())])
    shutil.rmtree(target, ignore_errors=True)
    keras_h5_conversion.save_keras_model(model, str(target), {quantization: True} if quantization else None, shard)


for name, quantization, shard in (("tfjs", None, 150), ("tfjs_float16", "float16", 4096), ("tfjs_uint8", "uint8", 64),
                                  ("tfjs_uint16", "uint16", 4096)):
    tensorflowjs(folder / name, quantization, shard)



def caffe_small():
    kinds = caffe_files.messages()
    Net = kinds["NetParameter"]
    blobs = [("conv1/7x7_s2", "Convolution", 4, [(2, 3, 3, 3), (2,)]), ("data", "Input", 0, []),
             ("fc", "InnerProduct", 14, [(3, 5), (3,)])]
    old, new, number = Net(name="old"), Net(name="new"), 0
    for name, text, code, shapes in blobs:
        a, b = old.layers.add(name=name, type=code), new.layer.add(name=name, type=text)
        for shape in shapes:
            padded = (1,) * (4 - len(shape)) + shape
            values = ramp(number, *shape).ravel()
            a.blobs.add(num=padded[0], channels=padded[1], height=padded[2], width=padded[3], data=values)
            blob = b.blobs.add(double_data=values) if name == "fc" else b.blobs.add()
            if name != "fc":  # parsers must take unpacked numbers too
                loose = kinds["LooseBlobProto"](data=values)
                blob.MergeFromString(loose.SerializeToString())
            blob.shape.dim.extend(shape)
            number += 1
    (folder / "v1.caffemodel").write_bytes(old.SerializeToString())
    data = new.SerializeToString()
    (folder / "v2.caffemodel").write_bytes(data)


caffe_small()

names = {"conv1/7x7_s2": ["conv1/7x7_s2_W", "conv1/7x7_s2_b"], "relu": [], "last": ["last/kernel:0", "last/bias:0"]}
shapes = {"conv1/7x7_s2_W": (2, 3, 3, 3), "conv1/7x7_s2_b": (2,), "last/kernel:0": (2, 5), "last/bias:0": (5,)}


def keras_like(path, kind, version=None, split=False):
    with h5py.File(path, "w", libver="earliest") as file:
        def put(group, name, values):
            if split and len(values) > 1:
                for i, part in enumerate(np.array_split(values, 2)):
                    group.attrs[f"{name}{i}"] = [v.encode() for v in part]
            elif kind == "fixed":
                group.attrs[name] = np.array([v.encode() for v in values], dtype="S" if values else None)
            else:
                group.attrs.create(name, values, dtype=h5py.string_dtype() if values else np.float64)
        put(file, "layer_names", list(names))
        if version:
            file.attrs["keras_version"] = version
            file.attrs["backend"] = "tensorflow"
        number = 0
        for layer, weights in names.items():
            group = file.require_group(layer)
            put(group, "weight_names", weights)
            for weight in weights:
                dtype = np.float16 if weight == "last/bias:0" else np.float32
                group.create_dataset(weight, data=ramp(number, *shapes[weight], dtype=dtype))
                number += 1


keras_like(folder / "keras1_fixed.h5", "fixed")
keras_like(folder / "keras2_variable.h5", "variable", "2.4.0")
keras_like(folder / "split.h5", "fixed", "2.4.0", split=True)


def one_bad(name, change):
    path = folder / f"bad_{name}.h5"
    with h5py.File(path, "w", libver="earliest") as file:
        file.attrs["layer_names"] = [b"l"]
        group = file.create_group("l")
        group.attrs["weight_names"] = [b"w"]
        change(file, group)


def virtual(file, group):
    layout = h5py.VirtualLayout((4,), np.float32)
    layout[:] = h5py.VirtualSource("elsewhere.h5", "x", (4,))
    group.create_virtual_dataset("w", layout)


one_bad("soft_link", lambda file, group: group.__setitem__("w", h5py.SoftLink("/other")))
one_bad("external_link", lambda file, group: group.__setitem__("w", h5py.ExternalLink("elsewhere.h5", "/x")))
one_bad("external_data",
        lambda file, group: group.create_dataset("w", (4,), np.float32, external=[("elsewhere.bin", 0, 16)]))
one_bad("chunked", lambda file, group: group.create_dataset("w", data=np.zeros(4, np.float32), chunks=True))
one_bad("big_endian", lambda file, group: group.create_dataset("w", data=np.zeros(4, ">f4")))
one_bad("integer", lambda file, group: group.create_dataset("w", data=np.zeros(4, np.int32)))
one_bad("bomb", lambda file, group: group.create_dataset("w", (1 << 40,), np.float32))  # 4 TB, never written
one_bad("missing", lambda file, group: None)
try:
    one_bad("virtual", virtual)
except RuntimeError:  # HDF5 before 1.10 and its oldest format have no virtual datasets
    with h5py.File(folder / "bad_virtual.h5", "w", libver="latest") as file:
        file.attrs["layer_names"] = [b"l"]
        file.create_group("l").attrs["weight_names"] = [b"w"]
        virtual(file, file["l"])

for path in sorted(path for path in folder.rglob("*") if path.is_file()):
    print(path.stat().st_size, path.name)
    assert path.stat().st_size < 20480, path
