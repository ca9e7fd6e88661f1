"""Makes tests/golden/infer/knn.*: rows, some of them nearly the same, and scikit-learn's neighbours.

    make_knn.py tests/golden/infer"""
import json
import os
import sys

import numpy
import sklearn.neighbors

N, WIDTH, K = 90, 19, 6
folder = sys.argv[1]
generator = numpy.random.default_rng(5)
x = generator.normal(3, 1, (N, WIDTH))
x[N // 2:] = x[:N // 2] + generator.normal(0, 1e-3, (N // 2, WIDTH))  # frames of a film
x = x.astype(numpy.float32)
result = {}
for metric in ("euclidean", "cosine"):
    # exact differences, not the products that lose digits where rows are nearly the same
    found = sklearn.neighbors.NearestNeighbors(n_neighbors=K, metric=metric, algorithm="brute").fit(x.astype(float))
    distance, index = found.kneighbors()
    result[metric] = {"index": index.tolist(), "distance": distance.tolist()}
x.tofile(os.path.join(folder, "knn.f32"))
with open(os.path.join(folder, "knn.json"), "w") as file:
    json.dump(result, file)
    file.write("\n")
