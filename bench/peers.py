"""graft beside PyTorch in the same run: images per second and peak memory, training and predicting at batch 16.

    bench/peers.py [NETWORK...]          (efficientnet_lite0 vgg16; run from the source root after ./dev build)

Each measurement is a process of its own, graft and PyTorch in turn; PyTorch's figure is the better of its default layout and
channels_last.  Median of five steps after a warm-up, random weights, 10 classes, 224x224, SGD with Nesterov momentum.
Run it on a quiet machine.
"""
import json
import resource
import statistics
import subprocess
import sys
import time

BATCH, SIDE, CLASSES, STEPS = 16, 224, 10, 5


def measure(name, mode, layout):
    import torch
    if name == "vgg16":
        import torchvision
        model = torchvision.models.vgg16(weights=None, num_classes=CLASSES)
    else:
        import timm
        model = timm.create_model("tf_" + name, num_classes=CLASSES, drop_rate=0.2)
    x, y = torch.randn(BATCH, 3, SIDE, SIDE), torch.arange(BATCH) % CLASSES
    if layout == "channels_last":
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    model.train(mode == "train")
    optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9, nesterov=True)
    seconds = []
    for _ in range(STEPS + 1):
        begin = time.perf_counter()
        if mode == "train":
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        else:
            with torch.inference_mode():
                model(x)
        seconds.append(time.perf_counter() - begin)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"img_s": BATCH / statistics.median(seconds[1:]), "rss_mb": rss, "version": torch.__version__,
                      "threads": torch.get_num_threads()}))


def run(*command):
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])


def main():
    if sys.argv[1:2] == ["--measure"]:
        return measure(*sys.argv[2:])
    print("network             mode   graft img/s  PyTorch img/s  ratio  graft MB  PyTorch MB  ratio")
    for name in sys.argv[1:] or ["efficientnet_lite0", "vgg16"]:
        for mode in ("train", "infer"):
            graft = run("build/graft", "bench", name, "--mode", mode, "--json", "-q")
            peers = [run(sys.executable, __file__, "--measure", name, mode, layout) for layout in ("default", "channels_last")]
            peer = max(peers, key=lambda p: p["img_s"])
            print(f"{name:19} {mode:6} {graft['img_s']:11.2f} {peer['img_s']:14.2f} {graft['img_s'] / peer['img_s']:6.2f} "
                  f"{graft['rss_mb']:9.0f} {peer['rss_mb']:11.0f} {graft['rss_mb'] / peer['rss_mb']:6.2f}", flush=True)
    print(f"graft: {graft['isa']}, {graft['threads']} threads; PyTorch {peer['version']}, {peer['threads']} threads")


main()
