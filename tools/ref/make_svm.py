"""Makes tests/golden/infer/svm.*: features, labels, folds, and what scikit-learn's LinearSVC and CalibratedClassifierCV make of
them.

    make_svm.py tests/golden/infer"""
import json
import os
import sys

import numpy
import sklearn.calibration
import sklearn.model_selection
import sklearn.svm

N, WIDTH, CLASSES, FOLDS = 120, 8, 3, 4
STRENGTHS = [1e-4, 1e-3, 1e-2, 1e-1, 1, 10]
folder = sys.argv[1]
generator = numpy.random.default_rng(3)
labels = generator.integers(0, CLASSES, N)
centres = generator.normal(0, 1, (CLASSES, WIDTH))
x = numpy.maximum(centres[labels] * 0.9 + generator.normal(0, 1.2, (N, WIDTH)), 0).astype(numpy.float32)
folds = numpy.arange(N) % FOLDS
split = sklearn.model_selection.PredefinedSplit(folds)


def machine(c):
    return sklearn.svm.LinearSVC(C=c, dual=False, tol=1e-10, max_iter=100000)


accuracy = []
for c in STRENGTHS:
    predicted = sklearn.model_selection.cross_val_predict(machine(c), x.astype(float), labels, cv=split)
    accuracy.append(float((predicted == labels).mean()))
best = STRENGTHS[int(numpy.argmax(accuracy))]


def golden(keep):
    a, b, s = x[keep].astype(float), labels[keep], sklearn.model_selection.PredefinedSplit(folds[keep])
    fitted = machine(best).fit(a, b)
    calibrated = sklearn.calibration.CalibratedClassifierCV(machine(best), method="sigmoid", cv=s, ensemble=False).fit(a, b)
    w = numpy.concatenate([fitted.coef_, fitted.intercept_[:, None]], 1)
    return {"w": w.tolist(), "p": calibrated.predict_proba(a[:6]).tolist()}


x.tofile(os.path.join(folder, "svm.f32"))
labels.astype(numpy.uint8).tofile(os.path.join(folder, "svm.u8"))
with open(os.path.join(folder, "svm.json"), "w") as file:
    json.dump({"accuracy": accuracy, "c": best, "three": golden(labels >= 0), "two": golden(labels < 2)}, file, indent=1)
    file.write("\n")
