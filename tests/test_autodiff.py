"""PyTorch's answers at the kink, and the ReLU whose answer is chosen."""

import copy
import math
import pickle
import shutil

import numpy as np
import pandas as pd
import pytest
import sympy as sp
import torch
import torch.nn.functional as F
from torch import func

from relubook.activations import CATALOGUE, z
from relubook.autodiff import SPELLINGS, Spelling, answers_at_kink, relu_with
from relubook.precision import every_half_float

RELU = sp.Max(0, z)
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
SLOPES = (0, 1, 0.5, -2.5, 100)
NAN, INF = math.nan, math.inf
VALUES = (-INF, -3.0, -1e-7, -0.0, 0.0, 1e-7, 2.0, INF, NAN)

dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)
slopes = pytest.mark.parametrize("s", SLOPES)
# PyTorch's own forward mode and inductor use what PyTorch itself warns of.
old_torch = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

# What the book's text says in words: claims software-returns-one-sided and
# chain-rule-at-kinks. The page computes the rest.
SAID = {
    ("relu", "torch.relu(z)"): (0, "left"),
    ("relu", "F.relu(z)"): (0, "left"),
    ("relu", "z.clamp(min=0)"): (1, "right"),
    ("relu", "torch.maximum(z, zero)"): (1 / 2, "inside"),
    ("relu", "torch.stack((z, zero)).amax(0)"): (1 / 2, "inside"),
    ("relu", "(z + torch.abs(z)) / 2"): (1 / 2, "inside"),
    ("relu", "torch.fmax(z, zero)"): (1, "right"),
    ("relu", "torch.stack((z, zero)).sort(0).values[-1]"): (0, "left"),
    ("relu", "torch.stack((z, zero)).topk(1, 0).values[0]"): (1, "right"),
    ("relu", "torch.stack((z, zero)).max(0).values"): (1, "right"),
    ("relu", "torch.stack((zero, z)).max(0).values"): (0, "left"),
    ("relu", "(z + torch.sqrt(z**2)) / 2"): (NAN, "NaN"),
    ("absolute_value", "torch.abs(z)"): (0, "inside"),
    ("absolute_value", "torch.sqrt(z**2)"): (NAN, "NaN"),
    ("elu", "F.elu(z, alpha=2)"): (2, "left"),
    ("elu", "F.elu(z)"): (1, "derivative"),
    ("selu", "F.selu(z)"): (1.7580993408473766, "left"),
    ("identity", "F.relu(z) - F.relu(-z)"): (0, "outside"),
    ("identity", "z.clamp(min=0) - (-z).clamp(min=0)"): (2, "outside"),
    ("identity", "torch.maximum(z, zero) - torch.maximum(-z, zero)"): (1, "derivative"),
}


@pytest.fixture(scope="module")
def answers():
    return answers_at_kink()


@pytest.mark.parametrize("function, spelling", SAID)
def test_answers_are_those_the_text_names(answers, function, spelling):
    (row,) = answers.query(
        "function == @function and spelling == @spelling"
    ).itertuples()
    answer, answer_is = SAID[function, spelling]
    assert row.answer == pytest.approx(answer, rel=1e-6, nan_ok=True)
    assert row.answer_is == answer_is


def test_every_spelling_has_a_row_and_no_two_are_the_same(answers):
    assert len(answers) == len(SPELLINGS)
    assert not answers.duplicated(["function", "spelling", "at"]).any()


@pytest.mark.parametrize("index", range(len(SPELLINGS)))
def test_slopes_are_those_of_the_function_that_ran(answers, index):
    """Difference quotients of PyTorch's own values, in float64."""
    at, h = answers["at"][index], 2.0**-26
    points = torch.tensor([at - h, at, at + h], dtype=torch.float64)
    below, middle, above = SPELLINGS[index].function(points).tolist()
    assert answers.left[index] == pytest.approx((middle - below) / h, abs=1e-6)
    assert answers.right[index] == pytest.approx((above - middle) / h, abs=1e-6)


@pytest.mark.parametrize("index", range(len(SPELLINGS)))
def test_answers_are_what_backward_leaves_at_the_kink(answers, index):
    kink = torch.full((5,), answers["at"][index], requires_grad=True)
    for output in SPELLINGS[index].function(kink):
        output.backward(retain_graph=True)
    np.testing.assert_equal(kink.grad.numpy(), np.float32([answers.answer[index]] * 5))


def test_clarke_is_the_interval_between_the_slopes(answers):
    low, high = np.sort(answers[["left", "right"]].to_numpy(), axis=1).T
    pd.testing.assert_index_equal(
        pd.Index(answers.clarke),
        pd.IntervalIndex.from_arrays(low, high, closed="both"),
        check_names=False,
    )


@pytest.mark.parametrize("dtype", (torch.float16, torch.float64), ids=str)
def test_answers_in_another_precision_are_of_the_same_kind(answers, dtype):
    pd.testing.assert_series_equal(
        answers_at_kink(dtype=dtype).answer_is, answers.answer_is
    )


@cuda
def test_answers_on_a_gpu_name_the_same_functions(answers):
    on_gpu = answers_at_kink(device="cuda")
    same = ["function", "spelling", "at", "left", "right", "clarke"]
    pd.testing.assert_frame_equal(on_gpu[same], answers[same])
    assert (on_gpu.answer_is[answers.spelling == "torch.relu(z)"] == "left").all()


class Answering(torch.autograd.Function):
    """ReLU that answers `answer` everywhere."""

    @staticmethod
    def forward(ctx, z, answer):
        ctx.answer = answer
        return torch.relu(z)

    @staticmethod
    def backward(ctx, upstream):
        return upstream * ctx.answer, None


EPS = torch.finfo(torch.float64).eps


@pytest.mark.parametrize(
    "answer, answer_is",
    [
        (0, "left"),
        (1, "right"),
        (0.5, "inside"),
        (-0.5, "outside"),
        (1.5, "outside"),
        (INF, "outside"),
        (-INF, "outside"),
        (NAN, "NaN"),
        (1 + 4 * EPS, "right"),
        (1 + 5 * EPS, "outside"),
        (1 - 5 * EPS, "inside"),
        (-4 * EPS, "left"),
        (-5 * EPS, "outside"),
    ],
)
def test_answers_are_classed(answer, answer_is):
    mine = Spelling("mine", RELU, lambda z: Answering.apply(z, answer))
    (row,) = answers_at_kink([mine], dtype=torch.float64).itertuples()
    assert row.answer == pytest.approx(answer, rel=0, nan_ok=True)
    assert row.answer_is == answer_is


def test_a_derivative_is_told_from_a_kink():
    """Where f is differentiable, another answer is outside, never left or right."""
    square = Spelling("square", sp.Max(0, z) ** 2, lambda z: torch.relu(z) * z)
    wrong = Spelling("wrong", z**2, lambda z: torch.where(z == 0, z, z**2))
    assert list(answers_at_kink([square, wrong]).answer_is) == ["derivative", "outside"]


def test_any_function_or_module_can_be_added():
    hardswish = z * sp.Min(sp.Max(z + 3, 0), 6) / 6
    added = answers_at_kink(
        [
            Spelling("mine", hardswish, torch.nn.Hardswish(), at=3),
            Spelling("mine", hardswish, torch.nn.Hardswish(), at=-3.0),
            Spelling("in place", RELU, lambda z: torch.relu_(z)),
            Spelling("half", RELU, relu_with(0.5), at=sp.Integer(0)),
            Spelling("late", sp.Max(sp.Rational(1, 3), z), lambda z: z.clamp(1 / 3)),
            Spelling("mish", z * sp.tanh(sp.log(1 + sp.exp(z))), F.mish),
            *(
                Spelling(name, CATALOGUE[name], CATALOGUE[name].torch_module())
                for name in ("prelu", "softplus")
            ),
        ]
    )
    assert list(added.answer[:4]) == [1, 0, 0, 0.5]
    assert list(added.answer_is) == [
        *("right", "left", "left", "inside", "derivative", "derivative", "left"),
        "derivative",
    ]
    assert list(added.function[-2:]) == ["prelu", "softplus"]


def test_a_kink_between_two_floats_is_rounded():
    third = sp.Rational(1, 3)
    mine = Spelling("mine", sp.Max(third, z), lambda z: z.clamp(min=1 / 3), at=third)
    assert answers_at_kink([mine]).answer_is[0] == "right"


def test_answers_do_not_need_gradients_to_be_on():
    with torch.no_grad():
        assert answers_at_kink(SPELLINGS[:1]).answer[0] == 0


def test_no_spellings_give_a_table_without_rows(answers):
    empty = answers_at_kink([])
    assert len(empty) == 0 and list(empty) == list(answers)


@pytest.mark.parametrize(
    "function, error, message",
    [
        (lambda z: z.detach().numpy(), TypeError, "a ndarray; wanted a tensor"),
        (lambda z: z.relu().sum(), ValueError, r"shape \[\] for the shape \[5\]"),
        (lambda z: z.detach().relu(), ValueError, "cannot trace to its input"),
        (lambda z: z.relu().detach().requires_grad_(), ValueError, "cannot trace"),
        (lambda z: torch.relu(z) + 0.01, ValueError, "0.0.* at 0.0; wanted 0.0"),
        (lambda z: F.leaky_relu(z), ValueError, "at -2.0; wanted 0.0, the value of"),
        (lambda z: torch.where(z == 0, NAN, z.relu()), ValueError, "returned nan at"),
        (lambda z: z.nonsense(), AttributeError, "nonsense"),
        (lambda z: z if z > 0 else 0 * z, RuntimeError, "more than one value"),
    ],
)
def test_a_function_that_will_not_do_is_named(function, error, message):
    with pytest.raises(error, match=message) as caught:
        answers_at_kink([Spelling("mine", RELU, function)])
    (note,) = caught.value.__notes__
    assert "spelling 'mine'" in note and "tensor of 5 values" in note


@pytest.mark.parametrize(
    "expr, message",
    [
        (sp.sqrt(z), "left"),
        (sp.Heaviside(z), "tends to"),
        (sp.sqrt(sp.Abs(z)), "not Lipschitz"),
    ],
)
def test_what_the_calculus_raises_comes_through(expr, message):
    with pytest.raises(ValueError, match=message):
        answers_at_kink([Spelling("mine", expr, torch.relu)])


@pytest.mark.parametrize(
    "fields, error, message",
    [
        ({"expr": "max(0, z)"}, TypeError, "wanted an Activation or a SymPy expr"),
        ({"expr": sp.Symbol("a", real=True) * z}, ValueError, "give the others"),
        ({"expr": CATALOGUE["elu"].symbolic}, ValueError, "give the others numbers"),
        ({"expr": sp.Max(0, sp.Symbol("z"))}, ValueError, "no symbol but relubook"),
        ({"function": "relu"}, TypeError, "wanted a function of a tensor"),
        ({"at": "0"}, TypeError, "wanted a finite real number"),
        ({"at": True}, TypeError, "wanted a finite real number"),
        ({"at": NAN}, ValueError, "wanted a finite real number"),
        ({"at": sp.oo}, ValueError, "wanted a finite real number"),
        ({"at": sp.I}, ValueError, "wanted a finite real number"),
        ({"at": sp.Symbol("a", real=True)}, ValueError, "wanted a finite real number"),
    ],
)
def test_a_spelling_that_is_none_is_named(fields, error, message):
    with pytest.raises(error, match=f"of 'mine' is .*{message}"):
        Spelling("mine", **{"expr": RELU, "function": torch.relu} | fields)


def test_a_bare_function_is_no_spelling():
    with pytest.raises(TypeError, match="wanted Spelling"):
        answers_at_kink([torch.relu])
    with pytest.raises(TypeError, match="spellings=.*wanted a list of Spelling"):
        answers_at_kink(Spelling("mine", RELU, torch.relu))


@pytest.mark.parametrize("dtype", [torch.int32, torch.complex64, "float32", None])
def test_a_dtype_that_is_not_floating_is_named(dtype):
    with pytest.raises(TypeError, match="dtype=.*wanted a floating dtype of torch"):
        answers_at_kink(dtype=dtype)


def derivative(value, s):
    """The derivative of relu_with(s), one number at a time."""
    if value == 0:
        return s
    return 0.0 if value < 0 else 1.0


def chained(s, values, upstream):
    """Value and gradient of relu_with(s) below the gradient `upstream`."""
    leaf = values.clone().requires_grad_()
    outputs = relu_with(s)(leaf)
    return outputs.detach(), *torch.autograd.grad(outputs, leaf, upstream)


@dtypes
@slopes
def test_upstream_is_multiplied(s, dtype):
    values = torch.tensor(VALUES, dtype=dtype)
    for upstream in (1.0, -3.0, 0.0, 0.375):
        outputs, gradients = chained(s, values, torch.full_like(values, upstream))
        assert outputs.dtype == gradients.dtype == dtype
        for value, output, gradient in zip(values, outputs, gradients):
            assert output == max(value, 0) or value.isnan() and output.isnan()
            assert gradient == upstream * derivative(value.item(), s)


@slopes
def test_off_the_kink_it_is_torch_relu_bit_for_bit(s):
    values = torch.from_numpy(every_half_float().ravel())
    values = values[values != 0]
    upstream = torch.linspace(-2, 2, len(values), dtype=values.dtype)
    leaf = values.clone().requires_grad_()
    wanted = torch.relu(leaf)
    (slopes_wanted,) = torch.autograd.grad(wanted, leaf, upstream)
    outputs, gradients = chained(s, values, upstream)
    torch.testing.assert_close(outputs, wanted.detach(), rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(gradients, slopes_wanted, rtol=0, atol=0)


class Assigning(torch.autograd.Function):
    """The mistake: at 0 it answers s itself, whatever comes from above."""

    @staticmethod
    def forward(ctx, z, s):
        ctx.save_for_backward(z)
        ctx.s = s
        return torch.relu(z)

    @staticmethod
    def backward(ctx, upstream):
        (z,) = ctx.saved_tensors
        return torch.where(z == 0, ctx.s, upstream * (z > 0)), None


def gradients_of_a_network(activation, x, first, second):
    """What autograd gives for the first layer of second @ activation(first @ x)."""
    first = first.clone().requires_grad_()
    (second @ activation(first @ x)).sum().backward()
    return first.grad


def literal_gradients(s, x, first, second):
    """The chain rule, one weight and one example at a time."""
    gradients = torch.zeros_like(first)
    for unit, weights in enumerate(first):
        for example in x.T:
            slope = derivative(sum(w * e for w, e in zip(weights, example)), s)
            for output in second:
                gradients[unit] += output[unit] * slope * example
    return gradients


@slopes
def test_assigning_instead_of_multiplying_is_wrong(s):
    # Small integers, so that many units sit on their kink and sums are exact.
    generator = torch.Generator().manual_seed(0)
    shapes = (3, 8), (5, 3), (2, 5)
    x, first, second = (
        torch.randint(-1, 2, shape, generator=generator).double() for shape in shapes
    )
    assert (first @ x == 0).sum() >= 3
    wanted = literal_gradients(s, x, first, second)

    def assigning(pre_activations):
        return Assigning.apply(pre_activations, s)

    ours = gradients_of_a_network(relu_with(s), x, first, second)
    theirs = gradients_of_a_network(assigning, x, first, second)
    assert torch.equal(ours, wanted)
    # With s = 0 the two rules agree, which is why nobody notices.
    assert torch.equal(theirs, wanted) == (s == 0)


def test_assigning_agrees_as_long_as_nothing_is_above():
    leaf = torch.zeros(1, requires_grad=True)
    for scale, agree in ((1, True), (3, False)):
        right, wrong = (
            torch.autograd.grad(scale * outputs.sum(), leaf)[0]
            for outputs in (relu_with(0.5)(leaf), Assigning.apply(leaf, 0.5))
        )
        assert (right == wrong).all() == agree


def test_the_answers_add_up_along_a_path_on_the_kink():
    """A conservative field: the answers integrate to the difference of the values."""
    relu = relu_with(5)  # no subgradient

    def f(point):
        return relu(point[0] - point[1]) * (1 + point[0]) + point[1] ** 2

    # Along x = y, where relu sits at its kink, then off it.
    first = torch.linspace(0, 1, 1001, dtype=torch.float64).expand(2, -1).T
    second = first[-1] + first * torch.tensor([1.0, 0])
    for path in (first, second):
        middles = (path[1:] + path[:-1]) / 2
        answers = func.vmap(func.grad(f))(middles)
        integral = (answers * path.diff(dim=0)).sum()
        assert integral.item() == pytest.approx((f(path[-1]) - f(path[0])).item())


@old_torch
@slopes
def test_gradients_are_right_off_the_kink(s):
    generator = torch.Generator().manual_seed(1)
    points = torch.randn(3, 4, dtype=torch.float64, generator=generator)
    points.requires_grad_()
    modes = {"check_forward_ad": True, "check_batched_grad": True}
    assert torch.autograd.gradcheck(relu_with(s), points, **modes)
    assert torch.autograd.gradgradcheck(relu_with(s), points)


@slopes
def test_second_derivatives(s):
    relu = relu_with(s)
    leaf = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    (first,) = torch.autograd.grad(relu(leaf).sum(), leaf, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), leaf)
    assert first.tolist() == [0, s, 1] and second.tolist() == [0, 0, 0]
    # relu(z)² has the first derivative 2 relu(z) relu'(z), the second 2 relu'(z)².
    (first,) = torch.autograd.grad((relu(leaf) ** 2).sum(), leaf, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), leaf)
    assert first.tolist() == [0, 0, 4] and second.tolist() == [0, 2 * s * s, 2]


@old_torch
@slopes
def test_torch_func(s):
    relu = relu_with(s)
    points = torch.tensor([-1.0, 0.0, -0.0, 2.0])
    wanted = torch.tensor([0.0, s, s, 1.0])
    torch.testing.assert_close(func.vmap(func.grad(relu))(points), wanted)
    torch.testing.assert_close(func.jacrev(relu)(points), wanted.diag())
    torch.testing.assert_close(func.jacfwd(relu)(points), wanted.diag())
    tangents = torch.full_like(points, -3)
    outputs, pushed = func.jvp(relu, (points,), (tangents,))
    torch.testing.assert_close(outputs, torch.relu(points))
    torch.testing.assert_close(pushed, -3 * wanted)
    (pulled,) = func.vjp(relu, points)[1](tangents)
    torch.testing.assert_close(pulled, -3 * wanted)
    hessian = func.hessian(lambda z: (relu(z) ** 2).sum())(points)
    torch.testing.assert_close(hessian, (2 * wanted**2).diag())


@old_torch
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_torch_compile(backend):
    if backend == "inductor" and not shutil.which("g++"):
        pytest.skip("there is no C++ compiler")
    relu = torch.compile(relu_with(0.5), fullgraph=True, backend=backend)
    leaf = torch.tensor(VALUES, requires_grad=True)
    outputs = relu(leaf)
    (gradients,) = torch.autograd.grad(outputs, leaf, torch.full_like(leaf, 3))
    wanted, slopes_wanted = chained(0.5, leaf.detach(), torch.full_like(leaf, 3))
    torch.testing.assert_close(outputs.detach(), wanted, equal_nan=True)
    torch.testing.assert_close(gradients, slopes_wanted)


@pytest.mark.parametrize(
    "values",
    [
        torch.empty(0, 3),
        torch.tensor(0.0),
        torch.zeros(2, 3, 4)[:, ::2].transpose(0, 2),
        torch.zeros(2, 3, 4, 4).to(memory_format=torch.channels_last),
        torch.zeros(1).expand(4, 5),
        torch.zeros(3, device="meta"),
    ],
    ids=["empty", "scalar", "strided", "channels last", "expanded", "meta"],
)
def test_shapes_and_layouts(values):
    outputs, gradients = chained(2, values, torch.full(values.shape, 3.0).to(values))
    assert outputs.shape == gradients.shape == values.shape
    assert outputs.device == values.device
    assert outputs.stride() == torch.relu(values).stride()
    if values.device.type != "meta":
        assert (outputs == 0).all() and (gradients == 6).all()


@cuda
@dtypes
def test_on_a_gpu(dtype):
    values = torch.tensor(VALUES, dtype=dtype)
    wanted = chained(0.5, values, torch.full_like(values, 3))
    found = chained(0.5, values.cuda(), torch.full_like(values, 3).cuda())
    for ours, theirs in zip(found, wanted):
        torch.testing.assert_close(ours.cpu(), theirs, equal_nan=True)


def test_it_leaves_its_input_alone():
    values = torch.tensor(VALUES)
    before = values.clone()
    with torch.no_grad():
        assert not relu_with(1)(values).requires_grad
    torch.testing.assert_close(values, before, rtol=0, atol=0, equal_nan=True)


def test_it_is_a_module_without_parameters():
    relu = relu_with(at_zero=np.float32(0.5))
    network = torch.nn.Sequential(torch.nn.Linear(2, 3, bias=False), relu)
    assert list(relu.parameters()) == [] and relu.state_dict() == {}
    assert repr(relu) == "ReLUWith(at_zero=0.5)"
    for twin in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        twin(torch.zeros(4, 2)).sum().backward()
        assert twin[1].at_zero == 0.5


@pytest.mark.parametrize(
    "at_zero, error",
    [
        (NAN, ValueError),
        (-INF, ValueError),
        (10**400, ValueError),
        (True, TypeError),
        ("1", TypeError),
        (None, TypeError),
        (1j, TypeError),
        (torch.tensor(1.0), TypeError),
    ],
)
def test_at_zero_must_be_a_finite_number(at_zero, error):
    with pytest.raises(error, match="at_zero=.* wanted a (finite )?number"):
        relu_with(at_zero=at_zero)


@pytest.mark.parametrize(
    "values, kind",
    [
        ([0.0], "list"),
        (0.0, "float"),
        (np.zeros(1), "float64"),
        (torch.tensor([0]), "torch.int64"),
        (torch.tensor([True]), "torch.bool"),
        (torch.tensor([0j]), "torch.complex64"),
    ],
)
def test_what_is_no_floating_tensor_is_named(values, kind):
    with pytest.raises(TypeError, match=f"z is of {kind}; wanted a tensor"):
        relu_with(1)(values)


@pytest.mark.parametrize(
    "s, dtype", [(65505, torch.float16), (1e39, torch.float32), (1e39, torch.bfloat16)]
)
def test_a_slope_that_the_dtype_does_not_hold_is_named(s, dtype):
    with pytest.raises(ValueError, match=f"at_zero=.* is beyond {dtype}, z's dtype"):
        relu_with(s)(torch.zeros(1, dtype=dtype))


@dtypes
def test_the_largest_slope_of_a_dtype_is_right(dtype):
    s = torch.finfo(dtype).max
    values = torch.tensor(VALUES, dtype=dtype)
    outputs, gradients = chained(s, values, torch.ones_like(values))
    torch.testing.assert_close(outputs, torch.relu(values), equal_nan=True)
    assert gradients.tolist() == [0, 0, 0, s, s, 1, 1, 1, 1]
