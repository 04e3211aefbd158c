"""The experiments of chapter 5: activations against torch, tables against plain loops."""

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from relubook import records
from relubook.activations import z
from relubook.experiments import EXPERIMENTS, softplus
from relubook.training import Recipe
from tests import plain_loop


@pytest.fixture
def tiny(monkeypatch, few_examples):
    """Two epochs, two tasks, three cases, rates as if tuned."""
    steps = {"num_epochs": 2, "batch_size": 20}
    monkeypatch.setattr(softplus, "SMOOTH_TASKS", {
        "cnn": ("mnist1d", {"channels": (4,), "widths": (), **steps}),
        "deep mlp": ("digits", {"widths": (8, 8), **steps}),
    })
    monkeypatch.setattr(softplus, "SMOOTH_CASES", {
        case: softplus.SMOOTH_CASES[case]
        for case in ("relu", "softplus, beta 10", "shifted softplus")
    })
    monkeypatch.setattr(softplus, "SMOOTH_RATES", (0.05, 0.2))
    chosen = [(task, case, lr) for task, lr in (("cnn", 0.05), ("deep mlp", 0.1))
              for case in softplus.SMOOTH_CASES]
    monkeypatch.setattr(softplus, "chosen_rates", lambda: pd.DataFrame(
        chosen, columns=["task", "case", "lr"]))
    return few_examples


@pytest.mark.parametrize("name", ["smooth_tuning", "smoothness"])
def test_a_table_is_what_its_entry_promises(name, tiny):
    experiment = EXPERIMENTS[name]
    together = experiment.run([4, 9], "cpu")
    assert records.table_fault(together, experiment.columns, [4, 9]) == ""
    keys = ["task", "case", "lr", "seed"]
    alone = pd.concat([experiment.run([seed], "cpu") for seed in (9, 4)])
    assert not together.duplicated(keys).any()
    assert len(together) == (24 if name == "smooth_tuning" else 12)
    pd.testing.assert_frame_equal(
        together.sort_values(keys, ignore_index=True),
        alone.sort_values(keys, ignore_index=True),
    )


def test_the_training_is_that_of_a_plain_loop(tiny):
    rows = softplus.smoothness([7]).query("task == 'deep mlp'")
    assert sorted(rows["case"]) == sorted(softplus.SMOOTH_CASES)
    for row in rows.itertuples():
        recipe = Recipe(
            activation=softplus.SMOOTH_CASES[row.case], widths=(8, 8), num_epochs=2,
            batch_size=20, optimizer="sgd", momentum=0.9, schedule="cosine", lr=0.1,
            seed=7,
        )
        _, losses = plain_loop.train_alone(recipe, tiny["digits"])
        assert row.lr == 0.1
        assert row.train_loss == pytest.approx(losses[-1], rel=1e-4)


def test_each_task_has_its_own_rate(tiny):
    rows = softplus.smoothness([0])
    assert set(zip(rows["task"], rows["lr"])) == {("cnn", 0.05), ("deep mlp", 0.1)}


def test_shifted_activations_are_lowered_ones():
    points = torch.linspace(-30, 30, 601, dtype=torch.float64)
    wanted = {
        softplus.SHIFTED_SOFTPLUS: F.softplus(points, threshold=50) - np.log(2),
        softplus.SHIFTED_RELU: torch.relu(points) - 0.3989422804014327,
    }
    for activation, values in wanted.items():
        assert np.allclose(activation(points.numpy()), values, rtol=0, atol=1e-14)
        module = activation.torch_module()(points)
        assert torch.allclose(module, values, rtol=0, atol=1e-8)  # torch's threshold
    assert softplus.SHIFTED_SOFTPLUS.formula.subs(z, 0) == 0


def test_rates_are_chosen_by_validation_accuracy_from_the_record():
    tuning = records.load("smooth_tuning").data
    finished = tuning[~tuning["diverged"]]
    chosen = softplus.chosen_rates()
    assert len(chosen) == len(softplus.SMOOTH_TASKS) * len(softplus.SMOOTH_CASES)
    for row in chosen.itertuples():
        own = finished.query("task == @row.task and case == @row.case")
        tried = own.groupby("lr")["validation_accuracy"].agg(["size", "mean"])
        full = tried[tried["size"] == 3]["mean"]
        assert row.lr in full.index and full[row.lr] == full.max()
        assert row.edge == ""
