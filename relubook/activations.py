r"""The catalogue of scalar activations, each stated once.

An `Activation` holds one SymPy expression in `z`; its derivative, its LaTeX and its
rows in tables are derived from it. `CATALOGUE` has the fifteen activations of the
book by name. Each has a NumPy function here, which you can call on its own.

What the NumPy functions share:

* Shape `[...] -> [...]`; a scalar gives a NumPy scalar. Element by element.
* float16, float32 and float64 are kept; bool, integers and lists are promoted as
  `np.exp` promotes them. float16 is computed in float32 and rounded once. Anything
  else (complex, longdouble, object, text) raises `TypeError`.
* `out`, if given, is an array of the result's shape and dtype; it may be `z` itself.
* NaN gives NaN, +-inf gives the limit, and no floating-point warning is raised.
  The sign of a zero is the one NumPy's operations give.
* Parameters are numbers. One that is NaN, infinite or outside its domain raises
  `ValueError`, as does one that rounds to 0 or inf in the dtype of the computation.
* Errors are in units in the last place (ulp) of float32 and float64, at the default
  parameters unless it says otherwise, measured against the exact value of the
  formula. In float16 every one of the 65,536 values is right to 1 ulp.
"""

import importlib
import inspect
import numbers
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from types import MappingProxyType

import numpy as np
import scipy.special
import sympy as sp
from sympy.printing.latex import LatexPrinter

from relubook import calculus
from relubook.notebook import in_build

z = sp.Symbol("z", real=True)

# The assumptions are the parameters' domains: `_exact` checks values against them.
_negative_slope = sp.Symbol("negative_slope", real=True)
_init = sp.Symbol("init", real=True)
_beta = sp.Symbol("beta", positive=True)
_alpha = sp.Symbol("alpha", real=True)
_positive_alpha = sp.Symbol("alpha", positive=True)
_min_val = sp.Symbol("min_val", nonpositive=True)
_max_val = sp.Symbol("max_val", positive=True)

# torch's digits, more than Klambauer et al. (2017) print.
_SELU_ALPHA = "1.6732632423543772848170429916717"
_SELU_SCALE = "1.0507009873554804934193349852946"


@dataclass(frozen=True, repr=False)
class Activation:
    r"""An activation, stated once as a SymPy expression.

    `expr` is an expression in `z` and one symbol per parameter; `params` maps each
    parameter's name (torch's name for the argument) to its value, a number or a
    SymPy expression. A symbol's assumptions are its parameter's domain:
    `Symbol("beta", positive=True)`. `module` is a dotted name or a callable that
    builds the torch module, `numpy` a function `(z, **params, out)`, `cite` a key of
    the bibliography. All but the name and the expression may be left out: without
    `numpy` the formula itself is evaluated, which is **not guarded against
    overflow or cancellation** as the functions of this module are.

    Raises `ValueError` if the symbols of `expr` are not `z` and the parameters, a
    parameter lies outside its domain, or `module` has no dot; `TypeError` if `expr`,
    `params` or `module` is of another type.

    >>> beta = sp.Symbol("beta", positive=True)
    >>> gaussian = Activation("gaussian", sp.exp(-beta * z**2), {"beta": 1})
    >>> gaussian([0.0, 1.0]).round(3)
    array([1.   , 0.368])
    >>> gaussian.with_params(beta=2).derivative
    -4*z*exp(-2*z**2)
    """

    name: str
    expr: sp.Expr
    params: Mapping[str, object] = field(default_factory=dict, hash=False)
    module: str | Callable | None = None
    numpy: Callable | None = None
    cite: str | None = None

    def __post_init__(self):
        if not isinstance(self.expr, sp.Expr):
            raise TypeError(
                f"expr of {self.name} is a {type(self.expr).__name__}; "
                "wanted a SymPy expression in relubook.activations.z"
            )
        if not isinstance(self.params, Mapping):
            raise TypeError(
                f"params of {self.name} is {self.params!r}; "
                "wanted a mapping of names to values"
            )
        self._check_module()
        self._check_numpy()
        symbols = self.expr.free_symbols
        if z not in symbols or symbols - {z} != set(self._symbols.values()):
            raise ValueError(
                f"expr of {self.name} has the symbols {_names(symbols)}; wanted "
                "relubook.activations.z and one symbol per parameter"
            )
        if set(self._symbols) != set(self.params):
            raise ValueError(
                f"params of {self.name} has {_names(self.params)}; its expr wants "
                f"{_names(self._symbols)}"
            )
        for name, symbol in self._symbols.items():
            if not symbol.is_real:
                raise ValueError(
                    f"parameter {name} of {self.name} is declared without a domain; "
                    f"wanted Symbol({name!r}, real=True) or positive=True"
                )
            _exact(symbol, self.params[name])
        object.__setattr__(self, "params", MappingProxyType(dict(self.params)))

    def __call__(self, values, out=None):
        """The activation of an array; shapes, dtypes and `out` as the module says."""
        params = self._numbers
        if self.numpy is None:
            return _evaluate(self._lambdified, values, out)
        return self.numpy(values, **params, out=out)

    def with_params(self, **params):
        """The same activation with other values for the parameters named.

        Raises `TypeError` for a parameter it does not have.

        >>> CATALOGUE["elu"].with_params(alpha=2)(-np.inf)
        np.float64(-2.0)
        """
        for name in params:
            if name not in self._symbols:
                raise TypeError(
                    f"{self.name} has no parameter {name!r}; it has "
                    f"{_names(self._symbols)}"
                )
        return replace(self, params={**self.params, **params})

    @property
    def symbolic(self):
        """The same activation with its parameters left as symbols."""
        return replace(self, params=self._symbols)

    @cached_property
    def formula(self):
        """`expr` with the parameters put in, decimals taken exactly (0.01 = 1/100)."""
        exact = {s: _exact(s, self.params[n]) for n, s in self._symbols.items()}
        return self.expr.xreplace(exact)

    @cached_property
    def derivative(self):
        """The derivative of `formula`, undefined (SymPy's nan) where there is none.

        `calculus.derivative`: two branches are joined at their boundary only where the
        one-sided slopes provably agree. (`sympy.diff` of ReLU claims 0 at 0.) Raises
        `calculus.Undecided` where the parameters do not say which branch holds.

        >>> CATALOGUE["relu"].derivative
        Piecewise((1, z > 0), (0, z < 0))
        >>> CATALOGUE["relu"].derivative.subs(z, 0)
        nan
        """
        return calculus.derivative(self.formula, z)

    @cached_property
    def kinks(self):
        """The points where the one-sided derivatives differ: `calculus.kinks`.

        >>> CATALOGUE["elu"].kinks, CATALOGUE["elu"].with_params(alpha=2).kinks
        (EmptySet, {0})
        >>> CATALOGUE["elu"].symbolic.kinks
        ConditionSet(z, Ne(alpha, 1), {0})
        """
        return calculus.kinks(self.formula, z)

    def one_sided_derivatives(self, at=0):
        """The left and right derivative at a point: `calculus.one_sided_derivatives`.

        >>> CATALOGUE["leaky_relu"].symbolic.one_sided_derivatives()
        Slopes(left=negative_slope, right=1)
        """
        return calculus.one_sided_derivatives(self.formula, z, at)

    @cached_property
    def smoothness(self):
        """The class C^k and the points where it ends: `calculus.smoothness`.

        >>> print(CATALOGUE["elu"].smoothness)
        C^1, not C^2, because of {0}
        """
        return calculus.smoothness(self.formula, z)

    @cached_property
    def properties(self):
        """Monotone, convex, Lipschitz, range: `calculus.properties`.

        >>> CATALOGUE["leaky_relu"].properties.convex
        True
        """
        return calculus.properties(self.formula, z)

    @property
    def latex(self):
        r"""LaTeX of the definition, with symbols for the parameters.

        >>> print(CATALOGUE["softplus"].latex)
        \frac{\log{\left(e^{\beta z} + 1 \right)}}{\beta}
        """
        return latex(self.expr)

    @property
    def latex_derivative(self):
        """LaTeX of the derivative, with symbols for the parameters; kinks left out."""
        return latex(self.symbolic.derivative)

    def torch_module(self):
        """A new torch module of this activation with these parameters.

        Its digits are torch's: in float64 `Softplus` is off by 5.8e5 ulp just above 20,
        in the far tail `GELU`, `SiLU` and `Sigmoid` lose every digit, and at -inf the
        first two give NaN (`tests/test_torch_modules.py` has the whole list).

        Raises `ValueError` where there is none, or a parameter is a symbol.
        """
        if self.module is None:
            raise ValueError(f"{self.name} names no torch module: give it `module`")
        build, numbers = self.module, self._numbers
        if isinstance(build, str):
            package, _, name = build.rpartition(".")
            build = getattr(importlib.import_module(package), name, None)
            if build is None:
                raise ValueError(
                    f"{package} has no {name!r}, the module of {self.name}"
                )
        try:
            return build(**numbers)
        except TypeError as error:
            raise TypeError(
                f"module of {self.name} is {self.module!r}; wanted a class or function "
                f"that builds a torch module from {_names(numbers)}: {error}"
            ) from error

    def __repr__(self):
        params = "".join(f", {name}={value}" for name, value in self.params.items())
        return f"Activation({self.name!r}{params})"

    def __reduce__(self):  # a read-only mapping cannot be pickled
        fields = (self.module, self.numpy, self.cite)
        return Activation, (self.name, self.expr, dict(self.params), *fields)

    def _check_module(self):
        wanted = "wanted a dotted name such as 'torch.nn.ReLU', or a callable"
        if isinstance(self.module, str):
            if not all(self.module.rpartition(".")):
                raise ValueError(f"module of {self.name} is {self.module!r}; {wanted}")
        elif self.module is not None and not callable(self.module):
            raise TypeError(f"module of {self.name} is {self.module!r}; {wanted}")

    def _check_numpy(self):
        if self.numpy is None:
            return
        wanted = "wanted a function (z, ..., out=None) with the parameters by name"
        if not callable(self.numpy):
            raise TypeError(f"numpy of {self.name} is {self.numpy!r}; {wanted}")
        try:
            inspect.signature(self.numpy).bind(None, **self.params, out=None)
        except TypeError as error:
            raise TypeError(f"numpy of {self.name}: {error}; {wanted}") from None

    @cached_property
    def _symbols(self):
        return {s.name: s for s in sorted(self.expr.free_symbols - {z}, key=str)}

    @cached_property
    def _numbers(self):
        for name, value in self.params.items():
            if not _exact(self._symbols[name], value).is_number:
                raise ValueError(
                    f"{name}={value} of {self.name} is no number; "
                    f"give it one: with_params({name}=...)"
                )
        return {name: float(value) for name, value in self.params.items()}

    @cached_property
    def _lambdified(self):
        function = sp.lambdify(z, self.formula, "scipy")
        return lambda z, out: np.copyto(out, function(z), casting="unsafe")


def identity(z, out=None):
    r"""The identity, $z$: a linear unit. Exact; the signed zero is kept.

    >>> identity([-2, 3])
    array([-2.,  3.])

    Reference: Goodfellow, Bengio and Courville (2016), section 6.2.2.
    """

    def kernel(z, out):
        np.copyto(out, z)

    return _evaluate(kernel, z, out, block=_ONE_PASS)


def relu(z, out=None):
    r"""The rectified linear unit, $\max(0, z)$.

    0 at the kink 0 and at -inf, inf at inf. Exact.

    >>> relu([-2.0, 0.0, 3.0])
    array([0., 0., 3.])
    >>> relu(np.float32(np.nan))
    np.float32(nan)

    Reference: Nair and Hinton (2010).
    """

    def kernel(z, out):
        # The values of np.maximum(z, 0), which takes twice as long in float32 on
        # processors without AVX-512 (benchmarks/activations.py).
        np.clip(z, 0, np.inf, out=out)

    return _evaluate(kernel, z, out, block=_ONE_PASS)


def leaky_relu(z, negative_slope=0.01, out=None):
    r"""Leaky ReLU, $\max(0, z) + \alpha \min(0, z)$ with $\alpha$ = `negative_slope`.

    0 at the kink 0; at -inf it is -inf, 0 or inf as $\alpha$ is positive, 0 (which
    makes it ReLU) or negative. At most 2 ulp, for slopes from 0.001 to 1000 in size.

    >>> leaky_relu([-2.0, 3.0])
    array([-0.02,  3.  ])

    Reference: Maas, Hannun and Ng (2013).
    """
    return _evaluate(_leaky, z, out, {_negative_slope: negative_slope})


def prelu(z, init=0.25, out=None):
    r"""Parametric ReLU, $\max(0, z) + \alpha \min(0, z)$ with $\alpha$ = `init`.

    The function is leaky ReLU's; here the slope is learned, and `init` is where it
    starts. At most 2 ulp.

    >>> prelu([-2.0, 3.0])
    array([-0.5,  3. ])

    Reference: He et al. (2015), "Delving Deep into Rectifiers".
    """
    return _evaluate(_leaky, z, out, {_init: init})


def absolute_value(z, out=None):
    r"""Absolute value rectification, $|z|$: 0 at the kink 0, inf at +-inf. Exact.

    >>> absolute_value([-2.0, 3.0])
    array([2., 3.])

    Reference: Jarrett et al. (2009).
    """

    def kernel(z, out):
        np.absolute(z, out=out)

    return _evaluate(kernel, z, out, block=_ONE_PASS)


def softplus(z, beta=1.0, out=None):
    r"""Softplus, $\log(1 + e^{\beta z}) / \beta$ for `beta` > 0.

    Computed as $\max(0, z) + \log(1 + e^{-\beta|z|}) / \beta$, which neither
    overflows nor cancels. 0 at -inf, inf at inf. At most 4 ulp at `beta` = 1. For
    `beta` from 0.01 to 100 at most 5 + 2 $\max(0, -\beta z)$ ulp: where the result is
    small, the exponential magnifies the roundings of $\beta$ and $\beta z$.

    >>> softplus([-1000.0, 0.0, 1000.0])
    array([0.00000000e+00, 6.93147181e-01, 1.00000000e+03])

    Reference: Dugas et al. (2000).
    """

    def kernel(z, out, beta):
        correction = np.log1p(np.exp(-beta * np.abs(z)))
        np.add(np.maximum(z, 0), correction / beta, out=out)

    return _evaluate(kernel, z, out, {_beta: beta})


def elu(z, alpha=1.0, out=None):
    r"""Exponential linear unit: $z$ for z > 0, $\alpha (e^z - 1)$ otherwise.

    0 at 0, -alpha at -inf; differentiable at 0 for alpha = 1 alone. At most 4 ulp, for
    alpha from 0.001 to 1000 in size.

    >>> elu([-np.inf, 0.0, 1000.0])
    array([  -1.,    0., 1000.])

    Reference: Clevert, Unterthiner and Hochreiter (2016).
    """

    def kernel(z, out, alpha):
        np.add(np.maximum(z, 0), alpha * np.expm1(np.minimum(z, 0)), out=out)

    return _evaluate(kernel, z, out, {_alpha: alpha})


def selu(z, out=None):
    r"""Scaled exponential linear unit: $\lambda$ times ELU, both constants fixed.

    $\lambda$ = 1.0507..., $\alpha$ = 1.6732..., as torch has them; 0 at the kink 0,
    -1.7580... at -inf. At most 4 ulp.

    >>> selu([-np.inf, 1.0])
    array([-1.75809934,  1.05070099])

    Reference: Klambauer et al. (2017).
    """
    scale, scale_alpha = float(_SELU_SCALE), float(_SELU_SCALE) * float(_SELU_ALPHA)

    def kernel(z, out):
        below = scale_alpha * np.expm1(np.minimum(z, 0))
        np.add(scale * np.maximum(z, 0), below, out=out)

    return _evaluate(kernel, z, out)


def celu(z, alpha=1.0, out=None):
    r"""Continuously differentiable ELU.

    $z$ for z > 0, $\alpha (e^{z/\alpha} - 1)$ otherwise, with `alpha` > 0. 0 at 0,
    -alpha at -inf. At most 4 ulp, for alpha from 0.001 to 1000 where $z/\alpha$ is a
    normal number.

    >>> celu([-np.inf, 1.0], alpha=2)
    array([-2.,  1.])

    Reference: Barron (2017).
    """

    def kernel(z, out, alpha):
        below = alpha * np.expm1(np.minimum(z, 0) / alpha)
        np.add(np.maximum(z, 0), below, out=out)

    return _evaluate(kernel, z, out, {_positive_alpha: alpha})


def sigmoid(z, out=None):
    r"""The logistic sigmoid, $1 / (1 + e^{-z})$: 0 at -inf, 1 at inf. At most 4 ulp.

    >>> sigmoid([-1000.0, 0.0, 1000.0])
    array([0. , 0.5, 1. ])

    Reference: Cybenko (1989).
    """

    def kernel(z, out):
        small = np.exp(-np.abs(z))  # never overflows
        np.divide(np.maximum(small, z >= 0), 1 + small, out=out)

    return _evaluate(kernel, z, out)


def tanh(z, out=None):
    r"""The hyperbolic tangent: -1 at -inf, 1 at inf. At most 4 ulp.

    >>> tanh([-np.inf, 0.0, np.inf])
    array([-1.,  0.,  1.])

    Reference: Glorot and Bengio (2010).
    """

    def kernel(z, out):
        np.tanh(z, out=out)

    return _evaluate(kernel, z, out, block=_ONE_PASS)


def gelu(z, out=None):
    r"""Gaussian error linear unit, $z \Phi(z) = z (1 + \mathrm{erf}(z/\sqrt 2)) / 2$.

    Computed as $\max(0, z) - |z| \Phi(-|z|)$; the textbook form cancels to 0 below
    about -5 in float32. 0 at -inf, inf at inf. At most 8 ulp in float64, 1 in
    float32, for which it computes in float64.

    >>> gelu([-20.0, 0.0, 20.0])
    array([-5.50724824e-88,  0.00000000e+00,  2.00000000e+01])

    Reference: Hendrycks and Gimpel (2016).
    """

    def kernel(z, out):
        # Below -40 the result is 0; the bound keeps inf * 0 out.
        size = np.minimum(np.abs(z), 40).astype(np.float64)
        # exp(-size**2 / 2) in two factors: the square of 24 bits is exact.
        short = size.astype(np.float32).astype(np.float64)
        tail = size / 2 * scipy.special.erfcx(size * np.sqrt(0.5))
        tail *= np.exp(-short * short / 2)
        tail *= np.exp((short - size) * (short + size) / 2)
        np.subtract(np.maximum(z, 0), tail, out=out, casting="same_kind")

    return _evaluate(kernel, z, out)


def silu(z, out=None):
    r"""Sigmoid linear unit (swish), $z / (1 + e^{-z})$.

    Computed as $\max(0, z) - |z| / (1 + e^{|z|})$. 0 at -inf, inf at inf. At most
    8 ulp.

    >>> silu([-np.inf, 0.0, 20.0])
    array([ 0.        ,  0.        , 19.99999996])

    Reference: Elfwing, Uchibe and Doya (2018).
    """

    def kernel(z, out):
        # Below -2000 the result is 0; the bound keeps inf * 0 out.
        size = np.minimum(np.abs(z), 2000)
        # Half the exponent twice: exp(-size) loses digits where it is subnormal.
        root = np.exp(-size / 2)
        below = size * root * root / (1 + root * root)
        np.subtract(np.maximum(z, 0), below, out=out)

    return _evaluate(kernel, z, out)


def relu6(z, out=None):
    r"""ReLU clipped at six, $\min(6, \max(0, z))$. Exact.

    >>> relu6([-1.0, 5.0, 7.0])
    array([0., 5., 6.])

    Reference: Jacob et al. (2018).
    """

    def kernel(z, out):
        np.clip(z, 0, 6, out=out)

    return _evaluate(kernel, z, out, block=_ONE_PASS)


def hardtanh(z, min_val=-1.0, max_val=1.0, out=None):
    r"""The identity clipped to [`min_val`, `max_val`], `min_val` <= 0 < `max_val`.

    Exact for limits which the dtype holds, otherwise at most 1 ulp.

    >>> hardtanh([-3.0, 0.5, 3.0])
    array([-1. ,  0.5,  1. ])

    Reference: Paszke et al. (2019), `torch.nn.Hardtanh`.
    """

    def kernel(z, out, min_val, max_val):
        np.clip(z, min_val, max_val, out=out)

    limits = {_min_val: min_val, _max_val: max_val}
    return _evaluate(kernel, z, out, limits, block=_ONE_PASS)


def latex(expression):
    r"""LaTeX of an expression in the book's symbols, for KaTeX and for tables.

    Both slopes are $\alpha$; long decimals are printed to five digits; an absolute
    value has no bare `|`, which would end a table's cell.

    >>> print(latex(CATALOGUE["leaky_relu"].derivative))  # doctest: +ELLIPSIS
    \begin{cases} 1 & ... z > 0 \\\frac{1}{100} & ... z < 0 \end{cases}
    >>> print(latex(sp.Abs(z)))
    \left\lvert z \right\rvert

    Raises `TypeError` for what is not SymPy's.
    """
    if not isinstance(expression, sp.Basic):
        raise TypeError(
            f"expression is a {type(expression).__name__}; wanted a SymPy expression"
        )
    return _Latex({"symbol_names": _symbol_names(expression)}).doprint(
        expression.replace(
            lambda e: e.is_Rational and e.q > 10**6, lambda e: sp.Float(e, 5)
        )
    )


def table(activations=None):
    """A Markdown table of activations (default: the catalogue), derived from each.

    Columns: name, definition, derivative. Raises `TypeError` for what is no
    `Activation`, such as a name.

    >>> print(table([CATALOGUE["absolute_value"]]).splitlines()[0])
    | Name | Definition | Derivative |
    """

    def row(activation):
        definition, slope = activation.latex, activation.latex_derivative
        return rf"$\displaystyle {definition}$", rf"$\displaystyle {slope}$"

    return _table(("Definition", "Derivative"), row, activations)


def table_of_defaults(activations=None):
    """A Markdown table of what an activation (default: the catalogue's) comes with.

    Columns: name, default parameters, torch module, source. Raises `TypeError` for
    what is no `Activation`, such as a name.

    >>> print(table_of_defaults([CATALOGUE["absolute_value"]]).splitlines()[0])
    | Name | Defaults | PyTorch | Source |
    """

    def row(activation):
        module, cite = activation.module, activation.cite
        if callable(module):
            module = module.__qualname__
        # Roles are rendered in the book; elsewhere they would stand there as text.
        role = "{cite:t}" if in_build() else ""
        return (
            _defaults(activation),
            f"`{module}`" if module else "",
            f"{role}`{cite}`" if cite else "",
        )

    return _table(("Defaults", "PyTorch", "Source"), row, activations)


class Markdown(str):
    """Text that a notebook renders as Markdown."""

    def _repr_markdown_(self):
        return str(self)


def _table(columns, row, activations):
    """Rows of `row(activation)`, one cell a column, each after the name."""
    rows = [("Name", *columns), ("---",) * (1 + len(columns))]
    for activation in CATALOGUE.values() if activations is None else activations:
        if not isinstance(activation, Activation):
            raise TypeError(
                f"activations contains {activation!r}; wanted Activation records, "
                "such as CATALOGUE.values()"
            )
        rows.append((f"`{activation.name}`", *row(activation)))
    return Markdown("\n".join(f"| {' | '.join(cells)} |" for cells in rows))


def _defaults(activation):
    return ", ".join(
        f"${latex(activation._symbols[name])} = {_value(value)}$ (`{name}`)"
        for name, value in activation.params.items()
    )


def _value(value):
    return latex(value) if isinstance(value, sp.Expr) else f"{float(value):g}"


_SYMBOL_NAMES = {
    "negative_slope": r"\alpha",
    "init": r"\alpha",
    "min_val": r"z_{\min}",
    "max_val": r"z_{\max}",
}


def _symbol_names(expression):
    symbols = expression.free_symbols
    return {s: _SYMBOL_NAMES[s.name] for s in symbols if s.name in _SYMBOL_NAMES}


class _Latex(LatexPrinter):
    def _print_Abs(self, expr, exp=None):
        size = rf"\left\lvert {self._print(expr.args[0])} \right\rvert"
        return f"{size}^{{{exp}}}" if exp else size

    def _print_Relational(self, expr):
        return super()._print_Relational(expr.reversed if expr.rhs == z else expr)

    def _print_And(self, expr):
        """An interval as `a < z < b`, not as two conditions."""
        above = [r for r in expr.args if getattr(r, "gts", None) == z]
        below = [r for r in expr.args if getattr(r, "lts", None) == z]
        if len(expr.args) != 2 or not above or not below:
            return super()._print_And(expr)
        strict = isinstance(above[0], (sp.StrictGreaterThan, sp.StrictLessThan))
        sign = "<" if strict else r"\leq"
        return f"{self._print(above[0].lts)} {sign} {self._print(below[0])}"


def _leaky(z, out, slope):
    if slope == 0:  # 0 * inf would be NaN
        np.maximum(z, 0, out=out)
    else:
        larger = np.maximum if slope <= 1 else np.minimum
        larger(z, slope * z, out=out)


_CACHED = 1 << 14  # elements a block whose temporaries stay in the cache
_ONE_PASS = 1 << 18  # for kernels without temporaries: fewer turns of the loop


def _evaluate(kernel, z, out, parameters={}, block=_CACHED):
    """Apply `kernel(z, out, *parameters)` in blocks, in the dtype of computation."""
    if isinstance(z, np.ma.MaskedArray):
        raise TypeError(
            "z is a masked array: fill it first, for instance with "
            "np.ma.filled(z, np.nan); wanted an array without a mask"
        )
    z = np.asarray(z)
    dtype = _result_dtype(z.dtype)
    if out is None:
        result = np.empty_like(z, dtype)
    else:
        result = _checked_output(out, z.shape, dtype)
    wide = np.promote_types(dtype, np.float32)
    # Underflow to 0 and overflow to inf are the right results here, not errors.
    with np.errstate(all="ignore"):
        scalars = [_scalar(s, value, wide) for s, value in parameters.items()]
        with np.nditer(
            [z, result],
            flags=["external_loop", "buffered", "zerosize_ok", "copy_if_overlap"],
            # Contiguous, so that the digits do not depend on the array's layout.
            op_flags=[
                ["readonly", "contig", "overlap_assume_elementwise"],
                ["writeonly", "contig", "overlap_assume_elementwise"],
            ],
            op_dtypes=[wide, wide],
            casting="same_kind",
            buffersize=block,
        ) as blocks:
            for z_block, out_block in blocks:
                kernel(z_block, out_block, *scalars)
    return result[()] if out is None and result.ndim == 0 else result


def _result_dtype(dtype):
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise TypeError(
            f"z has dtype {dtype}; wanted real numbers: "
            "bool, integers, float16, float32 or float64"
        )
    return np.exp.resolve_dtypes((dtype, None))[1]


def _checked_output(out, shape, dtype):
    wanted = f"wanted an array of shape {shape} and dtype {dtype}"
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is a {type(out).__name__}; {wanted}")
    if out.shape != shape or out.dtype != dtype:
        raise ValueError(f"out has shape {out.shape} and dtype {out.dtype}; {wanted}")
    if not out.flags.writeable:
        raise ValueError(f"out is read-only; {wanted} that can be written to")
    return out


def _scalar(symbol, value, dtype):
    number = float(_exact(symbol, value))
    scalar = dtype.type(number)
    if not np.isfinite(scalar) or (scalar == 0 and number != 0):
        raise ValueError(
            f"{symbol}={value} rounds to {scalar} in {dtype}; "
            "wanted a number that the dtype of the computation holds"
        )
    return scalar


_DOMAINS = {
    "positive": "a positive finite number",
    "nonpositive": "a finite number, negative or 0",
    "negative": "a negative finite number",
    "nonnegative": "a finite number, positive or 0",
    "real": "a finite number",
}


def _exact(symbol, value):
    """A parameter's value as an exact SymPy expression in the symbol's domain."""
    facts = symbol.assumptions0
    wanted = next(_DOMAINS[name] for name in _DOMAINS if facts.get(name))
    if isinstance(value, bool) or not isinstance(value, (numbers.Real, sp.Expr)):
        raise TypeError(f"{symbol}={value!r}: wanted {wanted}")
    exact = _rational(value)
    # Every fact must be proved: an unknown sign would make the branches a guess.
    if any(getattr(exact, f"is_{name}") is not fact for name, fact in facts.items()):
        raise ValueError(f"{symbol}={value!r}: wanted {wanted}")
    if exact.is_number and abs(exact) > sys.float_info.max:
        raise ValueError(f"{symbol} is beyond float64: wanted {wanted}")
    return exact


@lru_cache(typed=True)
def _rational(value):
    """The decimal that a number is written as (0.01 is 1/100); expressions as given."""
    if isinstance(value, sp.Expr) and not isinstance(value, sp.Float):
        return value
    if isinstance(value, numbers.Rational):
        return sp.Rational(int(value.numerator), int(value.denominator))
    if isinstance(value, (np.floating, sp.Float)):
        value = float(value)
    finite = value == value and abs(value) != np.inf
    return sp.Rational(str(value)) if finite else sp.nan


def _names(names):
    return ", ".join(sorted(map(str, names))) or "none"


_CATALOGUE = (
    Activation(
        name="identity",
        expr=z,
        module="torch.nn.Identity",
        numpy=identity,
        cite="goodfellow2016deep",
    ),
    Activation(
        name="relu",
        expr=sp.Piecewise((z, z > 0), (0, True)),
        module="torch.nn.ReLU",
        numpy=relu,
        cite="nair2010rectified",
    ),
    Activation(
        name="leaky_relu",
        expr=sp.Piecewise((z, z > 0), (_negative_slope * z, True)),
        params={"negative_slope": 0.01},
        module="torch.nn.LeakyReLU",
        numpy=leaky_relu,
        cite="maas2013rectifier",
    ),
    Activation(
        name="prelu",
        expr=sp.Piecewise((z, z > 0), (_init * z, True)),
        params={"init": 0.25},
        module="torch.nn.PReLU",
        numpy=prelu,
        cite="he2015delving",
    ),
    Activation(
        name="absolute_value",
        expr=sp.Abs(z),
        module="relubook.layers.AbsoluteValue",
        numpy=absolute_value,
        cite="jarrett2009what",
    ),
    Activation(
        name="softplus",
        expr=sp.log(1 + sp.exp(_beta * z)) / _beta,
        params={"beta": 1.0},
        module="torch.nn.Softplus",
        numpy=softplus,
        cite="dugas2000incorporating",
    ),
    Activation(
        name="elu",
        expr=sp.Piecewise((z, z > 0), (_alpha * (sp.exp(z) - 1), True)),
        params={"alpha": 1.0},
        module="torch.nn.ELU",
        numpy=elu,
        cite="clevert2016fast",
    ),
    Activation(
        name="selu",
        expr=sp.Rational(_SELU_SCALE)
        * sp.Piecewise((z, z > 0), (sp.Rational(_SELU_ALPHA) * (sp.exp(z) - 1), True)),
        module="torch.nn.SELU",
        numpy=selu,
        cite="klambauer2017self",
    ),
    Activation(
        name="celu",
        expr=sp.Piecewise(
            (z, z > 0), (_positive_alpha * (sp.exp(z / _positive_alpha) - 1), True)
        ),
        params={"alpha": 1.0},
        module="torch.nn.CELU",
        numpy=celu,
        cite="barron2017continuously",
    ),
    Activation(
        name="sigmoid",
        expr=1 / (1 + sp.exp(-z)),
        module="torch.nn.Sigmoid",
        numpy=sigmoid,
        cite="cybenko1989approximation",
    ),
    Activation(
        name="tanh",
        expr=sp.tanh(z),
        module="torch.nn.Tanh",
        numpy=tanh,
        cite="glorot2010understanding",
    ),
    Activation(
        name="gelu",
        expr=z * (1 + sp.erf(z / sp.sqrt(2))) / 2,
        module="torch.nn.GELU",
        numpy=gelu,
        cite="hendrycks2016gaussian",
    ),
    Activation(
        name="silu",
        expr=z / (1 + sp.exp(-z)),
        module="torch.nn.SiLU",
        numpy=silu,
        cite="elfwing2018sigmoid",
    ),
    Activation(
        name="relu6",
        expr=sp.Piecewise((6, z > 6), (z, z > 0), (0, True)),
        module="torch.nn.ReLU6",
        numpy=relu6,
        cite="jacob2018quantization",
    ),
    Activation(
        name="hardtanh",
        expr=sp.Piecewise(
            (_max_val, z > _max_val), (z, z > _min_val), (_min_val, True)
        ),
        params={"min_val": -1.0, "max_val": 1.0},
        module="torch.nn.Hardtanh",
        numpy=hardtanh,
        cite="paszke2019pytorch",
    ),
)


class _Catalogue(dict):
    def __missing__(self, name):
        raise KeyError(f"unknown activation {name!r}; wanted one of {', '.join(self)}")


CATALOGUE = MappingProxyType(_Catalogue((entry.name, entry) for entry in _CATALOGUE))
