"""graft's loader beside torchvision's (Pillow, decode_jpeg) and tf.data in the same run: pictures per second and core.

    bench/loader.py [--folder DIR] [--pictures 640x480=200,4000x3000=24] [PEER...]     (from the source root after ./dev build)
    bench/loader.py --flat 100000 [--pictures 160x120=200]

Makes JPEGs (quality 90, 4:2:0) out of scikit-image's and scikit-learn's photographs: parts of them scaled, with noise, in
DIR (default build/loader).  The task: decode, squash to 224, flip, rotate by up to 10 degrees, shift by up to 10 %,
normalise to float.  Every measurement is a process of its own, pinned to one core; they take turns, five rounds, the best
of each counts.  The ratios are of processor time, which other processes disturb less.  Peers: pillow, the same with
Pillow's draft() to at least 224 (to be compared with --decode fast), decode_jpeg, tf, tf_default.  Run it on a quiet
machine.  --flat: no peers; so many pictures through the loader, and its resident memory over time.
"""
import argparse
import glob
import json
import os
import resource
import subprocess
import sys
import time

SIDE, ROUNDS = 224, 5
AUGMENT = "flip=h,rotate=10,shift=0.1"


def make(folder, size, n):
    """n pictures of size (w, h); those that are there already stay."""
    import numpy as np
    import skimage.data
    import sklearn.datasets
    from PIL import Image
    os.makedirs(folder, exist_ok=True)
    names = "astronaut coffee chelsea rocket immunohistochemistry retina hubble_deep_field".split()
    sources = [Image.fromarray(getattr(skimage.data, name)()[..., :3]) for name in names if hasattr(skimage.data, name)]
    sources += [Image.fromarray(image) for image in sklearn.datasets.load_sample_images().images]
    rng = np.random.default_rng(1)
    for i in range(n):
        path = os.path.join(folder, f"{i:04}.jpg")
        if os.path.exists(path):
            continue
        source = sources[i % len(sources)]
        part = rng.uniform(0.6, 1)
        w = min(source.width, source.height * size[0] / size[1]) * part
        h = w * size[1] / size[0]
        x, y = rng.uniform(0, source.width - w), rng.uniform(0, source.height - h)
        picture = np.asarray(source.resize(size, Image.BICUBIC, box=(x, y, x + w, y + h))).astype(np.int16)
        picture = picture + rng.integers(-12, 13, picture.shape, dtype=np.int16)
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(path, quality=90, subsampling=2)


def torch_peer(files, decode, draft=False):
    import torch
    import torchvision
    from torchvision.transforms import v2
    from PIL import Image
    torch.set_num_threads(1)
    affine = [v2.RandomHorizontalFlip(), v2.RandomAffine(10, (0.1, 0.1), interpolation=v2.InterpolationMode.BILINEAR)]
    end = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
    if decode:
        steps = v2.Compose([v2.Resize((SIDE, SIDE), antialias=True), *affine, *end])
        mode = torchvision.io.ImageReadMode.RGB

        def load(path):
            return steps(torchvision.io.decode_jpeg(torchvision.io.read_file(path), mode=mode))
    else:
        steps = v2.Compose([v2.Resize((SIDE, SIDE)), *affine, v2.PILToTensor(), *end])

        def load(path):
            with Image.open(path) as p:
                if draft:
                    p.draft("RGB", (SIDE, SIDE))
                return steps(p.convert("RGB"))

    def once():
        for at in range(0, len(files), 16):
            torch.stack([load(path) for path in files[at:at + 16]])
    return once


def tf_peer(files, antialias):
    import math
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    change = tf.keras.Sequential([tf.keras.layers.RandomFlip("horizontal"),
                                  tf.keras.layers.RandomRotation(10 / 360, fill_mode="constant"),
                                  tf.keras.layers.RandomTranslation(0.1, 0.1, fill_mode="constant")])

    def load(path):
        method = "INTEGER_ACCURATE" if antialias else ""
        picture = tf.io.decode_jpeg(tf.io.read_file(path), channels=3, dct_method=method)
        return tf.image.resize(picture, (SIDE, SIDE), antialias=antialias) / 127.5 - 1
    data = tf.data.Dataset.from_tensor_slices(files).map(load, num_parallel_calls=1).batch(16)
    data = data.map(lambda x: change(x, training=True), num_parallel_calls=1)
    assert math.ceil(len(files) / 16) == len(data)

    def once():
        for _ in data:
            pass
    return once


PEERS = {"pillow": lambda files: torch_peer(files, False),
         "pillow_draft": lambda files: torch_peer(files, False, True), "decode_jpeg": lambda files: torch_peer(files, True),
         "tf": lambda files: tf_peer(files, True), "tf_default": lambda files: tf_peer(files, False)}


def measure(name, folder, seconds):
    """Best of the passes that fit into `seconds`, two at least, after one that warms up."""
    files = sorted(glob.glob(os.path.join(folder, "*", "*.jpg")))
    once, best, cost = PEERS[name](files), 0, float("inf")
    once()
    begin, passes = time.perf_counter(), 0
    while passes < 2 or time.perf_counter() - begin < seconds:
        at, processor = time.perf_counter(), time.process_time()
        once()
        best, passes = max(best, len(files) / (time.perf_counter() - at)), passes + 1
        cost = min(cost, (time.process_time() - processor) / len(files))
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"img_s": best, "ms": cost * 1e3, "rss_mb": rss}))


def run(cores, *command):
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:cores]))
    done = subprocess.run(["taskset", "-c", cores, *command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def resident(process):
    """MB, or None once it has ended."""
    try:
        with open(f"/proc/{process.pid}/status") as f:
            lines = [line.split() for line in f if line.startswith("VmRSS:")]
        return int(lines[0][1]) / 1024 if lines else None
    except (FileNotFoundError, ProcessLookupError):
        return None


def flat(command, pictures, passes):
    """Runs the command and samples its memory ten times a second."""
    process, seen, begin = subprocess.Popen(command, stdout=subprocess.PIPE, text=True), [], time.perf_counter()
    while process.poll() is None:
        now = resident(process)
        if now is not None:
            seen.append(now)
        time.sleep(0.1)
    result = json.loads(process.stdout.read().splitlines()[-1])
    settled = seen[len(seen) // 10:]
    print(f"{pictures * (passes + 1)} pictures decoded in {time.perf_counter() - begin:.0f} s: {len(seen)} samples; MB after "
          f"a tenth {settled[0]:.1f}, then {min(settled):.1f} to {max(settled):.1f}, last {settled[-1]:.1f}; peak "
          f"{result['rss_mb']:.1f}")
    for tenth in range(10):
        print(f"  {tenth * 10:3} % {seen[len(seen) * tenth // 10]:8.1f} MB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", default="build/loader")
    parser.add_argument("--pictures", default=None)
    parser.add_argument("--flat", type=int, metavar="PICTURES")
    parser.add_argument("--graft", default="build/graft")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    parser.add_argument("peers", nargs="*")
    o = parser.parse_args()
    if o.measure:
        return measure(o.measure, o.folder, 1)
    for kind in (o.pictures or ("160x120=200" if o.flat else "640x480=200,4000x3000=24")).split(","):
        size, n = kind.split("=")
        folder = os.path.join(o.folder, size)
        make(os.path.join(folder, "all"), tuple(map(int, size.split("x"))), int(n))
        graft = [o.graft, "bench", "loader", "-d", folder, "--augment", AUGMENT, "--json", "-q"]
        if o.flat:
            passes = o.flat // int(n)
            flat([*graft, "--workers", "2", "--steps", str(passes)], int(n), passes)
            continue
        graft += ["--steps", "2"]
        tasks = {f"graft {rule}": (1, *graft, "--workers", "1", "--decode", rule) for rule in ("exact", "auto", "fast")}
        if len(os.sched_getaffinity(0)) > 1:
            tasks["graft exact, 2 workers"] = (2, *graft, "--workers", "2", "--decode", "exact")
        cached = [*graft, "--workers", "1", "--cache"]
        tasks["graft cache ram"] = (1, *cached, "ram")
        tasks["graft cache disk"] = (1, *cached, "disk", "--cache-dir", os.path.join(o.folder, "cache"))
        for peer in o.peers or PEERS:
            tasks[peer] = (1, sys.executable, __file__, "--folder", folder, "--measure", peer)
        best = {}
        for _ in range(o.rounds):
            for name, task in tasks.items():
                result = run(*task)
                kept = best.setdefault(name, result)
                kept["img_s"], kept["ms"] = max(kept["img_s"], result["img_s"]), min(kept["ms"], result["ms"])
        print(f"{size}: pictures/s; ms of processor time a picture, by which it is so many times as fast as decode_jpeg, as "
              "Pillow; MB at the peak")
        for name, result in best.items():
            ratio = "".join(f"  {best[peer]['ms'] / result['ms']:6.2f}" if peer in best else "       -"
                            for peer in ("decode_jpeg", "pillow"))
            print(f"  {name:24} {result['img_s']:9.1f} {result['ms']:8.3f}{ratio} {result['rss_mb']:6.0f}", flush=True)


main()
