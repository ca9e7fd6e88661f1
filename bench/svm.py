"""`graft svm` beside scikit-learn's LinearSVC on the same features: seconds, processor seconds, and whether both find the
same.

    bench/svm.py WEIGHTS DATA [--imgsz 64] [--rounds 3]     (from the source root after ./dev build)

The task: six values of C over five folds, probabilities by Platt's sigmoids on out-of-fold values of the best, a fit on
all pictures.  graft's seconds are those of `graft svm` less those of `graft features` of the same pictures.  scikit-learn
has the features in memory: GridSearchCV, then CalibratedClassifierCV(ensemble=False), with its dual solver, which is its
own choice for more features than pictures, and with the primal one; in one process, and in two by n_jobs=2.
"""
import argparse
import json
import os
import resource
import subprocess
import tempfile
import time

import numpy as np
import sklearn.calibration
import sklearn.model_selection
import sklearn.svm

STRENGTHS = [1e-4, 1e-3, 1e-2, 1e-1, 1, 10]


def timed(work):
    """Wall and processor seconds, this process's and its children's."""
    def spent():
        return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    wall, cpu = time.perf_counter(), spent()
    result = work()
    return result, time.perf_counter() - wall, spent() - cpu


def graft(*args):
    return subprocess.run([os.path.abspath("build/graft"), *args], check=True, capture_output=True, text=True).stdout


def sklearn_fit(x, y, dual, jobs):
    grid = sklearn.model_selection.GridSearchCV(
        sklearn.svm.LinearSVC(dual=dual, max_iter=100000), {"C": STRENGTHS},
        cv=sklearn.model_selection.StratifiedKFold(5, shuffle=True, random_state=0), refit=False, n_jobs=jobs).fit(x, y)
    chosen = sklearn.svm.LinearSVC(C=grid.best_params_["C"], dual=dual, max_iter=100000)
    sklearn.calibration.CalibratedClassifierCV(chosen, cv=5, ensemble=False, n_jobs=jobs).fit(x, y)
    return grid.best_params_["C"], grid.best_score_


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("weights")
    parser.add_argument("data")
    parser.add_argument("--imgsz", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    o = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        common = [o.weights, "-d", o.data, "--imgsz", str(o.imgsz), "--group", "none"]
        npy = os.path.join(folder, "x.npy")
        for turn in range(o.rounds):
            machine = os.path.join(folder, f"machine-{turn}")
            _, wall, cpu = timed(lambda: graft("features", *common, "--part", "all", "-o", npy))
            told, with_wall, with_cpu = timed(lambda: graft("svm", *common, "--folds", "5", "-o", machine, "--json"))
            result = json.loads(told)
            print(f"graft                        {with_wall - wall:6.2f} s  {with_cpu - cpu:6.2f} s of processor, "
                  f"C {result['c']:g}, {result['top1']:.4f} right", flush=True)
            x = np.load(npy)
            with open(npy + ".csv") as file:
                y = [line.split(",")[1] for line in file.read().splitlines()[1:]]
            for dual in (True, False):
                for jobs in (1, 2):
                    (c, score), wall, cpu = timed(lambda: sklearn_fit(x, y, dual, jobs))
                    processor = f"{cpu:6.2f} s of processor" if jobs == 1 else " " * 21  # workers live on, uncounted
                    print(f"scikit-learn {'dual' if dual else 'primal':6s} {jobs} at once"
                          f"{wall:6.2f} s  {processor}, C {c:g}, {score:.4f} right", flush=True)


if __name__ == "__main__":
    main()
