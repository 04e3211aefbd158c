"""relubook.layers against literal loops, torch.nn.Linear and finite differences."""

import copy
import pickle

import numpy as np
import pytest
import torch

from relubook.layers import AbsoluteValue, Maxout, maxout

NAN, INF = np.nan, np.inf


def maxout_by_loop(z, k):
    """Unit i is the largest z_j, j in {(i-1)k+1, ..., ik}, counted from 1."""
    units = len(z) // k
    return [max(z[j - 1] for j in range((i - 1) * k + 1, i * k + 1))
            for i in range(1, units + 1)]


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_maxout_is_the_definition(k):
    z = np.random.default_rng(k).normal(size=4 * k)
    assert maxout(torch.tensor(z), k).tolist() == maxout_by_loop(z, k)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("leading", [(), (5,), (2, 3), (0,)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_is_a_linear_layer_in_groups(k, leading, bias):
    layer = Maxout(4, 3, k, bias=bias, dtype=torch.float64)
    linear = torch.nn.Linear(4, 3 * k, bias=bias, dtype=torch.float64)
    linear.weight.data = layer.weight.data.reshape(-1, 4)
    if bias:
        linear.bias.data = layer.bias.data.reshape(-1)
    x = torch.randn(*leading, 4, generator=torch.Generator().manual_seed(k)).double()
    computed = layer(x)
    assert computed.shape == (*leading, 3) and computed.dtype == torch.float64
    for row, z in zip(computed.reshape(-1, 3), linear(x).reshape(-1, 3 * k)):
        assert row.tolist() == maxout_by_loop(z.tolist(), k)


def test_a_layer_is_the_largest_of_its_pieces():
    layer = Maxout(4, 3, 5, dtype=torch.float64)
    x = torch.randn(7, 4, generator=torch.Generator().manual_seed(0)).double()
    pieces = [x @ layer.weight[:, j].T + layer.bias[:, j] for j in range(5)]
    torch.testing.assert_close(layer(x), torch.stack(pieces).amax(0))


def test_gradcheck():
    layer = Maxout(3, 2, 3, dtype=torch.float64)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).double()
    arguments = (x.requires_grad_(), layer.weight, layer.bias)

    def call(x, weight, bias):
        parameters = {"weight": weight, "bias": bias}
        return torch.func.functional_call(layer, parameters, x)

    assert torch.autograd.gradcheck(call, arguments)
    assert torch.autograd.gradgradcheck(call, arguments)


# --- ties and extremes


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_the_first_of_tied_pieces_has_the_whole_gradient(dtype):
    z = torch.tensor([[2, 2, 2], [1, 3, 3], [0, -0.0, 0], [5, 1, 5]], dtype=dtype)
    z.requires_grad_()
    value = maxout(z, 3)
    value.sum().backward()
    assert value.tolist() == [[2], [3], [0], [5]]
    assert z.grad.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0], [1, 0, 0]]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("k", [2, 3, 8, 33])
def test_the_first_has_it_in_large_tensors_and_threads_too(threads, k):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        z = torch.zeros(2000, 40 * k, requires_grad=True)
        maxout(z, k).sum().backward()
    finally:
        torch.set_num_threads(before)
    first = torch.zeros(k)
    first[0] = 1
    assert torch.equal(z.grad, first.repeat(2000, 40))


def test_tied_layers_learn_in_the_first_piece_alone():
    layer = Maxout(2, 1, 2)
    with torch.no_grad():
        layer.weight.fill_(1)
        layer.bias.zero_()
    layer(torch.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
    assert layer.weight.grad.tolist() == [[[4, 6], [0, 0]]]
    assert layer.bias.grad.tolist() == [[2, 0]]


def test_nan_and_infinities():
    z = torch.tensor([[NAN, 1.0], [INF, NAN], [-INF, -INF], [-INF, 2.0], [INF, 0.0]])
    expected = [[NAN], [NAN], [-INF], [2], [INF]]
    np.testing.assert_array_equal(maxout(z, 2), expected)


def test_no_examples():
    assert maxout(torch.empty(0, 6), 2).shape == (0, 3)


# --- torch's conventions


def test_repr():
    assert repr(AbsoluteValue()) == "AbsoluteValue()"
    shown = "Maxout(in_features=3, out_features=2, num_pieces=4, bias=False)"
    assert repr(Maxout(3, 2, 4, bias=False)) == shown


@pytest.mark.parametrize("bias", [True, False])
def test_state_dict_round_trip(bias):
    layer, other = Maxout(3, 2, 4, bias=bias), Maxout(3, 2, 4, bias=bias)
    x = torch.ones(5, 3)
    assert not torch.equal(layer(x), other(x))
    state = layer.state_dict()
    shapes = {"weight": (2, 4, 3)} | ({"bias": (2, 4)} if bias else {})
    assert {name: tuple(value.shape) for name, value in state.items()} == shapes
    other.load_state_dict(state)
    for twin in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(layer(x), twin(x))


def test_device_and_dtype():
    layer = Maxout(3, 2, dtype=torch.float64)
    assert {p.dtype for p in layer.parameters()} == {torch.float64}
    assert layer.half()(torch.ones(3).half()).dtype == torch.float16
    meta = Maxout(3, 2, device="meta")
    assert {p.device.type for p in meta.parameters()} == {"meta"}


def test_parameters_start_as_those_of_linear():
    layer, linear = Maxout(100, 200, 5), torch.nn.Linear(100, 1000)
    for ours, theirs in zip(layer.parameters(), linear.parameters()):
        assert 0.098 < ours.abs().max() <= 0.1
        assert abs(ours.std() / theirs.std() - 1) < 0.1
    before = layer.weight.clone()
    layer.reset_parameters()
    assert not torch.equal(layer.weight, before)


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: maxout(torch.ones(10), 3),
            "num_pieces=3 does not divide the last axis of size 10",
        ),
        (lambda: maxout(torch.tensor(1.0), 1), r"z has shape \[\], want \[..., k"),
        (lambda: maxout(torch.ones(3, 0), 2), r"z has shape \[3, 0\], want \[..., k"),
        (lambda: maxout(torch.ones(4), 0), "num_pieces=0, want a positive integer"),
        (lambda: Maxout(2, 3, 1.5), "num_pieces=1.5, want a positive integer"),
        (lambda: Maxout(0, 3), "in_features=0, want a positive integer"),
        (lambda: Maxout(2, True), "out_features=True, want a positive integer"),
        (lambda: Maxout(2, 3)(torch.ones(5, 3)), r"x has shape \[5, 3\], want"),
        (lambda: Maxout(2, 3)(torch.tensor(1.0)), r"x has shape \[\], want \[..., 2\]"),
    ],
)
def test_errors_say_what_came_and_what_was_wanted(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("call, message", [
    (lambda: maxout([1.0, 2.0], 2), "z is a list, want a tensor"),
    (lambda: Maxout(2, 1)(np.ones(2)), "x is a ndarray, want a tensor"),
    (lambda: Maxout(2, 1)(torch.tensor([1, 2])), "dtype torch.int64, want torch.float32"),
    (lambda: Maxout(2, 1)(torch.ones(2).double()), "dtype torch.float64, want torch.fl"),
])
def test_what_is_no_tensor_or_another_kind(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_a_layer_works_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert Maxout(2, 1)(torch.ones(2)).dtype == torch.bfloat16
