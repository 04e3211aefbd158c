"""The experiments of chapter 6: means of units and saturation, at tiny size."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import sympy as sp
import torch

from relubook import records
from relubook.activations import CATALOGUE, z
from relubook.experiments import EXPERIMENTS, elu, learning
from relubook.initialisation import second_moment
from relubook.training import Recipe
from tests import plain_loop


@pytest.fixture
def tiny(monkeypatch, few_examples):
    """Two layers, two epochs of two steps, three learning rates, rates as if tuned."""
    monkeypatch.setattr(elu, "_NETWORK",
                        {"widths": (8, 6), "num_epochs": 2, "batch_size": 20})
    monkeypatch.setattr(elu, "SETTINGS", {
        "plain": ("digits", 0.0, (0.01, 0.1, 0.2)),
        "momentum": ("mnist1d", 0.9, (0.01, 0.1, 0.2)),
    })
    monkeypatch.setattr(elu, "dying_recipe", _tiny_dying_recipe)
    monkeypatch.setattr(elu, "chosen_rates", lambda: pd.DataFrame(
        [(setting, name, 0.05) for setting in elu.SETTINGS for name in elu.ACTIVATIONS],
        columns=["setting", "activation", "lr"]))
    return few_examples


def _tiny_dying_recipe(activation, depth, lr, seed):
    return Recipe(activation=activation, widths=(8,) * min(depth, 3), lr=30 * lr,
                  seed=seed, num_epochs=2, batch_size=20)


@pytest.mark.parametrize("name", ["mean_shift_tuning", "mean_shift", "saturation"])
def test_a_trained_table_is_what_its_entry_promises(name, tiny):
    experiment = EXPERIMENTS[name]
    together = experiment.run([4, 9], "cpu")
    assert records.table_fault(together, experiment.columns, [4, 9]) == ""
    conditions = list(experiment.columns[: experiment.columns.index("seed") + 1])
    assert not together.duplicated(conditions).any()
    alone = pd.concat([experiment.run([seed], "cpu") for seed in (9, 4)])
    pd.testing.assert_frame_equal(
        together.sort_values(conditions, ignore_index=True),
        alone.sort_values(conditions, ignore_index=True), rtol=1e-4,
    )


def literal_means(network, x):
    """Size of each hidden unit's mean and its root mean square, example by example."""
    layers = list(network)[:-1]
    sizes, roots = [], []
    for end in (3, 5):  # Flatten, Linear, activation, Linear, activation
        outputs = [torch.nn.Sequential(*layers[:end])(example[None])[0] for example in x]
        for unit in range(len(outputs[0])):
            values = [float(output[unit]) for output in outputs]
            sizes.append(abs(sum(values) / len(values)))
            roots.append((sum(value**2 for value in values) / len(values)) ** 0.5)
    return np.array(sizes), np.array(roots)


@pytest.mark.parametrize("name", elu.ACTIVATIONS)
def test_means_are_those_of_the_plain_loop(name, tiny):
    found = elu.mean_shift([3]).set_index(["setting", "activation"])
    row = found.loc["plain", name]
    recipe = elu.mean_shift_recipe("plain", name, 0.05, seed=3)
    data = tiny["digits"]
    x = torch.tensor(data.train.x)
    with torch.no_grad():
        before, _ = literal_means(plain_loop.build(recipe, data), x)
    network, losses = plain_loop.train_alone(recipe, data)
    with torch.no_grad():
        sizes, roots = literal_means(network, x)
    assert row["train_loss"] == pytest.approx(losses[-1], 1e-4)
    assert row["mean_before"] == pytest.approx(np.median(before), 1e-4)
    assert row["mean_after"] == pytest.approx(np.median(sizes), 1e-3)
    share = np.median(sizes[roots > 0] / roots[roots > 0])
    assert row["share_after"] == pytest.approx(share, 1e-3)


def test_tuning_and_comparison_differ_in_the_rate_alone(tiny):
    tuned = elu.mean_shift_tuning([2]).set_index(["setting", "activation", "lr"])
    recipe = elu.mean_shift_recipe("momentum", "elu", 0.1, seed=2)
    assert recipe.momentum == 0.9
    assert elu.mean_shift_recipe("plain", "elu", 0.1, seed=2).momentum == 0
    _, losses = plain_loop.train_alone(recipe, tiny["mnist1d"])
    loss = tuned.loc[("momentum", "elu", 0.1), "train_loss"]
    assert loss == pytest.approx(losses[-1], 1e-4)


def test_the_mean_of_centred_relu_is_0_and_torch_agrees():
    record = elu.ACTIVATIONS["centred relu"]
    density = sp.exp(-(z**2) / 2) / sp.sqrt(2 * sp.pi)
    positive = sp.integrate(z * density, (z, 0, sp.oo))
    assert sp.simplify(positive - (CATALOGUE["relu"].formula - record.formula)) == 0
    assert second_moment(record) == pytest.approx(0.5 - 1 / (2 * np.pi), 1e-12)
    values = np.linspace(-3, 3, 25)
    by_torch = record.torch_module()(torch.tensor(values)).numpy()
    assert by_torch == pytest.approx(record(values), abs=1e-15)


def chain_of(*pre_activations):
    """A network of one unit whose largest pre-activation on the data is the given one."""
    linear = torch.nn.Linear(64, len(pre_activations))
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.copy_(torch.tensor(pre_activations))
    return torch.nn.Sequential(torch.nn.Flatten(), linear, torch.nn.ELU(),
                               torch.nn.Linear(len(pre_activations), 10))


def test_faint_rounded_and_dead_where_they_begin(few_examples):
    edges = (-4.6, -4.61, -16.5, -17.34, -87.3, -87.4, 1.0, 0.0)
    shares = elu.saturated_shares(chain_of(*edges), "digits")
    assert shares == (5 / 8, 3 / 8, 1 / 8)


def test_the_largest_pre_activation_decides(few_examples):
    network = chain_of(-20.0, -200.0)
    with torch.no_grad():
        network[1].weight[0, 20] = 1e3  # one pixel wakes the first unit for some
    assert elu.saturated_shares(network, "digits") == (0.5, 0.5, 0.5)


def test_dead_is_what_chapter_3_counts(tiny, monkeypatch):
    monkeypatch.setattr(learning, "dying_recipe", _tiny_dying_recipe)
    here = elu.saturation([1]).set_index(["depth", "lr"])["dead"]
    there = learning.dying([1]).query("activation == 'elu'")
    there = there.set_index(["depth", "lr"])["dead_after"]
    pd.testing.assert_series_equal(here, there, check_names=False)


def test_a_network_that_diverged_has_no_means(tiny, monkeypatch):
    monkeypatch.setattr(elu, "chosen_rates", lambda: pd.DataFrame(
        [(setting, name, 1e30) for setting in elu.SETTINGS for name in elu.ACTIVATIONS],
        columns=["setting", "activation", "lr"]))
    found = elu.mean_shift([0])
    lost = found["train_loss"].isna()
    assert lost.any() and found.loc[lost, "mean_after"].isna().all()
    assert found["mean_before"].notna().all()


def test_rates_come_from_the_tuning_run(monkeypatch):
    losses = {0.1: (0.5, 0.1), 0.2: (0.2, 0.3), 0.4: (0.1, np.nan)}
    rows = [
        {"setting": "plain", "activation": name, "lr": lr, "seed": seed, "epoch": 2,
         "train_loss": loss, "diverged": np.isnan(loss)}
        for name in ("relu", "elu") for lr, pair in losses.items()
        for seed, loss in enumerate(pair) if not (name == "elu" and lr == 0.1)
    ]
    monkeypatch.setattr(elu.records, "load",
                        lambda name: SimpleNamespace(data=pd.DataFrame(rows)))
    chosen = elu.chosen_rates()
    assert chosen["lr"].tolist() == [0.2, 0.2]
    assert chosen["edge"].tolist() == ["", "lowest"]
