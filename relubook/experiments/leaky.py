"""The experiments of the chapter "Leaky ReLU, absolute value, PReLU"."""

from dataclasses import replace
from itertools import product
from types import MappingProxyType

import numpy as np
import pandas as pd

from relubook import datasets, records, statistics
from relubook.activations import CATALOGUE
from relubook.experiments import common
from relubook.experiments.common import (
    DEVICES,
    Experiment,
    by_name,
    check_seeds,
    keyed,
    table,
    train_to_the_end,
)

SLOPES = (-1.0, 0.0, 0.001, 0.01, 0.1, 2/11, 0.5, 1.0)
SWEPT = MappingProxyType({  # the data, the network, the learning rates
    "2 layers": ("mnist1d", {"widths": (100, 100), "num_epochs": 15},
                 (1/128, 1/64, 1/32, 1/16, 1/8, 1/4)),
    "10 layers": ("digits", {"widths": (64,) * 10, "num_epochs": 20},
                  (1/512, 1/256, 1/128, 1/64, 1/32, 1/16)),
})


def slope_tuning(seeds, device="cpu"):
    """Validation accuracy by the negative slope and the learning rate.

    Each seed trains a `slope_recipe` for each network of `SWEPT`, each of its learning
    rates and each of the `SLOPES`. Returns a row for each: `network`,
    `negative_slope`, `lr`, `seed`, `epoch`, `validation_accuracy` and `diverged`.
    """
    seeds, columns = check_seeds(seeds), EXPERIMENTS["slope_tuning"].columns
    tables = []
    for network, (data, _, rates) in SWEPT.items():
        recipes = {
            (network, slope, lr, seed): slope_recipe(network, slope, lr, seed)
            for seed in seeds for slope, lr in product(SLOPES, rates)
        }
        tables.append(train_to_the_end(columns, recipes, data, device))
    return table(columns, tables)


def slope_sweep(seeds, device="cpu"):
    """Accuracy by the negative slope, the learning rate tuned for each.

    The rates are those that `chosen_rates("slope_tuning")` holds. Returns a row for
    each `slope_recipe`: `network`, `negative_slope`, `lr`, `seed`, `train_loss` and
    `validation_accuracy`, both NaN if it diverged.

    Reference: Xu, Wang, Chen and Li, "Empirical Evaluation of Rectified Activations
    in Convolutional Network" (2015).
    """
    rates, columns = _rates("slope_tuning"), EXPERIMENTS["slope_sweep"].columns
    seeds, tables = check_seeds(seeds), []
    for network, (data, _, _) in SWEPT.items():
        keys = [(network, slope, rates[network, slope]) for slope in SLOPES]
        recipes = {
            (*key, seed): slope_recipe(*key, seed) for seed in seeds for key in keys
        }
        tables.append(train_to_the_end(columns, recipes, data, device))
    return table(columns, tables)


def slope_recipe(network, negative_slope, lr, seed):
    """A `Recipe` of the sweep of slopes: SGD with momentum, one of `SWEPT`.

    The weights have the gain of the slope, so that slope 0 is ReLU, -1 the absolute
    value and 1 the identity.

    >>> slope_recipe("10 layers", 2 / 11, lr=0.01, seed=0).num_hidden
    10
    """
    from relubook.training import Recipe

    _, sizes, _ = SWEPT[network]
    leaky = CATALOGUE["leaky_relu"].with_params(negative_slope=negative_slope)
    return Recipe(activation=leaky, lr=lr, seed=seed, **sizes, **_MOMENTUM)


POLAR = MappingProxyType({  # one hidden layer each
    "digits": {"widths": (16,), "num_epochs": 30},
    "mnist1d": {"widths": (100,), "num_epochs": 20},
})
POLARITIES = ("one", "both")
POLAR_ACTIVATIONS = ("absolute_value", "relu", "leaky_relu", "prelu", "tanh")
POLAR_RATES = (1/64, 1/32, 1/16, 1/8, 1/4, 1/2)


def polarity_tuning(seeds, device="cpu"):
    """Validation accuracy on examples of one or both polarities, by learning rate.

    Each seed trains a `polar_recipe` for both data sets, both `POLARITIES`, each of
    the `POLAR_ACTIVATIONS` and each of the `POLAR_RATES`. Returns a row for each:
    `data`, `polarity`, `activation`, `lr`, `seed`, `epoch`, `validation_accuracy` and
    `diverged`.
    """
    seeds, tables = check_seeds(seeds), []
    for data, polarity in product(POLAR, POLARITIES):
        keys = list(product(POLAR_ACTIVATIONS, POLAR_RATES, seeds))
        found, _ = _train_polar(data, polarity, keys, device)
        tables.append(found)
    return table(EXPERIMENTS["polarity_tuning"].columns, tables)


def polarity(seeds, device="cpu"):
    """Accuracy on examples and on their negatives, trained on one or both polarities.

    The rates are those that `chosen_rates("polarity_tuning")` holds. Returns a row for
    each `polar_recipe`: `data`, `polarity`, `activation`, `lr`, `seed`,
    `validation_accuracy`, `negatives_accuracy` (of the validation examples reversed),
    NaN if it diverged, and `slope`, the slope that PReLU learned, NaN for the others.

    Reference: Jarrett, Kavukcuoglu, Ranzato and LeCun, "What is the Best Multi-Stage
    Architecture for Object Recognition?" (2009).
    """
    rates, seeds, tables = _rates("polarity_tuning"), check_seeds(seeds), []
    for data, sign in product(POLAR, POLARITIES):
        keys = [(name, rates[data, sign, name], seed)
                for seed in seeds for name in POLAR_ACTIVATIONS]
        found, networks = _train_polar(data, sign, keys, device)
        found["slope"] = [_mean_slopes(network)[0] for network in networks]
        tables.append(found)
    return table(EXPERIMENTS["polarity"].columns, tables)


def polar_recipe(data, activation, lr, seed):
    """A `Recipe` of the comparison of polarities: SGD with momentum, one hidden layer.

    >>> polar_recipe("digits", "absolute_value", lr=0.1, seed=0).widths
    (16,)
    """
    from relubook.training import Recipe

    return Recipe(activation=activation, lr=lr, seed=seed, **POLAR[data], **_MOMENTUM)


def polarity_data(name, polarity):
    """A `Dataset` of which each example has mean 0, so that its reversal is its negative.

    name: "digits" or "mnist1d". From each example its own mean is subtracted, then all
    are divided by one number. So the reversal c - x of the raw example, whatever the
    constant c, becomes exactly minus the example. With `polarity="both"` a coin, the
    same at each call, decides for each example whether it is reversed; with "one" none
    is. The test examples are the validation examples reversed: nothing here looks at
    the data set's own.

    Raises `ValueError` for another name or polarity.

    >>> data = polarity_data("digits", "both")
    >>> bool((data.test.x == -data.validation.x).all())
    True
    """
    if name not in POLAR:
        raise ValueError(f"name={name!r}, want {' or '.join(map(repr, POLAR))}")
    if polarity not in POLARITIES:
        raise ValueError(f"polarity={polarity!r}, want 'one' or 'both'")
    data = common.training_data(name)
    axes = tuple(range(1, data.train.x.ndim))

    def centred(x):
        return x - x.mean(axis=axes, keepdims=True, dtype=float)

    scale, coins = centred(data.train.x).std(), np.random.default_rng(0)
    parts = {}
    for part in ("train", "validation"):
        x, y = getattr(data, part)
        signs = coins.choice([-1, 1], size=(len(x), *(1 for _ in axes)))
        signs = signs if polarity == "both" else 1
        parts[part] = datasets.Split(signs * centred(x) / scale, y)
    x, y = parts["validation"]
    return replace(data, **parts, test=datasets.Split(-x, y), mean=0.0, std=1.0)


DECAY = 0.005
PRELU_NETWORK = MappingProxyType({
    "channels": (16, 16, 16), "widths": (), "num_epochs": 20,
})
PRELU_RATES = tuple(2 ** (-half / 2) for half in range(12, 6, -1))
PRELU_CASES = MappingProxyType({
    "ReLU": {"activation": "relu"},
    "PReLU, layer": {"activation": "prelu", "prelu": "layer"},
    "PReLU, channel": {"activation": "prelu", "prelu": "unit"},
})
DECAY_CASES = MappingProxyType({  # at the learning rate of "PReLU, channel"
    "weights decayed": {"weight_decay": DECAY},
    "slopes decayed too": {"weight_decay": DECAY, "decay_slopes": True},
})


def prelu_tuning(seeds, device="cpu"):
    """Validation accuracy of a CNN with ReLU and with PReLU, by learning rate.

    Each seed trains a `prelu_recipe` for each of `PRELU_CASES` and `PRELU_RATES`.
    Returns a row for each: `case`, `lr`, `seed`, `epoch`, `validation_accuracy` and
    `diverged`.
    """
    recipes = {
        (case, lr, seed): prelu_recipe(case, lr, seed)
        for seed in check_seeds(seeds)
        for case, lr in product(PRELU_CASES, PRELU_RATES)
    }
    return train_to_the_end(
        EXPERIMENTS["prelu_tuning"].columns, recipes, "mnist1d", device
    )


def prelu_slopes(seeds, device="cpu"):
    """The slopes that PReLU learns in each layer of a CNN, and how well it then does.

    The rates are those that `chosen_rates("prelu_tuning")` holds. Returns a row for
    each `prelu_recipe`: `case`, `lr`, `seed`, `slope_1` to `slope_3`, the means over
    a layer's channels (0 for ReLU), `train_loss` and `validation_accuracy`. Those of a
    network that diverged are NaN, but for ReLU's slopes.

    Reference: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers" (2015), table 1.
    """
    from relubook.training import train

    rates = _rates("prelu_tuning")
    lrs = {case: rates[case] for case in PRELU_CASES}
    lrs |= dict.fromkeys(DECAY_CASES, rates["PReLU, channel"])
    recipes = {
        (case, lr, seed): prelu_recipe(case, lr, seed)
        for seed in check_seeds(seeds) for case, lr in lrs.items()
    }
    results, networks = train(
        list(recipes.values()), common.training_data("mnist1d"), every=1000,
        device=device, networks=True,
    )
    columns = EXPERIMENTS["prelu_slopes"].columns
    ends = keyed(columns, _ends(results), recipes)
    slopes = [_mean_slopes(network, 3) for network in networks]
    ends[["slope_1", "slope_2", "slope_3"]] = slopes
    ends.loc[ends["case"] == "ReLU", ["slope_1", "slope_2", "slope_3"]] = 0.0
    return table(columns, [ends])


def prelu_recipe(case, lr, seed):
    """A `Recipe` of the study of PReLU: a CNN of three layers of 16 channels.

    `case` is one of `PRELU_CASES` or `DECAY_CASES`.

    >>> prelu_recipe("slopes decayed too", lr=0.01, seed=0).decay_slopes
    True
    """
    from relubook.training import Recipe

    own = PRELU_CASES.get(case) or PRELU_CASES["PReLU, channel"] | DECAY_CASES[case]
    return Recipe(lr=lr, seed=seed, **own, **PRELU_NETWORK, **_MOMENTUM)


def chosen_rates(tuning):
    """The learning rate of each condition, chosen from a recorded tuning run.

    What `statistics.select_learning_rates` selects by validation accuracy from
    "slope_tuning", "polarity_tuning" or "prelu_tuning": a row for each condition, with
    its `lr` and `edge`, "" where the choice lies inside its grid.

    Raises KeyError for another name, `RecordError` where there is no record.

    >>> chosen_rates("prelu_tuning")["case"].tolist()
    ['ReLU', 'PReLU, layer', 'PReLU, channel']
    """
    by, data = _TUNED[tuning], records.load(tuning).data
    # Data sets are trained for as long as they need: each is chosen for by itself.
    parts = [data] if len(by) == 1 else [rows for _, rows in data.groupby(by[0], sort=False)]
    chosen = [
        statistics.select_learning_rates(part, "validation_accuracy", by=by)
        for part in parts
    ]
    return pd.concat(chosen, ignore_index=True)


_MOMENTUM = {"optimizer": "sgd", "momentum": 0.9}
_TUNED = {
    "slope_tuning": ["network", "negative_slope"],
    "polarity_tuning": ["data", "polarity", "activation"],
    "prelu_tuning": ["case"],
}


def _rates(tuning):
    by = _TUNED[tuning]
    return chosen_rates(tuning).set_index(by if len(by) > 1 else by[0])["lr"].to_dict()


def _train_polar(data, polarity, keys, device):
    """Train for (activation, lr, seed); a row for each end, and the networks."""
    from relubook.training import train

    recipes = [polar_recipe(data, *key) for key in keys]
    results, networks = train(
        recipes, polarity_data(data, polarity), every=1000, device=device, networks=True
    )
    keys = pd.DataFrame(keys, columns=["activation", "lr", "seed"])
    ends = _ends(results).rename(columns={"test_accuracy": "negatives_accuracy"})
    return ends.assign(data=data, polarity=polarity, **keys), networks


def _ends(results):
    """The last row of each member, in the order of the recipes."""
    return results.groupby("member").tail(1).set_index("member").sort_index()


def _mean_slopes(network, count=1):
    """The mean slope of each PReLU of a network; NaN where there is none."""
    import torch

    if network is None:
        return [np.nan] * count
    slopes = [float(module.weight.detach().mean()) for module in network.modules()
              if isinstance(module, torch.nn.PReLU)]
    return slopes or [np.nan] * count


EXPERIMENTS = by_name(
    Experiment(
        "slope_tuning",
        slope_tuning,
        seeds=range(100, 103),
        piece=3,
        columns=("network", "negative_slope", "lr", "seed", "epoch",
                 "validation_accuracy", "diverged"),
        devices=DEVICES,
    ),
    Experiment(
        "slope_sweep",
        slope_sweep,
        seeds=range(12),
        piece=12,
        columns=("network", "negative_slope", "lr", "seed", "train_loss",
                 "validation_accuracy"),
        devices=DEVICES,
    ),
    Experiment(
        "polarity_tuning",
        polarity_tuning,
        seeds=range(100, 104),
        piece=4,
        columns=("data", "polarity", "activation", "lr", "seed", "epoch",
                 "validation_accuracy", "diverged"),
        devices=DEVICES,
    ),
    Experiment(
        "polarity",
        polarity,
        seeds=range(16),
        piece=16,
        columns=("data", "polarity", "activation", "lr", "seed",
                 "validation_accuracy", "negatives_accuracy", "slope"),
        devices=DEVICES,
    ),
    Experiment(
        "prelu_tuning",
        prelu_tuning,
        seeds=range(100, 104),
        piece=4,
        columns=("case", "lr", "seed", "epoch", "validation_accuracy", "diverged"),
        devices=DEVICES,
    ),
    Experiment(
        "prelu_slopes",
        prelu_slopes,
        seeds=range(12),
        piece=12,
        columns=("case", "lr", "seed", "slope_1", "slope_2", "slope_3", "train_loss",
                 "validation_accuracy"),
        devices=DEVICES,
    ),
)
