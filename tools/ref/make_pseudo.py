"""Makes tests/golden/infer/pseudo.json: which predictions NumPy chooses to trust, and PyTorch's cross-entropy with
labels and probabilities mixed in a batch: its losses over three steps of plain SGD, and the weights after them.

    make_pseudo.py tests/golden/infer"""
import json
import os
import sys

import numpy
import torch

N, CLASSES = 60, 4
generator = numpy.random.default_rng(11)
logits = generator.normal(0, 2, (N, CLASSES))
logits[N // 2:N // 2 + 4] = logits[3]  # equals
p = numpy.exp(logits) / numpy.exp(logits).sum(1, keepdims=True)
p = p.astype(numpy.float32)
p[7] = 0.25  # no class is likelier than another
label, best = p.argmax(1), p.max(1)


def choose(threshold, top):
    chosen = []
    for c in range(CLASSES):
        rows = numpy.flatnonzero((label == c) & (best >= threshold))
        rows = rows[numpy.argsort(-best[rows], kind="stable")]
        chosen += rows[:top or None].tolist()
    return sorted(chosen)


choices = [{"threshold": t, "top": k, "chosen": choose(t, k)} for t, k in ((0, 0), (0.8, 0), (0, 5), (0.8, 3), (0.25, 4))]

torch.manual_seed(3)
model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 2, padding=0), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1),
                            torch.nn.Flatten(), torch.nn.Linear(8, CLASSES))
start = {k: v.detach().numpy().ravel().tolist() for k, v in model.state_dict().items()}
x = torch.randn(11, 3, 4, 4)
hard = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3])
soft = torch.softmax(torch.randn(3, CLASSES), 1)
target = torch.cat([torch.nn.functional.one_hot(hard, CLASSES).float(), soft])
loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
optimizer = torch.optim.SGD(model.parameters(), 0.5)
losses = []
for _ in range(3):
    optimizer.zero_grad()
    loss = loss_of(model(x), target)
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
end = {k: v.detach().numpy().ravel().tolist() for k, v in model.state_dict().items()}
with open(os.path.join(sys.argv[1], "pseudo.json"), "w") as file:
    json.dump({"p": p.ravel().tolist(), "choices": choices, "x": x.permute(0, 2, 3, 1).numpy().ravel().tolist(),
               "hard": hard.tolist(), "soft": soft.numpy().ravel().tolist(), "losses": losses, "start": start,
               "end": end}, file)
    file.write("\n")
