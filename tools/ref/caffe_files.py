"""Caffe's files: the part of its schema that weights need, and GoogLeNet's network description.

Needs: numpy, protobuf.  Shapes are written as Caffe's first files have them: four dimensions, ones in front.
"""
import numpy as np


def messages():
    """The part of caffe.proto that weights need, as Python classes."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    file = descriptor_pb2.FileDescriptorProto(name="caffe_part.proto", package="caffe", syntax="proto2")

    def message(name, *fields):
        made = file.message_type.add(name=name)
        for number, field, kind, repeated, packed in fields:
            added = made.field.add(name=field, number=number, label=3 if repeated else 1)
            if isinstance(kind, str):
                added.type, added.type_name = 11, ".caffe." + kind
            else:
                added.type = kind
            if packed:
                added.options.packed = True

    INT32, INT64, FLOAT, DOUBLE, STRING = 5, 3, 2, 1, 9
    message("BlobShape", (1, "dim", INT64, True, True))
    message("BlobProto", (7, "shape", "BlobShape", False, False), (5, "data", FLOAT, True, True),
            (8, "double_data", DOUBLE, True, True), (1, "num", INT32, False, False),
            (2, "channels", INT32, False, False), (3, "height", INT32, False, False), (4, "width", INT32, False, False))
    message("LooseBlobProto", (7, "shape", "BlobShape", False, False), (5, "data", FLOAT, True, False))
    message("V1LayerParameter", (2, "bottom", STRING, True, False), (4, "name", STRING, False, False),
            (5, "type", INT32, False, False), (6, "blobs", "BlobProto", True, False))
    message("LayerParameter", (1, "name", STRING, False, False), (2, "type", STRING, False, False),
            (7, "blobs", "BlobProto", True, False))
    message("NetParameter", (1, "name", STRING, False, False), (2, "layers", "V1LayerParameter", True, False),
            (100, "layer", "LayerParameter", True, False))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName("caffe." + name))
            for name in ("NetParameter", "BlobProto", "LooseBlobProto")}


BLOCKS = "3a 3b pool3 4a 4b 4c 4d 4e pool4 5a 5b".split()


def googlenet(folder, state, classes):
    """googlenet.prototxt and googlenet.caffemodel of tensors under graft's canonical names (dots for slashes)."""
    net, text, layers = messages()["NetParameter"](name="GoogleNet"), [], []
    V1 = {"Convolution": 4, "InnerProduct": 14}

    def add(name, kind, bottom, top, **parameters):
        inside = "".join(f" {k} {{ {v} }}" for k, v in parameters.items())
        bottoms = "".join(f' bottom: "{b}"' for b in ([bottom] if isinstance(bottom, str) else bottom))
        text.append(f'layer {{ name: "{name}" type: "{kind}"{bottoms} top: "{top}"{inside} }}')
        key = name.replace("/", ".")
        if kind in V1:
            layer = net.layers.add(name=name, type=V1[kind])
            for part in ("weight", "bias"):
                value = state[f"{key}.{part}"]
                shape = (1,) * (4 - value.ndim) + value.shape
                layer.blobs.add(num=shape[0], channels=shape[1], height=shape[2], width=shape[3], data=value.ravel())
        return top

    def conv(name, bottom, kernel, pad=0, stride=1):
        n = state[name.replace("/", ".") + ".weight"].shape[0]
        add(name, "Convolution", bottom, name,
            convolution_param=f"num_output: {n} kernel_size: {kernel} pad: {pad} stride: {stride}")
        return add(name + "_relu", "ReLU", name, name)

    def pool(name, bottom, kernel, stride, pad=0, kind="MAX"):
        return add(name, "Pooling", bottom, name,
                   pooling_param=f"pool: {kind} kernel_size: {kernel} stride: {stride} pad: {pad}")

    def lrn(name, bottom):
        return add(name, "LRN", bottom, name, lrn_param="local_size: 5 alpha: 0.0001 beta: 0.75")

    x = lrn("pool1/norm1", pool("pool1/3x3_s2", conv("conv1/7x7_s2", "data", 7, 3, 2), 3, 2))
    x = lrn("conv2/norm2", conv("conv2/3x3", conv("conv2/3x3_reduce", x, 1), 3, 1))
    x = pool("pool2/3x3_s2", x, 3, 2)
    for block in BLOCKS:
        if block.startswith("pool"):
            x = pool(block + "/3x3_s2", x, 3, 2)
            continue
        p = f"inception_{block}/"
        branches = [conv(p + "1x1", x, 1), conv(p + "3x3", conv(p + "3x3_reduce", x, 1), 3, 1),
                    conv(p + "5x5", conv(p + "5x5_reduce", x, 1), 5, 2),
                    conv(p + "pool_proj", pool(p + "pool", x, 3, 1, 1), 1)]
        x = add(p + "output", "Concat", branches, p + "output")
    x = pool("pool5/7x7_s1", x, 7, 1, kind="AVE")
    add("loss3/classifier", "InnerProduct", x, "loss3/classifier", inner_product_param=f"num_output: {classes}")
    for head in ("loss1", "loss2"):  # only their weights: the text leaves them out, as Caffe's deploy.prototxt does
        kept = len(text)
        for name, kind in (("conv", "Convolution"), ("fc", "InnerProduct"), ("classifier", "InnerProduct")):
            add(f"{head}/{name}", kind, "data", f"{head}/{name}")
        del text[kept:]
    head = 'name: "GoogleNet"\ninput: "data"\n' + "".join(f"input_dim: {d}\n" for d in (1, 3, 224, 224))
    (folder / "googlenet.prototxt").write_text(head + "\n".join(text) + "\n")
    (folder / "googlenet.caffemodel").write_bytes(net.SerializeToString())
