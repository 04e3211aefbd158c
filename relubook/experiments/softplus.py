"""The experiments of the chapter "Softplus"."""

from itertools import product
from types import MappingProxyType

import sympy as sp

from relubook import records, statistics
from relubook.activations import CATALOGUE, Activation, z
from relubook.experiments.common import (
    DEVICES,
    Experiment,
    by_name,
    check_seeds,
    table,
    train_to_the_end,
)

SHIFTED_SOFTPLUS = Activation(
    "shifted softplus", sp.log(1 + sp.exp(z)) - sp.log(2),
    module=lambda: _lowered("Softplus", sp.log(2)),
)
SHIFTED_RELU = Activation(
    "shifted relu", CATALOGUE["relu"].formula - 1 / sp.sqrt(2 * sp.pi),
    module=lambda: _lowered("ReLU", 1 / sp.sqrt(2 * sp.pi)),
)
SMOOTH_CASES = MappingProxyType({
    "relu": CATALOGUE["relu"],
    "softplus": CATALOGUE["softplus"],
    "softplus, beta 10": CATALOGUE["softplus"].with_params(beta=10),
    "shifted softplus": SHIFTED_SOFTPLUS,
    "shifted relu": SHIFTED_RELU,
})
SMOOTH_TASKS = MappingProxyType({  # the data, and what a recipe needs besides
    "cnn": ("mnist1d", {"channels": (16, 16, 16), "widths": (), "num_epochs": 20}),
    "mlp": ("mnist1d", {"widths": (100, 100), "num_epochs": 20}),
    "deep mlp": ("digits", {"widths": (64,) * 5, "num_epochs": 20}),
})
SMOOTH_RATES = tuple(2.0**power for power in range(-6, 0))


def smooth_tuning(seeds, device="cpu"):
    """Validation accuracy of rectifiers, smooth and not, by learning rate.

    Each seed trains a `smooth_recipe` for each of the `SMOOTH_TASKS`, `SMOOTH_CASES`
    and `SMOOTH_RATES`, the same for all. The seeds are others than those of
    `smoothness`, for which rates are chosen here.

    Returns a row for each: `task`, `case`, `lr`, `seed`, `epoch`,
    `validation_accuracy`, `diverged`.

    Raises ValueError for seeds that are not distinct integers >= 0.
    """
    conditions = list(product(SMOOTH_TASKS, SMOOTH_CASES, SMOOTH_RATES))
    return _ends("smooth_tuning", conditions, seeds, device)


def smoothness(seeds, device="cpu"):
    """Validation accuracy of rectifiers, smooth and not, each at its own learning rate.

    The rates are those that `chosen_rates` holds. Networks of one task and seed have
    the same minibatches and, but for the gain, the same first weights.

    Returns a row for each `smooth_recipe`: `task`, `case`, `lr`, `seed`, `train_loss`
    and `validation_accuracy`, both NaN if it diverged.

    Raises ValueError for seeds that are not distinct integers >= 0, `RecordError`
    without the record of `smooth_tuning`.

    Reference: Glorot, Bordes and Bengio, "Deep Sparse Rectifier Neural Networks"
    (2011), table 1.
    """
    chosen = chosen_rates()[["task", "case", "lr"]].itertuples(index=False, name=None)
    return _ends("smoothness", list(chosen), seeds, device)


def smooth_recipe(task, case, lr, seed):
    """A `Recipe` of the comparison: SGD with momentum, its rate falling as a cosine.

    `task` is one of `SMOOTH_TASKS`, `case` one of `SMOOTH_CASES`. Weights are He's with
    the case's own gain, biases 0.

    >>> smooth_recipe("deep mlp", "softplus", lr=0.1, seed=0).num_hidden
    5
    """
    from relubook.training import Recipe

    return Recipe(
        activation=SMOOTH_CASES[case], optimizer="sgd", momentum=0.9,
        schedule="cosine", lr=lr, seed=seed, **SMOOTH_TASKS[task][1],
    )


def chosen_rates():
    """The learning rate of each task and case, chosen from the record of the tuning.

    What `statistics.select_learning_rates` selects by validation accuracy: a row for
    each, with `lr` and `edge`, "lowest" or "highest" where the choice ends its grid,
    else "".

    Raises `RecordError` where there is no record.

    >>> list(chosen_rates().columns[:3])
    ['task', 'case', 'lr']
    """
    data = records.load("smooth_tuning").data
    return statistics.select_learning_rates(
        data, "validation_accuracy", by=["task", "case"]
    )


def _ends(name, conditions, seeds, device):
    """The last row of every condition, a task, a case and a rate, with every seed."""
    columns, seeds = EXPERIMENTS[name].columns, check_seeds(seeds)
    tables = []
    for task, (data, _) in SMOOTH_TASKS.items():
        recipes = {
            (task, case, lr, seed): smooth_recipe(task, case, lr, seed)
            for place, case, lr in conditions if place == task for seed in seeds
        }
        tables.append(train_to_the_end(columns, recipes, data, device))
    return table(columns, tables)


def _lowered(name, amount):
    import torch

    class Lowered(getattr(torch.nn, name)):
        def forward(self, z):
            return super().forward(z) - float(amount)

    return Lowered()


EXPERIMENTS = by_name(
    Experiment(
        "smooth_tuning",
        smooth_tuning,
        seeds=range(100, 103),
        piece=3,
        columns=("task", "case", "lr", "seed", "epoch", "validation_accuracy",
                 "diverged"),
        devices=DEVICES,
    ),
    Experiment(
        "smoothness",
        smoothness,
        seeds=range(20),
        piece=20,
        columns=("task", "case", "lr", "seed", "train_loss", "validation_accuracy"),
        devices=DEVICES,
    ),
)
