import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from concurrent import futures
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pandas as pd
import pytest
import sympy as sp
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relubook import datasets, statistics
from relubook.activations import CATALOGUE, Activation, z
from relubook.training import Recipe, engine, runner, train
from relubook.training.checkpoint import Checkpoint
from tests.plain_loop import build, losses, train_alone

RNG = np.random.default_rng(0)


def some_data(count=60, shape=(7,), classes=3, validation=20):
    """Noise with a signal; sizes that no cache line divides."""
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(classes, *shape))

    def part(n):
        y = rng.integers(classes, size=n)
        return (centres[y] + rng.normal(size=(n, *shape))).astype("f4"), y

    return datasets.Dataset(
        "noise", train=part(count), validation=part(validation), test=part(15),
        num_classes=classes,
    )


DATA = some_data()
SEQUENCES = some_data(shape=(2, 9))
IMAGES = some_data(shape=(2, 6, 5))
REGRESSION = datasets.Dataset(
    "line",
    train=(RNG.normal(size=(40, 3)), RNG.normal(size=(40, 2))),
    validation=(RNG.normal(size=(10, 3)), RNG.normal(size=(10, 2))),
)
SMALL = Recipe(widths=(9, 5), batch_size=10, num_epochs=3, lr=0.01)
MAXOUT = replace(SMALL, activation="maxout", num_pieces=3)
CONV = replace(SMALL, channels=(4, 3), widths=(5,))

KINDS = {
    "relu": (SMALL, DATA),
    "no hidden layer": (replace(SMALL, widths=()), DATA),
    "prelu by layer": (replace(SMALL, activation="prelu"), DATA),
    "prelu by unit": (replace(SMALL, activation="prelu", prelu="unit"), DATA),
    "prelu decays": (
        replace(SMALL, activation="prelu", weight_decay=0.1, decay_slopes=True), DATA
    ),
    "maxout": (MAXOUT, DATA),
    "weight decay": (replace(SMALL, activation="prelu", weight_decay=0.1), DATA),
    "sgd": (replace(SMALL, optimizer="sgd", lr=0.1), DATA),
    "momentum": (replace(SMALL, optimizer="sgd", momentum=0.9, lr=0.1), DATA),
    "cosine": (replace(SMALL, schedule="cosine"), DATA),
    "full batch": (replace(SMALL, batch_size=None), DATA),
    "left over": (replace(SMALL, batch_size=7), DATA),
    "batch of one": (replace(SMALL, batch_size=1, num_epochs=1), DATA),
    "betas": (replace(SMALL, betas=(0.5, 0.9)), DATA),
    "xavier and bias": (replace(SMALL, initialisation="xavier", bias=0.1), DATA),
    "own standard deviation": (replace(SMALL, initialisation=0.3), DATA),
    "gain": (replace(SMALL, gain=0.7), DATA),
    "regression": (replace(SMALL, activation="elu"), REGRESSION),
    "sequences, flat": (SMALL, SEQUENCES),
    "convolution 1-D": (CONV, SEQUENCES),
    "convolution 2-D": (replace(CONV, kernel_size=5), IMAGES),
    "convolution, prelu": (replace(CONV, activation="prelu", prelu="unit"), SEQUENCES),
} | {
    name: (replace(SMALL, activation=name), DATA)
    for name in CATALOGUE if name not in ("relu", "prelu")
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_is_what_a_plain_loop_trains(kind):
    recipe, data = KINDS[kind]
    recipes = [replace(recipe, seed=seed, dtype="float64") for seed in (3, 4)]
    results, networks = train(recipes, data, networks=True, device="cpu")
    for member, (recipe, network) in enumerate(zip(recipes, networks)):
        alone, history = train_alone(recipe, data)
        for ours, theirs in zip(network.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
        rows = results[results["member"] == member]
        np.testing.assert_allclose(rows["train_loss"][1:], history, rtol=1e-12)
        with torch.no_grad():
            loss = losses(network, data, "validation", torch.float64).item()
        assert rows["validation_loss"].iloc[-1] == pytest.approx(loss, rel=1e-12)


@pytest.mark.parametrize("kind", ["relu", "maxout", "prelu by unit", "convolution 1-D"])
def test_ten_steps_in_float32_agree_with_a_plain_loop(kind):
    recipe, data = KINDS[kind]
    recipe = replace(recipe, num_epochs=2, batch_size=12)  # 2 epochs of 5 steps
    _, (network,) = train(recipe, data, networks=True, device="cpu")
    alone, _ = train_alone(recipe, data)
    for ours, theirs in zip(network.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


DOUBLE = ["relu", "maxout", "prelu by unit", "momentum", "convolution 2-D", "gelu"]


@pytest.mark.parametrize(
    "kind, dtype",
    [(kind, "float32") for kind in KINDS] + [(kind, "float64") for kind in DOUBLE],
)
def test_neighbours_chunks_workers_and_order_change_no_bit(kind, dtype):
    recipe, data = KINDS[kind]
    recipe = replace(recipe, dtype=dtype, num_epochs=2)
    recipes = [
        replace(recipe, seed=seed, lr=lr) for lr in (0.01, 0.02) for seed in range(3)
    ]
    recipes.insert(2, replace(recipe, seed=9, bias=0.5, weight_decay=0.01))
    whole = numbers(train(recipes, data, device="cpu", chunk=7))
    assert numbers(train(recipes, data, device="cpu", chunk=2, workers=1)) == whole
    backwards = train(recipes[::-1], data, device="cpu", chunk=3, workers=3)
    assert numbers(backwards) == whole[::-1]
    assert numbers(train(recipes[4], data, device="cpu")) == [whole[4]]


def numbers(results):
    """Each member's rows as bytes."""
    measured = results.drop(columns=["member", "activation", "lr", "seed"])
    measured = measured.select_dtypes("number")
    measured = measured.drop(columns=["bias", "weight_decay", "gain"], errors="ignore")
    return [
        measured[results["member"] == member].to_numpy().tobytes()
        for member in results["member"].unique()
    ]


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 40), max_size=3), batch=st.integers(1, 60),
    features=st.integers(1, 40), chunk=st.integers(1, 5),
    activation=st.sampled_from(["relu", "tanh", "gelu", "softplus", "maxout", "prelu"]),
)
@example(widths=[6, 36], batch=1, features=1, chunk=1, activation="maxout")
@example(widths=[8, 80], batch=1, features=8, chunk=1, activation="relu")
def test_no_size_lets_neighbours_change_a_bit(widths, batch, features, chunk, activation):
    data = some_data(shape=(features,))
    recipe = Recipe(
        widths=widths, batch_size=batch, num_epochs=1, activation=activation,
    )
    recipes = [replace(recipe, seed=seed) for seed in range(5)]
    whole = train(recipes, data, device="cpu", chunk=5)
    assert numbers(train(recipes, data, device="cpu", chunk=chunk)) == numbers(whole)


def test_a_member_is_the_same_from_run_to_run_and_global_generators_are_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, _ = train(SMALL, DATA, networks=True, device="cpu")
    pd.testing.assert_frame_equal(first, train(SMALL, DATA, device="cpu"))
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all()


def test_threads_are_as_before():
    torch.set_num_threads(2)
    train(SMALL, DATA, device="cpu")
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)


def test_paired_members_start_equal_up_to_the_gain_and_see_the_same_minibatches():
    def start(recipe):
        return engine.Stack([recipe], (7,), 3, True).layers[0].weight[0]

    relu, tanh = start(SMALL), start(replace(SMALL, activation="tanh"))
    torch.testing.assert_close(relu / relu.std(), tanh / tanh.std())
    doubled = start(replace(SMALL, gain=2.0)), start(replace(SMALL, gain=1.0))
    assert torch.equal(doubled[0], 2 * doubled[1])
    first_piece = start(replace(MAXOUT, gain=1.0)).unflatten(0, (9, 3))[:, 0]
    assert torch.equal(first_piece, doubled[1])

    def minibatches(recipe):
        orders = {recipe.seed: np.random.default_rng((recipe.seed, 0, 0, 1))}
        batches = runner._minibatches([recipe], orders, 60, 10, "cpu")
        return torch.stack(batches)

    assert torch.equal(minibatches(SMALL), minibatches(MAXOUT))
    assert not torch.equal(minibatches(SMALL), minibatches(replace(SMALL, seed=1)))
    assert sorted(minibatches(SMALL).flatten().tolist()) == list(range(60))


def test_draws_of_different_purposes_differ():
    """NumPy pads a seed with zeros: (3,) and (3, 0) are one stream."""
    keys = [(3, 0, 0), (3, 1, 0), (3, 0, 1), (3, 0, 0, 1), (3, 0, 0, 2)]
    firsts = {np.random.default_rng(key).standard_normal() for key in keys}
    assert len(firsts) == len(keys)


# Dropout ------------------------------------------------------------------------------


def test_dropout_keeps_its_share_and_the_mean():
    recipes = [replace(SMALL, widths=(400,), dropout=0.3, seed=seed) for seed in (0, 1)]
    stack = engine.Stack(recipes, (7,), 3, True)
    keep = stack._keep(torch.ones(2, 400, 50), 0)
    assert keep.unique().tolist() == [0, pytest.approx(1 / 0.7)]
    assert keep.mean().item() == pytest.approx(1, abs=4 * np.sqrt(0.3 / 0.7 / 40_000))
    kept = (keep > 0).float().flatten(1)
    stack.step_number += 1
    later = (stack._keep(torch.ones(2, 400, 50), 0) > 0).float().flatten(1)
    # Independent masks agree in a share .7² + .3² of the places.
    for first, second in ((kept[0], kept[1]), (kept[0], later[0]), (kept[:, 1:], kept[:, :-1])):
        agree = (first == second).float().mean().item()
        assert agree == pytest.approx(0.58, abs=4 * np.sqrt(0.58 * 0.42 / 20_000))


def test_dropout_is_the_same_in_any_company_and_off_in_evaluation():
    recipes = [replace(SMALL, dropout=0.4, seed=seed) for seed in range(4)]
    whole = numbers(train(recipes, DATA, device="cpu"))
    assert numbers(train(recipes, DATA, device="cpu", chunk=1)) == whole
    assert numbers(train(recipes[2], DATA, device="cpu")) == [whole[2]]
    without = train(replace(SMALL, num_epochs=1), DATA, device="cpu")
    first = train(replace(SMALL, num_epochs=1, dropout=0.4), DATA, device="cpu")
    assert without["train_loss"][0] == first["train_loss"][0]
    assert without["train_loss"][1] != first["train_loss"][1]


def test_the_step_with_dropout_is_the_gradient_of_the_masked_loss():
    recipe = replace(SMALL, widths=(6,), dropout=0.5, dtype="float64")
    stack = engine.Stack([recipe], (7,), 3, True)
    x = torch.tensor(DATA.train.x[None, :8], dtype=torch.float64)
    y = torch.eye(3, dtype=torch.float64)[torch.tensor(DATA.train.y[None, :8])]
    keep = stack._keep(torch.ones(1, 6, 8, dtype=torch.float64), 0)[0]
    weights = [p.values[0].clone().requires_grad_() for p in stack._parameters()]
    hidden = torch.relu(weights[0] @ x[0].T + weights[1]) * keep
    output = weights[2] @ hidden + weights[3]
    F.cross_entropy(output.T, y[0]).backward()
    stack.backward(stack.forward(x, training=True), y)
    for ours, theirs in zip(stack._parameters(), weights):
        torch.testing.assert_close(ours.gradient[0], theirs.grad)


# What is reported ---------------------------------------------------------------------


def test_the_table_is_tidy():
    recipes = [
        replace(SMALL, seed=seed, widths=widths)
        for widths in ((9, 5), (4,)) for seed in (0, 1)
    ]
    results = train(recipes, DATA, every=2, device="cpu")
    assert results.columns.tolist() == [
        "member", "activation", "widths", "lr", "seed", "epoch",
        "train_loss", "train_accuracy", "validation_loss", "validation_accuracy",
        "test_loss", "test_accuracy", "dead_1", "dead_2", "exact_zeros",
        "grad_norm_1", "grad_norm_2", "grad_norm_3", "diverged",
    ]
    assert results["epoch"].tolist() == 4 * [0, 2, 3]
    assert results["member"].tolist() == sorted(3 * [0, 1, 2, 3])
    assert results["dead_2"].isna().tolist() == 6 * [False] + 6 * [True]
    assert results.attrs["unfinished"] == []
    assert not results["diverged"].any()


def test_a_regression_has_no_accuracy_and_data_without_test_set_no_such_column():
    results = train(replace(SMALL, num_epochs=1), REGRESSION, device="cpu")
    assert not [name for name in results if "accuracy" in name or "test" in name]


def test_accuracy_dead_units_zeros_and_gradients_are_those_of_the_network():
    recipe = replace(SMALL, bias=-1.0, gain=0.5, num_epochs=2)
    results, (network,) = train(recipe, DATA, networks=True, device="cpu")
    last = results.iloc[-1]
    x, y = torch.tensor(DATA.test.x), torch.tensor(DATA.test.y)
    assert last["test_accuracy"] == (network(x).argmax(1) == y).double().mean().item()
    x, y = torch.tensor(DATA.train.x), torch.tensor(DATA.train.y)
    first = network[2](network[1](x))
    second = network[4](network[3](first))
    assert last["dead_1"] == (first == 0).all(0).double().mean().item() > 0
    assert last["dead_2"] == (second == 0).all(0).double().mean().item()
    F.cross_entropy(network(x[:10]), y[:10]).backward()
    for number, layer in enumerate((network[1], network[3], network[5]), 1):
        norm = layer.weight.grad.norm().item()
        assert last[f"grad_norm_{number}"] == pytest.approx(norm, rel=1e-5)


def test_exact_zeros_are_counted():
    """No bias and zero weights: every hidden pre-activation is 0."""
    results = train(replace(SMALL, gain=0.0, num_epochs=1), DATA, device="cpu")
    assert results["exact_zeros"][0] == 60 * (9 + 5)
    assert results["dead_1"][0] == results["dead_2"][0] == 1


def test_dead_pieces_of_maxout():
    results, (network,) = train(replace(MAXOUT, num_epochs=1), DATA, networks=True)
    layer = network[1]
    x = torch.tensor(DATA.train.x)
    pieces = F.linear(x, layer.weight.flatten(0, 1), layer.bias.flatten())
    winners = F.one_hot(pieces.unflatten(1, (9, 3)).argmax(2), 3).sum(0)
    assert results["dead_1"].iloc[-1] == pytest.approx((winners == 0).double().mean())


def test_an_absolute_value_is_never_dead_and_a_saturated_sigmoid_is():
    absolute = train(replace(SMALL, activation="absolute_value", num_epochs=1), DATA)
    assert (absolute["dead_1"] == 0).all()
    saturated = replace(SMALL, activation="sigmoid", bias=200.0, num_epochs=1)
    assert train(saturated, DATA)["dead_1"][0] == 1


def test_own_activation():
    cube = Activation("cube", z**3, module="tests.test_training.Cube")
    results = train(replace(SMALL, activation=cube, gain=0.5), DATA, device="cpu")
    assert set(results["activation"]) == {"cube"}
    assert results["train_loss"].iloc[-1] < results["train_loss"].iloc[0]
    leaky = CATALOGUE["leaky_relu"].with_params(negative_slope=sp.Rational(1, 4))
    results = train([replace(SMALL, activation=a) for a in (leaky, "leaky_relu")], DATA)
    labels = ["leaky_relu(negative_slope=1/4)", "leaky_relu"]
    assert results["activation"].unique().tolist() == labels


class Cube(torch.nn.Module):
    def forward(self, z):
        return z**3


# Divergence ---------------------------------------------------------------------------


def test_a_diverged_member_says_so_ends_and_harms_nobody():
    sgd = replace(SMALL, optimizer="sgd", momentum=0.9, num_epochs=6)
    recipes = [
        replace(sgd, lr=lr, seed=seed) for seed in range(3) for lr in (0.01, 1e30, 0.02)
    ]
    results, networks = train(recipes, DATA, networks=True, device="cpu", chunk=9)
    for member, recipe in enumerate(recipes):
        rows = results[results["member"] == member]
        if recipe.lr == 1e30:
            assert rows["diverged"].tolist() == [False] * (len(rows) - 1) + [True]
            assert len(rows) < 6 and rows["train_loss"].isna().iloc[-1]
        else:
            alone = train(recipe, DATA, device="cpu")
            assert numbers(rows) == numbers(alone)
            assert not rows["diverged"].any()
    assert all(network is not None for network in networks)
    chosen = statistics.select_learning_rates(
        results, metric="validation_loss"
    )
    assert chosen["lr"].tolist() == [0.02]


def test_all_members_may_diverge():
    recipe = replace(SMALL, optimizer="sgd", lr=1e30)
    results = train([recipe, replace(recipe, seed=1)], DATA, device="cpu")
    assert results["diverged"].tolist() == [False, True, False, True]
    assert results.attrs["unfinished"] == []


def test_adam_goes_on_as_before_when_neighbours_leave():
    huge = replace(SMALL, lr=1e38, num_epochs=6)
    recipes = [replace(SMALL, num_epochs=6), huge, replace(SMALL, num_epochs=6, seed=4)]
    results = train(recipes, DATA, device="cpu", chunk=3)
    assert results[results["member"] == 1]["diverged"].any()
    for member in (0, 2):
        alone = train(recipes[member], DATA, device="cpu")
        assert numbers(results[results["member"] == member]) == numbers(alone)


# Checkpoints, interruptions, other executors ------------------------------------------

RECIPES = [replace(SMALL, seed=seed) for seed in range(6)]


def test_a_checkpoint_holds_what_is_finished(tmp_path, monkeypatch):
    whole = train(RECIPES, DATA, device="cpu")
    train(RECIPES[:4], DATA, device="cpu", checkpoint=tmp_path, chunk=2)
    saved = sorted(path.name for path in tmp_path.iterdir())
    assert len(saved) == 2
    trained = []
    original = runner.train_chunk

    def counting(recipes, *args, **options):
        trained.extend(recipes)
        return original(recipes, *args, **options)

    monkeypatch.setattr(runner, "train_chunk", counting)
    again = train(RECIPES, DATA, device="cpu", checkpoint=tmp_path)
    assert trained == RECIPES[4:]
    pd.testing.assert_frame_equal(again, whole)


def test_a_killed_run_resumes_with_the_same_numbers(tmp_path):
    code = textwrap.dedent("""
        import sys
        from tests.test_training import DATA, RECIPES
        from relubook.training import train
        from dataclasses import replace
        recipes = [replace(r, num_epochs=40) for r in RECIPES]
        train(recipes, DATA, device="cpu", checkpoint=sys.argv[1], chunk=1, workers=1)
    """)
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path], cwd=os.getcwd())
    wait_for(lambda: list(tmp_path.glob("*.members")) or process.poll() is not None)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 0 < len(list(tmp_path.glob("*.members"))) < len(RECIPES)
    recipes = [replace(recipe, num_epochs=40) for recipe in RECIPES]
    resumed = train(recipes, DATA, device="cpu", checkpoint=tmp_path)
    pd.testing.assert_frame_equal(resumed, train(recipes, DATA, device="cpu"))


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.02)


def test_networks_come_back_from_a_checkpoint(tmp_path):
    options = dict(networks=True, device="cpu", checkpoint=tmp_path)
    _, first = train(RECIPES[:2], DATA, **options)
    _, second = train(RECIPES[:2], DATA, **options)
    for ours, theirs in zip(first, second):
        assert all(map(torch.equal, ours.parameters(), theirs.parameters()))


@pytest.mark.parametrize("content", [b"", b"half", pickle.dumps({"run": 1})])
def test_a_half_written_or_foreign_checkpoint_is_refused(tmp_path, content):
    path = tmp_path / "chunk.members"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="chunk.members is no checkpoint of relubook"):
        train(SMALL, DATA, checkpoint=tmp_path)
    assert path.read_bytes() == content


def test_a_truncated_checkpoint_is_refused(tmp_path):
    train(SMALL, DATA, device="cpu", checkpoint=tmp_path)
    path, = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match="no checkpoint of relubook, or half of one"):
        train(SMALL, DATA, device="cpu", checkpoint=tmp_path)


def test_a_checkpoint_of_other_data_or_settings_is_refused(tmp_path):
    train(SMALL, DATA, device="cpu", checkpoint=tmp_path)
    with pytest.raises(ValueError, match="of another run, which differs in data"):
        train(SMALL, some_data(classes=4), device="cpu", checkpoint=tmp_path)
    with pytest.raises(ValueError, match="differs in every, networks"):
        train(SMALL, DATA, every=2, networks=True, device="cpu", checkpoint=tmp_path)
    with pytest.raises(ValueError, match="is a file, want a folder"):
        path, = tmp_path.iterdir()
        train(SMALL, DATA, checkpoint=path)


def test_recipes_that_differ_anywhere_have_their_own_place_in_a_checkpoint(tmp_path):
    store = Checkpoint(tmp_path, DATA, torch.device("cpu"), 1, False)
    trained = runner.Trained([], None, True)
    store.save({SMALL: trained})
    store = Checkpoint(tmp_path, DATA, torch.device("cpu"), 1, False)
    assert SMALL in store
    other = CATALOGUE["elu"].with_params(alpha=2)
    for change in (dict(seed=1), dict(lr=0.011), dict(widths=(9,)),
                   dict(activation="elu"), dict(activation=other), dict(bias=0.1)):
        assert replace(SMALL, **change) not in store


def test_a_full_disk_is_reported_and_earlier_members_stay(tmp_path, monkeypatch):
    train(RECIPES[:2], DATA, device="cpu", checkpoint=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left on device.*saved before are intact"):
        train(RECIPES, DATA, device="cpu", checkpoint=tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_ctrl_c_leaves_what_there_is(monkeypatch):
    """The interrupt comes while the second of six members is being trained."""
    alone = numbers(train(SMALL, DATA, device="cpu"))
    calls = []
    original = engine.Stack.step

    def step(self, x, y):
        calls.append(self.recipes[0].seed)
        if calls.count(1) == 8:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            wait_for(lambda: calls_are_stopped.is_set(), 30)
        return original(self, x, y)

    calls_are_stopped = threading.Event()
    handler = signal.getsignal(signal.SIGINT)

    def interrupt(*args):
        calls_are_stopped.set()
        handler(*args)

    monkeypatch.setattr(engine.Stack, "step", step)
    signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.warns(UserWarning, match="interrupted: 1 of 6 members finished"):
            results, networks = train(
                RECIPES, DATA, device="cpu", chunk=1, workers=1, networks=True
            )
    finally:
        signal.signal(signal.SIGINT, handler)
    assert results.attrs["unfinished"] == [1, 2, 3, 4, 5]
    assert [network is None for network in networks] == [False] + 5 * [True]
    assert results[results["member"] == 1]["epoch"].tolist() == [0, 1]
    assert numbers(results[results["member"] == 0]) == alone


def test_an_error_in_a_worker_arrives():
    broken = Activation("broken", z**3, module=Broken)
    with pytest.raises(RuntimeError, match="on purpose"):
        train([replace(r, activation=broken) for r in RECIPES], DATA, chunk=1)


class Broken(torch.nn.Module):
    def forward(self, z):
        raise RuntimeError("on purpose")


@pytest.fixture(scope="module")
def mixed():
    recipes = [
        replace(SMALL, activation=activation, seed=seed)
        for activation in ("relu", "prelu", "maxout") for seed in range(3)
    ]
    return recipes, train(recipes, DATA, device="cpu")


def test_a_process_pool_gives_the_same_numbers(mixed):
    recipes, expected = mixed
    context = __import__("multiprocessing").get_context("spawn")
    with futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        results = train(recipes, DATA, device="cpu", executor=pool, chunk=2)
        pd.testing.assert_frame_equal(results, expected)
        results = train(recipes[:3], same_data, device="cpu", executor=pool)
        pd.testing.assert_frame_equal(
            results, expected[expected["member"] < 3], check_like=True
        )


def same_data():
    return DATA


def test_a_dask_cluster_gives_the_same_numbers(mixed):
    distributed = pytest.importorskip("distributed", reason="extra cluster missing")
    recipes, expected = mixed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Dask's own start and end
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster, distributed.Client(cluster) as client:
            executor = client.get_executor()
            results = train(recipes, DATA, device="cpu", executor=executor, chunk=2)
    pd.testing.assert_frame_equal(results, expected)


# Bad input ----------------------------------------------------------------------------


@pytest.mark.parametrize("change, error, message", [
    (dict(widths=(9, 0)), ValueError, r"widths=\(9, 0\), want positive integers"),
    (dict(widths=5), TypeError, "widths=5, want a sequence"),
    (dict(channels=(2.5,)), ValueError, "channels=.*want positive integers"),
    (dict(kernel_size=4), ValueError, "kernel_size=4, want an odd number"),
    (dict(num_epochs=0), ValueError, "num_epochs=0, want a positive integer"),
    (dict(batch_size=0), ValueError, "batch_size=0, want a positive integer"),
    (dict(lr=0.0), ValueError, "lr=0.0, want a number > 0"),
    (dict(lr=-0.1), ValueError, "lr=-0.1, want a number > 0"),
    (dict(lr=float("nan")), ValueError, "lr=nan, want a number > 0"),
    (dict(lr="fast"), TypeError, "lr='fast', want a number > 0"),
    (dict(weight_decay=-1.0), ValueError, "weight_decay=-1.0, want a number >= 0"),
    (dict(dropout=1.0), ValueError, "dropout=1.0, want a probability below 1"),
    (dict(momentum=0.5), ValueError, "momentum=0.5 with optimizer='adam'"),
    (dict(betas=(0.9,)), ValueError, "betas=.*want two numbers"),
    (dict(optimizer="lion"), ValueError, "optimizer='lion', want 'adam' or 'sgd'"),
    (dict(schedule="step"), ValueError, "schedule='step', want 'constant' or 'cosine'"),
    (dict(dtype="float16"), ValueError, "dtype='float16', want 'float32' or 'float64'"),
    (dict(prelu="row"), ValueError, "prelu='row', want 'layer' or 'unit'"),
    (dict(seed=-1), ValueError, "seed=-1, want an integer"),
    (dict(seed=1.5), ValueError, "seed=1.5, want an integer"),
    (dict(seed=2**32), ValueError, "want an integer from 0 to"),
    (dict(bias=float("inf")), ValueError, "bias=inf, want a finite number"),
    (dict(gain=-1), ValueError, "gain=-1, want a number >= 0, or None"),
    (dict(initialisation="best"), ValueError, "initialisation='best', want 'he'"),
    (dict(initialisation="lecun", gain=2.0), ValueError, "gain=2.0 with initialisation='lecun'"),
    (dict(num_pieces=0), ValueError, "num_pieces=0, want a positive integer"),
    (dict(activation="rleu"), KeyError, "relu"),
    (dict(activation=torch.relu), TypeError, "want a name in CATALOGUE"),
    (dict(activation=Activation("cube", z**3)), ValueError, "names no torch module"),
    (dict(activation="maxout", channels=(3,)), ValueError, "no convolutional layers"),
])
def test_a_recipe_says_what_is_wrong(change, error, message):
    with pytest.raises(error, match=message):
        replace(SMALL, **change)


def test_a_recipe_stays_as_it_is():
    with pytest.raises(FrozenInstanceError):
        SMALL.lr = 1.0
    assert pickle.loads(pickle.dumps(SMALL)) == SMALL
    assert {SMALL, replace(SMALL)} == {SMALL}


class Learned(torch.nn.PReLU.__mro__[1]):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))


@pytest.mark.parametrize("recipes, options, error, message", [
    ([], {}, ValueError, "recipes is empty"),
    ([SMALL, "relu"], {}, TypeError, "recipes contains 'relu'"),
    (replace(SMALL, batch_size=61), {}, ValueError,
     "batch_size=61, but data has 60 training examples"),
    (replace(SMALL, channels=(3,)), {}, ValueError,
     r"channels=\(3,\) with examples of shape \[7\]"),
    (SMALL, dict(device="cuda:93"), ValueError, "device='cuda:93', but torch sees"),
    (SMALL, dict(device="tpu"), ValueError, "device='tpu', want"),
    (SMALL, dict(device="meta"), ValueError, "device='meta', want"),
    (SMALL, dict(every=0), ValueError, "every=0, want a positive integer"),
    (SMALL, dict(every="a"), ValueError, "every='a', want a positive integer"),
    (SMALL, dict(every=None), ValueError, "every=None, want a positive integer"),
    (SMALL, dict(chunk=-1), ValueError, "chunk=-1, want a positive integer"),
    (SMALL, dict(workers=0), ValueError, "workers=0, want a positive integer"),
    (replace(SMALL, activation=Activation("own", z, module=Learned)), {}, ValueError,
     "its module learns parameters of its own"),
])
def test_train_says_what_is_wrong(recipes, options, error, message):
    with pytest.raises(error, match=message):
        train(recipes, DATA, **options)


def test_data_must_be_a_dataset():
    with pytest.raises(TypeError, match="data is a tuple, want a relubook"):
        train(SMALL, (DATA.train.x, DATA.train.y))


def test_nan_in_the_data_is_refused_where_they_are_made():
    x = DATA.train.x.copy()
    x[3, 2] = np.nan
    with pytest.raises(ValueError, match="NaN|nan|finite"):
        datasets.Dataset("bad", train=(x, DATA.train.y), num_classes=3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", KINDS)
def test_a_gpu_agrees_with_the_cpu(kind):
    recipe, data = KINDS[kind]
    recipes = [replace(recipe, seed=seed, dtype="float64") for seed in range(3)]
    here = train(recipes, data, device="cpu")
    there = train(recipes, data, device="cuda")
    pd.testing.assert_frame_equal(here, there, rtol=1e-9)


def test_the_stack_starts_as_the_plain_network():
    for kind, (recipe, data) in KINDS.items():
        outputs = data.num_classes or data.train.y.shape[1]
        stack = engine.Stack([recipe], data.train.x.shape[1:], outputs, True)
        network = build(recipe, data)
        for ours, theirs in zip(stack.state(0), network.parameters(), strict=True):
            assert torch.equal(ours, theirs.detach().flatten()), kind
