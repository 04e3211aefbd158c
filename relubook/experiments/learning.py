"""The experiments of the chapter "Learning through the kink"."""

import functools
from itertools import product
from types import MappingProxyType

import numpy as np
import pandas as pd
import sympy as sp

from relubook import datasets, initialisation, records, statistics
from relubook.activations import Activation, z
from relubook.experiments.common import (
    DEVICES,
    Experiment,
    by_name,
    check_seeds,
    demand_cpu,
    is_natural,
    keyed,
    table,
    train_all,
    train_to_the_end,
)


def born_dead(seeds, device="cpu"):
    """How many random deep, narrow ReLU networks are constant before any training.

    Each seed stands for 250 networks with one input, no biases, layers of width 2 and
    He's weights, W ~ N(0, 2 / fan_in). With one input and no bias the output is
    positively homogeneous, f(c x) = c f(x) for c >= 0, so x = 1 and x = -1 decide: a
    network is born dead when both reach the output as zeros. The networks of 5 hidden
    layers are those of 2 with three more, and so on.

    Returns one row for each seed and depth: `hidden_layers` (2, 5, 10, 20), `seed`,
    `networks`, and `dead`, how many of them were constant. Computed in float64.

    Raises ValueError for seeds that are not distinct integers >= 0, and for a device
    other than "cpu": there is too little work for another.

    >>> born_dead([0])[["hidden_layers", "networks"]].values.tolist()
    [[2, 250], [5, 250], [10, 250], [20, 250]]

    Reference: Lu, Shin, Su and Karniadakis, "Dying ReLU and Initialization: Theory and
    Numerical Examples" (2020).
    """
    if device != "cpu":
        raise ValueError(f"device={device!r}, want 'cpu'")
    networks, width, depths = 250, 2, (2, 5, 10, 20)
    rows = []
    for seed in check_seeds(seeds):
        rng = np.random.default_rng(seed)
        signal = np.tile([1.0, -1.0], (networks, 1, 1))  # [networks, units, inputs]
        for layer in range(1, max(depths) + 1):
            fan_in = signal.shape[1]
            weights = rng.normal(0, np.sqrt(2 / fan_in), (networks, width, fan_in))
            signal = np.maximum(weights @ signal, 0)
            if layer in depths:
                dead = int((signal == 0).all(axis=(1, 2)).sum())
                rows.append((layer, seed, networks, dead))
    return pd.DataFrame(rows, columns=EXPERIMENTS["born_dead"].columns)


def born_dead_bound(hidden_layers, width=2):
    """A lower bound on the probability that such a network is born dead.

    With N = width, k = hidden_layers - 1, a = 1 - 2^-N and
    b = 1 - 2^(1-N) - (N-1) 4^-N:

    1 - a^k - (1 - 2^(1-N)) (1 - 2^-N) / (1 + (N-1) 2^-N) (a^k - b^k).

    Weights may have any distribution that is the same in every direction. Behind it is
    a chain of three states: the images of x = 1 and x = -1 point in different
    directions, or one direction is left, or none. The angle between two images is a
    right angle after the first layer and at most that after the others; the bound
    takes it for a right angle always, so it is exact up to two hidden layers, and for
    one unit a layer.

    hidden_layers and width are integers >= 1, else ValueError; returns a float in
    [0, 1].

    >>> [round(100 * born_dead_bound(depth), 1) for depth in (1, 2, 5, 10, 20)]
    [0.0, 15.6, 60.0, 90.3, 99.5]

    Reference: Lu, Shin, Su and Karniadakis, "Dying ReLU and Initialization: Theory and
    Numerical Examples" (2020).
    """
    for name, value in (("hidden_layers", hidden_layers), ("width", width)):
        if not (is_natural(value) and value):
            raise ValueError(f"{name}={value!r}, want an integer >= 1")
    layers, half = int(hidden_layers) - 1, 2.0 ** -int(width)
    a = 1 - half
    b = 1 - 2 * half - (width - 1) * half**2
    share = (1 - 2 * half) * a / (1 + (width - 1) * half)
    return 1 - a**layers - share * (a**layers - b**layers)


def exact_zeros(seeds, device="cpu"):
    """Exact zeros among the pre-activations of random networks, float64 and float32.

    A seed is a network of 3 x 256 units whose weights and biases are uniform within
    1 / sqrt(fan_in), as `torch.nn.Linear` draws them, and one pass over all 1797
    images of `grey_digits`. `bias` says how the bias joins in: within the matrix
    product ("fused"), or added to its rounded result ("separate").

    Returns one row for each seed, `dtype` and `bias`: `zeros` of `number`
    pre-activations were exactly 0.

    Raises ValueError for seeds that are not distinct integers >= 0, and for a device
    other than "cpu": how many zeros there are depends on how the product is computed.

    >>> exact_zeros([0]).query("dtype == 'float64'")[["bias", "zeros"]].values.tolist()
    [['fused', 0], ['separate', 0]]

    Reference: Bertoin, Bolte, Gerchinovitz and Pauwels, "Numerical influence of
    ReLU'(0) on backpropagation" (2021).
    """
    return _exact_zeros(seeds, device, ("float64", "float32"))


def exact_zeros_half(seeds, device="cpu"):
    """Exact zeros among the same pre-activations in float16 and bfloat16.

    As `exact_zeros`, whose networks these are. There are so many more zeros that fewer
    networks will do.

    >>> len(exact_zeros_half([0]))
    4
    """
    return _exact_zeros(seeds, device, ("float16", "bfloat16"))


def value_at_kink(seeds, device="cpu"):
    """Test accuracy of networks trained with a number s for ReLU'(0).

    Each seed trains the `KINK_CASES`, once for each `s` of `KINK_VALUES`, by
    `train_at_kink`; nothing but s differs between the runs of one case and seed.

    Returns one row for each of them: `network`, `dtype`, `rule`, `s`, `seed`,
    `test_accuracy`, and `zeros`, the share of pre-activations met in training that
    were exactly 0.

    Raises ValueError for seeds that are not distinct integers >= 0, and for a device
    other than "cpu".

    Reference: Bertoin, Bolte, Gerchinovitz and Pauwels, "Numerical influence of
    ReLU'(0) on backpropagation" (2021).
    """
    demand_cpu(device)
    rows = [
        (*case, float(s), seed, *train_at_kink(*case, s, seed))
        for seed in check_seeds(seeds) for case in KINK_CASES for s in KINK_VALUES
    ]
    return pd.DataFrame(rows, columns=EXPERIMENTS["value_at_kink"].columns)


KINK_VALUES = (-100, -1, 0, 0.5, 1, 10, 100)
KINK_CASES = (  # network, dtype, rule
    ("mlp", "float64", "multiplied"),
    ("mlp", "float32", "multiplied"),
    ("mlp", "bfloat16", "multiplied"),
    ("mlp", "float16", "multiplied"),
    ("rounded", "float32", "multiplied"),
    ("cnn", "float64", "multiplied"),
    ("mlp", "float16", "assigned"),
    ("rounded", "float32", "assigned"),
)


def train_at_kink(network, dtype, rule, s, seed, num_epochs=12):
    """Train a `kink_network` on `grey_digits` with the number s for ReLU'(0).

    SGD in batches of 64, with a learning rate that falls from 0.5 to 0 epoch by epoch.
    With `rule="multiplied"` ReLU passes s times the upstream gradient on, as the chain
    rule demands; with "assigned" it passes s itself, a published mistake.

    Returns the test accuracy, in which an output that is not finite counts as wrong,
    and the share of pre-activations met in training that were exactly 0.
    """
    import torch
    import torch.nn.functional as F

    train, test = grey_digits()
    x, x_test = (torch.tensor(part.x, dtype=getattr(torch, dtype))
                 for part in (train, test))
    y, y_test = torch.tensor(train.y), torch.tensor(test.y)
    forward, parameters = kink_network(network, seed, dtype)
    relu = _relu_by_rule(rule, s)
    counts = []

    def counting(z):
        counts.append((int((z == 0).sum()), z.numel()))
        return relu(z)

    optimiser = torch.optim.SGD(parameters, lr=0.5)
    generator = torch.Generator().manual_seed(seed)
    for epoch in range(num_epochs):
        optimiser.param_groups[0]["lr"] = 0.5 * (1 - epoch / num_epochs)
        for batch in torch.randperm(len(x), generator=generator).split(64):
            optimiser.zero_grad()
            loss = F.cross_entropy(forward(x[batch], counting).float(), y[batch])
            loss.backward()
            optimiser.step()
    with torch.no_grad():
        outputs = forward(x_test, relu).float()
    right = (outputs.argmax(1) == y_test) & outputs.isfinite().all(1)
    zeros, number = np.sum(counts, axis=0)
    return right.double().mean().item(), float(zeros / number)


def kink_network(name, seed, dtype="float64"):
    """A network for 8 x 8 images that meets its kinks: (forward, parameters).

    "mlp": two hidden layers of 64 units, the bias added to the rounded product, so
    that there are zeros to speak of. "rounded": the same with pre-activations rounded
    to multiples of 1/64, which gradients pass as if they were not. "cnn": two padded
    convolutions of 8 channels with biases 0, so that blank margins give zeros.

    `forward(x, relu)` maps x [n, 1, 8, 8] to outputs [n, 10]; `parameters` are its
    torch tensors of type `dtype`, weight before bias, layer by layer. Raises
    ValueError for another name.

    >>> forward, parameters = kink_network("cnn", seed=0)
    >>> [list(parameter.shape) for parameter in parameters[:2]]
    [[8, 1, 3, 3], [8]]
    """
    import torch
    import torch.nn.functional as F

    if name not in ("mlp", "rounded", "cnn"):
        raise ValueError(f"name={name!r}, want 'mlp', 'rounded' or 'cnn'")
    layers = _convolutions(seed) if name == "cnn" else _uniform_layers(seed, 64, 64, 10)
    parameters = [value.to(getattr(torch, dtype)).requires_grad_()
                  for layer in layers for value in layer]
    W1, b1, W2, b2, W, b = parameters

    def cnn(x, relu):
        h = relu(F.conv2d(x, W1, b1, padding=1))
        h = relu(F.conv2d(h, W2, b2, padding=1, stride=2))
        return F.linear(h.flatten(1), W, b)

    def mlp(x, relu):
        h = x.flatten(1)
        for weights, biases in ((W1, b1), (W2, b2)):
            z = h @ weights.T + biases
            if name == "rounded":
                z = z + ((64 * z).round() / 64 - z).detach()
            h = relu(z)
        return h @ W.T + b

    return cnn if name == "cnn" else mlp, parameters


@functools.cache
def grey_digits():
    """The digits in grey values from 0 to 1, so that blank is 0: (train, test).

    Each is a `datasets.Split` with x float64 [n, 1, 8, 8] and y int64 [n]. Of the 1797
    examples 1077 are for training; the test has those for validation as well, as
    nothing is tuned.

    >>> [len(split.y) for split in grey_digits()]
    [1077, 720]
    """
    data = datasets.digits()

    def grey(*splits):
        x = np.concatenate([split.x for split in splits]) * data.std + data.mean
        return datasets.Split(
            np.rint(x) / 16, np.concatenate([split.y for split in splits])
        )

    return grey(data.train), grey(data.validation, data.test)


def _exact_zeros(seeds, device, dtypes):
    import torch
    import torch.nn.functional as F

    demand_cpu(device)
    products = {"fused": F.linear, "separate": lambda h, W, b: h @ W.T + b}
    images = np.concatenate([split.x for split in grey_digits()]).reshape(-1, 64)
    rows = []
    for seed in check_seeds(seeds):
        layers = list(_uniform_layers(seed, 256, 256, 256))
        for dtype, bias in product(dtypes, products):
            h, zeros, number = torch.tensor(images).to(getattr(torch, dtype)), 0, 0
            for layer in layers:
                z = products[bias](h, *(value.to(h.dtype) for value in layer))
                zeros += int((z == 0).sum())
                number += z.numel()
                h = torch.relu(z)
            rows.append((seed, dtype, bias, zeros, number))
    return pd.DataFrame(rows, columns=EXPERIMENTS["exact_zeros"].columns)


def _uniform_layers(seed, *widths, fan_in=64):
    """Weights and biases uniform within 1 / sqrt(fan_in), in float64."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for fan_out in widths:
        both = torch.rand(fan_out, fan_in + 1, generator=generator, dtype=torch.float64)
        both = (2 * both - 1) * fan_in**-0.5
        yield both[:, 1:], both[:, 0]
        fan_in = fan_out


def _convolutions(seed):
    """He's weights for two convolutions and an output layer, and biases 0."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for shape in ((8, 1, 3, 3), (8, 8, 3, 3), (10, 128)):
        weights = torch.randn(shape, generator=generator, dtype=torch.float64)
        scale = (2 / weights[0].numel()) ** 0.5
        yield scale * weights, torch.zeros(shape[0], dtype=torch.float64)


def _relu_by_rule(rule, s):
    from relubook.autodiff import relu_with

    def assigning(z):
        if z.requires_grad:
            at_kink = z.detach() == 0
            z.register_hook(lambda gradient: gradient.masked_fill(at_kink, s))
        return relu_with(0)(z)

    rules = {"multiplied": relu_with(s), "assigned": assigning}
    if rule not in rules:
        raise ValueError(f"rule={rule!r}, want 'multiplied' or 'assigned'")
    return rules[rule]


SLOPE_1_SIGMOID = Activation(
    "slope-1 sigmoid", 2 * sp.tanh(z / 2), module=lambda: _slope_1_sigmoid()
)
NETWORKS = MappingProxyType({
    "cnn": {"channels": (24, 24, 24), "widths": (), "num_epochs": 20},
    "mlp": {"widths": (100, 100), "num_epochs": 30},
})
CONVERGENCE_RATES = MappingProxyType({
    ("cnn", "relu"): (1/32, 1/16, 1/8, 1/4),
    ("cnn", "tanh"): (1/32, 1/16, 1/8, 1/4),
    ("mlp", "relu"): (1/32, 1/16, 1/8, 1/4),
    ("mlp", "tanh"): (1/32, 1/16, 1/8, 1/4),
    ("mlp", "slope-1 sigmoid"): (1/64, 1/32, 1/16, 1/8),
    ("mlp", "sigmoid"): (1/8, 1/4, 1/2, 1),
})


def convergence_tuning(seeds, device="cpu"):
    """Validation accuracy and time to 25 % training error, by learning rate.

    Each seed trains every `convergence_recipe` with each of its `CONVERGENCE_RATES`.
    The seeds are others than those of `convergence`, for which rates are chosen here.

    Returns a row for each network: `network`, `activation`, `lr`, `seed`, `epoch`,
    `validation_accuracy`, `diverged`, and `time`, the first epoch at which at most
    25 % of the training examples were classified wrongly, inf if that never happened.

    Raises ValueError for seeds that are not distinct integers >= 0.
    """
    tables = []
    for (network, activation), rates in CONVERGENCE_RATES.items():
        recipes = [convergence_recipe(network, activation, lr, seed)
                   for seed in check_seeds(seeds) for lr in rates]
        results = train_all(recipes, "mnist1d", device)
        reached = results["epoch"].where(results["train_accuracy"] >= 0.75)
        results["time"] = reached.groupby(results["member"]).transform("min")
        ends = results.groupby("member").tail(1).fillna({"time": np.inf})
        tables.append(ends.assign(network=network))
    return table(EXPERIMENTS["convergence_tuning"].columns, tables)


def convergence(seeds, device="cpu"):
    """Training error by epoch, for each activation at its own learning rate.

    The rates are those that `chosen_rates("convergence_tuning")` holds. Networks of
    one seed see the same minibatches.

    Returns a row for each network and epoch, 0 before training: `network`,
    `activation`, `lr`, `seed`, `epoch` and `train_error`, NaN once it has diverged.

    Raises ValueError for seeds that are not distinct integers >= 0, `RecordError`
    without the record of `convergence_tuning`.

    Reference: Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep
    Convolutional Neural Networks" (2012), figure 1.
    """
    rates = _rates("convergence_tuning")
    tables = []
    for network, activation in CONVERGENCE_RATES:
        lr = rates[network, activation]
        recipes = [convergence_recipe(network, activation, lr, seed)
                   for seed in check_seeds(seeds)]
        results = train_all(recipes, "mnist1d", device)
        every = pd.MultiIndex.from_product(
            [range(len(recipes)), range(recipes[0].num_epochs + 1)],
            names=["member", "epoch"],
        )
        error = 1 - results.set_index(["member", "epoch"])["train_accuracy"]
        rows = error.reindex(every).rename("train_error").reset_index()
        rows["seed"] = rows["member"].map(lambda member: recipes[member].seed)
        tables.append(rows.assign(network=network, activation=activation, lr=lr))
    return table(EXPERIMENTS["convergence"].columns, tables)


def convergence_recipe(network, activation, lr, seed):
    """A `Recipe` of the comparison of speeds: SGD with momentum on one of `NETWORKS`.

    Each activation has He's weights with its own gain.

    >>> convergence_recipe("cnn", "tanh", lr=0.1, seed=0).num_epochs
    20
    """
    from relubook.training import Recipe

    return Recipe(
        activation=_own(activation), lr=lr, seed=seed, **_MOMENTUM, **NETWORKS[network]
    )


DEPTHS = (2, 10, 30)
DEPTH_CASES = MappingProxyType({  # the activation and its weights
    "ReLU, He": ("relu", "he"),
    "ReLU, Xavier": ("relu", "xavier"),
    "tanh, Xavier": ("tanh", "xavier"),
    "slope-1 sigmoid, Xavier": ("slope-1 sigmoid", "xavier"),
    "sigmoid, Xavier": ("sigmoid", "xavier"),
})
POWERS_OF_4 = tuple(4.0**power for power in range(-8, 2))


def depth_tuning(seeds, device="cpu"):
    """Validation accuracy of networks of 2, 10 and 30 layers, by learning rate.

    Each seed trains a `depth_recipe` for each case, depth and learning rate 4^k,
    k = -5, ..., 1. Returns a row for each: `case`, `depth`, `lr`, `seed`, `epoch`,
    `validation_accuracy` and `diverged`.
    """
    recipes = {
        (case, depth, lr, seed): depth_recipe(case, depth, lr, seed)
        for seed in check_seeds(seeds)
        for case, depth, lr in product(DEPTH_CASES, DEPTHS, POWERS_OF_4[3:])
    }
    return train_to_the_end(
        EXPERIMENTS["depth_tuning"].columns, recipes, "digits", device
    )


def depth(seeds, device="cpu"):
    """Training loss of networks of 2, 10 and 30 layers, each at its own learning rate.

    The rates are those that `chosen_rates("depth_tuning")` holds. Returns a row for
    each `depth_recipe`: `case`, `depth`, `lr`, `seed`, `train_loss` and
    `train_accuracy`, both NaN if it diverged.

    Reference: He, Zhang, Ren and Sun, "Delving Deep into Rectifiers" (2015), figure 3.
    """
    rates = _rates("depth_tuning")
    recipes = {
        (*key, rates[key], seed): depth_recipe(*key, rates[key], seed)
        for seed in check_seeds(seeds) for key in product(DEPTH_CASES, DEPTHS)
    }
    return train_to_the_end(
        EXPERIMENTS["depth"].columns, recipes, "digits", device
    )


def depth_recipe(case, depth, lr, seed):
    """A `Recipe` of the comparison of depths: 100 steps of SGD with momentum on digits.

    `case` is one of `DEPTH_CASES`, `depth` the number of hidden layers, of 64 units.

    >>> depth_recipe("ReLU, Xavier", depth=30, lr=0.01, seed=0).num_hidden
    30
    """
    from relubook.training import Recipe

    activation, initialisation = DEPTH_CASES[case]
    return Recipe(
        activation=_own(activation), initialisation=initialisation,
        widths=(64,) * depth, lr=lr, seed=seed, **_MOMENTUM,
    )


FACTORS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def initial_scale_tuning(seeds, device="cpu"):
    """Validation accuracy by the scale of the first weights and the learning rate.

    Each seed trains a `scale_recipe` for ReLU, tanh and the sigmoid, each of the
    `FACTORS` and each learning rate 4^k, k = -8, ..., 1. Returns a row for each:
    `activation`, `factor`, `lr`, `seed`, `epoch`, `validation_accuracy`, `diverged`.
    """
    recipes = {
        (activation, factor, lr, seed): scale_recipe(activation, factor, lr, seed)
        for seed in check_seeds(seeds)
        for activation, factor, lr in product(_SCALED, FACTORS, POWERS_OF_4)
    }
    return train_to_the_end(
        EXPERIMENTS["initial_scale_tuning"].columns, recipes, "digits", device
    )


def initial_scale(seeds, device="cpu"):
    """Accuracy by the scale of the first weights, the learning rate tuned at each.

    The rates are those that `chosen_rates("initial_scale_tuning")` holds. Returns a
    row for each `scale_recipe`: `activation`, `factor`, `lr`, `seed`, `train_loss` and
    `validation_accuracy`, both NaN if it diverged.
    """
    rates = _rates("initial_scale_tuning")
    recipes = {
        (*key, rates[key], seed): scale_recipe(*key, rates[key], seed)
        for seed in check_seeds(seeds) for key in product(_SCALED, FACTORS)
    }
    return train_to_the_end(
        EXPERIMENTS["initial_scale"].columns, recipes, "digits", device
    )


def scale_recipe(activation, factor, lr, seed):
    """A `Recipe` of the comparison of initial scales: 3 x 64 units, digits.

    `factor` multiplies the gain that keeps the variance under the activation.

    >>> scale_recipe("relu", factor=10, lr=0.01, seed=0).gain == 10 * 2**0.5
    True
    """
    from relubook.training import Recipe

    return Recipe(
        activation=activation, gain=factor * initialisation.gain(activation),
        widths=(64, 64, 64), lr=lr, seed=seed, **_MOMENTUM,
    )


def dying(seeds, device="cpu"):
    """The share of dead units before and after training with Adam.

    Each seed trains a `dying_recipe` for ReLU, leaky ReLU and ELU, for 2, 5 and 10
    layers, and for four learning rates. A unit is dead if its derivative is exactly 0
    on every training example.

    Returns a row for each: `activation`, `depth`, `lr`, `seed`, `dead_before`,
    `dead_after`, means over the layers, `dead_first`, the first layer's afterwards,
    and `train_loss`; all but the first NaN if it diverged.
    """
    recipes = {
        (activation, depth, lr, seed): dying_recipe(activation, depth, lr, seed)
        for seed in check_seeds(seeds)
        for activation, depth, lr in product(
            ("relu", "leaky_relu", "elu"), (2, 5, 10), (0.001, 0.01, 0.03, 0.1)
        )
    }
    results = train_all(recipes.values(), "digits", device)
    layers = [name for name in results if name.startswith("dead_")]
    results["dead"] = results[layers].mean(axis=1)  # of as many as there are
    members = results.groupby("member")
    ends = members.tail(1).set_index("member")
    ends = ends.assign(
        dead_before=members["dead"].first(), dead_after=ends["dead"],
        dead_first=ends["dead_1"],
    )
    return table(EXPERIMENTS["dying"].columns, [keyed(EXPERIMENTS["dying"].columns, ends, recipes)])


def dying_recipe(activation, depth, lr, seed):
    """A `Recipe` of the count of dead units: Adam, hidden layers of 64 units, digits.

    >>> dying_recipe("elu", depth=5, lr=0.01, seed=0).widths
    (64, 64, 64, 64, 64)
    """
    from relubook.training import Recipe

    return Recipe(
        activation=activation, widths=(64,) * depth, lr=lr, seed=seed, num_epochs=8
    )


def chosen_rates(tuning):
    """The learning rate of each condition, chosen from a recorded tuning run.

    From "convergence_tuning" the one with the least median time to 25 % training
    error, as that is what `convergence` compares; the lower one of equals. From
    "depth_tuning" and "initial_scale_tuning" what `statistics.select_learning_rates`
    selects by validation accuracy.

    Returns a row for each condition, with its `lr` and `edge`: "lowest" or "highest"
    where the choice ends its grid, else "".

    Raises KeyError for another name, `RecordError` where there is no record.

    >>> list(chosen_rates("depth_tuning").columns[:3])
    ['case', 'depth', 'lr']
    """
    by = _TUNED[tuning]
    data = records.load(tuning).data
    if tuning != "convergence_tuning":
        return statistics.select_learning_rates(data, "validation_accuracy", by=by)
    times = data.groupby([*by, "lr"], sort=False)["time"].median().reset_index("lr")
    choices = []
    for condition, tried in times.groupby(by, sort=False):
        least = tried["time"].min()
        lr = tried.loc[tried["time"] == least, "lr"].min()
        ends = {tried["lr"].min(): "lowest", tried["lr"].max(): "highest"}
        choices.append((*condition, lr, least, ends.get(lr, "")))
    return pd.DataFrame(choices, columns=[*by, "lr", "time", "edge"])


_MOMENTUM = {"optimizer": "sgd", "momentum": 0.9}
_SCALED = ("relu", "tanh", "sigmoid")
_TUNED = {
    "convergence_tuning": ["network", "activation"],
    "depth_tuning": ["case", "depth"],
    "initial_scale_tuning": ["activation", "factor"],
}


def _rates(tuning):
    return chosen_rates(tuning).set_index(_TUNED[tuning])["lr"].to_dict()


def _own(activation):
    return SLOPE_1_SIGMOID if activation == SLOPE_1_SIGMOID.name else activation


def _slope_1_sigmoid():
    import torch

    class Slope1Sigmoid(torch.nn.Module):
        def forward(self, z):
            return 2 * torch.tanh(z / 2)

    return Slope1Sigmoid()


EXPERIMENTS = by_name(
    Experiment(
        "born_dead",
        born_dead,
        seeds=range(20),
        piece=5,
        columns=("hidden_layers", "seed", "networks", "dead"),
    ),
    Experiment(
        "exact_zeros",
        exact_zeros,
        seeds=range(1000),
        piece=250,
        columns=("seed", "dtype", "bias", "zeros", "number"),
    ),
    Experiment(
        "exact_zeros_half",
        exact_zeros_half,
        seeds=range(120),
        piece=60,
        columns=("seed", "dtype", "bias", "zeros", "number"),
    ),
    Experiment(
        "value_at_kink",
        value_at_kink,
        seeds=range(8),
        piece=2,
        columns=("network", "dtype", "rule", "s", "seed", "test_accuracy", "zeros"),
    ),
    Experiment(
        "convergence_tuning",
        convergence_tuning,
        seeds=range(100, 103),
        piece=3,
        columns=("network", "activation", "lr", "seed", "epoch",
                 "validation_accuracy", "time", "diverged"),
        devices=DEVICES,
    ),
    Experiment(
        "convergence",
        convergence,
        seeds=range(20),
        piece=10,
        columns=("network", "activation", "lr", "seed", "epoch", "train_error"),
        devices=DEVICES,
    ),
    Experiment(
        "depth_tuning",
        depth_tuning,
        seeds=range(100, 102),
        piece=2,
        columns=("case", "depth", "lr", "seed", "epoch", "validation_accuracy",
                 "diverged"),
        devices=DEVICES,
    ),
    Experiment(
        "depth",
        depth,
        seeds=range(8),
        piece=8,
        columns=("case", "depth", "lr", "seed", "train_loss", "train_accuracy"),
        devices=DEVICES,
    ),
    Experiment(
        "initial_scale_tuning",
        initial_scale_tuning,
        seeds=range(100, 102),
        piece=2,
        columns=("activation", "factor", "lr", "seed", "epoch", "validation_accuracy",
                 "diverged"),
        devices=DEVICES,
    ),
    Experiment(
        "initial_scale",
        initial_scale,
        seeds=range(10),
        piece=10,
        columns=("activation", "factor", "lr", "seed", "train_loss",
                 "validation_accuracy"),
        devices=DEVICES,
    ),
    Experiment(
        "dying",
        dying,
        seeds=range(10),
        piece=10,
        columns=("activation", "depth", "lr", "seed", "dead_before", "dead_after",
                 "dead_first", "train_loss"),
        devices=DEVICES,
    ),
)
