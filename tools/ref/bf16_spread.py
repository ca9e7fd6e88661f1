"""How far PyTorch's own bf16 (autocast on the CPU) is from its fp32: the yardstick of tests/exec/test_bf16.c.

The test's network, several draws of its weights: the worst over the draws of each gradient's 1 - cosine and of the
logits' distance over the largest logit.  python3 tools/ref/bf16_spread.py
"""
import copy

import torch
from torch import nn

torch.set_num_threads(1)
BATCH, CLASSES, DRAWS = 3, 5, 20


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        bn = dict(eps=1e-3, momentum=0.1)
        self.a, self.a_bn = nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32, **bn)
        self.b = nn.Conv2d(32, 40, 3, 1, 1)
        self.c, self.c_bn = nn.Conv2d(40, 32, 1, bias=False), nn.BatchNorm2d(32, **bn)
        self.d = nn.Conv2d(32, 32, 3, 1, 1, groups=32)
        self.e = nn.Conv2d(32, 64, 1, 2)
        self.head = nn.Linear(64, CLASSES)

    def forward(self, x):
        v = torch.relu(self.a_bn(self.a(x)))
        v = torch.relu(self.c_bn(self.c(torch.relu(self.b(v)))) + v)
        v = self.e(torch.clamp(self.d(v), 0, 6))
        return self.head(v.float().mean((2, 3)))


def run(net, x, bf16):
    net = copy.deepcopy(net)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = net(x).float()
    nn.functional.cross_entropy(logits, torch.arange(BATCH)).backward()
    return logits.detach(), {name: p.grad.flatten().double() for name, p in net.named_parameters()}


worst, far = {}, 0
for draw in range(DRAWS):
    torch.manual_seed(draw)
    net = Net()
    for p in net.parameters():
        nn.init.uniform_(p, -0.3, 0.3)
    x = torch.rand(BATCH, 3, 24, 20) * 4 - 2
    (logits, exact), (narrow, rounded) = run(net, x, False), run(net, x, True)
    far = max(far, float((logits - narrow).abs().max() / logits.abs().max()))
    for name, g in exact.items():
        turn = 1 - float(torch.dot(g, rounded[name]) / (g.norm() * rounded[name].norm()))
        worst.setdefault(name, []).append(turn)
print(f"logits: {far:.4f} of the largest")
for name, turns in worst.items():
    turns.sort()
    print(f"{name:12} 1 - cosine: median {turns[len(turns) // 2]:.2e}, worst {turns[-1]:.2e}")
