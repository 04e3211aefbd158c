"""The experiments of chapter 4: against one loop a network, and literal recomputation."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from relubook import statistics
from relubook.experiments import EXPERIMENTS, leaky
from relubook.experiments.leaky import polarity_data
from tests import plain_loop


@pytest.fixture
def small(few_examples, monkeypatch):
    """Few examples, small networks, two epochs, and learning rates without a record."""
    sizes = {"widths": (5, 4), "num_epochs": 2}
    monkeypatch.setattr(leaky, "SLOPES", (-1.0, 2/11))
    monkeypatch.setattr(leaky, "SWEPT", {
        "a": ("digits", sizes, (0.01, 0.02, 0.04)),
        "b": ("mnist1d", sizes, (0.03, 0.05, 0.07)),
    })
    one = {"widths": (6,), "num_epochs": 2}
    monkeypatch.setattr(leaky, "POLAR", {"digits": one, "mnist1d": one})
    monkeypatch.setattr(leaky, "POLAR_ACTIVATIONS", ("absolute_value", "prelu"))
    monkeypatch.setattr(leaky, "POLAR_RATES", (0.01, 0.02, 0.04))
    monkeypatch.setattr(
        leaky, "PRELU_NETWORK", {"channels": (4, 4, 4), "widths": (), "num_epochs": 2}
    )
    monkeypatch.setattr(leaky, "PRELU_RATES", (0.01, 0.02, 0.04))
    monkeypatch.setattr(
        leaky, "_MOMENTUM", {"optimizer": "sgd", "momentum": 0.9, "batch_size": 10}
    )
    rates = {("a", -1.0): 0.01, ("a", 2/11): 0.02, ("b", -1.0): 0.03, ("b", 2/11): 0.05}
    rates |= {"ReLU": 0.01, "PReLU, layer": 0.02, "PReLU, channel": 0.04}
    rates |= {(data, polarity, name): 0.05 if name == "prelu" else 0.03
              for data in ("digits", "mnist1d") for polarity in ("one", "both")
              for name in ("absolute_value", "prelu")}
    monkeypatch.setattr(leaky, "_rates", lambda tuning: rates)
    return few_examples


def accuracy(network, x, y):
    with torch.no_grad():
        found = network(torch.tensor(x)).argmax(1).numpy()
    return np.mean(found == y)


def test_slopes_are_a_plain_loop(small):
    table = EXPERIMENTS["slope_sweep"].run([3, 1])
    assert len(table) == 2 * 2 * 2
    for row in table.itertuples():
        data = small["digits" if row.network == "a" else "mnist1d"]
        recipe = leaky.slope_recipe(row.network, row.negative_slope, row.lr, row.seed)
        network, losses = plain_loop.train_alone(recipe, data)
        assert [m.negative_slope for m in network
                if isinstance(m, torch.nn.LeakyReLU)] == [row.negative_slope] * 2
        assert row.train_loss == pytest.approx(losses[-1], rel=1e-4)
        assert row.validation_accuracy == accuracy(network, *data.validation)


def test_tuning_tries_every_rate_and_the_best_is_chosen(small):
    table = EXPERIMENTS["slope_tuning"].run([5])
    grids = table.groupby(["network", "negative_slope"])["lr"].apply(sorted)
    assert grids.tolist() == [[0.01, 0.02, 0.04]] * 2 + [[0.03, 0.05, 0.07]] * 2
    chosen = statistics.select_learning_rates(
        table, "validation_accuracy", by=["network", "negative_slope"]
    )
    for row in chosen.itertuples():
        own = table.query(
            "network == @row.network and negative_slope == @row.negative_slope"
        )
        assert row.validation_accuracy == own["validation_accuracy"].max()


@pytest.mark.parametrize("name", ["digits", "mnist1d"])
def test_polarity_data_have_mean_zero_and_the_raw_reversal_is_a_sign(name, small):
    raw, one = small[name], polarity_data(name, "one")
    both = polarity_data(name, "both")
    for part in ("train", "validation"):
        x, y = getattr(one, part)
        axes = tuple(range(1, x.ndim))
        np.testing.assert_allclose(x.mean(axis=axes), 0, atol=1e-6)
        np.testing.assert_array_equal(y, getattr(raw, part).y)
        pixels = getattr(raw, part).x.astype(float) * raw.std + raw.mean
        reversed_pixels = 16 - pixels
        centred = reversed_pixels - reversed_pixels.mean(axis=axes, keepdims=True)
        ratio = centred.flatten() @ x.flatten() / (x.flatten() @ x.flatten())
        np.testing.assert_allclose(centred, ratio * x, atol=1e-4)
        assert ratio < 0
        signs = [np.array_equal(a, b) - np.array_equal(a, -b)
                 for a, b in zip(getattr(both, part).x, x)]
        assert set(signs) == {-1, 1} and 10 < signs.count(1) < 30
    assert one.train.x.std() == pytest.approx(1, rel=1e-6)
    np.testing.assert_array_equal(one.test.x, -one.validation.x)


def test_polarity_data_are_the_same_at_each_call(few_examples):
    first, second = (polarity_data("digits", "both") for _ in range(2))
    np.testing.assert_array_equal(first.train.x, second.train.x)


@pytest.mark.parametrize("arguments, wanted", [
    (("xor", "one"), "name='xor', want 'digits' or 'mnist1d'"),
    (("digits", "none"), "polarity='none', want 'one' or 'both'"),
])
def test_polarity_data_refuse(arguments, wanted):
    with pytest.raises(ValueError, match=wanted):
        polarity_data(*arguments)


def test_polarity_is_a_plain_loop(small):
    table = EXPERIMENTS["polarity"].run([2])
    assert len(table) == 2 * 2 * 2
    for row in table.itertuples():
        data = polarity_data(row.data, row.polarity)
        recipe = leaky.polar_recipe(row.data, row.activation, row.lr, row.seed)
        network, _ = plain_loop.train_alone(recipe, replace(data, test=None))
        x, y = data.validation
        assert row.validation_accuracy == accuracy(network, x, y)
        assert row.negatives_accuracy == accuracy(network, -x, y)
        learned = [m.weight.item() for m in network if isinstance(m, torch.nn.PReLU)]
        if row.activation == "prelu":
            assert row.slope == pytest.approx(learned[0], abs=1e-5)
            assert row.slope != 0.25
        else:
            assert np.isnan(row.slope)


def test_tuning_of_polarity_and_of_prelu_tries_every_rate(small):
    table = EXPERIMENTS["polarity_tuning"].run([4])
    conditions = table.groupby(["data", "polarity", "activation"])["lr"].apply(sorted)
    assert conditions.tolist() == [[0.01, 0.02, 0.04]] * 8
    table = EXPERIMENTS["prelu_tuning"].run([4])
    assert table.groupby("case")["lr"].apply(sorted).tolist() == [[0.01, 0.02, 0.04]] * 3


def test_learned_slopes_are_those_of_a_plain_loop(small):
    table = EXPERIMENTS["prelu_slopes"].run([7]).set_index("case")
    assert list(table.index) == [*leaky.PRELU_CASES, *leaky.DECAY_CASES]
    assert (table.loc["ReLU", ["slope_1", "slope_2", "slope_3"]] == 0).all()
    assert table["lr"].tolist() == [0.01, 0.02, 0.04, 0.04, 0.04]
    for case, row in table.iterrows():
        recipe = leaky.prelu_recipe(case, row["lr"], 7)
        network, losses = plain_loop.train_alone(recipe, small["mnist1d"])
        assert row["train_loss"] == pytest.approx(losses[-1], rel=1e-4)
        slopes = [m.weight for m in network if isinstance(m, torch.nn.PReLU)]
        if case != "ReLU":
            wanted = [slope.mean().item() for slope in slopes]
            found = row[["slope_1", "slope_2", "slope_3"]].tolist()
            assert found == pytest.approx(wanted, abs=1e-5)
            assert len(slopes[0]) == (1 if case == "PReLU, layer" else 4)
    decayed = table.loc["slopes decayed too", "slope_1"]
    assert decayed < table.loc["weights decayed", "slope_1"]


def test_a_member_that_diverged_has_no_numbers(small, monkeypatch):
    rates = dict.fromkeys(leaky.PRELU_CASES, 1e30)
    monkeypatch.setattr(leaky, "_rates", lambda tuning: rates)
    table = EXPERIMENTS["prelu_slopes"].run([0]).set_index("case")
    assert table.loc["PReLU, layer", ["slope_1", "train_loss"]].isna().all()


def test_seeds_and_company(small):
    together = EXPERIMENTS["slope_sweep"].run([3, 1])
    alone = pd.concat([EXPERIMENTS["slope_sweep"].run([seed]) for seed in (3, 1)])
    keys = ["network", "negative_slope", "seed"]
    pd.testing.assert_frame_equal(
        together.sort_values(keys, ignore_index=True),
        alone.sort_values(keys, ignore_index=True),
    )
    with pytest.raises(ValueError, match="want distinct integers"):
        EXPERIMENTS["prelu_slopes"].run([1, 1])


def test_rates_are_chosen_for_each_network_by_itself(monkeypatch):
    rows = [
        (network, 0.5, lr, seed, epoch, accuracy + 0.01 * seed, False)
        for network, epoch, accuracies in (("2 layers", 15, (0.5, 0.8, 0.7)),
                                           ("10 layers", 20, (0.6, 0.5, 0.4)))
        for lr, accuracy in zip((0.1, 0.2, 0.3), accuracies) for seed in (0, 1)
    ]
    data = pd.DataFrame(rows, columns=EXPERIMENTS["slope_tuning"].columns)
    monkeypatch.setattr(leaky.records, "load", lambda name: SimpleNamespace(data=data))
    chosen = leaky.chosen_rates("slope_tuning")
    assert chosen[["network", "lr", "edge"]].values.tolist() == [
        ["2 layers", 0.2, ""], ["10 layers", 0.1, "lowest"]
    ]
    assert leaky._rates("slope_tuning") == {("2 layers", 0.5): 0.2, ("10 layers", 0.5): 0.1}
