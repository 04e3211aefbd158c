"""The experiments of the chapter "ELU"."""

from itertools import product
from types import MappingProxyType

import numpy as np
import pandas as pd

from relubook import records
from relubook.experiments import common
from relubook.experiments.common import (
    DEVICES,
    Experiment,
    by_name,
    check_seeds,
    keyed,
    table,
)
from relubook.experiments.learning import dying_recipe
from relubook.experiments.softplus import SHIFTED_RELU

ACTIVATIONS = MappingProxyType({
    "relu": "relu", "leaky_relu": "leaky_relu", "centred relu": SHIFTED_RELU,
    "elu": "elu",
})
SETTINGS = MappingProxyType({  # dataset, momentum, learning rates
    "digits": ("digits", 0.0, (0.04, 0.08, 0.16, 0.32, 0.64)),
    "digits, momentum": ("digits", 0.9, (0.0025, 0.005, 0.01, 0.02, 0.04)),
    "MNIST-1D, momentum": ("mnist1d", 0.9, (0.005, 0.01, 0.02, 0.04, 0.08)),
})


def mean_shift_tuning(seeds, device="cpu"):
    """Training loss after ten epochs, by learning rate, for each activation.

    Each seed trains a `mean_shift_recipe` in every one of the `SETTINGS`, with each of
    the `ACTIVATIONS` and each of the setting's learning rates. The seeds are others
    than those of `mean_shift`, for which rates are chosen here.

    Returns a row for each: `setting`, `activation`, `lr`, `seed`, `epoch`, `train_loss`
    and `diverged`.

    Raises ValueError for seeds that are not distinct integers >= 0.
    """
    columns, tables = EXPERIMENTS["mean_shift_tuning"].columns, []
    for setting, (data, _, rates) in SETTINGS.items():
        recipes = {
            (setting, name, lr, seed): mean_shift_recipe(setting, name, lr, seed)
            for seed in check_seeds(seeds) for name, lr in product(ACTIVATIONS, rates)
        }
        tables.append(common.train_to_the_end(columns, recipes, data, device))
    return table(columns, tables)


def mean_shift(seeds, device="cpu"):
    """Training loss and the means of units, each activation at its own learning rate.

    The rates are those that `chosen_rates()` holds. A unit's mean is that of its
    activation over the training examples.

    Returns a row for each setting, activation and seed: `setting`, `activation`, `lr`,
    `seed`, `train_loss`, and over all hidden units the medians `mean_before` and
    `mean_after`, of the size of the mean before and after training, and `share_after`,
    of that size divided by the unit's root mean square (units that are always 0 left
    out). All but the mean before are NaN for a network that diverged.

    Raises ValueError for seeds that are not distinct integers >= 0, `RecordError`
    without the record of `mean_shift_tuning`.

    Reference: Clevert, Unterthiner and Hochreiter, "Fast and Accurate Deep Network
    Learning by Exponential Linear Units (ELUs)" (2016), section 4.1.
    """
    columns, tables = EXPERIMENTS["mean_shift"].columns, []
    rates = chosen_rates().set_index(["setting", "activation"])["lr"].to_dict()
    for setting, (data, *_) in SETTINGS.items():
        recipes = {
            (setting, name, rates[setting, name], seed):
                mean_shift_recipe(setting, name, rates[setting, name], seed)
            for seed in check_seeds(seeds) for name in ACTIVATIONS
        }
        ends, networks = train_networks(recipes.values(), data, device)
        after = [unit_means(network, data) for network in networks]
        ends = ends.assign(
            mean_before=[unit_means(_untrained(recipe, data), data)[0]
                         for recipe in recipes.values()],
            mean_after=[size for size, _ in after],
            share_after=[share for _, share in after],
        )
        tables.append(keyed(columns, ends, recipes))
    return table(columns, tables)


def mean_shift_recipe(setting, activation, lr, seed):
    """A `Recipe` of the comparison of means: 8 x 128 units, ten epochs of SGD.

    `setting` is one of `SETTINGS`, `activation` one of `ACTIVATIONS`; each has He's
    weights with its own gain.

    >>> mean_shift_recipe("digits, momentum", "elu", lr=0.01, seed=0).momentum
    0.9
    """
    from relubook.training import Recipe

    _, momentum, _ = SETTINGS[setting]
    return Recipe(
        activation=ACTIVATIONS[activation], lr=lr, seed=seed, optimizer="sgd",
        momentum=momentum, **_NETWORK,
    )


def chosen_rates():
    """The learning rate of each setting and activation, from `mean_shift_tuning`.

    The one with the fewest diverged networks, among these with the least mean training
    loss at the end: the loss is what `mean_shift` compares.

    Returns a row for each, with its `lr` and `edge`: "lowest" or "highest" where the
    choice ends its grid, else "". Raises `RecordError` where there is no record.
    """
    tried = records.load("mean_shift_tuning").data
    tried = tried.groupby(["setting", "activation", "lr"], sort=False).agg(
        diverged=("diverged", "sum"), train_loss=("train_loss", "mean")
    ).reset_index()
    choices = []
    for condition, rows in tried.groupby(["setting", "activation"], sort=False):
        best = rows.sort_values(["diverged", "train_loss", "lr"]).iloc[0]
        ends = {rows["lr"].min(): "lowest", rows["lr"].max(): "highest"}
        choices.append((*condition, best["lr"], best["train_loss"],
                        ends.get(best["lr"], "")))
    return pd.DataFrame(
        choices, columns=["setting", "activation", "lr", "train_loss", "edge"]
    )


def saturation(seeds, device="cpu"):
    """How many ELU units have no slope to speak of after training with Adam.

    Each seed trains the same networks as `learning.dying`, those of ELU. With z the
    largest pre-activation of a unit over the training examples, the unit is *faint* if
    its slope there is below 0.01, *rounded* if its value there is exactly -1 in
    float32, and *dead* if its slope there is 0 in training, which takes numbers below
    the smallest normal one for 0. For all other examples it is then so too.

    Returns a row for each depth and learning rate: `depth`, `lr`, `seed`, the shares
    `faint`, `rounded` and `dead` of all hidden units, means over the layers, and
    `train_loss`; NaN if it diverged.

    Raises ValueError for seeds that are not distinct integers >= 0.
    """
    columns = EXPERIMENTS["saturation"].columns
    recipes = {
        (depth, lr, seed): dying_recipe("elu", depth, lr, seed)
        for seed in check_seeds(seeds)
        for depth, lr in product((2, 5, 10), (0.001, 0.01, 0.03, 0.1))
    }
    ends, networks = train_networks(recipes.values(), "digits", device)
    shares = [saturated_shares(network, "digits") for network in networks]
    found = pd.DataFrame(shares, columns=["faint", "rounded", "dead"], index=ends.index)
    return table(columns, [keyed(columns, ends.join(found), recipes)])


def train_networks(recipes, data, device):
    """The last row of each member, and its network, None where it diverged."""
    from relubook.training import train

    recipes = list(recipes)
    results, networks = train(
        recipes, common.training_data(data), every=recipes[0].num_epochs,
        device=device, networks=True,
    )
    return results.groupby("member").tail(1).set_index("member"), networks


def unit_means(network, data):
    """Medians over hidden units: of the size of their mean, and its share of the rms.

    `network` is a torch module as `relubook.networks.mlp` builds it, `data` the name of
    a dataset; means are over its training examples. Both are NaN for None, the share too
    where all units are always 0.

    >>> unit_means(None, "digits")
    (nan, nan)
    """
    if network is None:
        return np.nan, np.nan
    signals = [h for _, h in _hidden(network, data)]
    means = np.concatenate([h.mean(axis=0) for h in signals])
    squares = np.concatenate([(h**2).mean(axis=0) for h in signals])
    awake = squares > 0
    shares = np.abs(means[awake]) / np.sqrt(squares[awake])
    share = float(np.median(shares)) if awake.any() else np.nan
    return float(np.median(np.abs(means))), share


def saturated_shares(network, data):
    """The shares of faint, rounded and dead ELU units, see `saturation`; NaN for None.

    >>> saturated_shares(None, "digits")
    (nan, nan, nan)
    """
    if network is None:
        return np.nan, np.nan, np.nan
    layers = []
    for pre_activation, activation in _hidden(network, data, np.float32):
        largest = pre_activation.max(axis=0)
        with np.errstate(under="ignore"):
            slope = np.exp(np.minimum(largest, 0))
        top = activation.max(axis=0)
        dead = slope < np.finfo(np.float32).tiny
        layers.append([np.mean(slope < 0.01), np.mean(top == -1), np.mean(dead)])
    return tuple(map(float, np.mean(layers, axis=0)))


_NETWORK = {"widths": (128,) * 8, "num_epochs": 10}


def _hidden(network, data, dtype=np.float64):
    """Pairs of arrays [examples, units], z and h, for each hidden layer."""
    import torch

    pairs, network = [], network.cpu()
    with torch.no_grad():
        signal = torch.tensor(common.training_data(data).train.x)
        for module in list(network)[:-1]:
            before, signal = signal, module(signal)
            if not isinstance(module, (torch.nn.Flatten, torch.nn.Linear)):
                pairs.append((before.numpy().astype(dtype), signal.numpy().astype(dtype)))
    return pairs


def _untrained(recipe, data):
    """The network of a recipe before training."""
    import torch

    from relubook.initialisation import gain, initialise_
    from relubook.networks import mlp

    data = common.training_data(data)
    inputs = int(np.prod(data.train.x.shape[1:]))
    with torch.random.fork_rng(devices=[]):  # the builder draws weights, for nothing
        network = mlp((inputs, *recipe.widths, data.num_classes), recipe.activation)
    return initialise_(network, gain=gain(recipe.activation), seed=recipe.seed)


EXPERIMENTS = by_name(
    Experiment(
        "mean_shift_tuning",
        mean_shift_tuning,
        seeds=range(100, 103),
        piece=3,
        columns=("setting", "activation", "lr", "seed", "epoch", "train_loss",
                 "diverged"),
        devices=DEVICES,
    ),
    Experiment(
        "mean_shift",
        mean_shift,
        seeds=range(16),
        piece=16,
        columns=("setting", "activation", "lr", "seed", "train_loss", "mean_before",
                 "mean_after", "share_after"),
        devices=DEVICES,
    ),
    Experiment(
        "saturation",
        saturation,
        seeds=range(10),
        piece=10,
        columns=("depth", "lr", "seed", "faint", "rounded", "dead", "train_loss"),
        devices=DEVICES,
    ),
)
