"""The experiments of chapter 3: born-dead networks against a loop, a chain, a sample."""

from fractions import Fraction
from itertools import product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import sympy as sp
import torch

from relubook import records, statistics
from relubook.activations import CATALOGUE
from relubook.experiments import EXPERIMENTS, learning
from relubook.experiments.learning import (
    born_dead,
    born_dead_bound,
    exact_zeros,
    exact_zeros_half,
    train_at_kink,
)
from relubook.networks import dead_units
from relubook.training import Recipe, train
from tests import plain_loop


def test_a_seed_gives_the_same_rows_in_any_company():
    together = born_dead([3, 1, 7])
    alone = pd.concat([born_dead([seed]) for seed in (3, 1, 7)], ignore_index=True)
    pd.testing.assert_frame_equal(together, alone)


def test_born_dead_is_a_literal_loop_over_networks():
    rng, state = np.random.default_rng(11), np.random.default_rng(0)
    weights = [rng.normal(0, np.sqrt(2 / fan_in), (250, 2, fan_in))
               for fan_in in [1] + [2] * 19]
    x = np.array([-1, -0.3, 0, 1e-3, 0.5, 1])
    for row in born_dead([11]).itertuples():
        constant = 0
        for network in range(250):
            hidden = [x]
            for layer in range(row.hidden_layers):
                matrix = weights[layer][network]
                hidden = [
                    [max(0.0, sum(w * h[i] for w, h in zip(unit, hidden)))
                     for i in range(len(x))]
                    for unit in matrix
                ]
            output = state.normal(size=2) @ np.array(hidden)
            constant += len(set(output.tolist())) == 1
        assert row.dead == constant
        assert row.networks == 250


def test_born_dead_networks_stay_dead_when_layers_are_added():
    table = born_dead(range(5))
    dead = table.pivot(index="seed", columns="hidden_layers", values="dead")
    assert (dead.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)


def test_born_dead_meets_the_bound_and_the_published_shares():
    total = born_dead(range(20)).groupby("hidden_layers")[["dead", "networks"]].sum()
    share = total["dead"] / total["networks"]
    assert share[2] == pytest.approx(born_dead_bound(2), abs=0.02)  # exact, 4 sigma
    published = {2: 0.159, 5: 0.620, 10: 0.909, 20: 0.995}  # Lu et al., 5000 networks
    for depth, value in published.items():
        error = np.sqrt(2 * value * (1 - value) / 5000)
        assert share[depth] == pytest.approx(value, abs=4 * error)
        assert share[depth] > born_dead_bound(depth) - 4 * error


def chain(hidden_layers, width):
    """The bound's chain, by counting what each unit can do to the images of ±1."""
    signs = list(product([False, True], repeat=width))
    state = {"two": Fraction(0), "one": Fraction(0), "dead": Fraction(0)}
    for positive in signs:  # the first layer: unit i is active for 1, or else for -1
        state["one" if len(set(positive)) == 1 else "two"] += Fraction(1, len(signs))
    for _ in range(hidden_layers - 1):
        after = dict.fromkeys(state, Fraction(0))
        after["dead"] = state["dead"]
        for active in signs:
            after["one" if any(active) else "dead"] += state["one"] / len(signs)
        for first, second in product(signs, signs):  # at a right angle: independent
            share = state["two"] / len(signs) ** 2
            if not any(first) and not any(second):
                after["dead"] += share
            elif not (any(first) and any(second)):
                after["one"] += share
            elif first == second and sum(first) == 1:  # both along the same axis
                after["one"] += share
            else:
                after["two"] += share
        state = after
    return state["dead"]


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("hidden_layers", [1, 2, 3, 8])
def test_the_bound_is_the_chain(hidden_layers, width):
    exact = float(chain(hidden_layers, width))
    assert born_dead_bound(hidden_layers, width) == pytest.approx(exact, abs=1e-15)


def test_the_bound_at_extremes():
    assert born_dead_bound(10**6) == 1
    assert born_dead_bound(10, width=2000) == 0
    assert born_dead_bound(np.int64(2), np.int64(2)) == 0.15625


@pytest.mark.parametrize("arguments", [(0,), (-1,), (2.0,), (True,), ("2",), (2, 0)])
def test_the_bound_refuses(arguments):
    with pytest.raises(ValueError, match="want an integer >= 1"):
        born_dead_bound(*arguments)


def test_a_device_that_would_be_idle():
    with pytest.raises(ValueError, match="device='cuda', want 'cpu'"):
        born_dead([0], "cuda")


def test_grey_digits_are_the_digits():
    from sklearn.datasets import load_digits

    train, test = learning.grey_digits()
    pixels = np.concatenate([train.x, test.x]).reshape(-1, 64) * 16
    labels = np.concatenate([train.y, test.y])
    raw, classes = load_digits(return_X_y=True)
    ours, theirs = (
        sorted(map(tuple, np.column_stack(both).astype(int)))
        for both in ((pixels, labels), (raw, classes))
    )
    assert ours == theirs
    assert np.all(pixels == np.rint(pixels))


@pytest.mark.parametrize("run", [exact_zeros, exact_zeros_half])
def test_exact_zeros_of_a_seed_are_the_same_in_any_company(run):
    together = run([3, 1])
    alone = pd.concat([run([3]), run([1])], ignore_index=True)
    pd.testing.assert_frame_equal(together, alone)
    assert (together["number"] == 1797 * 3 * 256).all()


def test_exact_zeros_are_those_of_numpy_in_half_precision():
    """With a separate bias every sum of 64 or 256 products is rounded, then the bias.

    NumPy and PyTorch sum in different orders, so that the counts agree as samples of
    about 100 zeros do.
    """
    found = exact_zeros_half([0]).query("dtype == 'float16' and bias == 'separate'")
    x = np.concatenate([split.x for split in learning.grey_digits()])
    h, zeros = x.reshape(-1, 64).astype(np.float16), 0
    for W, b in learning._uniform_layers(0, 256, 256, 256):
        exact = h.astype(float) @ W.numpy().astype(np.float16).astype(float).T
        z = exact.astype(np.float16) + b.numpy().astype(np.float16)
        zeros += np.sum(z == 0)
        h = np.maximum(z, 0)
    assert found["zeros"].item() == pytest.approx(zeros, rel=0.5)
    assert zeros > 30


def test_blank_windows_and_zero_biases_give_zeros_by_construction():
    train, _ = learning.grey_digits()
    images = torch.tensor(train.x[:100])
    forward, (W, b, *_) = learning.kink_network("cnn", seed=0)
    seen = []
    forward(images, lambda z: seen.append(z) or torch.relu(z))
    padded = np.pad(train.x[:100, 0], ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    blank = (windows == 0).all(axis=(3, 4))
    assert ((seen[0] == 0).numpy() == blank[:, None]).all()
    assert blank.mean() > 0.05


@pytest.mark.parametrize("name", ["mlp", "rounded"])
def test_the_perceptron_is_a_literal_loop(name):
    forward, parameters = learning.kink_network(name, seed=1)
    image = torch.rand(1, 1, 8, 8, dtype=torch.float64)
    h = image.flatten().tolist()
    W1, b1, W2, b2, W, b = (value.tolist() for value in parameters)
    for weights, biases in ((W1, b1), (W2, b2), (W, b)):
        z = [sum(w * x for w, x in zip(row, h)) + bias
             for row, bias in zip(weights, biases)]
        if name == "rounded" and weights is not W:
            z = [round(64 * value) / 64 for value in z]
        h = [max(0.0, value) for value in z]
    assert forward(image, torch.relu)[0].tolist() == pytest.approx(z, abs=1e-12)


@pytest.mark.parametrize("rule, at_zero", [("multiplied", 7 * 0.25), ("assigned", 7)])
def test_what_arrives_at_a_kink(rule, at_zero):
    z = torch.tensor([-1.0, 0.0, -0.0, 2.0], requires_grad=True)
    output = learning._relu_by_rule(rule, 7)(z * 1)
    (0.25 * output).sum().backward()
    assert output.tolist() == [0, 0, 0, 2]
    assert z.grad.tolist() == [0, at_zero, at_zero, 0.25]


def test_training_with_torch_relu_is_training_with_0_at_the_kink():
    """The literal loop, with `torch.relu`, whose derivative at 0 is 0."""
    train, test = learning.grey_digits()
    forward, parameters = learning.kink_network("mlp", 2, "float32")
    x, y = torch.tensor(train.x).float(), torch.tensor(train.y)
    generator = torch.Generator().manual_seed(2)
    for rate in (0.5, 0.25):
        order = torch.randperm(len(y), generator=generator)
        for batch in order.split(64):
            loss = torch.nn.functional.cross_entropy(
                forward(x[batch], torch.relu), y[batch]
            )
            gradients = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients):
                    parameter -= rate * gradient
    outputs = forward(torch.tensor(test.x).float(), torch.relu)
    accuracy = np.mean(outputs.argmax(1).numpy() == test.y)
    found = {
        rule: train_at_kink("mlp", "float32", rule, 0, 2, num_epochs=2)
        for rule in ("multiplied", "assigned")
    }
    assert found["multiplied"] == found["assigned"]
    assert found["multiplied"][0] == pytest.approx(accuracy, abs=1 / 720)


def test_the_published_mistake_does_what_the_chain_rule_does_not():
    right, wrong = (train_at_kink("rounded", "float32", rule, 1, 0, num_epochs=3)
                    for rule in ("multiplied", "assigned"))
    assert right[0] > 0.5 > 0.2 > wrong[0]


def test_value_at_kink_has_a_row_for_each_case_and_value(monkeypatch):
    asked = []
    monkeypatch.setattr(
        learning, "train_at_kink", lambda *case: asked.append(case) or (0.5, 0.0)
    )
    table = learning.value_at_kink([4, 2])
    assert len(table) == len(set(asked)) == 2 * 8 * 7
    assert table["seed"].tolist() == [case[-1] for case in asked]


@pytest.mark.parametrize("run", [exact_zeros, exact_zeros_half,
                                 learning.value_at_kink])
def test_experiments_at_the_kink_refuse(run):
    with pytest.raises(ValueError, match="device='cuda', want 'cpu'"):
        run([0], "cuda")
    with pytest.raises(ValueError, match="want distinct integers"):
        run([0, 0])


def test_a_network_or_rule_that_there_is_not():
    with pytest.raises(ValueError, match="name='rnn', want 'mlp', 'rounded' or 'cnn'"):
        learning.kink_network("rnn", 0)
    with pytest.raises(ValueError, match="rule='added', want 'multiplied'"):
        train_at_kink("mlp", "float32", "added", 0, 0)


# --- Trained networks, at tiny size ---------------------------------------------------

TRAINED = ("convergence_tuning", "convergence", "depth_tuning", "depth",
           "initial_scale_tuning", "initial_scale", "dying")


@pytest.fixture
def tiny(monkeypatch, few_examples):
    """One or two steps, few conditions, rates as if tuned."""
    monkeypatch.setattr(learning, "_MOMENTUM", {
        "optimizer": "sgd", "momentum": 0.9, "batch_size": 20, "num_epochs": 2,
    })
    monkeypatch.setattr(learning, "NETWORKS", {
        "cnn": {"channels": (4,), "widths": ()}, "mlp": {"widths": (8,)},
    })
    monkeypatch.setattr(learning, "DEPTHS", (2,))
    monkeypatch.setattr(learning, "FACTORS", (0.1, 1.0))
    monkeypatch.setattr(learning, "POWERS_OF_4", (0.1, 0.1, 0.1, 0.01, 0.1, 1.0))
    monkeypatch.setattr(learning, "dying_recipe", _tiny_dying_recipe)

    class Rates(dict):
        def __missing__(self, key):
            return 0.05

    monkeypatch.setattr(learning, "_rates", lambda tuning: Rates())
    return few_examples


def _tiny_dying_recipe(activation, depth, lr, seed):
    return Recipe(activation=activation, widths=(8,) * depth, lr=lr, seed=seed,
                  num_epochs=2, batch_size=20)


@pytest.mark.parametrize("name", TRAINED)
def test_a_trained_table_is_what_its_entry_promises(name, tiny):
    experiment = EXPERIMENTS[name]
    together = experiment.run([4, 9], "cpu")
    assert records.table_fault(together, experiment.columns, [4, 9]) == ""
    conditions = list(experiment.columns[: experiment.columns.index("seed") + 1])
    if name == "convergence":
        conditions.append("epoch")
    alone = pd.concat([experiment.run([seed], "cpu") for seed in (9, 4)])
    assert not together.duplicated(conditions).any()
    pd.testing.assert_frame_equal(
        together.sort_values(conditions, ignore_index=True),
        alone.sort_values(conditions, ignore_index=True), rtol=1e-4,
    )


def test_times_are_those_of_the_curves(tiny, monkeypatch):
    monkeypatch.setattr(learning, "CONVERGENCE_RATES",
                        {("mlp", "relu"): (0.001, 0.05, 0.2)})
    monkeypatch.setitem(learning.NETWORKS, "mlp", {"widths": (64,)})
    monkeypatch.setitem(learning._MOMENTUM, "num_epochs", 12)
    seeds = range(3)
    tuning = learning.convergence_tuning(seeds)
    chosen = tuning[tuning["lr"] == 0.05].set_index("seed")["time"]
    curves = learning.convergence(seeds)
    times = statistics.times_to_threshold(curves, "train_error", 0.25)["relu"]
    assert chosen.to_dict() == times.to_dict()
    assert 0 < times.min() < np.inf
    assert np.isinf(tuning.loc[tuning["lr"] == 0.001, "time"]).any()


def test_a_member_that_diverges_stays_in_the_tables(tiny, monkeypatch):
    class Rates(dict):
        def __missing__(self, key):
            return 1e30

    monkeypatch.setattr(learning, "_rates", lambda tuning: Rates())
    curves = learning.convergence([0, 1]).query("activation == 'relu'")
    assert len(curves) == 2 * 2 * 3  # networks, seeds, epochs
    assert curves["train_error"].isna().any()
    assert learning.initial_scale([0])["train_loss"].isna().any()


def test_training_ends_where_the_plain_loop_does(tiny):
    recipe = learning.scale_recipe("tanh", 0.1, 0.05, seed=3)
    _, losses = plain_loop.train_alone(recipe, tiny["digits"])
    found = learning.initial_scale([3]).query("activation == 'tanh'")
    last = found.query("factor == 0.1")["train_loss"].item()
    assert last == pytest.approx(losses[-1], 1e-4)


def test_dead_shares_are_counted_before_and_after(tiny):
    found = learning.dying([2]).set_index(["activation", "depth", "lr"]).sort_index()
    recipe = _tiny_dying_recipe("relu", 2, 0.1, seed=2)
    results, (network,) = train(recipe, tiny["digits"], networks=True, device="cpu")
    layers = [module for module in network if isinstance(module, torch.nn.Linear)]
    dead = dead_units(
        tiny["digits"].train.x.reshape(40, 64),
        *([getattr(layer, part).detach().numpy() for layer in layers]
          for part in ("weight", "bias")),
    )
    row = found.loc["relu", 2, 0.1]
    assert row["dead_first"] == pytest.approx(dead[0].mean())
    assert row["dead_after"] == pytest.approx(np.mean([d.mean() for d in dead]))
    assert (found.loc["leaky_relu", "dead_after"] == 0).all()


def test_the_stretched_sigmoid_is_one_to_torch_too():
    record = learning.SLOPE_1_SIGMOID
    stretched = 4 * (CATALOGUE["sigmoid"].formula - sp.Rational(1, 2))
    assert sp.simplify((record.formula - stretched).rewrite(sp.exp)) == 0
    values = torch.linspace(-30, 30, 101, dtype=torch.float64)
    expected = 4 * (torch.sigmoid(values) - 0.5)
    torch.testing.assert_close(record.torch_module()(values), expected)


def test_rates_come_from_the_tuning_run(monkeypatch):
    table = pd.DataFrame([
        {"case": case, "depth": 2, "lr": lr, "seed": 0, "epoch": 1,
         "validation_accuracy": -((np.log(lr) - np.log(best)) ** 2), "diverged": False}
        for case, best in (("a", 0.1), ("b", 1.0)) for lr in (0.01, 0.1, 1.0)
    ])
    monkeypatch.setattr(learning.records, "load",
                        lambda name: SimpleNamespace(data=table))
    chosen = learning.chosen_rates("depth_tuning")
    assert chosen["lr"].tolist() == [0.1, 1.0]
    assert chosen["edge"].tolist() == ["", "highest"]
    assert learning._rates("depth_tuning") == {("a", 2): 0.1, ("b", 2): 1.0}


def test_the_race_is_run_at_the_fastest_rates(monkeypatch):
    times = {0.1: (9, 8, np.inf), 0.2: (5, 6, 30), 0.4: (6, 7, 5), 0.8: (np.inf,) * 3}
    rows = [
        {"network": "mlp", "activation": name, "lr": lr, "seed": seed, "time": time}
        for name in ("relu", "tanh") for lr, found in times.items()
        for seed, time in enumerate(found)
        if not (name == "tanh" and lr == 0.1)
    ]
    monkeypatch.setattr(learning.records, "load",
                        lambda name: SimpleNamespace(data=pd.DataFrame(rows)))
    chosen = learning.chosen_rates("convergence_tuning")
    assert chosen.values.tolist() == [
        ["mlp", "relu", 0.2, 6.0, ""], ["mlp", "tanh", 0.2, 6.0, "lowest"],
    ]
