"""Train 300 small networks: ours beside a loop over single networks, and JAX.

The job: 10 activations x 3 learning rates x 10 seeds, each 10 epochs (400 steps) of
Adam with minibatches of 100 on MNIST-1D, network 40-100-100-10, and the test accuracy
at the end. Every contender runs in a process of its own, which is started
anew, in turn, for each round: times include its first calls and compilation, not its
imports. The two loops train one learning rate and seed of each activation.

With a GPU, also our engine on it, at 300 and at 4096 members.
"""

import importlib.util
import json
import multiprocessing
import resource
import subprocess
import sys
import time

import numpy as np
import pandas as pd

ACTIVATIONS = (
    "relu", "leaky_relu", "prelu", "absolute_value", "softplus", "elu", "tanh",
    "sigmoid", "gelu", "silu",
)
RATES = (3e-4, 1e-3, 3e-3)
SEEDS = 10
STEPS = 400
BATCH = 100
WIDTHS = (40, 100, 100, 10)
ROUNDS = 3

CONTENDERS = {
    "loader": "DataLoader loop",
    "sliced": "sliced loop, fused Adam",
    "ours": "relubook.training",
    "neighbour": "relubook.training, a busy neighbour",
    "jax": "JAX, lax.map and scan",
}


def main():
    names = list(CONTENDERS)
    if importlib.util.find_spec("jax") is None:
        names.remove("jax")
        print("JAX is not installed (extra `bench`): left out")
    runs = [
        {"round": r, "name": name, **_in_a_process(name)}
        for r in range(ROUNDS) for name in names
    ]
    table = pd.DataFrame(runs)
    table["per wall second"] = table["member_steps"] / table["wall"]
    table["per CPU second"] = table["member_steps"] / table["cpu"]
    rates = table.pivot(index="round", columns="name", values="per wall second")
    lines = []
    for name in names:
        own = table[table["name"] == name]
        ratio = rates["ours"] / rates[name]
        lines.append({
            "": CONTENDERS[name],
            "member-steps/s": _spread(own["per wall second"]),
            "per CPU second": _spread(own["per CPU second"]),
            "ours is faster by": "" if name == "ours" else _spread(ratio, "{:.2f}"),
            "peak MiB": f"{own['peak_mib'].max():.0f}",
        })
    print(pd.DataFrame(lines).to_string(index=False))
    peak = table["peak_flops"].max()
    share = rates["ours"].median() * _flops_per_step() / peak
    print(
        f"\nMatrix products are {share:.0%} of what torch.mm reaches here with two "
        f"threads on 1000 x 1000 ({peak / 1e9:.0f} Gflop/s)."
        "\nMedian of the rounds (lowest to highest)."
    )
    _on_gpu()


def _spread(values, form="{:,.0f}"):
    median, low, high = np.median(values), np.min(values), np.max(values)
    return " ".join((form, f"({form}-{form})")).format(median, low, high)


def _in_a_process(name):
    command = [sys.executable, "-m", "benchmarks.training", name]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(output.splitlines()[-1])


def _measure(name):
    """Run one contender here and print what it took."""
    run = {"loader": _loader, "sliced": _sliced, "ours": _ours, "neighbour": _ours,
           "jax": _jax}[name]
    job = run()  # imports
    neighbour = None
    if name == "neighbour":
        neighbour = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
        neighbour.start()
        time.sleep(2)
    wall, cpu = time.perf_counter(), time.process_time()
    members, accuracy = job()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if neighbour is not None:
        neighbour.kill()
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({
        "member_steps": members * STEPS, "wall": wall, "cpu": cpu, "peak_mib": peak_mib,
        "accuracy": accuracy, "peak_flops": _peak() if name == "ours" else 0.0,
    }))


def _spin():
    while True:
        pass


def _flops_per_step():
    products = [fan_in * units for fan_in, units in zip(WIDTHS, WIDTHS[1:])]
    return 2 * BATCH * (3 * sum(products) - products[0])  # none for the input's gradient


def _peak(size=1000, seconds=2):
    """Floating-point operations a second of torch.mm with a thread per core."""
    import torch

    torch.set_num_threads(multiprocessing.cpu_count())
    a, b = torch.rand(size, size), torch.rand(size, size)
    best, end = np.inf, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        torch.mm(a, b)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def _recipes(seeds=range(SEEDS), rates=RATES):
    from relubook.training import Recipe

    return [
        Recipe(activation=activation, widths=WIDTHS[1:-1], lr=lr, seed=seed,
               batch_size=BATCH, num_epochs=10)
        for activation in ACTIVATIONS for lr in rates for seed in seeds
    ]


def _data():
    """MNIST-1D with 4000 training examples, the library's own split: 40 steps an epoch.
    """
    from relubook.datasets import Dataset, mnist1d

    data = mnist1d()
    x, y = (np.concatenate(pair) for pair in zip(data.train, data.validation))
    return Dataset("mnist1d", train=(x, y), test=data.test, num_classes=10)


def _ours():
    from relubook.training import train

    data = _data()

    def job():
        recipes = _recipes()
        results = train(recipes, data, every=10, device="cpu", progress=False)
        last = results[results["epoch"] == 10]
        return len(recipes), last["test_accuracy"].mean()

    return job


def _single_networks(train_one):
    import torch

    from relubook.initialisation import initialise_
    from relubook.networks import mlp

    data = _data()
    x, y, x_test, y_test = (torch.tensor(a) for a in (*data.train, *data.test))

    def job():
        accuracy = []
        for recipe in _recipes(seeds=[0], rates=[1e-3]):
            network = mlp(WIDTHS, recipe.activation)
            initialise_(network, gain=recipe.activation, seed=recipe.seed)
            train_one(network, x, y)
            with torch.no_grad():
                hits = network(x_test).argmax(1) == y_test
            accuracy.append(hits.double().mean().item())
        return len(accuracy), np.mean(accuracy)

    return job


def _loader():
    """As tutorials write it."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    def train_one(network, x, y):
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
        loss_function = torch.nn.CrossEntropyLoss()
        loader = DataLoader(TensorDataset(x, y), BATCH, shuffle=True, drop_last=True)
        for _ in range(STEPS * BATCH // len(x)):
            for inputs, labels in loader:
                optimizer.zero_grad()
                loss = loss_function(network(inputs), labels)
                loss.backward()
                optimizer.step()

    return _single_networks(train_one)


def _sliced():
    """The same without the loader, with one thread and one kernel for Adam."""
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)

    def train_one(network, x, y):
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
        for _ in range(STEPS * BATCH // len(x)):
            order = torch.randperm(len(x))
            inputs, labels = x[order].split(BATCH), y[order].split(BATCH)
            for batch, label in zip(inputs, labels):
                optimizer.zero_grad()
                F.cross_entropy(network(batch), label).backward()
                optimizer.step()

    return _single_networks(train_one)


def _jax():
    from benchmarks._training_jax import job

    data, recipes = _data(), _recipes()
    return lambda: job(data, recipes, WIDTHS, STEPS, BATCH)


def _on_gpu():
    import torch

    if not torch.cuda.is_available():
        return
    from relubook.training import train

    data = _data()
    for seeds in (10, 137):  # 300 and 4110 members
        recipes = _recipes(seeds=range(seeds))
        train(recipes[:10], data, every=10, progress=False)  # first calls
        start = time.perf_counter()
        train(recipes, data, every=10, progress=False)
        wall = time.perf_counter() - start
        rate = len(recipes) * STEPS / wall
        print(
            f"\n{torch.cuda.get_device_name()}: {len(recipes)} members, {rate:,.0f} "
            f"member-steps/s ({wall:.1f} s); at about 1 MB of traffic a member-step, "
            f"{rate / 1e6:.2f} TB/s"
        )


if __name__ == "__main__":
    _measure(sys.argv[1])
