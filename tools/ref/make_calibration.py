"""Makes tests/golden/infer/: probabilities, labels, and what scikit-learn, SciPy and NumPy make of them.

    make_calibration.py tests/golden/infer"""
import json
import os
import sys

import numpy
import scipy.optimize
import scipy.special
import sklearn.metrics

N, CLASSES, BINS = 300, 7, 15
folder = sys.argv[1]
os.makedirs(folder, exist_ok=True)
generator = numpy.random.default_rng(7)
labels = generator.integers(0, CLASSES, N)
logits = generator.normal(0, 1, (N, CLASSES))
logits[numpy.arange(N), labels] += 1.5
probabilities = scipy.special.softmax(logits * 2.5, axis=1).astype(numpy.float32)  # sure of itself beyond its accuracy


def figures(p):
    confidence, right = p.max(1), p.argmax(1) == labels
    bins = numpy.minimum((confidence * BINS).astype(int), BINS - 1)
    ece = sum(abs(confidence[bins == b].sum() - right[bins == b].sum()) for b in range(BINS)) / N
    return {"log_loss": sklearn.metrics.log_loss(labels, p / p.sum(1, keepdims=True), labels=range(CLASSES)),
            "brier": sklearn.metrics.brier_score_loss(labels, p / p.sum(1, keepdims=True), labels=range(CLASSES), scale_by_half=False),
            "top1": float(right.mean()), "ece": float(ece)}


logs = numpy.log(probabilities.astype(numpy.float64))


def loss(temperature):
    return sklearn.metrics.log_loss(labels, scipy.special.softmax(logs / temperature, axis=1), labels=range(CLASSES))


found = scipy.optimize.minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-10})
probabilities.tofile(os.path.join(folder, "probabilities.f32"))
labels.astype(numpy.uint8).tofile(os.path.join(folder, "labels.u8"))
with open(os.path.join(folder, "calibration.json"), "w") as file:
    json.dump({"n": N, "classes": CLASSES, "plain": figures(probabilities.astype(numpy.float64)), "temperature": found.x,
               "calibrated": figures(scipy.special.softmax(logs / found.x, axis=1))}, file, indent=1)
    file.write("\n")
