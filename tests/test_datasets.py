"""Datasets: what is in them, that nothing leaks between splits, what is refused."""

import functools
import gzip
import hashlib
import http.server
import pickle
import random
import struct
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from relubook import datasets
from relubook.datasets import (
    Dataset,
    adding_problem,
    digits,
    fashion_mnist,
    mnist1d,
    split,
    toy_regression,
    xor,
)

PARTS = ("train", "validation", "test")


def arrays(dataset):
    parts = [getattr(dataset, part) for part in PARTS]
    return [array for part in parts if part for array in part]


def assert_same(first, second):
    assert len(arrays(first)) == len(arrays(second))
    for one, other in zip(arrays(first), arrays(second)):
        np.testing.assert_array_equal(one, other)


def numbered(n, num_classes=4):
    """Examples that carry their own index, so that one sees where each went."""
    return np.arange(n)[:, None], np.arange(n) % num_classes


# --- Dataset --------------------------------------------------------------------------


def test_a_dataset_stores_float32_and_int64_that_nobody_can_change():
    x, y = np.arange(6.0).reshape(3, 2), np.array([0, 1, 1], np.uint8)
    dataset = Dataset("mine", (x, y), num_classes=2)
    assert dataset.train.x.dtype == np.float32 and dataset.train.y.dtype == np.int64
    assert dataset.validation is None and dataset.test is None
    x[:] = -1
    np.testing.assert_array_equal(dataset.train.x, [[0, 1], [2, 3], [4, 5]])
    with pytest.raises(ValueError, match="read-only"):
        dataset.train.x[0] = 7
    with pytest.raises(ValueError, match="read-only"):
        dataset.train.y[0] = 1
    with pytest.raises(AttributeError):
        dataset.train = dataset.test
    assert x.flags.writeable and y.flags.writeable


def test_regression_targets_are_a_column():
    dataset = Dataset("mine", ([[1], [2]], [0.5, 1.5]))
    assert dataset.train.y.shape == (2, 1) and dataset.train.y.dtype == np.float32
    counts = Dataset("mine", ([[1], [2]], [7, 8]))
    assert counts.train.y.shape == (2, 1) and counts.train.y.dtype == np.float32
    assert repr(dataset) == "<mine: x [1], y [1], train 2>"
    assert Dataset("mine", (np.ones((2, 1)), np.ones((2, 3)))).train.y.shape == (2, 3)


@pytest.mark.parametrize("dataset", [xor(), toy_regression("sine", n=3)])
def test_a_pickled_dataset_is_the_same_and_still_read_only(dataset):
    copy = pickle.loads(pickle.dumps(dataset))
    assert_same(copy, dataset)
    assert repr(copy) == repr(dataset)
    assert not any(array.flags.writeable for array in arrays(copy))


GOOD = (np.ones((4, 2)), np.array([0, 1, 0, 1]))


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_what_is_not_finite_is_found_in_each_split(part, bad):
    x = np.ones((4, 2, 3))
    x[2, 1, 0] = x[3, 0, 0] = bad
    splits = dict.fromkeys(PARTS, (np.ones((4, 2, 3)), GOOD[1])) | {part: (x, GOOD[1])}
    message = rf"{part}\.x has 2 of 24 values .* first is {bad}.* \(2, 1, 0\)"
    with pytest.raises(ValueError, match=message.replace("+", r"\+")):
        Dataset("mine", **splits, num_classes=2)
    with pytest.raises(ValueError, match=rf"{part}\.y has 1 of 4 values"):
        splits[part] = (np.ones((4, 2, 3)), [1.0, bad, 1.0, 1.0])
        Dataset("mine", **splits)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"name": ""}, TypeError, "name=''"),
        ({"name": 3}, TypeError, "name=3"),
        ({"train": None}, TypeError, r"train is a NoneType; wanted a pair \(x, y\)"),
        ({"train": GOOD[0]}, TypeError, "train is a ndarray"),
        ({"test": (*GOOD, 3)}, TypeError, "test is a tuple; wanted a pair"),
        ({"num_classes": 1}, ValueError, "num_classes=1; wanted .* 2 or more"),
        ({"num_classes": True}, ValueError, "num_classes=True"),
        ({"num_classes": 2.0}, ValueError, "num_classes=2.0"),
        ({"train": (GOOD[0], [0, 1, 0, 2])}, ValueError, "2 at index 3; .*0 to 1"),
        ({"test": (GOOD[0], [0, -1, 0, 0])}, ValueError, "test.y .* -1 at index 1"),
        ({"train": (GOOD[0], [0.0, 1, 0, 1])}, TypeError, "train.y has dtype float64"),
        ({"train": (GOOD[0], [[0], [1], [0], [1]])}, TypeError, r"shape \(4, 1\)"),
        ({"train": (GOOD[0], [0, 1, 0])}, ValueError, "x has 4 .* train.y has 3"),
        ({"train": (np.ones(4), GOOD[1])}, ValueError, r"train.x has shape \(4,\)"),
        ({"train": (GOOD[0], 1)}, ValueError, r"train.y has shape \(\)"),
        ({"train": (np.ones((0, 2)), [])}, ValueError, r"train.x is empty"),
        ({"train": (np.ones((4, 0)), GOOD[1])}, ValueError, r"empty .*\(4, 0\)"),
        ({"train": ([["a"]], [0])}, TypeError, "train.x has dtype <U1"),
        ({"train": ([[1j]], [0])}, TypeError, "train.x has dtype complex"),
        ({"train": ([[1], [1, 2]], [0, 1])}, ValueError, "train.x is ragged"),
        ({"test": (np.ones((4, 3)), GOOD[1])}, ValueError, r"test.x .*\(3,\).* \(2,\)"),
        ({"std": 0.0}, ValueError, "std has the value 0.0"),
        ({"std": [1.0, -1.0]}, ValueError, "std has the value -1.0"),
        ({"mean": [1, 2, 3]}, ValueError, r"mean has shape \(3,\); .* \(2,\)"),
        ({"mean": np.nan}, ValueError, "mean has 1"),
    ],
)
def test_a_dataset_refuses(change, error, message):
    with pytest.raises(error, match=message):
        Dataset(**{"name": "mine", "train": GOOD, "num_classes": 2} | change)


def test_targets_of_different_width_are_refused():
    one, two = (np.ones((2, 1)), np.ones((2, 1))), (np.ones((2, 1)), np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"validation.y .* \(2,\); wanted \(1,\)"):
        Dataset("mine", one, validation=two)


def test_labels_too_large_for_int64_do_not_wrap_round():
    y = np.array([0, 2**64 - 1], np.uint64)
    with pytest.raises(ValueError, match="label.* 18446744073709551615 at index 1"):
        Dataset("mine", (np.ones((2, 1)), y), num_classes=2)


# --- Split ----------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(0.2, 0.2), (20, 20), (np.int64(20), 0.2)])
def test_every_example_lands_in_one_split_in_proportion(sizes):
    x, y = numbered(100)
    dataset = split(x, y, name="mine", validation=sizes[0], test=sizes[1], over=None)
    found = [getattr(dataset, part).x[:, 0].astype(int) for part in PARTS]
    assert [len(part) for part in found] == [60, 20, 20]
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(100))
    for part, index in zip(PARTS, found):
        labels = getattr(dataset, part).y
        np.testing.assert_array_equal(labels, y[index])
        assert len(set(np.bincount(labels))) == 1


def test_a_split_depends_on_its_seed_alone():
    x, y = numbered(100)
    cut = functools.partial(split, x, y, name="mine", over=None)
    assert_same(cut(), cut(seed=0))
    assert (cut().test.x != cut(seed=1).test.x).any()
    # Tuning with other validation examples meets the same test.
    for validation in (None, 0.5, 12):
        again = cut(validation=validation)
        np.testing.assert_array_equal(again.test.x, cut().test.x)


def test_regression_is_split_too_and_keeps_its_targets():
    x = np.arange(50.0)[:, None]
    dataset = split(x, 3 * x + 1, name="mine", validation=None, test=0.5)
    assert dataset.num_classes is None and dataset.validation is None
    raw = dataset.test.x * dataset.std + dataset.mean
    np.testing.assert_allclose(3 * raw + 1, dataset.test.y, rtol=1e-5)
    assert split(x, x[:, 0], name="mine").train.y.shape == (30, 1)


@pytest.mark.parametrize("over", ["all", "features"])
def test_standardised_by_the_training_examples_alone(over):
    rng = np.random.default_rng(0)
    x, y = rng.normal(5, [1, 10, 0.1], (60, 2, 3)), rng.integers(0, 2, 60)
    other = rng.normal(-100, 30, (20, 2, 3)), rng.integers(0, 2, 20)
    cut = functools.partial(split, x, y, name="mine", validation=0.25)
    dataset, raw = cut(test=other, over=over), cut(test=other, over=None)

    for place in np.ndindex(2, 3):
        among = raw.train.x if over == "all" else raw.train.x[(..., *place)]
        mean, std = np.mean(among, dtype=float), np.std(among, dtype=float)
        for part in PARTS:
            found = getattr(dataset, part).x[(..., *place)]
            wanted = (getattr(raw, part).x[(..., *place)] - mean) / std
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert abs(dataset.test.x.mean()) > 3  # not by its own mean
    np.testing.assert_allclose(
        dataset.test.x * dataset.std + dataset.mean, other[0], rtol=1e-5, atol=1e-4
    )

    changed = cut(test=(other[0] * 7 - 3, other[1]), over=over)
    np.testing.assert_array_equal(changed.train.x, dataset.train.x)
    np.testing.assert_array_equal(changed.validation.x, dataset.validation.x)


def test_a_given_validation_set_changes_no_training_example():
    x, y = numbered(50)
    first = split(x, y, name="mine", validation=(x, y))
    other = split(x, y, name="mine", validation=(x * 1000, y))
    np.testing.assert_array_equal(first.train.x, other.train.x)
    np.testing.assert_array_equal(first.test.x, other.test.x)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e-30, -3e38, 1e-320])
def test_a_constant_feature_is_divided_by_one(value):
    x, y = np.column_stack([np.full(50, value), np.arange(50)]), np.arange(50) % 2
    dataset = split(x, y, name="mine", over="features")
    assert dataset.std[0] == 1 and dataset.std[1] > 10
    np.testing.assert_allclose(dataset.train.x[:, 0], 0, atol=abs(value) * 1e-15)
    assert split(x[:, :1], y, name="mine", over="all").std == 1


def test_values_whose_squares_vanish_are_as_good_as_constant():
    x, y = 1e-200 * np.arange(50.0)[:, None], np.arange(50) % 2
    for over in ("all", "features"):
        dataset = split(x, y, name="mine", over=over)
        assert dataset.std == 1 and (dataset.train.x == 0).all()


def test_features_far_from_zero_keep_their_digits():
    seconds = 1.7e9 + np.arange(50.0)  # float32 cannot tell them apart
    dataset = split(seconds[:, None], np.arange(50) % 2, name="mine", over="features")
    undone = dataset.train.x * dataset.std + dataset.mean
    np.testing.assert_allclose(undone - 1.7e9, np.round(undone - 1.7e9), atol=1e-4)
    assert len(np.unique(dataset.train.x)) == 30


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float16, np.float64])
def test_inputs_of_every_real_type(dtype):
    x = (np.arange(100) % 3).reshape(50, 2).astype(dtype)
    dataset = split(x, (np.arange(50) % 2).astype(bool), name="mine")
    raw = split(x, np.arange(50) % 2, name="mine", over=None).train.x
    wanted = (raw - raw.mean()) / raw.std()
    np.testing.assert_allclose(dataset.train.x, wanted, rtol=1e-5)
    assert dataset.num_classes == 2 and dataset.train.y.dtype == np.int64


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": np.full((40, 1), np.nan)}, ValueError, r"^x has 40 of .* \(0, 0\)"),
        ({"x": np.arange(40)}, ValueError, r"^x has shape \(40,\); wanted"),
        ({"x": np.ones((39, 1))}, ValueError, "^x has 39 examples and y has 40"),
        ({"y": np.full(40, "cat")}, TypeError, "^y has dtype <U3"),
        ({"y": np.arange(40) % 4 + 1}, ValueError, "^y has the 4 labels 1 to 4"),
        ({"y": np.zeros(40, int)}, ValueError, "^y has the 1 labels 0 to 0"),
        ({"y": np.arange(40) % 4 - 1}, ValueError, "^y has the 4 labels -1 to 2"),
        ({"num_classes": 3}, ValueError, "label.* 3 at index .*; wanted 0 to 2"),
        ({"test": 0}, ValueError, "^test=0; wanted a fraction or a number of the 40"),
        ({"test": 1.0}, ValueError, "^test=1.0"),
        ({"test": -0.2}, ValueError, "^test=-0.2"),
        ({"test": np.nan}, ValueError, "^test=nan"),
        ({"test": True}, ValueError, "^test=True"),
        ({"test": "0.2"}, ValueError, "^test='0.2'"),
        ({"validation": 40}, ValueError, "^validation=40"),
        ({"validation": 0.001}, ValueError, "^validation=0.001"),
        ({"validation": 20, "test": 20}, ValueError, "^validation: .* 20 of 20 "),
        ({"test": 3}, ValueError, "^test: cannot draw 3 of 40 .* number of classes"),
        ({"test": ([[1, 2]], [0])}, ValueError, r"test.x .* \(2,\); wanted \(1,\)"),
        ({"test": ([[np.inf]], [0])}, ValueError, "test.x has 1 of 1"),
        ({"test": ([[1]], [4])}, ValueError, "test.y .* 4 at index 0; wanted 0 to 3"),
        ({"seed": -1}, ValueError, "^seed=-1; wanted a whole number 0 to 4294967295"),
        ({"seed": 2**32}, ValueError, "^seed=4294967296"),
        ({"seed": None}, ValueError, "^seed=None"),
        ({"over": "pixels"}, ValueError, "^over='pixels'; wanted 'all', 'features'"),
        ({"name": None}, TypeError, "name=None"),
    ],
)
def test_a_split_refuses(change, error, message):
    x, y = numbered(40)
    with pytest.raises(error, match=message):
        split(**{"x": x, "y": y, "name": "mine"} | change)


def test_a_class_with_one_example_cannot_be_split():
    x, y = numbered(40)
    y[0], y[y == 3] = 4, 2
    y[1] = 3
    with pytest.raises(ValueError, match="^test: cannot draw .* only 1 member"):
        split(x, y, name="mine")


# --- The datasets ---------------------------------------------------------------------


def test_xor():
    dataset = xor()
    assert dataset.num_classes == 2 and dataset.validation is dataset.test is None
    for (a, b), label in zip(dataset.train.x, dataset.train.y, strict=True):
        assert label == int(a) ^ int(b)
    assert {tuple(row) for row in dataset.train.x} == {(0, 0), (0, 1), (1, 0), (1, 1)}


def stairs(x):
    for low in (-1, -0.5, 0, 0.5):
        if low <= x < low + 0.5:
            return low + 0.25


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("sine", lambda x: np.sin(np.pi * x)),
        ("absolute_value", lambda x: x if x > 0 else -x),
        ("square", lambda x: x * x),
        ("steps", stairs),
    ],
)
def test_toy_regression(name, function):
    dataset = toy_regression(name, n=500)
    for part in PARTS:
        x, y = getattr(dataset, part)
        assert x.shape == y.shape == (500, 1)
        assert -1 <= x.min() < -0.98 and 0.98 < x.max() <= 1
        wanted = [function(float(value)) for value in x[:, 0]]
        np.testing.assert_allclose(y[:, 0], wanted, atol=1e-6)
    assert not set(dataset.train.x[:, 0]) & set(dataset.test.x[:, 0])


def test_every_toy_is_tested():
    names = test_toy_regression.pytestmark[0].args[1]
    assert {name for name, _ in names} == set(datasets.TOY_FUNCTIONS)


def test_the_noise_of_a_toy():
    plain = toy_regression("sine", n=5000, seed=3)
    noisy = toy_regression("sine", n=5000, noise=0.5, seed=3)
    np.testing.assert_array_equal(plain.test.x, noisy.test.x)
    noise = noisy.test.y - plain.test.y
    assert abs(noise.mean()) < 0.03 and noise.std() == pytest.approx(0.5, rel=0.04)
    assert_same(noisy, toy_regression("sine", n=5000, noise=0.5, seed=3))
    other = toy_regression("sine", n=5000, noise=0.5, seed=4)
    assert (other.train.x != noisy.train.x).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "cosine"}, "name='cosine'; wanted one of sine, absolute_value, "),
        ({"n": 0}, "n=0; wanted a whole number of 1 or more"),
        ({"n": 2.5}, "n=2.5"),
        ({"noise": -1}, "noise=-1; wanted a standard deviation"),
        ({"noise": np.nan}, "noise=nan"),
        ({"noise": np.inf}, "noise=inf"),
        ({"noise": "0"}, "noise='0'"),
        ({"seed": 1.5}, "seed=1.5"),
    ],
)
def test_a_toy_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        toy_regression(**{"name": "sine"} | arguments)


def test_digits():
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    dataset = digits()
    sizes = [len(getattr(dataset, part).x) for part in PARTS]
    assert sizes == [1077, 360, 360] and dataset.train.x.shape[1:] == (1, 8, 8)
    found = []
    for part in PARTS:
        x, y = getattr(dataset, part)
        raw = np.rint(x * dataset.std + dataset.mean).reshape(-1, 64)
        found.append(np.column_stack([raw, y]))
        share = np.bincount(y, minlength=10) / len(y)
        np.testing.assert_allclose(share, np.bincount(labels) / 1797, atol=0.003)
    found, wanted = np.concatenate(found), np.column_stack([pixels, labels])
    np.testing.assert_array_equal(
        found[np.lexsort(found.T)], wanted[np.lexsort(wanted.T)]
    )
    assert_same(dataset, digits(0))
    assert (dataset.test.x != digits(1).test.x).any()


def test_adding_problem():
    dataset = adding_problem(7, 3000, 1000, 2000)
    assert [len(getattr(dataset, part).x) for part in PARTS] == [3000, 1000, 2000]
    first, second = set(), set()
    for part in PARTS:
        for sequence, (target,) in zip(*getattr(dataset, part)):
            values, markers = sequence.T
            assert ((0 <= values) & (values < 1)).all()
            one, other = np.flatnonzero(markers)
            assert markers[one] == markers[other] == 1
            assert target == pytest.approx(float(values[one]) + float(values[other]))
            first.add(int(one))
            second.add(int(other))
    assert first == {0, 1, 2} and second == {3, 4, 5, 6}


def test_always_predicting_1_leaves_a_sixth():
    y = adding_problem(20, 100_000).train.y.astype(float)
    # Its standard error: the sum's fourth central moment is 1/15, its variance 1/6.
    error = np.sqrt((1 / 15 - 1 / 36) / 100_000)
    assert abs(((y - 1) ** 2).mean() - 1 / 6) < 4 * error
    assert abs(y.mean() - 1) < 4 * np.sqrt(1 / 6 / 100_000)


def test_the_shortest_sequence_has_both_steps_marked():
    dataset = adding_problem(2, 5)
    np.testing.assert_array_equal(dataset.train.x[:, :, 1], 1)
    np.testing.assert_array_equal(dataset.train.y, dataset.train.x[..., :1].sum(1))
    assert dataset.validation is None and dataset.test is None


def test_sequences_of_one_split_do_not_depend_on_the_others():
    small = adding_problem(9, 10, 20, 30, seed=5)
    large = adding_problem(9, 999, None, 30, seed=5)
    np.testing.assert_array_equal(small.test.x, large.test.x)
    np.testing.assert_array_equal(small.test.y, large.test.y)
    assert (small.test.x != adding_problem(9, 10, 20, 30).test.x).any()
    assert (small.train.x != small.test.x[:10]).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 5), "length=1; wanted a whole number of 2 or more"),
        ((5.0, 5), "length=5.0"),
        ((5, 0), "n_train=0; wanted a whole number of 1 or more"),
        ((5, None), "n_train=None"),
        ((5, 5, 0), "n_validation=0"),
        ((5, 5, 1, -1), "n_test=-1"),
        ((5, 5, 1, 1, "a"), "seed='a'"),
    ],
)
def test_the_adding_problem_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        adding_problem(*arguments)


# --- MNIST-1D -------------------------------------------------------------------------


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*arguments, **_):
        raise AssertionError(f"the network was used: {arguments}")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.fixture(scope="module")
def made():
    """What the library was asked for and made; it takes too long to do twice."""
    from mnist1d import data

    calls, make_dataset = [], data.make_dataset

    def record(settings):
        calls.append((vars(settings), make_dataset(settings)))
        return calls[-1][1]

    datasets._mnist1d_signals.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "make_dataset", record)
        mnist1d()
    ((settings, signals),) = calls
    assert settings == data.get_dataset_args(as_dict=True)
    return signals


def test_mnist1d_is_what_the_library_makes(no_network, made):
    dataset = mnist1d()
    sizes = [len(getattr(dataset, part).x) for part in PARTS]
    assert sizes == [3200, 800, 1000] and dataset.train.x.shape[1:] == (1, 40)
    undone = dataset.test.x[:, 0] * dataset.std + dataset.mean
    np.testing.assert_allclose(undone, made["x_test"], atol=1e-6)
    np.testing.assert_array_equal(dataset.test.y, made["y_test"])

    found = []
    for part in (dataset.train, dataset.validation):
        x = part.x[:, 0] * dataset.std + dataset.mean
        found.append(np.column_stack([x, part.y]))
        share = np.bincount(part.y) / len(part.y)
        np.testing.assert_allclose(share, np.bincount(made["y"]) / 4000, atol=1e-3)
    found = np.concatenate(found)
    expected = np.column_stack([made["x"], made["y"]])
    found, expected = (part[np.argsort(part[:, 0])] for part in (found, expected))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_mnist1d_is_made_once(monkeypatch):
    once = mnist1d()
    monkeypatch.setattr("mnist1d.data.make_dataset", None)
    assert_same(once, mnist1d(42))
    assert not datasets._mnist1d_signals(42)[0].x.flags.writeable


def test_the_checksum_sees_data_but_no_rounding():
    parts = datasets._mnist1d_signals(42)
    to_the_turn = np.abs(100 * np.concatenate([part.x for part in parts]) % 1 - 0.5)
    assert to_the_turn.min() / 100 > 6e-8

    rng = np.random.default_rng(0)
    nearly = [
        datasets.Split(part.x * (1 + rng.uniform(-1e-9, 1e-9, part.x.shape)), part.y)
        for part in parts
    ]
    assert datasets._mnist1d_checksum(*nearly) == datasets.MNIST1D_CHECKSUM
    train, test = nearly
    swapped = test.y.copy()
    swapped[[0, 1]] = (swapped[[0, 1]] + 1) % 10
    relabelled = test._replace(y=swapped)
    assert datasets._mnist1d_checksum(train, relabelled) != datasets.MNIST1D_CHECKSUM
    train.x[123, 0, 4] += 0.02
    assert datasets._mnist1d_checksum(train, test) != datasets.MNIST1D_CHECKSUM


@pytest.fixture
def nothing_cached(monkeypatch):
    made_anew = functools.cache(datasets._mnist1d_signals.__wrapped__)
    monkeypatch.setattr(datasets, "_mnist1d_signals", made_anew)


def make_fake(fail=False):
    def make_dataset(settings):
        np.random.seed(settings.seed)
        random.seed(settings.seed)
        if fail:
            raise OSError("broken")
        x, y = np.random.normal(size=(5000, 40)), np.arange(5000) % 10
        return {"x": x[:4000], "y": y[:4000], "x_test": x[4000:], "y_test": y[4000:]}

    return make_dataset


@pytest.mark.parametrize("fail", [False, True])
def test_global_random_numbers_stay_as_they_were(monkeypatch, nothing_cached, fail):
    monkeypatch.setattr("mnist1d.data.make_dataset", make_fake(fail))
    before = np.random.get_state(), random.getstate()
    if fail:
        with pytest.raises(OSError, match="broken"):
            mnist1d(seed=7)
    else:
        mnist1d(seed=7)
    after = np.random.get_state(), random.getstate()
    assert before[1] == after[1] and before[0][2:] == after[0][2:]
    np.testing.assert_array_equal(before[0][1], after[0][1])


def test_other_signals_than_the_books_are_refused(monkeypatch, nothing_cached):
    monkeypatch.setattr("mnist1d.data.make_dataset", make_fake())
    with pytest.raises(RuntimeError, match="other signals .* is [0-9a-f]{64}; "):
        mnist1d()
    mnist1d(seed=8)  # nothing is known of other seeds


@pytest.mark.parametrize("seed", [-1, 2**32, 4.2, None, [42]])
def test_mnist1d_refuses_a_seed(seed):
    with pytest.raises(ValueError, match="^seed="):
        mnist1d(seed)


# --- Fashion-MNIST --------------------------------------------------------------------


def idx(array):
    """The bytes of an IDX file, as its specification has them."""
    header = struct.pack(">BBBB", 0, 0, 8, array.ndim)
    shape = b"".join(struct.pack(">I", size) for size in array.shape)
    return header + shape + array.astype(np.uint8).tobytes()


@pytest.fixture(scope="module")
def contents():
    """Small files in the format of Fashion-MNIST, by name."""
    rng = np.random.default_rng(0)
    return {
        "train-images-idx3-ubyte.gz": rng.integers(0, 256, (120, 28, 28)),
        "train-labels-idx1-ubyte.gz": np.arange(120) % 10,
        "t10k-images-idx3-ubyte.gz": rng.integers(0, 256, (30, 28, 28)),
        "t10k-labels-idx1-ubyte.gz": rng.integers(0, 10, 30),
    }


@pytest.fixture
def folder(tmp_path, contents):
    path = tmp_path / "files"
    path.mkdir()
    for name, array in contents.items():
        (path / name).write_bytes(gzip.compress(idx(array)))
    return path


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """Neither the package nor the cache have anything; returns the cache's folder."""
    cache = tmp_path / "cache"
    monkeypatch.setattr(datasets, "FASHION_MNIST_PACKAGE", tmp_path / "package")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: cache / name)
    return cache / "relubook" / "fashion-mnist"


def assert_made_of(dataset, contents):
    train, train_y, test, test_y = contents.values()
    sizes = [len(getattr(dataset, part).x) for part in PARTS]
    assert sizes == [100, 20, 30] and dataset.num_classes == 10
    assert dataset.train.x.shape[1:] == (1, 28, 28)
    np.testing.assert_array_equal(np.bincount(dataset.validation.y), 2)
    np.testing.assert_array_equal(dataset.test.y, test_y)
    undone = dataset.test.x[:, 0] * dataset.std + dataset.mean
    np.testing.assert_allclose(undone, test, atol=1e-3)
    found = np.concatenate([
        np.column_stack([
            np.rint(part.x * dataset.std + dataset.mean).reshape(len(part.x), -1),
            part.y,
        ])
        for part in (dataset.train, dataset.validation)
    ])
    wanted = np.column_stack([train.reshape(120, -1), train_y])
    np.testing.assert_array_equal(
        found[np.lexsort(found.T)], wanted[np.lexsort(wanted.T)]
    )


def test_fashion_mnist_from_a_folder(folder, contents, nowhere, no_network):
    assert_made_of(fashion_mnist(folder), contents)
    assert_made_of(fashion_mnist(str(folder), download=True), contents)
    assert_same(fashion_mnist(folder), fashion_mnist(folder))


def test_fashion_mnist_from_the_package_and_from_the_cache(
    folder, contents, nowhere, no_network, monkeypatch
):
    nowhere.parent.mkdir(parents=True)
    folder.rename(nowhere)
    assert_made_of(fashion_mnist(), contents)
    nowhere.rename(folder)
    monkeypatch.setattr(datasets, "FASHION_MNIST_PACKAGE", folder)
    assert_made_of(fashion_mnist(), contents)


def test_fashion_mnist_is_nowhere(folder, nowhere, no_network):
    with pytest.raises(FileNotFoundError) as error:
        fashion_mnist()
    ways = ("apt install dataset-fashion-mnist", "folder=", "download=True")
    assert all(way in str(error.value) for way in (*ways, str(nowhere)))
    assert not nowhere.exists()
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=f"is not in {folder}; install"):
        fashion_mnist(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda packed: packed[: len(packed) // 2], "is damaged"),
        (lambda packed: packed[:-3] + b"abc", "is damaged"),
        (lambda packed: packed[:50] + b"x" + packed[51:], "is damaged"),
        (lambda packed: b"<html>404</html>", "is damaged"),
        (lambda packed: b"", "has 0 bytes with the magic number 0"),
        (lambda packed: gzip.compress(b"\0\0\x08"), "has 3 bytes"),
        (lambda packed: gzip.compress(idx(np.ones((4, 9)))), "magic number 2050 "),
        (  # signed bytes
            lambda packed: gzip.compress(b"\0\0\x09" + gzip.decompress(packed)[3:]),
            "magic number 2307 .* wanted 2051",
        ),
        (
            lambda packed: gzip.compress(gzip.decompress(packed)[:-1]),
            r"has 94095 bytes .* 2051 .* \[120, 28, 28\]",
        ),
        (lambda packed: gzip.compress(gzip.decompress(packed) + b"1"), "94097 bytes"),
    ],
)
def test_a_damaged_file_is_named(folder, nowhere, damage, message):
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=f"^{path}.*{message}"):
        fashion_mnist(folder)


def test_labels_that_are_none_and_images_without_label(folder, nowhere, contents):
    labels = folder / "train-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(idx(contents[labels.name] + 1)))
    with pytest.raises(ValueError, match="label.* 10 at index .*; wanted 0 to 9"):
        fashion_mnist(folder)
    labels.write_bytes(gzip.compress(idx(contents[labels.name][:-1])))
    with pytest.raises(ValueError, match="x has 120 examples and y has 119"):
        fashion_mnist(folder)


@pytest.fixture
def server(folder, contents, nowhere, monkeypatch):
    """Serves `answers`, by path; records what was asked for."""
    answers = {f"/{path.name}": path.read_bytes() for path in folder.iterdir()}
    state = SimpleNamespace(answers=answers, asked=[], announce_too_much=False)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state.asked.append(self.path)
            body = state.answers.get(self.path)
            self.send_response(404 if body is None else 200)
            body = body or b""
            length = len(body) + 100 * state.announce_too_much
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        address = f"http://127.0.0.1:{listening.server_port}/"
        monkeypatch.setattr(datasets, "FASHION_MNIST_URL", address)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        sums = {k: hashlib.sha256(idx(v)).hexdigest() for k, v in contents.items()}
        monkeypatch.setattr(datasets, "FASHION_MNIST_CHECKSUMS", sums)
        yield state
        listening.shutdown()
        thread.join()


def test_a_download_happens_once(server, contents, nowhere, tmp_path):
    assert_made_of(fashion_mnist(download=True), contents)
    assert sorted(server.asked) == sorted(server.answers)
    assert {path.name for path in nowhere.iterdir()} == set(contents)
    assert_made_of(fashion_mnist(download=True), contents)
    assert_made_of(fashion_mnist(), contents)
    assert len(server.asked) == 4

    named = tmp_path / "a" / "b"
    assert_made_of(fashion_mnist(named, download=True), contents)
    assert {path.name for path in named.iterdir()} == set(contents)


NAMES = list(datasets.FASHION_MNIST_CHECKSUMS)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda packed: packed[:-50], "could not fetch"),
        (lambda packed: packed[:40] + b"?" + packed[41:], "could not fetch"),
        (lambda packed: b"<html>Sign in</html>", "could not fetch"),
        (lambda packed: None, "could not fetch .*404"),
        (lambda packed: b"", "is not what was wanted"),
        (lambda packed: gzip.compress(b"other"), "is not what was wanted: .*; wanted "),
    ],
)
@pytest.mark.parametrize("name", [NAMES[0], NAMES[2]])
def test_a_download_that_went_wrong_leaves_nothing_wrong(
    server, contents, nowhere, spoil, message, name
):
    whole = server.answers[f"/{name}"]
    server.answers[f"/{name}"] = spoil(whole)
    with pytest.raises(ConnectionError, match=message) as error:
        fashion_mnist(download=True)
    assert f"/{name}" in str(error.value)
    before = NAMES[: NAMES.index(name)]
    left = {path.name for path in nowhere.iterdir()} if nowhere.exists() else set()
    assert left == set(before)

    server.answers[f"/{name}"] = whole  # and then goes on where it stopped
    server.asked.clear()
    assert_made_of(fashion_mnist(download=True), contents)
    assert len(server.asked) == 4 - len(before)


def test_a_connection_that_breaks_off(server, nowhere):
    server.announce_too_much = True
    with pytest.raises(ConnectionError, match="could not fetch .*IncompleteRead"):
        fashion_mnist(download=True)
    assert not nowhere.exists()


def test_nobody_answers(server, nowhere, monkeypatch):
    monkeypatch.setattr(datasets, "FASHION_MNIST_URL", "http://127.0.0.1:1/")
    with pytest.raises(ConnectionError, match="could not fetch http://127.0.0.1:1/"):
        fashion_mnist(download=True)
    assert not nowhere.exists()


def test_a_full_disk_leaves_no_half_file(server, nowhere, monkeypatch):
    def full(path, data):
        with open(path, "wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        fashion_mnist(download=True)
    assert list(nowhere.iterdir()) == []


REAL = datasets.FASHION_MNIST_PACKAGE


@pytest.mark.skipif(
    not REAL.exists(), reason="the Debian package dataset-fashion-mnist is missing"
)
def test_the_real_fashion_mnist(no_network):
    for name, checksum in datasets.FASHION_MNIST_CHECKSUMS.items():
        content = gzip.decompress((REAL / name).read_bytes())
        assert hashlib.sha256(content).hexdigest() == checksum
    dataset = fashion_mnist()
    np.testing.assert_array_equal(np.bincount(dataset.train.y), 5000)
    np.testing.assert_array_equal(np.bincount(dataset.validation.y), 1000)
    np.testing.assert_array_equal(np.bincount(dataset.test.y), 1000)
    assert dataset.train.x.shape == (50_000, 1, 28, 28)
    # The mean and the standard deviation that the field uses, of all 60,000.
    assert dataset.mean / 255 == pytest.approx(0.2860, abs=5e-4)
    assert dataset.std / 255 == pytest.approx(0.3530, abs=5e-4)


# --- Without the extras ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "missing", "package"),
    [
        (digits, "sklearn.datasets", "scikit-learn"),
        (lambda: split(*GOOD, name="a"), "sklearn.model_selection", "scikit-learn"),
        (lambda: mnist1d(seed=99), "mnist1d.data", "mnist1d"),
        (fashion_mnist, "platformdirs", "platformdirs"),
    ],
)
def test_a_missing_library_is_named(monkeypatch, call, missing, package):
    monkeypatch.setitem(sys.modules, missing, None)
    message = f"{package}, .* pip install {package}$"
    with pytest.raises(ModuleNotFoundError, match=message):
        call()


def test_importing_loads_neither_torch_nor_what_only_one_dataset_needs():
    code = (
        "import sys, relubook.datasets as d; d.xor(); d.toy_regression('sine');"
        "d.adding_problem(4, 4);"
        "print([m for m in ('torch', 'sklearn', 'mnist1d', 'matplotlib', 'scipy',"
        "'platformdirs') if m in sys.modules])"
    )
    root = Path(datasets.__file__).parents[1]
    command = [sys.executable, "-c", code]
    found = subprocess.check_output(command, cwd=root, text=True)
    assert found.strip() == "[]"


def test_nothing_here_touches_global_random_numbers():
    before = np.random.get_state()[1].copy(), random.getstate()
    digits(), xor(), toy_regression("sine", noise=1), adding_problem(5, 5)
    np.testing.assert_array_equal(before[0], np.random.get_state()[1])
    assert before[1] == random.getstate()
