"""Loss curves of the same 200 steps in fp32, in fp32 without Winograd (another rounding of the same sums) and in bf16.

python3 tools/ref/bf16_curve.py build/graft [SEEDS]    drawn pictures of four classes at 32x32, resnet18 from nothing

For each seed the loss averaged over steps 151-200 of each run, and the largest distance of the running means (25 steps)
between fp32 and the other two.  Ends 1 when bf16's mean lies further from fp32's than two standard deviations of what
the seed alone does.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

STEPS, BATCH, SIDE, CLASSES = 200, 16, 32, 4
graft, seeds = str(pathlib.Path(sys.argv[1]).resolve()), int(sys.argv[2]) if len(sys.argv) > 2 else 3


def pictures(path):
    rng = np.random.default_rng(1)
    y = np.arange(20 * BATCH) % CLASSES
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    angles = np.pi * np.arange(CLASSES) / CLASSES
    waves = np.stack([np.sin(20 * (rows * np.cos(a) + columns * np.sin(a))) for a in angles])
    x = 128 + 25 * waves[y][..., None] + 45 * rng.standard_normal((len(y), SIDE, SIDE, 3))
    np.savez(path, x=np.clip(x, 0, 255).astype(np.uint8), y=y)


def losses(folder, name, seed, *options):
    run = folder / f"{name}{seed}"
    subprocess.run([graft, "train", "-m", "resnet18", "--weights", "none", "-d", folder / "set.npz", "--imgsz", str(SIDE),
                    "-b", str(BATCH), "--epochs", "10", "--lr", "0.01", "--val", "0", "--log-steps", "--threads", "1", "--seed", str(seed),
                    "-o", run, *options], check=True, capture_output=True)
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    found = np.array([e["loss"] for e in events if e["event"] == "step"])
    assert len(found) == STEPS, len(found)
    return found


ways = {"fp32": (), "exact": ("--exact",), "bf16": ("--precision", "bf16")}
last = {name: [] for name in ways}
with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    pictures(folder / "set.npz")
    for seed in range(seeds):
        curves = {way: losses(folder, way, seed, *options) for way, options in ways.items()}
        smooth = {way: np.convolve(c, np.ones(25) / 25, "valid") for way, c in curves.items()}
        for way in ways:
            last[way].append(curves[way][-50:].mean())
        print(f"seed {seed}: " + ", ".join(f"{way} {last[way][-1]:.4f}" for way in ways) +
              f"; largest distance to fp32: exact {abs(smooth['exact'] - smooth['fp32']).max():.4f}, "
              f"bf16 {abs(smooth['bf16'] - smooth['fp32']).max():.4f}", flush=True)
difference = np.mean(last["bf16"]) - np.mean(last["fp32"])
noise = np.std(last["fp32"] + last["exact"], ddof=1)
print(f"bf16 - fp32: {difference:+.4f}; a seed's standard deviation: {noise:.4f}")
sys.exit(abs(difference) > 2 * noise)
