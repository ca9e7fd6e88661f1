"""Makes tests/golden/weights/hostile/: HDF5 files that are sound byte by byte and bent in their structure, after the
kinds of faults in HDFGroup's list of CVEs: loops and diamonds of groups, B-trees and headers, heaps whose sizes divide by
zero, types in types, shapes beyond 64 bits.  Checksums are right: what a bit turned by chance cannot show.

Usage: python tools/ref/make_hostile_h5.py [FOLDER]
Needs: h5py, numpy.
"""
import pathlib
import struct
import sys

import h5py
import numpy as np

folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/weights/hostile")
folder.mkdir(parents=True, exist_ok=True)
MASK = 0xFFFFFFFF


def rotate(x, k):
    return (x << k | x >> (32 - k)) & MASK


def checksum(data):
    """Jenkins's lookup3 from zero, which HDF5 puts behind its metadata."""
    a = b = c = (0xDEADBEEF + len(data)) & MASK
    data, last = bytes(data), (len(data) - 1) // 12 * 12 if data else 0
    for at in range(0, last, 12):
        x, y, z = struct.unpack_from("<3I", data, at)
        a, b, c = (a + x) & MASK, (b + y) & MASK, (c + z) & MASK
        for k, (p, q) in zip((4, 6, 8, 16, 19, 4), ("ac", "ba", "cb") * 2):
            v = {"a": a, "b": b, "c": c}
            v[p] = (v[p] - v[q]) & MASK ^ rotate(v[q], k)
            other = {"ac": "b", "ba": "c", "cb": "a"}[p + q]
            v[q] = (v[q] + v[other]) & MASK
            a, b, c = v["a"], v["b"], v["c"]
    if data:
        x, y, z = struct.unpack("<3I", data[last:].ljust(12, b"\0"))
        a, b, c = (a + x) & MASK, (b + y) & MASK, (c + z) & MASK
        for k, p, q in ((14, "c", "b"), (11, "a", "c"), (25, "b", "a"), (16, "c", "b"), (4, "a", "c"), (14, "b", "a"),
                        (24, "c", "b")):
            v = {"a": a, "b": b, "c": c}
            v[p] = ((v[p] ^ v[q]) - rotate(v[q], k)) & MASK
            a, b, c = v["a"], v["b"], v["c"]
    return c


def sealed(data, begin, end):
    """The block from begin on with its checksum at end made right."""
    struct.pack_into("<I", data, end, checksum(data[begin:end]))


def load(name):
    return bytearray((folder / name).read_bytes())


def save(name, data):
    (folder / name).write_bytes(bytes(data))


def layer(file, name, links=1):
    file.attrs["layer_names"] = [name]
    group = file.create_group(name)
    group.attrs["weight_names"] = [f"w{i}" for i in range(links)]
    for i in range(links):
        group[f"w{i}"] = np.arange(6, dtype=np.float32)
    return group


# Groups: each of seven levels reached by twelve links from the one above; a group in itself, forty times.
with h5py.File(folder / "diamond.weights.h5", "w", libver="latest") as file:
    group = file.create_group("layers")
    for level in range(7):
        below = file.create_group(f"level{level}")
        for i in range(12):
            group[f"dense_{i}"] = below
        group = below
with h5py.File(folder / "itself.weights.h5", "w", libver="latest") as file:
    group = file.create_group("layers")
    for i in range(40):
        group[f"dense_{i}"] = group
with h5py.File(folder / "parent.h5", "w") as file:  # a layer whose weights are groups above it
    layer(file, "l")["up"] = file
    file["l"].attrs["weight_names"] = ["up/l/up/l/up/l/w0", "up"]

# A group's B-tree: sixteen nodes one below the other, each naming the next twice: 2**16 leaves of one.
with h5py.File(folder / "twice.weights.h5", "w", libver="earliest") as file:
    for i in range(3):
        file.create_group(f"layers/dense_{i}/vars")["0"] = np.zeros(2, np.float32)
data = load("twice.weights.h5")
node = 544


def number(at, code="<Q"):
    return struct.unpack_from(code, data, at)[0]


trees = [at for at in range(len(data)) if data[at:at + 4] == b"TREE"]
root = next(at for at in trees if number(number(at + 32) + 6, "<H") == 3)  # of the group of three
named = [at for at in range(len(data) - 8) if number(at) == root]
place = len(data)
for level in range(16, 0, -1):
    block = bytearray(node)
    struct.pack_into("<4sBBHQQ", block, 0, b"TREE", 0, level, 2, 2**64 - 1, 2**64 - 1)
    child = place + node if level > 1 else root
    struct.pack_into("<5Q", block, 24, 0, child, 8, child, 8)
    data += block
    place += node
for at in named:
    struct.pack_into("<Q", data, at, len(data) - 16 * node)
struct.pack_into("<Q", data, 40, len(data))
save("twice.weights.h5", data)

# A header of the newer kind whose continuation is itself; and one that is as long as the file.
with h5py.File(folder / "again.h5", "w", libver="latest") as file:
    group = layer(file, "l")
    for i in range(6):
        file.attrs[f"more{i}"] = "x" * 40
data = load("again.h5")
begin = data.find(b"OCHK")
for at in range(begin):  # the message that leads there: address, length
    if struct.unpack_from("<Q", data, at)[0] == begin:
        length = struct.unpack_from("<Q", data, at + 8)[0]
        break
tail = begin + length - 4
assert struct.unpack_from("<I", data, tail)[0] == checksum(data[begin:tail])  # ours is HDF5's
head = data.rfind(b"OHDR", 0, at)
for end in range(at, at + 2000):  # where the checksum of the chunk that holds the message stands
    if struct.unpack_from("<I", data, end)[0] == checksum(data[head:end]):
        break
bent = bytearray(data)
struct.pack_into("<QQ", bent, begin + 4 + 4, begin, length)  # a continuation in the continuation
bent[begin + 4:begin + 8] = b"\x10\x10\x00\x00"
sealed(bent, begin, tail)
save("again.h5", bent)
bent = bytearray(data)
struct.pack_into("<Q", bent, at + 8, len(data) - begin)
sealed(bent, head, end)
save("long.h5", bent)

# Dense links: a fractal heap and a B-tree of version 2, whose numbers divide and shift.
with h5py.File(folder / "dense.h5", "w", libver="latest") as file:
    layer(file, "l", 12)
whole = load("dense.h5")
heap, tree = whole.find(b"FRHP"), whole.find(b"BTHD")
sizes = {"FRHP": 142, "BTHD": 34}
assert struct.unpack_from("<I", whole, heap + 142)[0] == checksum(whole[heap:heap + 142])
assert struct.unpack_from("<I", whole, tree + 34)[0] == checksum(whole[tree:tree + 34])
fields = {"heap_width0": (heap, 142, 110, "<H", 0), "heap_start0": (heap, 142, 112, "<Q", 0),
          "heap_max0": (heap, 142, 120, "<Q", 0), "heap_bits0": (heap, 142, 128, "<H", 0),
          "heap_bits255": (heap, 142, 128, "<H", 255), "heap_rows": (heap, 142, 140, "<H", 65535),
          "heap_id0": (heap, 142, 5, "<H", 0), "heap_root": (heap, 142, 132, "<Q", heap),
          "tree_node0": (tree, 34, 6, "<I", 0), "tree_record0": (tree, 34, 10, "<H", 0),
          "tree_record": (tree, 34, 10, "<H", 65535), "tree_depth": (tree, 34, 12, "<H", 65535),
          "tree_root": (tree, 34, 16, "<Q", tree), "tree_many": (tree, 34, 24, "<H", 65535)}
for name, (begin, length, at, code, value) in fields.items():
    bent = bytearray(whole)
    struct.pack_into(code, bent, begin + at, value)
    sealed(bent, begin, begin + length)
    save(f"{name}.h5", bent)

# Types in types, 100 deep; a shape that multiplies beyond 64 bits, and one of nothing times very much.
kind = np.dtype("f4")
for _ in range(100):
    kind = np.dtype([("a", kind)])
with h5py.File(folder / "deep_type.h5", "w") as file:
    group = layer(file, "l")
    del group["w0"]
    group.create_dataset("w0", (2,), kind)
for name, shape in (("shape_large", (2**33, 2**33, 2)), ("shape_none", (0, 2**62))):
    with h5py.File(folder / f"{name}.h5", "w") as file:
        group = layer(file, "l")
        del group["w0"]
        try:
            group.create_dataset("w0", shape, "f4")
        except (ValueError, OverflowError):  # h5py will not: written small, its numbers changed
            group.create_dataset("w0", (11, 13, 17), "f4")
    data = load(f"{name}.h5")
    at = data.find(struct.pack("<3Q", 11, 13, 17))
    if at >= 0:
        struct.pack_into("<3Q", data, at, *shape)
        save(f"{name}.h5", data)

for path in sorted(folder.iterdir()):
    print(path.stat().st_size, path.name)
    assert path.stat().st_size < 20480, path
