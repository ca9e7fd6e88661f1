"""Reads a run's tb/ with TensorBoard's own reader and compares it with the run folder.

    tensorboard_check.py RUN

A line a check, "ok ..." or "FAIL ..."; exit 1 when one failed."""
import csv
import io
import json
import os
import sys

from PIL import Image
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import plugin_data_pb2

run = sys.argv[1]
failed = False


def check(name, good, detail=""):
    global failed
    failed |= not good
    print(f"{'ok' if good else 'FAIL'} {name}{': ' + detail if detail else ''}")


def load(folder):
    keep_all = {event_accumulator.SCALARS: 0, event_accumulator.IMAGES: 0, event_accumulator.HISTOGRAMS: 0}
    accumulator = event_accumulator.EventAccumulator(os.path.join(run, folder), size_guidance=keep_all)
    accumulator.Reload()
    return accumulator


events = [json.loads(line) for line in open(os.path.join(run, "events.jsonl"))]
epochs = [e for e in events if e["event"] == "epoch"]
steps = [e for e in events if e["event"] == "step"]
train, validation, main = load("tb/train"), load("tb/validation"), load("tb")

for source, tag, key in [(train, "epoch_loss", "train_loss"), (train, "epoch_learning_rate", "lr"),
                         (validation, "epoch_loss", "val_loss"), (validation, "epoch_top1", "val_top1"),
                         (validation, "epoch_top5", "val_top5"), (validation, "epoch_log_loss", "val_log_loss")]:
    found = [(s.step, s.value) for s in source.Scalars(tag)]
    wanted = [(e["epoch"], e[key]) for e in epochs]
    good = len(found) == len(wanted) and all(a == c and abs(b - d) <= 1e-6 * abs(d) for (a, b), (c, d) in zip(found, wanted))
    check(f"scalars {tag} ({key})", good, f"{len(found)} values")
if steps:
    found = [s.value for s in train.Scalars("batch_loss")]
    check("scalars batch_loss", len(found) == len(steps) and
          all(abs(a - e["loss"]) <= 1e-6 * abs(e["loss"]) for a, e in zip(found, steps)), f"{len(found)} values")

tags = main.Tags()["images"]
sizes = []
for tag in tags:
    picture = main.Images(tag)[0]
    with Image.open(io.BytesIO(picture.encoded_image_string)) as decoded:
        decoded.load()
        sizes.append((decoded.width, decoded.height) == (picture.width, picture.height))
check("pictures", "confusion_matrix" in tags and "training_pictures/1" in tags and all(sizes), f"{len(tags)} of them")

hparams = {}
for name in os.listdir(os.path.join(run, "tb")):
    if "tfevents" not in name:
        continue
    for event in EventFileLoader(os.path.join(run, "tb", name)).Load():
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "hparams":
                hparams[value.tag] = plugin_data_pb2.HParamsPluginData.FromString(value.metadata.plugin_data.content)
options = hparams["_hparams_/session_start_info"].session_start_info.hparams
args = json.load(open(os.path.join(run, "args.json")))
good = options["lr"].number_value == float(args["lr"]) and options["bn"].string_value == args["bn"]
check("hyperparameters", good, f"{len(options)} options")
metrics = hparams["_hparams_/experiment"].experiment.metric_infos
check("metrics", [(m.name.group, m.name.tag) for m in metrics][0] == ("validation", "epoch_top1"))
check("the end", hparams["_hparams_/session_end_info"].session_end_info.status == 1)

histograms = train.Tags()["histograms"]
if os.path.exists(os.path.join(run, "histograms.jsonl")):
    wanted = [json.loads(line) for line in open(os.path.join(run, "histograms.jsonl"))]
    good = len(histograms) == len({(h["kind"], h["name"]) for h in wanted}) > 0
    for h in wanted[:50]:
        value = next(x for x in train.Histograms(f"{h['kind']}/{h['name']}") if x.step == h["epoch"]).histogram_value
        good &= value.num == h["num"] == sum(value.bucket) and abs(value.min - h["min"]) <= 1e-6 * abs(h["min"]) + 1e-30
    check("histograms", good, f"{len(histograms)} tensors")
with open(os.path.join(run, "results.csv")) as file:
    header = next(csv.reader(file))
check("results.csv", header == "epoch,time,train/loss,metrics/accuracy_top1,metrics/accuracy_top5,val/loss,lr/pg0".split(","))
sys.exit(failed)
