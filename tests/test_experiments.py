"""Every experiment, and what the table demands of an entry."""

import inspect

import numpy as np
import pytest

from relubook.experiments import EXPERIMENTS, Experiment, check_seeds


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_is_what_the_table_says(name):
    experiment = EXPERIMENTS[name]
    assert experiment.name == name
    assert list(inspect.signature(experiment.run).parameters) == ["seeds", "device"]
    assert experiment.doc.endswith(".")
    assert sum(experiment.pieces, ()) == experiment.seeds


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1], [0.5], ["0"], [True], [None]])
def test_bad_seeds(seeds):
    with pytest.raises(ValueError, match=r"seeds=\(.*want distinct integers >= 0"):
        check_seeds(seeds)


def test_seeds_that_are_no_collection():
    with pytest.raises(TypeError, match="seeds=3, want integers"):
        check_seeds(3)


def test_numpy_seeds_are_seeds():
    seeds = check_seeds(np.arange(3))
    assert seeds == (0, 1, 2) and {type(seed) for seed in seeds} == {int}


@pytest.mark.parametrize("field, value", [
    ("name", "born-dead"), ("run", None), ("piece", 0), ("piece", 1.0), ("seeds", []),
    ("columns", ("a",)), ("columns", ("seed", "seed")), ("devices", ()),
    ("devices", ("tpu",)),
])
def test_a_malformed_experiment(field, value):
    fields = dict(name="toy", run=print, seeds=[0], piece=1, columns=("seed",))
    with pytest.raises(ValueError, match=field):
        Experiment(**{**fields, field: value})
