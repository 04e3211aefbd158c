r"""What PyTorch answers when asked for a derivative at a kink, and a chosen answer.

At 0 the rectifier has no derivative, and PyTorch returns a number all the same. Which
one depends on how the rectifier is spelled: `answers_at_kink` asks every spelling that
we know of, and any that you add. `relu_with` is a ReLU that answers what you choose.

Autodiff applies the chain rule to such answers as if they were derivatives. What comes
out need be no subgradient (Kakade and Lee 2018); it belongs to a conservative field
(Bolte and Pauwels 2021). Chapter "Differentiability" introduces everything here.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from numbers import Real

import numpy as np
import pandas as pd
import sympy as sp
import torch

from relubook.activations import CATALOGUE, Activation, z
from relubook.calculus import clarke_subdifferential, one_sided_derivatives
from relubook.precision import exact


@dataclass(frozen=True)
class Spelling:
    """One way to write a function of one variable in PyTorch.

    `name` is how the code reads. `expr` is the function itself: an `Activation`, or a
    SymPy expression in `relubook.activations.z` without other symbols. `function` is
    what is asked: it maps a tensor `[n]` to a tensor `[n]`, element by element; a
    module will do. `at` is the kink, a real number.

    Raises `TypeError` or `ValueError` where one of them is not that.

    >>> Spelling("clip", sp.Max(0, z), lambda z: torch.clip(z, min=0)).at
    0
    """

    name: str
    expr: sp.Expr | Activation
    function: Callable
    at: object = 0

    def __post_init__(self):
        if not isinstance(self.expr, (sp.Expr, Activation)):
            raise TypeError(
                f"expr of {self.name!r} is {self.expr!r}; wanted an Activation or a "
                "SymPy expression in relubook.activations.z"
            )
        if self.formula.free_symbols - {z}:
            raise ValueError(
                f"expr of {self.name!r} is {self.formula}; wanted no symbol but "
                "relubook.activations.z: give the others numbers"
            )
        if not callable(self.function):
            raise TypeError(
                f"function of {self.name!r} is {self.function!r}; wanted a function "
                "of a tensor"
            )
        wanted = f"at of {self.name!r} is {self.at!r}; wanted a finite real number"
        if isinstance(self.at, bool) or not isinstance(self.at, (Real, sp.Expr)):
            raise TypeError(wanted)
        at = sp.sympify(self.at)
        if not (at.is_number and at.is_real):
            raise ValueError(wanted)

    @property
    def formula(self):
        """The function as a SymPy expression in `z`."""
        return self.expr.formula if isinstance(self.expr, Activation) else self.expr


def _spellings(expr, at, *codes):
    """Spellings of `expr` from the code of each: what the table shows is what ran."""
    names = {"torch": torch, "F": torch.nn.functional}
    for code in codes:
        function = eval(f"lambda z, zero: {code}", names)
        yield Spelling(code, expr, lambda z, f=function: f(z, torch.zeros_like(z)), at)


_RELU, _RELU6, _HARDTANH = (CATALOGUE[n] for n in ("relu", "relu6", "hardtanh"))
_ABS, _IDENTITY = CATALOGUE["absolute_value"], CATALOGUE["identity"]
_LEAKY = CATALOGUE["leaky_relu"].with_params(negative_slope=0.25)
_PRELU = CATALOGUE["prelu"].with_params(init=0.25)
_ELU, _CELU = CATALOGUE["elu"], CATALOGUE["celu"]

SPELLINGS = (
    *_spellings(
        _RELU,
        0,
        "torch.relu(z)",
        "F.relu(z)",
        "torch.nn.ReLU()(z)",
        "z.clamp(min=0)",
        "z.clamp_min(0)",
        "torch.clip(z, 0, torch.inf)",
        "F.hardtanh(z, 0, torch.inf)",
        "F.threshold(z, 0, 0)",
        "F.leaky_relu(z, 0)",
        "torch.maximum(z, zero)",
        "-torch.minimum(-z, zero)",
        "torch.fmax(z, zero)",
        "torch.fmax(zero, z)",
        "torch.stack((z, zero)).max(0).values",
        "torch.stack((zero, z)).max(0).values",
        "torch.stack((z, zero)).amax(0)",
        "torch.stack((z, zero)).sort(0).values[-1]",
        "torch.stack((zero, z)).sort(0).values[-1]",
        "torch.stack((z, zero)).topk(1, 0).values[0]",
        "torch.stack((zero, z)).topk(1, 0).values[0]",
        "torch.stack((z, zero)).cummax(0).values[-1]",
        "torch.where(z > 0, z, 0)",
        "torch.where(z >= 0, z, 0)",
        "z.masked_fill(z < 0, 0)",
        "z * (z > 0)",
        "z * (z >= 0)",
        "(z + torch.abs(z)) / 2",
        "(z + torch.sqrt(z**2)) / 2",
    ),
    *_spellings(
        _ABS,
        0,
        "torch.abs(z)",
        "torch.sqrt(z**2)",
        "torch.hypot(z, zero)",
        "torch.linalg.vector_norm(torch.stack((z, zero)), dim=0)",
        "z * torch.sign(z)",
        "torch.copysign(z, zero)",
        "F.relu(z) + F.relu(-z)",
        "2 * F.relu(z) - z",
        "2 * z.clamp(min=0) - z",
        "torch.maximum(z, -z)",
        "torch.stack((z, -z)).max(0).values",
        "torch.where(z > 0, z, -z)",
        "torch.where(z >= 0, z, -z)",
        "F.l1_loss(z, zero, reduction='none')",
    ),
    *_spellings(
        _LEAKY,
        0,
        "F.leaky_relu(z, 0.25)",
        "torch.maximum(z, z / 4)",
        "torch.where(z > 0, z, z / 4)",
        "torch.where(z >= 0, z, z / 4)",
        "F.relu(z) - F.relu(-z) / 4",
        "z.clamp(min=0) + z.clamp(max=0) / 4",
    ),
    *_spellings(_PRELU, 0, "F.prelu(z, z.new_tensor([0.25]))"),
    *_spellings(
        _ELU,
        0,
        "F.elu(z)",
        "torch.where(z > 0, z, torch.expm1(z))",
        "F.relu(z) + torch.expm1(-F.relu(-z))",
        "z.clamp(min=0) + torch.expm1(z.clamp(max=0))",
    ),
    *_spellings(
        _ELU.with_params(alpha=2),
        0,
        "F.elu(z, alpha=2)",
        "torch.where(z > 0, z, 2 * torch.expm1(z))",
        "torch.maximum(z, zero) + 2 * torch.expm1(torch.minimum(z, zero))",
    ),
    *_spellings(CATALOGUE["selu"], 0, "F.selu(z)"),
    *_spellings(_CELU, 0, "F.celu(z)"),
    *_spellings(_CELU.with_params(alpha=2), 0, "F.celu(z, alpha=2)"),
    *_spellings(
        sp.Max(0, z, 2 * z),
        0,
        "torch.maximum(torch.maximum(zero, z), 2 * z)",
        "torch.maximum(zero, torch.maximum(z, 2 * z))",
        "torch.stack((zero, z, 2 * z)).amax(0)",
        "torch.stack((zero, z, 2 * z)).max(0).values",
        "torch.stack((2 * z, z, zero)).max(0).values",
        "torch.stack((zero, z, 2 * z)).sort(0).values[-1]",
        "torch.stack((zero, z, 2 * z)).topk(1, 0).values[0]",
    ),
    *(
        spelling
        for kink in (0, 6)
        for spelling in _spellings(
            _RELU6,
            kink,
            "F.relu6(z)",
            "z.clamp(0, 6)",
            "torch.minimum(torch.maximum(z, zero), zero + 6)",
        )
    ),
    *(
        spelling
        for kink in (-1, 1)
        for spelling in _spellings(_HARDTANH, kink, "F.hardtanh(z)", "z.clamp(-1, 1)")
    ),
    *_spellings(
        _IDENTITY,
        0,
        "F.relu(z) - F.relu(-z)",
        "z.clamp(min=0) - (-z).clamp(min=0)",
        "torch.maximum(z, zero) - torch.maximum(-z, zero)",
        "z",
    ),
)


@torch.enable_grad()
def answers_at_kink(spellings=SPELLINGS, dtype=torch.float32, device="cpu"):
    """What PyTorch answers when asked for the derivative at the kink, computed now.

    Returns a DataFrame with a row for each spelling: `function` and `spelling`, the
    kink `at`, the exact one-sided derivatives `left` and `right` and Clarke's
    subdifferential `clarke` (all three from `relubook.calculus`), PyTorch's `answer`
    in `dtype` on `device`, and what `answer_is`:

    * "derivative": f is differentiable there, and that is its derivative
    * "left", "right": that one-sided derivative
    * "inside": neither, but in Clarke's subdifferential
    * "outside": not even that
    * "NaN"

    Slopes count as equal within 4 eps of `dtype`, relative to the larger of 1 and the
    slope. A kink that `dtype` does not hold is rounded, for PyTorch alone. In the
    spellings of this module, `zero` is `torch.zeros_like(z)`.

    Raises `ValueError` if a spelling is not its `expr`, at the kink or 1/2 or 2 beside
    it (off by more than 16 eps), does not keep the shape, or has no gradient;
    `TypeError` if it returns no tensor; what the calculus raises where f has no
    one-sided derivatives, or a vertical one. A note at the error names the spelling.
    `TypeError` also for `spellings` that are none, and a `dtype` that is not floating.

    >>> mine = Spelling("clip", sp.Max(0, z), lambda z: torch.clip(z, min=0))
    >>> answers_at_kink([mine])[["left", "right", "clarke", "answer", "answer_is"]]
       left  right      clarke  answer answer_is
    0   0.0    1.0  [0.0, 1.0]     1.0     right

    Reference: Bertoin, Bolte, Gerchinovitz and Pauwels (2021), "Numerical influence of
    ReLU'(0) on backpropagation".
    """
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TypeError(f"dtype={dtype!r}; wanted a floating dtype of torch")
    if not isinstance(spellings, Iterable):
        raise TypeError(f"spellings={spellings!r}; wanted a list of Spelling")
    rows = []
    for spelling in spellings:
        if not isinstance(spelling, Spelling):
            raise TypeError(
                f"spellings contains {spelling!r}; "
                "wanted Spelling(name, expr, function)"
            )
        try:
            rows.append(_row(spelling, dtype, device))
        except Exception as error:
            error.add_note(
                f"This is about the spelling {spelling.name!r}; its function is given "
                f"a tensor of {len(_OFFSETS)} values and works element by element."
            )
            raise
    return pd.DataFrame(rows, columns=_COLUMNS)


def relu_with(at_zero):
    r"""A ReLU, max(0, z), whose derivative at 0 is `at_zero`.

    Returns a torch module; call it like a function. Shape `[...] -> [...]`, dtype and
    device kept, any floating dtype. At 0 and -0.0 the chain rule multiplies what comes
    from above by `at_zero`. Everywhere else values and derivatives are those of
    `torch.relu`: 0 and 0 at -inf, inf and 1 at inf, NaN and 1 at NaN. Second
    derivatives are 0. Works with `torch.func`, forward mode and `torch.compile`.

    It is ReLU plus `at_zero` times the function `z.clamp(0, 0)`, which is 0 and has the
    derivative 1 at 0 and 0 elsewhere. A custom `torch.autograd.Function` takes half the
    time and memory (benchmarks/autodiff.py), but `torch.compile` refuses one that
    defines the forward mode.

    Raises `TypeError` for an `at_zero` that is not a number and a `z` that is not a
    floating tensor, `ValueError` for an `at_zero` that is NaN, infinite or beyond the
    dtype of `z`.

    >>> x = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    >>> (3 * relu_with(at_zero=0.5)(x)).sum().backward()
    >>> x.grad
    tensor([0.0000, 1.5000, 3.0000])

    Reference: Bertoin, Bolte, Gerchinovitz and Pauwels (2021), "Numerical influence of
    ReLU'(0) on backpropagation".
    """
    return ReLUWith(at_zero)


class ReLUWith(torch.nn.Module):
    """The module that `relu_with` returns."""

    def __init__(self, at_zero):
        super().__init__()
        if isinstance(at_zero, bool) or not isinstance(at_zero, Real):
            raise TypeError(f"at_zero={at_zero!r}: wanted a number")
        try:
            self.at_zero = float(at_zero)
        except OverflowError:  # 10**400
            self.at_zero = math.inf
        if not math.isfinite(self.at_zero):
            raise ValueError(f"at_zero={at_zero!r}: wanted a finite number")

    def forward(self, z):
        if not (isinstance(z, torch.Tensor) and z.is_floating_point()):
            kind = getattr(z, "dtype", type(z).__name__)
            raise TypeError(f"z is of {kind}; wanted a tensor of a floating dtype")
        # In a product with 0 it would be inf, and the value NaN.
        if abs(self.at_zero) > torch.finfo(z.dtype).max:
            raise ValueError(f"at_zero={self.at_zero} is beyond {z.dtype}, z's dtype")
        return torch.add(torch.relu(z), z.clamp(0, 0), alpha=self.at_zero)

    def extra_repr(self):
        return f"at_zero={self.at_zero}"


_COLUMNS = (
    "function",
    "spelling",
    "at",
    "left",
    "right",
    "clarke",
    "answer",
    "answer_is",
)
# From the kink. Two to each side, because 2 z and z² agree at 2.
_OFFSETS = (0.0, -2.0, -0.5, 0.5, 2.0)


def _row(spelling, dtype, device):
    left, right, clarke = _truth(spelling.formula, spelling.at)
    answer = _answer(spelling, dtype, device)
    answer_is = _classify(answer, left, right, clarke, torch.finfo(dtype).eps)
    expr, at = spelling.expr, float(spelling.at)
    function = expr.name if isinstance(expr, Activation) else str(expr)
    return function, spelling.name, at, left, right, clarke, answer, answer_is


@lru_cache
def _truth(formula, at):
    """The one-sided derivatives and Clarke's subdifferential, as floats."""
    left, right = one_sided_derivatives(formula, z, at)
    clarke = clarke_subdifferential(formula, z, at)
    interval = pd.Interval(float(clarke.inf), float(clarke.sup), closed="both")
    return float(left), float(right), interval


def _answer(spelling, dtype, device):
    """PyTorch's derivative of the spelling at its kink, once its values are right."""
    points = torch.tensor(_OFFSETS, dtype=torch.float64) + float(spelling.at)
    points = points.to(device, dtype).requires_grad_()
    # A copy, which the function may change in place.
    outputs = spelling.function(points.clone())
    if not isinstance(outputs, torch.Tensor):
        raise TypeError(
            f"function returned a {type(outputs).__name__}; wanted a tensor"
        )
    if outputs.shape != points.shape:
        raise ValueError(
            f"function returned the shape {list(outputs.shape)} for the shape "
            f"{list(points.shape)}; wanted one value for each element"
        )
    _check_values(spelling.formula, points, outputs, torch.finfo(dtype).eps)
    gradient = None
    if outputs.requires_grad:
        ones = torch.ones_like(outputs)
        (gradient,) = torch.autograd.grad(outputs, points, ones, allow_unused=True)
    if gradient is None:
        raise ValueError(
            "function returned a tensor that autograd cannot trace to its input; "
            "wanted one that it can differentiate"
        )
    return gradient[0].item()


def _check_values(formula, points, outputs, eps):
    points, outputs = (t.detach().double().cpu().numpy() for t in (points, outputs))
    wanted = exact(formula, points).astype(np.float64)
    close = np.isclose(outputs, wanted, rtol=16 * eps, atol=16 * eps, equal_nan=True)
    if not close.all():
        first = np.argmin(close)
        raise ValueError(
            f"function returned {outputs[first]} at {points[first]}; wanted "
            f"{wanted[first]}, the value of expr"
        )


def _classify(answer, left, right, clarke, eps):
    """What the answer is, in the words of `answers_at_kink`."""

    def equals(slope):
        return abs(answer - slope) <= 4 * eps * max(1, abs(slope))

    if math.isnan(answer):
        return "NaN"
    if equals(left) and equals(right):
        return "derivative"
    if equals(left) or equals(right):
        return "left" if equals(left) else "right"
    return "inside" if answer in clarke else "outside"
