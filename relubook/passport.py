"""Everything about one activation on one page: bring your own.

    import sympy as sp
    from relubook.activations import Activation, z
    from relubook.passport import passport

    expr = z * sp.Min(sp.Max(z + 3, 0), 6) / 6
    passport(Activation("hardswish", expr, module="torch.nn.Hardswish"))

What is shown is computed then and there from the record's expression, its NumPy
function and its torch module: nothing is looked up.
"""

import base64
import io
import textwrap
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import sympy as sp
from matplotlib.figure import Figure
from sympy.core.function import AppliedUndef

from relubook import calculus, figures
from relubook.activations import Activation, latex, z
from relubook.calculus.slopes import exactly
from relubook.enclosures import exact_half_floats
from relubook.notebook import in_build
from relubook.precision import every_half_float, exact, half_float_errors, ulp_error

SEED = 0  # of the values at which float32 and float64 are compared with mpmath
MOST_POINTS = 4  # that get a derivation of their own, those nearest to 0
MOST_OPERATIONS = 60  # of a second derivative that is printed in full


def passport(activation):
    """All that this package can find out about one activation: a `Passport`.

    A notebook shows it as a page with a figure, `print` as text. In order: definition
    and derivative; kinks, one-sided derivatives and Clarke's subdifferential there
    (where there is no kink or jump, at 0); smoothness, second derivative, and
    properties; values at NaN and ±inf; the errors of its NumPy function in ulp; what
    its torch module answers for the derivative; the worked derivations.

    Without `numpy` the formula is evaluated as written, without `module` or torch the
    answers are left out; the page says so. What cannot be decided is shown as
    undecided, with the reason.

    Raises `TypeError` for what is no `Activation`, `ValueError` for parameters that
    are symbols and for undefined functions.

    >>> from relubook.activations import CATALOGUE
    >>> page = passport(CATALOGUE["absolute_value"])
    >>> page.kinks, page.slopes[0].left, page.slopes[0].clarke
    ({0}, -1, Interval(-1, 1))
    """
    if not isinstance(activation, Activation):
        raise TypeError(
            f"activation is {activation!r}; wanted an Activation record, such as "
            "CATALOGUE['relu'] or one of your own: Activation('mine', expr)"
        )
    unknown = sorted(activation.formula.atoms(AppliedUndef), key=str)
    if unknown:
        raise ValueError(
            f"activation {activation.name} has the undefined function {unknown[0]}; a "
            "passport wants a formula that has values"
        )
    symbols = sorted(activation.formula.free_symbols - {z}, key=str)
    if symbols:
        names = ", ".join(f"{symbol}=..." for symbol in symbols)
        raise ValueError(
            f"activation {activation.name} has parameters that are symbols; a passport "
            f"wants numbers: with_params({names}). Its kinks, smoothness and "
            "properties take symbols"
        )
    return Passport(activation)


@dataclass(frozen=True)
class SlopesAt:
    """What the calculus says at one point; a `ValueError` in place of no answer."""

    at: sp.Expr
    left: sp.Expr | ValueError
    right: sp.Expr | ValueError
    clarke: sp.Set | ValueError


@dataclass(frozen=True)
class Accuracy:
    """The largest error of a function in `dtype` over `count` values, in ulp.

    `at` is the value where it is largest, `misses` counts the results that are not
    correctly rounded (off by more than 1/2 ulp). `dtype` is a NumPy dtype's name.
    """

    dtype: str
    count: int
    worst: float
    at: float
    misses: int


@dataclass(frozen=True, repr=False)
class Passport:
    """The page of one activation, computed when it is first asked for.

    Where the calculus has no answer, an attribute holds the `ValueError` that says why.
    """

    activation: Activation

    @cached_property
    def derivative(self):
        return _attempt(calculus.derivative, self.activation.formula, z)

    @cached_property
    def kinks(self):
        return _attempt(calculus.kinks, self.activation.formula, z)

    @cached_property
    def smoothness(self):
        return _attempt(calculus.smoothness, self.activation.formula, z)

    @cached_property
    def second_derivative(self):
        formula = self.activation.formula
        return _attempt(calculus.second_derivative_distribution, formula, z)

    @cached_property
    def properties(self):
        return _attempt(calculus.properties, self.activation.formula, z)

    @cached_property
    def points(self):
        """The points looked at: kinks and jumps nearest to 0, or 0 itself."""
        ends = getattr(self.smoothness, "at", sp.S.EmptySet)
        found = {*_nearest(self.kinks), *_nearest(ends)} or {sp.S.Zero}
        return tuple(sorted(sorted(found, key=abs)[:MOST_POINTS]))

    @cached_property
    def slopes(self):
        """A `SlopesAt` for each of the points."""
        f = self.activation.formula
        return tuple(
            SlopesAt(
                at,
                _attempt(calculus.one_sided_derivative, f, z, at, "left"),
                _attempt(calculus.one_sided_derivative, f, z, at, "right"),
                _attempt(calculus.clarke_subdifferential, f, z, at),
            )
            for at in self.points
        )

    @cached_property
    def derivations(self):
        """A worked derivation for each of the points."""
        f = self.activation.formula
        return tuple(_attempt(calculus.derivation, f, z, at) for at in self.points)

    @cached_property
    def half_float_errors(self):
        """The error in ulp at every half-float, `[256, 256]`."""
        wanted = exact_half_floats(self._formula)
        return half_float_errors(self._rounded, lambda _: wanted)

    @cached_property
    def accuracy(self):
        """An `Accuracy` for each precision, float16 at every finite value.

        float32 and float64 are sampled; a value that takes mpmath beyond the numbers
        it can hold is left out.
        """
        half_floats = every_half_float()
        finite = np.isfinite(half_floats)
        halves = half_floats[finite], self.half_float_errors[finite]
        samples = (self._sampled_errors(dtype) for dtype in ("float32", "float64"))
        return tuple(_summary(*found) for found in (halves, *samples))

    @cached_property
    def values_at_the_ends(self):
        """Rows of -inf, NaN and inf, the value computed there, and the exact one."""
        ends = np.array([-np.inf, np.nan, np.inf])
        function = sp.lambdify(z, self._formula, "mpmath")
        found = [_exact_or_none(function, end) for end in ends]
        wanted = [np.nan if value is None else float(value) for value in found]
        return tuple(zip(ends, self.activation(ends), wanted))

    @cached_property
    def answers(self):
        """PyTorch's answers at the points, a row or a `ValueError` for each.

        The rows are those of `relubook.autodiff.answers_at_kink`. A sentence in their
        place if there is no module, or no torch.
        """
        if self.activation.module is None:
            return "The record names no torch module, so PyTorch was not asked."
        try:
            from relubook.autodiff import Spelling, answers_at_kink
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            return "PyTorch is not installed here, so it was not asked."
        module, name = self.activation.torch_module(), self._module_name

        def ask(at):
            spelling = Spelling(name, self.activation, module, at)
            return answers_at_kink([spelling]).iloc[0]

        return tuple(_attempt(ask, at) for at in self.points)

    @property
    def limits(self):
        """The interval that the figure shows: [-4, 4], more if a kink wants it."""
        near = [float(at) for at in self.points if abs(at) < 100]
        return min([-4.0, *(x - 2 for x in near)]), max([4.0, *(x + 2 for x in near)])

    @property
    def alt(self):
        """The figure in words."""
        low, high = self.limits
        half = self.accuracy[0]
        return (
            f"Three panels. Left, {self.activation.name} from {low:.3g} to {high:.3g} "
            "and below it its derivative. Right, the map of its errors at every "
            f"half-float: {half.misses} are not correctly rounded, the largest error "
            f"is {half.worst:.4g} ulp."
        )

    def plot(self, axes=None):
        """Draw value, derivative and half-float map on three Axes; returns them.

        The values are drawn as the activation computes them; where the derivative is
        undecided, the panel says so. Without `axes` a new figure is made.
        """
        if axes is None:
            axes = _panels(plt.figure(figsize=_SIZE))
        jumps = [float(at) for at in self.points if self._jumps]
        figures.plot_activation(self.activation, axes[0], *self.limits, jumps)
        if isinstance(self.derivative, ValueError):
            axes[1].set(ylabel="derivative: undecided", xticks=[], yticks=[])
        else:
            bends = [float(at) for at in _nearest(self.kinks)] + jumps
            figures.plot_derivative(self.activation, axes[1], *self.limits, bends)
        figures.plot_half_float_map(self.half_float_errors, axes[2])
        bar = axes[2].figure.colorbar(axes[2].images[0], ax=axes[2])
        bar.set_ticks(figures.MAP_STEPS[:-1], labels=figures.MAP_STEPS[:-1])
        axes[2].set_title("error in float16 (ulp)")
        return axes

    def __repr__(self):
        return _text(self)

    def _repr_markdown_(self):
        return _markdown(self)

    @property
    def _formula(self):
        """With decimals as fractions, as the calculus takes them."""
        return exactly(self.activation.formula)

    @property
    def _jumps(self):
        return getattr(self.smoothness, "order", None) == -1

    @property
    def _rows(self):
        """The points at which PyTorch answered, with its rows."""
        if isinstance(self.answers, str):
            return []
        found = zip(self.points, self.answers)
        return [(at, row) for at, row in found if not isinstance(row, ValueError)]

    @property
    def _module_name(self):
        module = self.activation.module
        if not isinstance(module, str):
            module = getattr(module, "__qualname__", repr(module))
        return module

    def _rounded(self, values):
        """The function under test, its result in the dtype of the values."""
        with np.errstate(all="ignore"):
            return np.asarray(self.activation(values)).astype(values.dtype)

    def _sampled_errors(self, dtype):
        values = _sample(np.dtype(dtype), [float(at) for at in self.points])
        function = sp.lambdify(z, self._formula, "mpmath")
        wanted = np.array([_exact_or_none(function, value) for value in values])
        known = np.array([value is not None for value in wanted])
        return values[known], ulp_error(self._rounded(values[known]), wanted[known])


# ---- what is found


def _attempt(function, *args):
    """What a function returns, or the ValueError by which it says that it cannot."""
    try:
        return function(*args)
    except ValueError as error:
        return error


def _nearest(points):
    """The few points of a SymPy set that are nearest to 0."""
    if isinstance(points, sp.FiniteSet):
        return set(points)
    if isinstance(points, sp.Union):
        return {point for part in points.args for point in _nearest(part)}
    if isinstance(points, sp.ImageSet):
        numbers = points.base_sets[0]
        return {points.lamda(n) for n in sp.Range(-1, 2) if n in numbers}
    return set()


def _sample(dtype, points):
    """Floats of both signs, subnormal to huge, dense where formulas change."""
    info, rng = np.finfo(dtype), np.random.default_rng(SEED)
    exponents = rng.integers(info.minexp - info.nmant, info.maxexp, 80)
    magnitudes = np.concatenate([
        np.ldexp(rng.uniform(1, 2, 80), exponents),
        10 ** rng.uniform(-8, 3, 80),
        rng.uniform(0, 8, 100),
        rng.uniform(8, 45, 60),
        rng.uniform(80, 110, 30),  # where float32 under- and overflows in exp
        rng.uniform(690, 760, 30),  # where float64 does
    ]).astype(dtype)  # fmt: skip
    at = np.array([0, *points], dtype)
    beside = [np.nextafter(at, dtype.type(end)) for end in (-np.inf, np.inf)]
    return np.concatenate([magnitudes, -magnitudes, at, *beside])


def _exact_or_none(function, value):
    try:
        return exact(function, value)[()]
    except OverflowError:  # exp(exp(1e300)) is too large for mpmath
        return None


def _summary(values, errors):
    worst = np.argmax(errors)
    misses = int(np.count_nonzero(errors > 0.5))
    largest, at = float(errors[worst]), float(values[worst])
    return Accuracy(values.dtype.name, values.size, largest, at, misses)


# ---- how it is shown: the same findings as Markdown and as text


def _markdown(page):
    tables = [
        [("Property", "Finding"), ("---", "---"), *_findings(page, _in_markdown)],
        _accuracy(page),
        *([_answers(page, _in_markdown)] if page._rows else []),
    ]
    facts, accuracy, *answers = (
        "\n".join(f"| {' | '.join(row)} |" for row in table) for table in tables
    )
    blocks = [
        f"**Passport of `{page.activation.name}`**",
        # In the book a figure has a cell of its own, with caption, name and alt text.
        *([] if in_build() else [_picture(page)]),
        f"$$f(z) = {_latex(page.activation.formula)}$$",
        facts,
        accuracy,
        _about_accuracy(page),
        *answers,
        _about_answers(page, _in_markdown),
        *(
            _folded(f"Derivation at $z = {_latex(at)}$", _told(found, _in_markdown))
            for at, found in zip(page.points, page.derivations)
        ),
    ]
    return "\n\n".join(blocks)


def _text(page):
    facts = [("Definition", str(page.activation.formula)), *_findings(page, _in_text)]
    blocks = [
        f"Passport of {page.activation.name}",
        "\n".join(_listed(facts)),
        "\n".join(_aligned(_accuracy(page))),
        textwrap.fill(_about_accuracy(page), 80),
        *(["\n".join(_aligned(_answers(page, _in_text)))] if page._rows else []),
        textwrap.fill(_about_answers(page, _in_text), 80, break_long_words=False),
        *(
            f"Derivation at z = {at}\n\n{_told(found, _in_text)}"
            for at, found in zip(page.points, page.derivations)
        ),
    ]
    return "\n\n".join(blocks)


def _findings(page, show):
    """Pairs of a name and a finding, in words and with formulas as `show` has them."""
    yield "Derivative", show(page.derivative)
    yield "Kinks", show(page.kinks)
    for found in page.slopes:
        at = show(found.at)
        yield f"Slopes at {at}", f"left {show(found.left)}, right {show(found.right)}"
        yield f"Clarke's subdifferential at {at}", show(found.clarke)
    yield "Smoothness", show(page.smoothness)
    yield "Second derivative (distribution)", show(page.second_derivative)
    yield from _properties(page.properties, show)
    ends = [f"{row[1]:.6g}{_but(*row)}" for row in page.values_at_the_ends]
    yield "Values at -inf, NaN and inf", "; ".join(ends)


def _but(end, computed, wanted):
    """What is wrong with a value at NaN or +-inf, if anything."""
    if ulp_error(computed, wanted) <= 8:
        return ""
    # There is no limit, or it is approached too slowly to be seen.
    unseen = np.isinf(end) and np.isnan(wanted)
    return ", not confirmed" if unseen else f", but should be {wanted:.6g}"


def _properties(found, show):
    if isinstance(found, ValueError):
        yield "Properties", show(found)
        return
    strict = _words(found, ("increasing", "decreasing"), show)
    weak = _words(found, ("nondecreasing", "nonincreasing"), show)
    yield "Monotone", weak if strict == "neither" else strict
    yield "Curvature", _words(found, ("convex", "concave"), show)
    yield "Symmetry", _words(found, ("even", "odd"), show)
    yield "Positively homogeneous", _yes_or_no(found.homogeneous, show)
    yield "Lipschitz constant", show(found.lipschitz)
    yield "Range", show(found.range)


def _words(found, names, show):
    """The properties that hold, else why that is unknown, else "neither"."""
    answers = {name: getattr(found, name) for name in names}
    holding = [name for name, answer in answers.items() if answer is sp.true]
    unknown = {show(a): None for a in answers.values() if isinstance(a, ValueError)}
    return " and ".join(holding) or "; ".join(unknown) or "neither"


def _yes_or_no(answer, show):
    return {sp.true: "yes", sp.false: "no"}.get(answer) or show(answer)


def _accuracy(page):
    yield "Precision", "Values", "Not correctly rounded", "Largest error", "At z ="
    yield ("---",) * 5
    for found in page.accuracy:
        yield (
            found.dtype,
            f"{found.count:,}",
            f"{found.misses:,}",
            f"{found.worst:.4g} ulp",
            f"{found.at:.6g}" if found.worst else "",
        )


def _about_accuracy(page):
    tested = "its NumPy function"
    if page.activation.numpy is None:
        tested = "the formula evaluated as written (not guarded)"
    return (
        f"Errors of {tested} against exact values: in float16 at every finite number, "
        f"in float32 and float64 at a sample (seed {SEED}).{_widened(page.activation)}"
    )


def _widened(activation):
    """A remark on the dtypes that a function does not keep."""
    given = [np.dtype(name) for name in ("float16", "float32", "float64")]
    returned = [activation(np.ones(1, dtype)).dtype for dtype in given]
    other = [f"{a} to {b}" for a, b in zip(given, returned) if a != b]
    return f" It turns {', '.join(other)}; rounded back here." if other else ""


def _answers(page, show):
    yield "At", "Left", "Right", "Clarke", "Answer", "Which is"
    yield ("---",) * 6
    for at, row in page._rows:
        slopes = (f"{slope:.6g}" for slope in (row.left, row.right, row.answer))
        left, right, answer = slopes
        clarke = f"[{row.clarke.left:.6g}, {row.clarke.right:.6g}]"
        yield show(at), left, right, clarke, answer, row.answer_is


def _about_answers(page, show):
    if isinstance(page.answers, str):
        return page.answers
    about = f"What `{page._module_name}` answers for the derivative, in float32."
    return about + "".join(
        f" At {show(at)} {show(row)}."
        for at, row in zip(page.points, page.answers)
        if isinstance(row, ValueError)
    )


def _told(derivation, show):
    if isinstance(derivation, ValueError):
        return show(derivation)
    return derivation._repr_markdown_() if show is _in_markdown else str(derivation)


_REASONS = {
    calculus.Undecided: "undecided",
    calculus.Discontinuous: "not continuous",
    calculus.OutsideDomain: "outside the domain",
    calculus.NoSlope: "no slope",
}


def _in_text(found):
    if isinstance(found, ValueError):
        return f"{_REASONS.get(type(found), 'none')}: {found}"
    if found is sp.S.EmptySet:
        return "none"
    if isinstance(found, calculus.SecondDerivative) and _is_long(found.regular):
        found = replace(found, regular=sp.Symbol("{f''}"))
    return str(_short(found) if isinstance(found, sp.Basic) else found)


def _in_markdown(found):
    if isinstance(found, ValueError):
        message = str(found).replace("|", r"\|")
        return f"{_REASONS.get(type(found), 'none')}: `{message}`"
    if found is sp.S.EmptySet:
        return "none"
    if isinstance(found, calculus.Smoothness):
        return _smoothness_in_markdown(found)
    if isinstance(found, calculus.SecondDerivative):
        return f"${_second_derivative(found)}$"
    display = r"\displaystyle " if found.has(z) else ""
    return f"${display}{_latex(found)}$"


def _smoothness_in_markdown(found):
    if found.order == sp.oo:
        return r"smooth, $C^\infty$"
    because = f"because of ${_latex(found.at)}$"
    if found.order == -1:
        return f"not continuous, {because}"
    return f"$C^{{{found.order}}}$, not $C^{{{found.order + 1}}}$, {because}"


def _second_derivative(found):
    """LaTeX of the regular part, if it is short, and the masses."""
    parts = []
    if found.regular != 0:
        parts = [r"\{f''\}" if _is_long(found.regular) else _latex(found.regular)]
    for at, mass in found.masses.items():
        factor = "" if mass == 1 else rf"\left({_latex(mass)}\right) "
        parts.append(rf"{factor}\delta_{{{_latex(at)}}}")
    return " + ".join(parts) or "0"


def _is_long(expression):
    return sp.count_ops(expression) > MOST_OPERATIONS


def _latex(expression):
    # A bare bar would end a table's cell.
    return latex(_short(expression)).replace(r"\middle|", r"\middle\vert")


def _short(expression):
    """Rounded digits, as many as are worth printing."""
    return expression.replace(lambda e: e.is_Float, lambda e: sp.Float(e, 6))


def _folded(title, text):
    if in_build():
        return f"::::{{admonition}} {title}\n:class: dropdown\n\n{text}\n::::"
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>"


_SIZE = (6.4, 3.6)


def _panels(figure):
    """Three Axes: value above derivative, the map beside them."""
    layout = [["value", "map"], ["derivative", "map"]]
    panels = figure.subplot_mosaic(layout, width_ratios=[1, 1.2])
    return [panels[name] for name in ("value", "derivative", "map")]


def _picture(page):
    with plt.style.context(Path(figures.__file__).with_name("relubook.mplstyle")):
        figure = Figure(figsize=_SIZE)
        page.plot(_panels(figure))
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=110)
    data = base64.b64encode(file.getvalue()).decode()
    return f"![{page.alt}](data:image/png;base64,{data})"


def _listed(pairs):
    width = 2 + max(len(name) for name, _ in pairs)
    for name, finding in pairs:
        yield textwrap.fill(
            f"{name:{width}}{finding}", 80, subsequent_indent=" " * width,
            break_long_words=False,
        )  # fmt: skip


def _aligned(rows):
    rows = [row for row in rows if not row[0].startswith("---")]
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths))
        yield "  ".join(cells).rstrip()
