"""The experiments of the chapter "Maxout": against plain loops and literal formulas."""

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from relubook import networks, records
from relubook.experiments import EXPERIMENTS, common, maxout
from relubook.initialisation import initialise_
from relubook.training import Recipe
from tests import plain_loop


@pytest.fixture
def tiny(monkeypatch, few_examples):
    """Two sizes, few steps, few conditions, a rate as if tuned."""
    monkeypatch.setattr(maxout, "SIZES", (20, 40))
    monkeypatch.setattr(maxout, "STEPS", 4)
    monkeypatch.setattr(maxout, "BATCH", 10)
    monkeypatch.setattr(maxout, "RATES", (0.05, 0.1))
    monkeypatch.setattr(maxout, "REGULARISERS", {
        "none": {}, "decay": {"weight_decay": 0.01},
    })
    monkeypatch.setattr(maxout, "NETWORKS", {
        "ReLU": {"activation": "relu", "widths": (6,)},
        "maxout": {"activation": "maxout", "widths": (4,), "num_pieces": 3},
    })
    rates = pd.DataFrame([
        {"size": size, "network": network, "regulariser": name, "lr": 0.1}
        for size in (20, 40) for network in ("ReLU", "maxout")
        for name in maxout.REGULARISERS
    ])
    monkeypatch.setattr(maxout, "chosen_rates", lambda: rates)
    monkeypatch.setattr(maxout, "SHAPE_EPOCHS", 2)
    return few_examples


@pytest.mark.parametrize("name", list(maxout.EXPERIMENTS))
def test_a_table_is_what_its_entry_promises(name, tiny, monkeypatch):
    experiment = EXPERIMENTS[name]
    monkeypatch.setattr(maxout, "MOMENTS", (0, 2))
    monkeypatch.setattr(maxout.distances, "__defaults__", ((0, 2),))
    together = experiment.run([4, 9], "cpu")
    assert records.table_fault(together, experiment.columns, [4, 9]) == ""
    alone = experiment.run([9], "cpu")
    keys = [key for key in ("size", "network", "regulariser", "lr", "slope", "copy",
                            "step", "seed", "unit") if key in together]
    assert not together.duplicated(keys).any()
    pd.testing.assert_frame_equal(
        together.query("seed == 9").sort_values(keys, ignore_index=True),
        alone.sort_values(keys, ignore_index=True), rtol=1e-4,
    )


def test_training_ends_where_the_plain_loop_does(tiny):
    recipe = maxout.regularisation_recipe(20, "maxout", "decay", 0.1, seed=3)
    assert recipe.num_epochs == 2 and recipe.weight_decay > 0
    data = maxout.first_examples(20)
    assert len(data.train.x) == 20 and len(data.validation.x) == 40
    network, _ = plain_loop.train_alone(recipe, data)
    with torch.no_grad():
        right = [
            (network(torch.tensor(x)).argmax(1).numpy() == y).mean()
            for x, y in (data.train, data.validation)
        ]
    found = maxout.maxout_regularisation([3]).query(
        "size == 20 and network == 'maxout' and regulariser == 'decay'"
    )
    columns = ["train_accuracy", "validation_accuracy"]
    assert found[columns].values[0] == pytest.approx(right)


def test_rates_are_chosen_size_by_size(monkeypatch):
    rows = [
        {"size": size, "network": "ReLU", "regulariser": "none", "lr": lr, "seed": seed,
         "epoch": 100 // size, "validation_accuracy": -abs(np.log(lr / best)),
         "diverged": False}
        for size, best in ((10, 0.1), (20, 0.4)) for lr in (0.05, 0.1, 0.2, 0.4)
        for seed in range(2)
    ]

    class Record:
        data = pd.DataFrame(rows)

    monkeypatch.setattr(maxout.records, "load", lambda name: Record)
    chosen = maxout.chosen_rates()
    assert chosen["lr"].tolist() == [0.1, 0.4]
    assert chosen["edge"].tolist() == ["", "highest"]


@pytest.mark.parametrize("slope", [0, -1, 0.25])
def test_the_copies_compute_the_same_function(slope):
    network = maxout.leaky_network(slope, seed=1, units=7)
    x = torch.randn(20, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    for copy in (maxout.maxout_copy, maxout.tied_copy):
        torch.testing.assert_close(copy(network, slope)(x), network(x),
                                   rtol=1e-12, atol=1e-12)
    copied = maxout.maxout_copy(network, slope)[1]
    torch.testing.assert_close(copied.weight[:, 1], slope * network[1].weight)
    network[1].weight.data.zero_()  # a copy shares nothing
    assert copied.weight.abs().sum() > 0


def test_distances_are_those_of_a_literal_loop(few_examples):
    found = dict(maxout.distances(0, seed=2, moments=(0, 3)))  # the last moment of each
    data = few_examples["digits"]
    x, y = torch.tensor(data.train.x).double().flatten(1), torch.tensor(data.train.y)
    relu = maxout.leaky_network(0, seed=2)
    start = [p.detach().clone() for p in relu.parameters()]
    W, b, V, c = start
    P = [torch.stack([W, 0 * W], 1), torch.stack([b, 0 * b], 1), V, c]

    def outputs(parameters, x):
        W, b, V, c = parameters
        if W.ndim == 3:
            h = torch.einsum("uki,ni->nuk", W, x) + b
            h = h.amax(-1)
        else:
            h = F.relu(x @ W.T + b)
        return h @ V.T + c

    ends = []
    for parameters in (start, P):
        parameters = [p.clone().requires_grad_() for p in parameters]
        rng = np.random.default_rng(2)
        for _ in range(3):
            batch = torch.tensor(rng.choice(40, 50, replace=True))
            loss = F.cross_entropy(outputs(parameters, x[batch]), y[batch])
            gradients = torch.autograd.grad(loss, parameters)
            parameters = [(p - 0.05 * g).detach().requires_grad_()
                          for p, g in zip(parameters, gradients)]
        ends.append(parameters)
    v = torch.tensor(data.validation.x).double().flatten(1)
    ours, theirs = (outputs(parameters, v) for parameters in ends)
    rms = lambda t: t.detach().square().mean().sqrt().item()
    step, distance, travelled = found["free"]
    assert step == 3 and distance > 1e-3
    assert distance == pytest.approx(rms(theirs - ours), rel=1e-9)
    assert travelled == pytest.approx(rms(ours - outputs(start, v)), rel=1e-9)
    assert found["tied"][1] < 1e-12


def test_shapes_are_those_of_the_first_and_last_weights(tiny):
    rows = maxout.maxout_shapes([5])
    recipe = Recipe(activation="maxout", widths=(8,), num_pieces=2, lr=0.01,
                    num_epochs=2, batch_size=50, seed=5)
    data = maxout.datasets.toy_regression("sine")
    network, losses = plain_loop.train_alone(recipe, data)
    first = initialise_(networks.mlp((1, 8, 1), "maxout"), "he", seed=5)
    for net, column in ((first, "before"), (network, "after")):
        for row, (a, b) in zip(rows.itertuples(), net[1].weight[..., 0].tolist()):
            small, large = sorted((a, b), key=abs)
            assert getattr(row, f"alpha_{column}") == pytest.approx(small / large, rel=1e-3)
            assert getattr(row, f"stretch_{column}") == pytest.approx(abs(large), rel=1e-3)
    assert rows["train_loss"].nunique() == 1
    assert rows["train_loss"][0] == pytest.approx(losses[-1], rel=1e-3)
    assert (rows["alpha_before"] != rows["alpha_after"]).all()


def test_the_effective_slope_rebuilds_the_unit():
    rng = np.random.default_rng(0)
    slopes, x = rng.normal(size=(30, 2)), np.linspace(-2, 2, 41)
    alpha, stretch = maxout.effective_slope(slopes)
    assert ((-1 <= alpha) & (alpha < 1)).all()
    for (a, b), shape, scale in zip(slopes, alpha, stretch):
        sign = np.sign(max((a, b), key=abs))
        leaky = np.where(sign * x > 0, sign * x, shape * sign * x)
        np.testing.assert_allclose(scale * leaky, np.maximum(a * x, b * x), atol=1e-12)
    assert np.isnan(maxout.effective_slope([0.0, 0.0])[0])
    assert maxout.effective_slope([2.0, 2.0])[0] == 1


def test_experiments_refuse():
    with pytest.raises(ValueError, match="device='cuda', want 'cpu'"):
        maxout.maxout_dynamics([0], "cuda")
    for run in (maxout.maxout_dynamics, maxout.maxout_shapes,
                maxout.maxout_regularisation_tuning):
        with pytest.raises(ValueError, match="want distinct integers"):
            run([0, 0])


def test_small_batches_are_not_drawn_twice(few_examples, monkeypatch):
    monkeypatch.setattr(maxout, "BATCH", 40)
    seen = []
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10).double())
    network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    data = common.training_data("digits")
    assert list(maxout.descents(network, data, 0, (0, 1))) == [0, 1]
    assert len({tuple(row) for row in seen[0].flatten(1).tolist()}) == len(
        {tuple(row) for row in data.train.x.reshape(40, -1).tolist()}
    )
