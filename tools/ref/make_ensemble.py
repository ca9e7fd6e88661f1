"""Makes tests/golden/infer/ensemble.*: predictions of three models, and what NumPy, SciPy and scikit-learn make of them.

    make_ensemble.py tests/golden/infer"""
import json
import os
import sys

import numpy
import scipy.optimize
import scipy.special
import sklearn.linear_model
import sklearn.metrics

N, CLASSES, MEMBERS, ROUNDS = 240, 5, 3, 20
folder = sys.argv[1]
generator = numpy.random.default_rng(11)
labels = generator.integers(0, CLASSES, N)
base = generator.normal(0, 1, (N, CLASSES))
base[numpy.arange(N), labels] += 1.2
members = []
for strength, noise in ((1.0, 0.3), (2.2, 1.0), (0.6, 1.6)):
    members.append(scipy.special.softmax((base + generator.normal(0, noise, base.shape)) * strength, axis=1))
p = numpy.stack(members).astype(numpy.float32)
q = p.astype(numpy.float64)


def loss(rows):
    return float(sklearn.metrics.log_loss(labels, rows / rows.sum(1, keepdims=True), labels=range(CLASSES)))


def mixed(w):
    return numpy.tensordot(w, q, 1)


def geometric(w):
    return scipy.special.softmax(numpy.tensordot(w, numpy.log(q), 1), axis=1)


def fitted():
    found = scipy.optimize.minimize(lambda w: loss(mixed(w)), numpy.full(MEMBERS, 1 / MEMBERS), method="SLSQP",
                                    bounds=[(0, 1)] * MEMBERS, constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
                                    options={"ftol": 1e-14, "maxiter": 1000})
    return found.x


def greedy():
    """Caruana's selection: the member whose addition makes the mean best, with replacement; the best round counts."""
    count, best, kept = numpy.zeros(MEMBERS), numpy.inf, None
    for _ in range(ROUNDS):
        losses = [loss(mixed((count + numpy.eye(MEMBERS)[i]) / (count.sum() + 1))) for i in range(MEMBERS)]
        count[int(numpy.argmin(losses))] += 1
        if min(losses) < best - 1e-12:
            best, kept = min(losses), count.copy()
    return kept / kept.sum()


x = numpy.concatenate([numpy.log(q[i]) for i in range(MEMBERS)], axis=1)
stack = sklearn.linear_model.LogisticRegression(C=1.0, tol=1e-10, max_iter=100000).fit(x, labels)
w = numpy.array([0.5, 0.3, 0.2])
p.tofile(os.path.join(folder, "ensemble.f32"))
labels.astype(numpy.uint8).tofile(os.path.join(folder, "ensemble.u8"))
result = {"single": [loss(m) for m in q], "arithmetic": loss(q.mean(0)), "geometric": loss(geometric(numpy.full(MEMBERS, 1 / MEMBERS))),
          "weighted": loss(mixed(w)), "weighted_geometric": loss(geometric(w)), "first_geometric": geometric(w)[0].tolist(),
          "fitted": loss(mixed(fitted())), "fitted_weights": fitted().tolist(), "greedy": loss(mixed(greedy())),
          "greedy_weights": greedy().tolist(), "stack": loss(stack.predict_proba(x)),
          "first_stack": stack.predict_proba(x)[0].tolist()}
with open(os.path.join(folder, "ensemble.json"), "w") as file:
    json.dump(result, file, indent=1)
    file.write("\n")
