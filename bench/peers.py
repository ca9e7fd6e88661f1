"""graft beside PyTorch and Keras in the same run, as a Markdown page (docs/performance.md).

    bench/peers.py [-o FILE] [--steps N] [--rounds N] [--compile] [--avx2] [NETWORK...]     (./dev bench peers does this)

Jobs: train (every weight, batch 16), head (all but the last layer frozen, batch 16), predict 16, predict 1, and cold start: a
process from a weight file and a picture on disk to its answer.  Random weights, 10 classes, the network's input size, SGD with
Nesterov momentum, fp32, dropout and auxiliary heads as the framework trains them.  A figure is the median of the steps after
two that warm up, the better of the rounds; every measurement is a process of its own, and the programs take turns, so that
another load on the machine meets all of them.  Peak memory is the process's, from the kernel.  PyTorch's figure is the
better of its default layout and channels_last (and torch.compile with --compile, which takes minutes).  What is not installed
is left out.  --avx2 holds every program to AVX2 on a processor that has more.  Run it on a quiet machine from the source root
after ./dev build.
"""
import argparse
import importlib.util
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLASSES, WARM_UP = 10, 2
GRAFT = "build/graft"
# graft's name: torchvision's or timm's, keras.applications' (None: it has none), input, weights of the auxiliary losses
NETWORKS = {
    "vgg16": ("torchvision:vgg16", "VGG16", 224, ()),
    "vgg19": ("torchvision:vgg19", "VGG19", 224, ()),
    "googlenet.tv": ("torchvision:googlenet", None, 224, (0.3, 0.3)),
    "inception_v3": ("torchvision:inception_v3", "InceptionV3", 299, (0.4,)),
    "resnet50": ("torchvision:resnet50", "ResNet50", 224, ()),
    "densenet121": ("torchvision:densenet121", "DenseNet121", 224, ()),
    "mobilenet_v2": ("torchvision:mobilenet_v2", "MobileNetV2", 224, ()),
    "efficientnet_lite0": ("timm:tf_efficientnet_lite0", None, 224, ()),
}
# oneDNN in all three, PyTorch's own kernels, MKL
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "DNNL_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
JOBS = {"train": ("train", 16), "head": ("head", 16), "predict 16": ("infer", 16), "predict 1": ("infer", 1)}


# ---- in a process of its own: one measurement

def torch_model(name):
    import torch
    library, made = NETWORKS[name][0].split(":")
    torch.manual_seed(0)
    if library == "timm":
        import timm
        return timm.create_model(made, num_classes=CLASSES, drop_rate=0.2)
    import torchvision
    options = {"aux_logits": True, "init_weights": False} if NETWORKS[name][3] else {}
    return getattr(torchvision.models, made)(weights=None, num_classes=CLASSES, **options)


def torch_head(model):
    """The last dense layer alone trains; BatchNorm on its running statistics."""
    import torch
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    last = [m for m in model.modules() if isinstance(m, torch.nn.Linear)][-1]
    for parameter in last.parameters():
        parameter.requires_grad_(True)


def torch_step(name, mode, batch, flavour):
    import torch
    side, aux = NETWORKS[name][2], NETWORKS[name][3]
    model = torch_model(name)
    x, y = torch.randn(batch, 3, side, side), torch.arange(batch) % CLASSES
    if flavour == "channels_last":
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    model.train(mode == "train")
    if mode == "head":
        torch_head(model)
    loss = torch.nn.functional.cross_entropy
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 1e-3, momentum=0.9, nesterov=True)
    run = torch.compile(model) if flavour == "compile" else model

    def train():
        optimizer.zero_grad()
        out = run(x)
        outputs = list(out) if isinstance(out, tuple) else [out]
        total = loss(outputs[0], y)
        if mode == "train":
            total = total + sum(weight * loss(o, y) for weight, o in zip(aux, outputs[1:]))
        total.backward()
        optimizer.step()

    def predict():
        with torch.inference_mode():
            run(x)

    return (predict if mode == "infer" else train), torch.__version__


def keras_step(name, mode, batch):
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras
    import numpy as np
    side = NETWORKS[name][2]
    model = getattr(keras.applications, NETWORKS[name][1])(weights=None, classes=CLASSES, input_shape=(side, side, 3))
    if mode == "head":
        for layer in model.layers[:-1]:
            layer.trainable = False
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9, nesterov=True), "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).standard_normal((batch, side, side, 3), dtype=np.float32)
    y = np.arange(batch) % CLASSES
    return (lambda: model.predict_on_batch(x) if mode == "infer" else model.train_on_batch(x, y)), keras.__version__


def measure(peer, name, mode, batch, flavour, steps):
    step, version = torch_step(name, mode, batch, flavour) if peer == "PyTorch" else keras_step(name, mode, batch)
    seconds = []
    for _ in range(WARM_UP + steps):
        begin = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - begin)
    print(json.dumps({"img_s": batch / statistics.median(seconds[WARM_UP:]), "version": version,
                      "rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def answer(name, weights, picture):
    """What somebody writes to ask a model once."""
    import torch
    from PIL import Image
    from torchvision import transforms
    side = NETWORKS[name][2]
    model = torch_model(name)
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    prepare = transforms.Compose([transforms.Resize(side), transforms.CenterCrop(side), transforms.ToTensor()])
    with torch.inference_mode():
        out = model.eval()(prepare(Image.open(picture).convert("RGB"))[None])
    print(int(out.argmax()))


def save(name, weights, picture):
    import torch
    from PIL import Image
    torch.save(torch_model(name).state_dict(), weights)
    Image.radial_gradient("L").resize((640, 480)).convert("RGB").save(picture, quality=90)


# ---- the runs

def process(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        print(f"{' '.join(command)}: {lines[-1] if lines else done.returncode}", file=sys.stderr)
        return None
    return done.stdout


def last_json(text):
    return json.loads(text.splitlines()[-1]) if text else None


def peer_of(*arguments):
    return last_json(process(sys.executable, __file__, "--measure", *map(str, arguments)))


def better(a, b):
    """Of two results of the same thing, the faster, with the smaller memory."""
    if a is None or b is None:
        return a or b
    return dict(a if a["img_s"] >= b["img_s"] else b, rss_mb=min(a["rss_mb"], b["rss_mb"]))


def job_results(name, mode, batch, options, peers):
    found = {"graft": None, **{peer: None for peer in peers}}
    for _ in range(options.rounds):
        found["graft"] = better(found["graft"], last_json(process(
            GRAFT, "bench", name, "--mode", mode, "--batch", str(batch), "--steps", str(options.steps), "--json", "-q")))
        for flavour in ("default", "channels_last") + (("compile",) if options.compile else ()):
            if "PyTorch" in peers:
                found["PyTorch"] = better(found["PyTorch"], peer_of("PyTorch", name, mode, batch, flavour, options.steps))
        if "Keras" in peers and NETWORKS[name][1]:
            found["Keras"] = better(found["Keras"], peer_of("Keras", name, mode, batch, "default", options.steps))
    return found


def cold_start(name, options, peers):
    """Seconds from the start of a process to its answer, the best of several."""
    if "PyTorch" not in peers:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        weights, picture = f"{folder}/weights.pth", f"{folder}/picture.jpg"
        if process(sys.executable, __file__, "--save", name, weights, picture) is None:
            return {}
        commands = {"graft": (GRAFT, "predict", "-m", name, weights, picture),
                    "PyTorch": (sys.executable, __file__, "--answer", name, weights, picture)}
        best = {}
        for _ in range(options.rounds + 1):  # the first one fills the disk's cache
            for who, command in commands.items():
                begin = time.perf_counter()
                if process(*command) is not None:
                    best[who] = min(best.get(who, 1e9), time.perf_counter() - begin)
        return best


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def number(value):
    return "–" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def field(result, key):
    return None if result is None else result[key]


def ratio(ours, theirs, key, best):
    theirs = [t[key] for t in theirs if t is not None]
    return "–" if ours is None or not theirs else f"{ours[key] / best(theirs):.2f}"


def page(rows, starts, options, peers, versions):
    graft = next(r["graft"] for r in rows.values() if r["graft"])
    yield "# Performance"
    yield ""
    yield (f"{processor()}, {len(os.sched_getaffinity(0))} processors; graft {graft['isa']}, {graft['threads']} threads; "
           + ", ".join(f"{peer} {versions[peer]}" for peer in peers if peer in versions)
           + ("; all held to AVX2" if options.avx2 else "")
           + f"; fp32; median of {options.steps} steps, best of {options.rounds} rounds; "
           + f"`./dev bench peers{' --avx2' * options.avx2}`, {time.strftime('%Y-%m-%d')}.")
    yield "Ratios are to the best peer: above 1 is faster, below 1 is less memory. `–`: the peer has no such network or failed."
    yield ""
    names = " | ".join(f"{who} img/s" for who in ("graft", *peers))
    memory = " | ".join(f"{who} MiB" for who in ("graft", *peers))
    yield f"| network | job | {names} | ratio | {memory} | ratio |"
    yield "|---|---" + "|---" * (2 * len(peers) + 4) + "|"
    for (name, job), found in rows.items():
        theirs = [found[peer] for peer in peers]
        yield (f"| {name} | {job} | " + " | ".join(number(field(found[who], "img_s")) for who in ("graft", *peers))
               + f" | {ratio(found['graft'], theirs, 'img_s', max)} | "
               + " | ".join(number(field(found[who], "rss_mb")) for who in ("graft", *peers))
               + f" | {ratio(found['graft'], theirs, 'rss_mb', min)} |")
    if any(starts.values()):
        yield ""
        yield "Cold start, seconds from a weight file and a picture on disk to the answer:"
        yield ""
        yield "| network | graft | PyTorch |"
        yield "|---|---|---|"
        for name, best in starts.items():
            yield f"| {name} | {number(best.get('graft'))} | {number(best.get('PyTorch'))} |"


def main():
    inner = {"--measure": lambda a: measure(a[0], a[1], a[2], int(a[3]), a[4], int(a[5])),
             "--answer": lambda a: answer(*a), "--save": lambda a: save(*a)}
    if sys.argv[1:2] and sys.argv[1] in inner:
        return inner[sys.argv[1]](sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("-o", "--output", help="the page; default: standard output")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--jobs", default=",".join(JOBS), help="with commas between")
    parser.add_argument("--compile", action="store_true", help="torch.compile as well")
    parser.add_argument("--avx2", action="store_true", help="no program uses AVX-512")
    options = parser.parse_args()
    if options.avx2:
        os.environ.update(AVX2)
    unknown = [n for n in options.networks if n not in NETWORKS] + [j for j in options.jobs.split(",") if j not in JOBS]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; networks: {', '.join(NETWORKS)}; jobs: {', '.join(JOBS)}")
    peers = [peer for peer, module in (("PyTorch", "torch"), ("Keras", "keras")) if importlib.util.find_spec(module)]
    rows, starts, versions = {}, {}, {}
    for name in options.networks or NETWORKS:
        for job in options.jobs.split(","):
            found = rows[name, job] = job_results(name, *JOBS[job], options, peers)
            versions.update({peer: found[peer]["version"] for peer in peers if found[peer]})
            print(name, job, *(f"{who} {number(field(r, 'img_s'))} img/s {number(field(r, 'rss_mb'))} MiB;"
                               for who, r in found.items()), file=sys.stderr, flush=True)
        starts[name] = cold_start(name, options, peers)
    if not any(r["graft"] for r in rows.values()):
        sys.exit("graft was not measured: run ./dev build first")
    text = "\n".join(page(rows, starts, options, peers, versions)) + "\n"
    if options.output:
        Path(options.output).write_text(text)
    else:
        print(text, end="")


main()
