"""The experiments of the chapter "Maxout"."""

from dataclasses import replace
from itertools import product
from types import MappingProxyType

import numpy as np
import pandas as pd

from relubook import datasets, initialisation, networks, records, statistics
from relubook.activations import CATALOGUE
from relubook.experiments import common
from relubook.experiments.common import (
    DEVICES,
    Experiment,
    by_name,
    check_seeds,
    demand_cpu,
    keyed,
    table,
)

SIZES = (400, 3200)
NETWORKS = MappingProxyType({
    "48 ReLU": {"activation": "relu", "widths": (48,)},
    "240 ReLU": {"activation": "relu", "widths": (240,)},
    "48 maxout, k=2": {"activation": "maxout", "widths": (48,), "num_pieces": 2},
    "48 maxout, k=5": {"activation": "maxout", "widths": (48,), "num_pieces": 5},
})
REGULARISERS = MappingProxyType({
    "none": {}, "dropout": {"dropout": 0.25}, "decay": {"weight_decay": 0.01},
})
RATES = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4)
STEPS, BATCH = 1000, 50


def maxout_regularisation_tuning(seeds, device="cpu"):
    """Validation accuracy of ReLU and maxout networks, by size and learning rate.

    Each seed trains a `regularisation_recipe` for each of `SIZES`, `NETWORKS`,
    `REGULARISERS` and `RATES`. Returns a row for each: `size`, `network`,
    `regulariser`, `lr`, `seed`, `epoch`, `validation_accuracy` and `diverged`.

    Raises ValueError for seeds that are not distinct integers >= 0.
    """
    columns = EXPERIMENTS["maxout_regularisation_tuning"].columns
    return _train_conditions(columns, {
        (*key, lr, seed): regularisation_recipe(*key, lr, seed)
        for seed in check_seeds(seeds)
        for key in product(SIZES, NETWORKS, REGULARISERS) for lr in RATES
    }, device)


def maxout_regularisation(seeds, device="cpu"):
    """Accuracy by training-set size, pieces and regulariser, each at its own rate.

    The rates are those that `chosen_rates()` holds. Returns a row for each
    `regularisation_recipe`: `size`, `network`, `regulariser`, `lr`, `seed`,
    `train_accuracy` and `validation_accuracy`, both NaN if it diverged.

    Reference: Goodfellow, Warde-Farley, Mirza, Courville and Bengio, "Maxout
    Networks" (2013).
    """
    rates = chosen_rates().set_index(_CONDITION)["lr"].to_dict()
    columns = EXPERIMENTS["maxout_regularisation"].columns
    return _train_conditions(columns, {
        (*key, rates[key], seed): regularisation_recipe(*key, rates[key], seed)
        for seed in check_seeds(seeds)
        for key in product(SIZES, NETWORKS, REGULARISERS)
    }, device)


def regularisation_recipe(size, network, regulariser, lr, seed):
    """A `Recipe` of one hidden layer and 1000 steps of SGD with momentum.

    `size` is the number of training examples, which decides the number of epochs,
    `network` one of `NETWORKS`, `regulariser` one of `REGULARISERS`.

    >>> regularisation_recipe(400, "48 ReLU", "dropout", lr=0.1, seed=0).num_epochs
    125
    """
    from relubook.training import Recipe

    return Recipe(
        **NETWORKS[network], **REGULARISERS[regulariser], lr=lr, seed=seed,
        optimizer="sgd", momentum=0.9, batch_size=BATCH,
        num_epochs=STEPS * BATCH // size,
    )


def first_examples(size):
    """MNIST-1D with only the first `size` training examples, and without its test.

    >>> first_examples(400)
    <mnist1d: x [1, 40], 10 classes, train 400, validation 800>
    """
    data = common.training_data("mnist1d")
    x, y = data.train
    return replace(data, train=datasets.Split(x[:size], y[:size]))


def chosen_rates():
    """The learning rate of each condition, by validation accuracy on other seeds.

    What `statistics.select_learning_rates` selects from the record of
    "maxout_regularisation_tuning"; `RecordError` where there is none.

    >>> list(chosen_rates().columns[:3])
    ['size', 'network', 'regulariser']
    """
    data = records.load("maxout_regularisation_tuning").data
    # Size by size: the numbers of epochs differ, for an equal number of steps.
    return pd.concat([
        statistics.select_learning_rates(some, "validation_accuracy", by=_CONDITION)
        for _, some in data.groupby("size")
    ], ignore_index=True)


_CONDITION = ["size", "network", "regulariser"]

SLOPES = (0, -1)
MOMENTS = (0, 1, 3, 10, 30, 100)


def maxout_dynamics(seeds, device="cpu"):
    """How far a network and its maxout copy are apart while both are trained.

    Each seed trains, for each slope of `SLOPES`, a network of 64 leaky units (ReLU,
    absolute value) on digits, its `maxout_copy`, and as a control a `tied` copy, whose
    second pieces remain the slope times the first. All have one start and one order of
    minibatches of 50, and take steps of SGD at rate 0.05, in float64.

    Returns a row for each slope, seed, `copy` ("free" or "tied") and step of `MOMENTS`:
    `distance` between the outputs of the network and its copy, and `travelled`, from
    the network's first outputs to its present ones, root mean squares over the
    validation examples.

    Raises ValueError for seeds that are not distinct integers >= 0, and for a device
    other than "cpu".
    """
    demand_cpu(device)
    rows = [
        (slope, seed, copy, *measured)
        for seed in check_seeds(seeds) for slope in SLOPES
        for copy, measured in distances(slope, seed)
    ]
    return pd.DataFrame(rows, columns=EXPERIMENTS["maxout_dynamics"].columns)


def distances(slope, seed, moments=MOMENTS):
    """Yield (copy, (step, distance, travelled)) of one seed of `maxout_dynamics`."""
    import torch

    data = common.training_data("digits")
    x = torch.tensor(data.validation.x, dtype=torch.float64)

    def outputs(network):
        with torch.no_grad():
            return [network(x) for _ in descents(network, data, seed, moments)]

    network = leaky_network(slope, seed)
    copies = {"free": maxout_copy(network, slope), "tied": tied_copy(network, slope)}
    original = outputs(network)
    for name, copy in copies.items():
        for step, ours, theirs in zip(moments, original, outputs(copy)):
            yield name, (step, _rms(theirs - ours), _rms(ours - original[0]))


def descents(network, data, seed, moments, lr=0.05):
    """Train a classifier by SGD, and pause after each of the steps `moments`."""
    import torch
    import torch.nn.functional as F

    x = torch.tensor(data.train.x, dtype=torch.float64)
    y = torch.tensor(data.train.y)
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.SGD(network.parameters(), lr=lr)
    for step in range(moments[-1] + 1):
        if step in moments:
            yield step
        batch = torch.from_numpy(rng.choice(len(x), BATCH, replace=len(x) < BATCH))
        with torch.enable_grad():
            optimiser.zero_grad()
            F.cross_entropy(network(x[batch]), y[batch]).backward()
        optimiser.step()


def leaky_network(slope, seed, units=64):
    """A network for digits with one hidden layer of leaky units, He's weights, float64.

    >>> leaky_network(-1, seed=0)[2].negative_slope
    -1.0
    """
    record = CATALOGUE["leaky_relu"].with_params(negative_slope=slope)
    network = networks.mlp((64, units, 10), record).double()
    return initialisation.initialise_(network, "he", gain=record, seed=seed)


def maxout_copy(network, slope):
    """A maxout network of two pieces that computes the function of a leaky one.

    Every `Linear` but the last becomes a `relubook.layers.Maxout` with the pieces
    (W, slope W) and (b, slope b); the activations behind are dropped. For slopes up to
    1, and up to rounding.
    """
    import torch

    from relubook.layers import Maxout

    *hidden, output = [part for part in network if isinstance(part, torch.nn.Linear)]
    layers = []
    for linear in hidden:
        layer = Maxout(linear.in_features, linear.out_features, dtype=linear.weight.dtype)
        with torch.no_grad():
            layer.weight.copy_(torch.stack([linear.weight, slope * linear.weight], 1))
            layer.bias.copy_(torch.stack([linear.bias, slope * linear.bias], 1))
        layers.append(layer)
    last = torch.nn.Linear(output.in_features, output.out_features,
                           dtype=output.weight.dtype)
    last.load_state_dict(output.state_dict())
    return torch.nn.Sequential(torch.nn.Flatten(), *layers, last)


def tied_copy(network, slope):
    """The same maxout network whose second pieces *are* the slope times the first."""
    import torch

    class Tied(torch.nn.Module):
        def __init__(self, linear):
            super().__init__()
            self.weight = torch.nn.Parameter(linear.weight.detach().clone())
            self.bias = torch.nn.Parameter(linear.bias.detach().clone())

        def forward(self, x):
            first = torch.nn.functional.linear(x, self.weight, self.bias)
            second = torch.nn.functional.linear(
                x, slope * self.weight, slope * self.bias
            )
            return torch.stack([first, second], dim=-1).max(dim=-1).values

    copy = maxout_copy(network, slope)
    copy[1] = Tied(network[1])
    return copy


def maxout_shapes(seeds, device="cpu"):
    """The shape of each maxout unit before and after training, on one input.

    Each seed trains a network of 8 maxout units with two pieces on 200 points of a
    sine. A unit with one input is y + leaky ReLU with a slope `alpha` in [-1, 1),
    shifted and stretched (`effective_slope`): the stretch is the larger slope, and
    alpha is the shape, which no change of scale changes.

    Returns a row for each seed and `unit`: `alpha` and `stretch` at the `before` and
    `after`, and the network's `train_loss`.

    Raises ValueError for seeds that are not distinct integers >= 0.
    """
    from relubook.training import Recipe, train

    seeds = check_seeds(seeds)
    recipes = [
        Recipe(activation="maxout", widths=(SHAPE_UNITS,), num_pieces=2, lr=0.01,
               num_epochs=SHAPE_EPOCHS, batch_size=50, seed=seed) for seed in seeds
    ]
    results, trained = train(
        recipes, datasets.toy_regression("sine"), networks=True, device=device,
        every=SHAPE_EPOCHS, progress=False,
    )
    losses = results.groupby("member")["train_loss"].last()
    rows = []
    for member, (seed, after) in enumerate(zip(seeds, trained)):
        before = networks.mlp((1, SHAPE_UNITS, 1), "maxout")
        initialisation.initialise_(before, "he", seed=seed)
        shapes = [effective_slope(net[1].weight[..., 0].detach().cpu().double().numpy())
                  for net in (before, after)]
        (alpha, stretch), (alpha_after, stretch_after) = shapes
        for unit in range(SHAPE_UNITS):
            rows.append((seed, unit, alpha[unit], alpha_after[unit], stretch[unit],
                         stretch_after[unit], losses[member]))
    return pd.DataFrame(rows, columns=EXPERIMENTS["maxout_shapes"].columns)


SHAPE_UNITS, SHAPE_EPOCHS = 8, 200


def effective_slope(slopes):
    """The leaky slope and the stretch of maxout units with one input and two pieces.

    slopes [..., 2] -> (alpha [...], stretch [...]): the slope of smaller size divided
    by the other, in [-1, 1], and the size of the other; NaN where both are 0.

    >>> effective_slope([[0.0, 2.0], [-3.0, 3.0], [-4.0, -1.0]])[0].tolist()
    [0.0, -1.0, 0.25]
    """
    slopes = np.asarray(slopes, float)
    order = np.argsort(np.abs(slopes), axis=-1, kind="stable")
    small, large = np.moveaxis(np.take_along_axis(slopes, order, axis=-1), -1, 0)
    with np.errstate(invalid="ignore"):
        return small / large, np.abs(large)


def _train_conditions(columns, recipes, device):
    """Train recipes keyed by size and so on; a row for the end of each."""
    from relubook.training import train

    tables = []
    for size in SIZES:
        some = {key: recipe for key, recipe in recipes.items() if key[0] == size}
        epochs = next(iter(some.values())).num_epochs
        results = train(list(some.values()), first_examples(size), every=epochs,
                        device=device)
        ends = results.groupby("member").tail(1).set_index("member")
        tables.append(keyed(columns, ends, some))
    return table(columns, tables)


def _rms(differences):
    return differences.square().mean().sqrt().item()


EXPERIMENTS = by_name(
    Experiment(
        "maxout_regularisation_tuning",
        maxout_regularisation_tuning,
        seeds=range(100, 103),
        piece=3,
        columns=("size", "network", "regulariser", "lr", "seed", "epoch",
                 "validation_accuracy", "diverged"),
        devices=DEVICES,
    ),
    Experiment(
        "maxout_regularisation",
        maxout_regularisation,
        seeds=range(12),
        piece=12,
        columns=("size", "network", "regulariser", "lr", "seed", "train_accuracy",
                 "validation_accuracy"),
        devices=DEVICES,
    ),
    Experiment(
        "maxout_dynamics",
        maxout_dynamics,
        seeds=range(12),
        piece=12,
        columns=("slope", "seed", "copy", "step", "distance", "travelled"),
    ),
    Experiment(
        "maxout_shapes",
        maxout_shapes,
        seeds=range(20),
        piece=20,
        columns=("seed", "unit", "alpha_before", "alpha_after", "stretch_before",
                 "stretch_after", "train_loss"),
        devices=DEVICES,
    ),
)
