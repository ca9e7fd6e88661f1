"""Makes tests/golden/optim/{keras,torch}.safetensors: 50 steps of every update rule on a small problem.

    python3 tools/ref/make_optim.py keras tests/golden/optim
    python3 tools/ref/make_optim.py torch tests/golden/optim    # a process each: the two do not load together

The problem is a softmax regression with a gain before it, z = W (x * gain) + b, so that there are a matrix, a bias and a
BatchNorm-like vector; step k learns from rows 3 (k % 4) ... of twelve.  Of each case: the loss before each step, the rate
of each step, the parameters (W, b, gain in a row) after steps SNAPSHOTS, and what is averaged at the same steps.
"""
import os
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
from safetensors.numpy import save_file

FRAMEWORK, FOLDER = sys.argv[1:3]
if FRAMEWORK == "keras":
    import keras
    import tensorflow as tf
else:
    import torch

STEPS, PER_EPOCH, ROWS = 50, 5, 3
SNAPSHOTS = (1, 2, 5, 10, 20, 35, 50)
IN, CLASSES = 6, 4

random = np.random.default_rng(3)
X = random.normal(size=(12, IN)).astype(np.float32)
Y = (np.arange(12) * 7 % CLASSES).astype(np.int64)
W = (random.normal(size=(CLASSES, IN)) * 0.5).astype(np.float32)
B = (random.normal(size=CLASSES) * 0.1).astype(np.float32)
GAIN = random.uniform(0.5, 1.5, size=IN).astype(np.float32)
VALUES = (2 * np.exp(-np.arange(STEPS) / 6) + 0.3 + 0.02 * random.normal(size=STEPS)).astype(np.float64)


def batch(step):
    rows = slice(ROWS * (step % 4), ROWS * (step % 4) + ROWS)
    return X[rows], Y[rows]


# name: arguments of the case, told apart by framework below; tests/optim/test_optim.c has the same names.
CASES = {
    "sgd": {"optimizer": "sgd", "lr": 0.1},
    "momentum": {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9},
    "nesterov": {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True},
    "decay_coefficient": {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.1},
    "decay_all": {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.1, "decay_all": True},
    "adam": {"optimizer": "adam", "lr": 0.01},
    "adam_decay": {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.1},
    "adamw": {"optimizer": "adamw", "lr": 0.01},
    "adamw_decay": {"optimizer": "adamw", "lr": 0.01, "weight_decay": 0.3},
    "rmsprop": {"optimizer": "rmsprop", "lr": 0.003},
    "rmsprop_momentum": {"optimizer": "rmsprop", "lr": 0.003, "momentum": 0.9},
    "clip_norm": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "clip_norm": 0.3},
    "clip_value": {"optimizer": "adam", "lr": 0.01, "clip_value": 0.05},
    "accumulate": {"optimizer": "adam", "lr": 0.01, "accumulate": 2},
    "accumulate_clip": {"optimizer": "sgd", "lr": 0.1, "accumulate": 4, "clip_norm": 0.2},
    "smoothing": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "smoothing": 0.1},
    "ema": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "ema": 0.9},
    "swa": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "swa": True},
    "step": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "schedule": "step"},
    "cosine": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "schedule": "cosine"},
    "cosine_warmup": {"optimizer": "adam", "lr": 0.02, "schedule": "cosine_warmup"},
    "onecycle": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "schedule": "onecycle"},
    "onecycle_adam": {"optimizer": "adam", "lr": 0.02, "schedule": "onecycle"},
    "inverse_time": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "schedule": "keras"},
}


def keras_case(c):
    if c.get("schedule") in ("step", "onecycle") or c.get("swa"):
        return None  # Keras has none
    rate = c["lr"]
    schedules = keras.optimizers.schedules
    if c.get("schedule") == "cosine":
        rate = schedules.CosineDecay(c["lr"], STEPS)
    elif c.get("schedule") == "cosine_warmup":
        rate = schedules.CosineDecay(0.0, STEPS - 10, warmup_target=c["lr"], warmup_steps=10)
    elif c.get("schedule") == "keras":
        rate = schedules.InverseTimeDecay(c["lr"], 1, 0.01)
    options = {"learning_rate": rate}
    for ours, theirs in (("weight_decay", "weight_decay"), ("clip_norm", "global_clipnorm"), ("clip_value", "clipvalue"),
                         ("accumulate", "gradient_accumulation_steps"), ("momentum", "momentum"), ("nesterov", "nesterov")):
        if ours in c:
            options[theirs] = c[ours]
    if "ema" in c:
        options.update(use_ema=True, ema_momentum=c["ema"])
    kind = {"sgd": keras.optimizers.SGD, "adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW,
            "rmsprop": keras.optimizers.RMSprop}[c["optimizer"]]
    optimizer = kind(**options)
    w, b, gain = (keras.Variable(v, name=n) for v, n in ((W, "kernel"), (B, "bias"), (GAIN, "gain")))
    if not c.get("decay_all"):
        optimizer.exclude_from_weight_decay(var_list=[b, gain])
    optimizer.build([w, b, gain])
    loss_of = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=c.get("smoothing", 0.0))
    losses, rates, weights, averages = [], [], [], []
    for step in range(STEPS):
        x, y = batch(step)
        with tf.GradientTape() as tape:
            logits = tf.matmul(x * gain.value, w.value, transpose_b=True) + b.value
            loss = loss_of(tf.one_hot(y, CLASSES), logits)
        gradients = tape.gradient(loss, [w.value, b.value, gain.value])
        rates.append(float(optimizer.learning_rate))
        optimizer.apply([tf.convert_to_tensor(g) for g in gradients], [w, b, gain])
        losses.append(float(loss))
        if step + 1 in SNAPSHOTS:
            weights.append(np.concatenate([keras.ops.convert_to_numpy(v).ravel() for v in (w, b, gain)]))
            if "ema" in c:
                averages.append(np.concatenate(
                    [keras.ops.convert_to_numpy(v).ravel() for v in optimizer._model_variables_moving_average]))
    return losses, rates, weights, averages


def torch_case(c):
    if c.get("schedule") == "keras":
        return None
    w, b, gain = (torch.nn.Parameter(torch.tensor(v)) for v in (W, B, GAIN))
    options = {"lr": c["lr"]}
    for name in ("momentum", "nesterov", "weight_decay"):
        if name in c:
            options[name] = c[name]
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW,
            "rmsprop": torch.optim.RMSprop}[c["optimizer"]]
    rest = {} if c.get("decay_all") else {"weight_decay": 0.0}
    optimizer = kind([{"params": [w]}, {"params": [b, gain], **rest}], **options)
    schedulers, scheduler = torch.optim.lr_scheduler, None
    if c.get("schedule") == "step":
        scheduler = schedulers.StepLR(optimizer, 3, gamma=0.5)
    elif c.get("schedule") == "cosine":
        scheduler = schedulers.CosineAnnealingLR(optimizer, STEPS)
    elif c.get("schedule") == "cosine_warmup":
        scheduler = schedulers.SequentialLR(optimizer, [
            schedulers.LambdaLR(optimizer, lambda t: t / 10), schedulers.CosineAnnealingLR(optimizer, STEPS - 10)], [10])
    elif c.get("schedule") == "onecycle":
        scheduler = schedulers.OneCycleLR(optimizer, c["lr"], total_steps=STEPS)
    average = None
    holder = torch.nn.ParameterList([w, b, gain])
    if "ema" in c:
        average = torch.optim.swa_utils.AveragedModel(
            holder, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(c["ema"]))
    elif c.get("swa"):
        average = torch.optim.swa_utils.AveragedModel(holder)
    losses, rates, weights, averages = [], [], [], []
    accumulate = c.get("accumulate", 1)
    for step in range(STEPS):
        x, y = batch(step)
        logits = (torch.tensor(x) * gain) @ w.T + b
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(y), label_smoothing=c.get("smoothing", 0.0))
        (loss / accumulate).backward()
        rates.append(optimizer.param_groups[0]["lr"])
        losses.append(float(loss.detach()))
        if (step + 1) % accumulate == 0:
            if "clip_norm" in c:
                torch.nn.utils.clip_grad_norm_([w, b, gain], c["clip_norm"])
            if "clip_value" in c:
                torch.nn.utils.clip_grad_value_([w, b, gain], c["clip_value"])
            optimizer.step()
            optimizer.zero_grad()
            if "ema" in c:
                average.update_parameters(holder)
        if c.get("swa") and (step + 1) % PER_EPOCH == 0 and step + 1 > 2 * PER_EPOCH:  # from the third epoch on
            average.update_parameters(holder)
        if scheduler is not None and (c["schedule"] != "step" or (step + 1) % PER_EPOCH == 0):
            scheduler.step()
        if step + 1 in SNAPSHOTS:
            weights.append(np.concatenate([v.detach().numpy().ravel() for v in (w, b, gain)]))
            if average is not None:
                averages.append(np.concatenate([v.detach().numpy().ravel() for v in average.module]))
    return losses, rates, weights, averages


def keras_plateau():
    class Model:
        optimizer = keras.optimizers.SGD(0.1)
    callback = keras.callbacks.ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=3, mode="min")
    callback.set_model(Model)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(VALUES):
        rates.append(float(Model.optimizer.learning_rate))
        callback.on_epoch_end(epoch, {"val_loss": value})
    return rates


def torch_plateau():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=3)
    rates = []
    for value in VALUES:
        rates.append(optimizer.param_groups[0]["lr"])
        scheduler.step(value)
    return rates


def torch_pipeline():
    """A whole run as train_run makes it: a convolution and a dense layer, twelve 3x2x2 pictures in one batch, 50 epochs."""
    x = torch.tensor(random.normal(size=(12, 3, 2, 2)).astype(np.float32))
    start = {"conv.weight": random.normal(size=(8, 3, 2, 2)) * 0.3, "conv.bias": random.normal(size=8) * 0.1,
             "head.weight": random.normal(size=(CLASSES, 8)) * 0.3, "head.bias": np.zeros(CLASSES)}
    start = {name: value.astype(np.float32) for name, value in start.items()}
    p = {name: torch.nn.Parameter(torch.tensor(value)) for name, value in start.items()}
    optimizer = torch.optim.AdamW([{"params": [p["conv.weight"], p["head.weight"]]},
                                   {"params": [p["conv.bias"], p["head.bias"]], "weight_decay": 0.0}], lr=0.05, weight_decay=0.2)
    schedulers = torch.optim.lr_scheduler
    scheduler = schedulers.SequentialLR(optimizer, [
        schedulers.LambdaLR(optimizer, lambda t: t / 5), schedulers.CosineAnnealingLR(optimizer, STEPS - 5)], [5])
    holder = torch.nn.ParameterList(p.values())
    average = torch.optim.swa_utils.AveragedModel(holder, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    losses = []
    for _ in range(STEPS):
        features = torch.relu(torch.nn.functional.conv2d(x, p["conv.weight"], p["conv.bias"])).flatten(1)
        loss = torch.nn.functional.cross_entropy(features @ p["head.weight"].T + p["head.bias"], torch.tensor(Y),
                                                 label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(p.values()), 0.3)
        optimizer.step()
        scheduler.step()
        average.update_parameters(holder)
        losses.append(float(loss.detach()))
    result = {"pipeline.x": x.numpy(), "pipeline.losses": np.array(losses, np.float32)}
    for name, value in zip(start, average.module):
        result["pipeline.start." + name] = start[name]
        result["pipeline.end." + name] = value.detach().numpy()
    return result


def main():
    run, plateau = (keras_case, keras_plateau) if FRAMEWORK == "keras" else (torch_case, torch_plateau)
    tensors = {"x": X, "y": Y, "w": W, "b": B, "gain": GAIN, "plateau.values": VALUES,
               "plateau.rates": np.array(plateau(), np.float64)}
    for case, options in CASES.items():
        result = run(options)
        if result is None:
            continue
        losses, rates, weights, averages = result
        tensors[case + ".losses"] = np.array(losses, np.float32)
        tensors[case + ".rates"] = np.array(rates, np.float64)
        tensors[case + ".weights"] = np.stack(weights)
        if averages:
            tensors[case + ".averages"] = np.stack(averages)
    if FRAMEWORK == "torch":
        tensors.update(torch_pipeline())
    version = keras.__version__ if FRAMEWORK == "keras" else torch.__version__
    path = os.path.join(FOLDER, FRAMEWORK + ".safetensors")
    save_file(tensors, path, {"framework": f"{FRAMEWORK} {version}"})
    os.chmod(path, 0o644)
    print(FRAMEWORK, version, len(tensors), "tensors")


os.makedirs(FOLDER, exist_ok=True)
main()
