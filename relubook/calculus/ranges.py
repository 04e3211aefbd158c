"""Ranges, and what follows from them: monotone, convex, Lipschitz, subgradients."""

from dataclasses import dataclass, fields, replace
from functools import cmp_to_key, reduce

import sympy as sp

from relubook.calculus.expansions import (
    ONE,
    OutsideDomain,
    Undecided,
    expansion,
    nonzero,
    sign,
)
from relubook.calculus.pieces import pieces
from relubook.calculus.slopes import checked, one_sided_derivative
from relubook.calculus.zeros import (
    DIGITS,
    between,
    compare,
    definite_sign,
    factored,
    is_zero,
    limit,
    numerical,
    period_of,
    real_zeros,
    sign_at,
    signs,
    without_lambert,
    zeros,
)

_y = sp.Symbol("y", real=True)


def extent(g, z, lower=-sp.oo, upper=sp.oo):
    """The image of the open interval under the smooth `g`, as a SymPy set.

    `g` is a SymPy expression without branches, analytic on the interval. Whether the
    ends belong to the image is exact; an end is exact where it has a closed form at
    hand, else it is a `Float` of 30 digits, rounded. Where the image hangs on the sign
    of a parameter, it is a union of `ConditionSet`s. `Undecided` names what is open.

    >>> z = sp.Symbol("z", real=True)
    >>> extent(sp.tanh(z), z, 0, sp.oo)
    Interval.open(0, 1)
    >>> extent(z**2, z, -1, 2)
    Interval.Ropen(0, 4)
    """
    g, lower, upper = checked(g, z), sp.sympify(lower), sp.sympify(upper)
    return _as_set(_extents(g, z, lower, upper))


@dataclass(frozen=True)
class Properties:
    r"""What kind of function on its domain; see `properties`.

    A property is SymPy's `true` or `false`, or the condition on the parameters under
    which it holds; `lipschitz` is the smallest Lipschitz constant (`oo` for none),
    `range` a set. What could not be decided holds the `Undecided` error that says why.
    `homogeneous` is positively so: $f(cz) = c f(z)$ for every $c > 0$. `increasing` and
    `decreasing` are meant strictly.
    """

    nondecreasing: sp.Basic | Undecided
    increasing: sp.Basic | Undecided
    nonincreasing: sp.Basic | Undecided
    decreasing: sp.Basic | Undecided
    convex: sp.Basic | Undecided
    concave: sp.Basic | Undecided
    even: sp.Basic | Undecided
    odd: sp.Basic | Undecided
    homogeneous: sp.Basic | Undecided
    lipschitz: sp.Expr | Undecided
    range: sp.Set | Undecided

    def __str__(self):
        return "\n".join(f"{name:14}{value}" for name, value in self._rows(_shortened))

    def _repr_markdown_(self):
        from relubook.activations import latex  # which may use this module

        def cell(value):
            return f"${latex(value)}$"

        rows = [("Property", ""), ("---", "---"), *self._rows(cell)]
        return "\n".join(f"| {name} | {value} |" for name, value in rows)

    def _rows(self, cell):
        words = {sp.true: "yes", sp.false: "no"}
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if isinstance(value, Undecided):
                yield name, f"undecided: {value}"
            else:
                yield name, words.get(value) or cell(value)


def properties(f, z):
    """Whether `f` is monotone, convex, ...; its Lipschitz constant and range.

    All on the domain of `f`, for real `z`; symbols other than `z` are parameters, and
    the answers hold for all their values or name a condition on them. Digits of what
    has no closed form are rounded to 30. What cannot be decided is an `Undecided`
    inside the answer; `Undecided` is raised only where the pieces of `f` are unknown,
    `OutsideDomain` where `f` is defined nowhere.
    Bad input raises as in `one_sided_derivatives`.

    >>> z, alpha = sp.symbols("z alpha", real=True)
    >>> found = properties(sp.Piecewise((z, z > 0), (alpha * z, True)), z)
    >>> found.nondecreasing, found.lipschitz
    (alpha >= 0, Max(1, Abs(alpha)))
    >>> found.convex
    alpha <= 1
    >>> properties(z / (1 + sp.exp(-z)), z).range
    Interval(-LambertW(exp(-1)), oo)

    Reference: Rockafellar (1970), "Convex Analysis", sections 4 and 24.
    """
    f = checked(f, z)
    shape = _Shape(f, z)
    return Properties(*(shape.answer(field.name) for field in fields(Properties)))


def _shortened(value):
    return str(
        value.replace(lambda e: e.is_Rational and e.q > 10**6, lambda e: sp.Float(e, 6))
    )


def is_subgradient(slope, f, z, at):
    r"""Whether `slope` is a subgradient of `f` at `z = at`, as convex analysis has it.

    $$f(y) \ge f(a) + s\,(y - a) \quad\text{for all real } y \text{ in the domain.}$$

    Raises `Undecided` where that hangs on a parameter or cannot be decided,
    `OutsideDomain` where `f` is not defined at the point; bad input raises as in
    `one_sided_derivatives`.

    >>> z = sp.Symbol("z", real=True)
    >>> is_subgradient(sp.Rational(1, 2), sp.Max(0, z), z, 0)
    True
    >>> is_subgradient(1, z**3, z, 0)
    False

    Reference: Rockafellar (1970), "Convex Analysis", section 23.
    """
    f, at = checked(f, z, at)
    _, slope = checked(f, z, slope)
    gap = f - expansion(f, z, at, 0).coefficient(ONE) - slope * (z - at)
    cells = pieces(gap, z)
    # The point itself, where the gap is 0, is an end of the intervals.
    questions = [
        lambda part=part, g=g: _nonnegative_on(g, z, *part)
        for lower, upper, g in cells
        if g is not sp.nan
        for part in _split_at(at, lower, upper)
    ]
    heights = [_value(gap, z, upper) for _, upper, _ in cells[:-1]]
    questions += [
        lambda height=height: _at_least(height, sp.S.Zero)
        for height in heights
        if height is not None
    ]
    try:
        verdict = _all(*questions)
    except Undecided:
        if _falls(gap, z, at):
            return False
        raise
    if verdict not in (sp.true, sp.false):
        raise Undecided(f"cannot decide whether {verdict}")
    return bool(verdict)


def _falls(gap, z, at):
    """Whether `gap` provably falls from `at` to one side."""
    for side, name in ((1, "right"), (-1, "left")):
        try:
            rise = side * one_sided_derivative(gap, z, at, name)
        except ValueError:
            continue
        if rise == -sp.oo or sign(rise) == -1:
            return True
    return False


# ---- images of intervals


@dataclass(frozen=True)
class _Extent:
    """An interval with its ends, taken if `condition` holds on the parameters.

    `case` gives a parameter a value for which it holds, in terms of a new symbol.
    """

    low: sp.Expr
    high: sp.Expr
    has_low: bool = False
    has_high: bool = False
    condition: sp.Basic = sp.true
    case: tuple = ()

    def times(self, factor):
        """The image under a multiplication with a factor of known sign."""
        low, high = factor * self.low, factor * self.high
        if sign(factor) > 0:
            return replace(self, low=low, high=high)
        turned = replace(self, has_low=self.has_high, has_high=self.has_low)
        return replace(turned, low=high, high=low)

    def as_set(self):
        low, high = _rounded(self.low), _rounded(self.high)
        if low == high:
            found = sp.FiniteSet(low)
        else:
            found = sp.Interval(low, high, not self.has_low, not self.has_high)
        if self.condition is sp.true:
            return found
        return sp.ConditionSet(_y, self.condition, found)

    def within(self, other):
        """Whether it is part of another, whenever its condition holds."""
        here, there = self._in_case(), other._in_case(self.case)
        below, above = compare(here.low, there.low), compare(there.high, here.high)
        return (below > 0 or (below == 0 and there.has_low >= here.has_low)) and (
            above > 0 or (above == 0 and there.has_high >= here.has_high)
        )

    def _in_case(self, case=None):
        case = dict(self.case if case is None else case)
        return replace(self, low=self.low.subs(case), high=self.high.subs(case))


def _point(value):
    return _Extent(value, value, True, True)


def _extents(g, z, lower, upper):
    """The image of an open interval: one extent, or one a sign of a parameter."""
    if not g.has(z):
        return [_point(g)]
    factor, plain, scale = _unscaled(g, z)
    if plain != g:
        found = _extents(plain, z, lower / scale, upper / scale)
        return [one.times(factor) for one in found]
    slope = sp.diff(g, z)
    if is_zero(slope, z, lower, upper):
        return [_point(sp.simplify(g))]
    coefficient, rest = _split(slope, z)
    found = _signs(rest, z, lower, upper)
    if len(found) > 1:
        return [_between_extrema(g, z, lower, upper)]
    (direction,), decided = found, sign(coefficient)
    if decided is not None:
        return [_monotone(g, z, lower, upper, decided * direction)]
    return _by_cases(g, z, lower, upper, coefficient, direction)


def _monotone(g, z, lower, upper, direction):
    ends = [_end_value(g, z, lower, 1, upper), _end_value(g, z, upper, -1, lower)]
    return _Extent(*ends[::direction])


def _by_cases(g, z, lower, upper, coefficient, direction):
    """The image for a coefficient of the slope that is positive, 0 or negative."""
    size = sp.Dummy("t", positive=True)
    found = []
    for value, back in ((size, coefficient), (sp.S.Zero, 0), (-size, -coefficient)):
        symbol, solution = _solved(coefficient, value)
        placed = g.subs(symbol, solution)
        if value is sp.S.Zero:
            (image,) = _extents(sp.simplify(placed), z, lower, upper)
            condition = sp.Eq(coefficient, 0)
        else:
            above = 1 if value is size else -1
            image = _monotone(placed, z, lower, upper, above * direction)
            condition = _at_least(above * coefficient, sp.S.Zero, strict=True)
        ends = [sp.simplify(end.subs(size, back)) for end in (image.low, image.high)]
        inside = (image.has_low, image.has_high)
        case = ((symbol, solution),)
        found.append(_Extent(*ends, *inside, condition.simplify(), case))
    return found


def _solved(coefficient, value):
    """A parameter, and its value for which the coefficient has a given one."""
    for symbol in sorted(coefficient.free_symbols, key=str):
        if symbol.is_extended_positive is symbol.is_extended_negative is None:
            polynomial = coefficient.is_polynomial(symbol)
            if polynomial and sp.degree(coefficient, symbol) == 1:
                slope, constant = sp.Poly(coefficient, symbol).all_coeffs()
                if sign(slope):
                    return symbol, (value - constant) / slope
    raise Undecided(f"cannot decide the sign of {coefficient}")


def _between_extrema(g, z, lower, upper):
    period = period_of(g, z)
    if period is not None and (lower.is_infinite or upper.is_infinite):
        whole = _between_extrema(g, z, sp.S.Zero, period)
        return _hull(whole, _point(g.subs(z, 0)))
    places = real_zeros(sp.diff(g, z), z, lower, upper)
    found = [_point(_value_at(g, z, place)) for place in places]
    ends = [
        _end_value(g, z, lower, 1, places[0]),
        _end_value(g, z, upper, -1, places[-1]),
    ]
    return reduce(_hull, [*found, *(_Extent(end, end) for end in ends)])


def _end_value(g, z, end, side, start):
    """The limit at an end; `g` is strictly monotone from `start` to there."""
    found = _tidy(limit(g, z, end, side))
    if end.is_infinite and g.free_symbols <= {z} and not start.free_symbols:
        # SymPy's limits at infinity are trusted only if g moves towards them.
        start = between(*((start, end)[::-side]))
        values = [numerical(g, z, start - side * n, working=60) for n in (0, 2)]
        if None not in values:
            step, left = values[1] - values[0], found - values[1]
            if step * left < 0 and abs(left) > abs(values[1]) * sp.Float(10) ** -15:
                raise Undecided(f"cannot decide the limit of {g} at {z} = {end}")
    return found


def _hull(a, b):
    below, above = compare(a.low, b.low), compare(a.high, b.high)
    low, high = (a if below <= 0 else b), (a if above >= 0 else b)
    return _Extent(
        low.low,
        high.high,
        (a.has_low or b.has_low) if below == 0 else low.has_low,
        (a.has_high or b.has_high) if above == 0 else high.has_high,
    )


def _united(extents):
    """The unconditional ones joined where they touch, the others if they add to it."""
    fixed = [e for e in extents if e.condition is sp.true]
    joined = []
    for one in sorted(fixed, key=cmp_to_key(lambda a, b: compare(a.low, b.low))):
        if joined and _touch(joined[-1], one):
            joined[-1] = _hull(joined[-1], one)
        else:
            joined.append(one)
    extra = {}
    for one in extents:
        if one not in fixed and not any(one.within(other) for other in joined):
            ends = (one.low, one.high, one.has_low, one.has_high)
            extra.setdefault(ends, []).append(one.condition)
    return joined + [
        _Extent(*ends, sp.Or(*conditions).simplify())
        for ends, conditions in extra.items()
    ]


def _touch(a, b):
    """Whether no number lies between two extents, the first of which begins lower."""
    gap = compare(b.low, a.high)
    return gap < 0 or (gap == 0 and (a.has_high or b.has_low))


def _as_set(extents):
    return sp.Union(*(one.as_set() for one in extents))


def _rounded(value):
    return sp.Float(value, DIGITS) if value.is_Float else value


# ---- signs and values


def _split(g, z):
    """`g` as a factor in the parameters alone times one that has a sign of its own."""
    if g.free_symbols <= {z}:
        return sp.S.One, g
    numerator, denominator = factored(g, z)
    over, above = numerator.as_independent(z, as_Add=False)
    under, below = denominator.as_independent(z, as_Add=False)
    return over / under, above / below


def _unscaled(g, z):
    """`factor, plain, scale` so that g(z) = factor * plain(z / scale), scale > 0.

    The plain function has fewer parameters, or is `g`.
    """
    factor, plain = _split(g, z)
    if factor.free_symbols - plain.free_symbols and sign(factor):
        return factor, plain, sp.S.One
    for symbol in sorted(g.free_symbols - {z}, key=str):
        powers = (-1, 1, sp.Rational(-1, 2), sp.S.Half) if symbol.is_positive else ()
        for scale in (symbol**power for power in powers):
            placed = sp.factor_terms(g.subs(z, scale * z))
            factor, plain = _split(placed, z)
            if symbol not in plain.free_symbols and sign(factor):
                return factor, plain, scale
    return sp.S.One, g, sp.S.One


def _signs(g, z, lower, upper):
    """`signs`, for an expression that may have parameters."""
    if decided := definite_sign(g, z, lower, upper):
        return (decided,)
    if g.free_symbols <= {z} and not (lower.free_symbols | upper.free_symbols):
        return signs(g, z, lower, upper)
    factor, plain, scale = _unscaled(g, z)
    if plain != g:
        found = _signs(plain, z, lower / scale, upper / scale)
        return tuple(sign(factor) * one for one in found)
    total, open_factors = 1, []
    for part in factored(g, z):
        for factor in sp.Mul.make_args(part):
            if decided := definite_sign(factor, z, lower, upper):
                total *= decided
            elif sign(factor):
                total *= sign(factor)
            else:
                base, power = factor.as_base_exp()
                crossed = zeros(base, z, lower, upper)
                if not power.is_even and not isinstance(factor, sp.exp):
                    open_factors += [(base, crossed)]
    if not open_factors:
        return (total,)
    if len(open_factors) == 1 and len(open_factors[0][1]) == 1:
        return (1, -1)
    raise Undecided(f"cannot decide the sign of {g}")


def _sign_condition(g, z, lower, upper, direction, strict=False):
    """When `direction * g` >= 0 on the interval; with `strict`, and not 0 all over."""
    if is_zero(g, z, lower, upper):
        return sp.false if strict else sp.true
    coefficient, rest = _split(g, z)
    found = _signs(rest, z, lower, upper)
    if len(found) > 1:
        return sp.false if strict or sign(coefficient) else sp.Eq(coefficient, 0)
    return _at_least(direction * found[0] * coefficient, sp.S.Zero, strict)


def _nonnegative_on(g, z, lower, upper):
    """When `g` >= 0 on the open interval."""
    return sp.And(*(
        sp.Or(sp.Not(one.condition), _at_least(one.low, sp.S.Zero))
        for one in _extents(g, z, lower, upper)
    ))


def _at_least(a, b, strict=False):
    """Whether a >= b (a > b), or the condition on the parameters for it."""
    if a == b or a.is_infinite or b.is_infinite:
        return sp.sympify(compare(a, b) > 0 or (a == b and not strict))
    decided = sign(a - b)
    if decided is not None:
        return sp.sympify(decided > 0 or (decided == 0 and not strict))
    if not (a - b).free_symbols:
        raise Undecided(f"cannot decide whether {a - b} is positive")
    return (sp.Gt if strict else sp.Ge)(a - b, 0).simplify()


def _equal(a, b):
    return sp.And(_at_least(a, b), _at_least(b, a))


def _vanishes(g, z):
    """When the smooth `g` is 0 all over: its first Taylor coefficient tells."""
    if is_zero(g, z):
        return sp.true
    if g.free_symbols <= {z}:
        return sp.false
    if not g.has(z):
        return sp.Eq(g, 0).simplify()
    found = expansion(g, z, sp.S.Zero, 1, (sp.Integer(2), sp.S.Zero))
    first = found.terms[0][1] if found.terms else sp.S.Zero
    if nonzero(first):
        return sp.false
    symbol, solution = _solved(first, sp.S.Zero)
    return sp.Eq(symbol, solution) if is_zero(g.subs(symbol, solution), z) else sp.false


def _value(f, z, at):
    """f(at), or None where it is not defined."""
    try:
        return _tidy(expansion(f, z, at, 0).coefficient(ONE))
    except OutsideDomain:
        return None


def _value_at(g, z, point):
    """The value at an exact point, simplified, or at a rounded one."""
    if point.is_Float:
        sign_at(g, z, point)  # or `Undecided`: it may be 0
        value = numerical(g, z, sp.Rational(point), DIGITS + 10)
        if value is None:
            raise Undecided(f"cannot compute {g} at {z} = {point}")
        return value
    return _tidy(g.subs(z, point))


def _tidy(value):
    if value.is_Rational or value.is_infinite or value.has(sp.CRootOf):
        return value
    longest = max((abs(r.p * r.q) for r in value.atoms(sp.Rational)), default=0)
    if longest > 10**12 or sp.count_ops(value) > 60:  # it could take minutes
        return value
    return sp.simplify(without_lambert(value))


def _split_at(at, lower, upper):
    if compare(lower, at) < 0 and compare(at, upper) < 0:
        return ((lower, at), (at, upper))
    return ((lower, upper),)


# ---- properties


class _Shape:
    """A function by its pieces and the points between them."""

    def __init__(self, f, z):
        self.f, self.z = f, z
        self.cells = pieces(f, z)
        self.points = [upper for _, upper, _ in self.cells[:-1]]
        self.values = [_value(f, z, point) for point in self.points]
        heights = [value for value in self.values if value is not None]
        if all(g is sp.nan for _, _, g in self.cells) and not heights:
            raise OutsideDomain(f"{f} is not defined anywhere")
        try:
            self.sides = [self._limits(i) for i in range(len(self.points))]
        except OutsideDomain as reason:
            raise Undecided(f"cannot decide the limits of {f}: {reason}") from None

    def answer(self, name):
        try:
            return getattr(self, f"_{name}")()
        except (Undecided, OutsideDomain) as reason:
            return Undecided(str(reason))

    def _limits(self, i):
        """The limits from left and right at a point; None outside the domain."""
        (_, point, left), (_, _, right) = self.cells[i : i + 2]
        return tuple(
            None if g is sp.nan else limit(g, self.z, point, side)
            for g, side in ((left, -1), (right, 1))
        )

    @property
    def _inside(self):
        """The pieces on which the function is defined."""
        return [cell for cell in self.cells if cell[2] is not sp.nan]

    # monotone

    def _nondecreasing(self, direction=1, strict=False):
        return _all(
            *(
                lambda a=a, b=b, g=g: _sign_condition(
                    sp.diff(g, self.z), self.z, a, b, direction, strict
                )
                for a, b, g in self._inside
            ),
            *(
                lambda a=a, b=b: _at_least(direction * b, direction * a)
                for a, b in self._steps()
            ),
        )

    def _increasing(self):
        return self._nondecreasing(strict=True)

    def _nonincreasing(self):
        return self._nondecreasing(-1)

    def _decreasing(self):
        return self._nondecreasing(-1, strict=True)

    def _steps(self):
        """Where one part of the graph ends and where the next begins, from the left."""
        ends = []
        for (left, right), value in zip(self.sides, self.values):
            ends += [("end", left), ("begin", value), ("end", value), ("begin", right)]
        ends = [(kind, height) for kind, height in ends if height is not None]
        return [
            (a, b)
            for (first, a), (second, b) in zip(ends, ends[1:])
            if (first, second) == ("end", "begin")
        ]

    # convex

    def _convex(self, direction=1):
        if self._has_gap():
            return sp.false
        joints = range(len(self.points))
        return _all(
            *(
                lambda a=a, b=b, g=g: _sign_condition(
                    sp.diff(g, self.z, 2), self.z, a, b, direction
                )
                for a, b, g in self._inside
            ),
            *(lambda i=i: self._convex_at(i, direction) for i in joints),
        )

    def _concave(self):
        return self._convex(-1)

    def _convex_at(self, i, direction):
        (left, right), value, at = self.sides[i], self.values[i], self.points[i]
        if value is None or left is right is None:
            return sp.true
        if left is None or right is None:  # at an end of the domain it may jump up
            inner = right if left is None else left
            return _at_least(direction * value, direction * inner)
        continuous = self._continuous_at(i)
        if continuous is sp.false:
            return sp.false
        # Where f is continuous, they are the one-sided derivatives.
        left, right = (
            direction * limit(sp.diff(g, self.z), self.z, at, side)
            for (_, _, g), side in zip(self.cells[i : i + 2], (-1, 1))
        )
        return sp.And(continuous, _at_least(right, left))

    def _has_gap(self):
        defined = []
        for (_, _, g), value in zip(self.cells, [*self.values, None]):
            defined += [g is not sp.nan, value is not None]
        first, last = defined.index(True), len(defined) - defined[::-1].index(True)
        return not all(defined[first:last])

    def _continuous_at(self, i):
        heights = [h for h in (*self.sides[i], self.values[i]) if h is not None]
        return sp.And(*(_equal(a, b) for a, b in zip(heights, heights[1:])))

    # Lipschitz, range

    def _lipschitz(self):
        steepest = [self._steepest(*cell) for cell in self._inside]
        if sp.oo in steepest:
            return sp.oo
        for i, value in enumerate(self.values):
            continuous = self._continuous_at(i)
            if continuous is sp.false and value is not None:
                return sp.oo
            if continuous not in (sp.true, sp.false):
                raise Undecided(f"cannot decide whether {continuous}")
        if self._has_gap():
            raise Undecided("cannot decide the Lipschitz constant across a gap")
        return sp.Max(sp.S.Zero, *steepest)

    def _steepest(self, lower, upper, g):
        coefficient, rest = _split(sp.diff(g, self.z), self.z)
        if rest == 0:
            return sp.S.Zero
        found = _extents(rest, self.z, lower, upper)
        if len(found) > 1:
            raise Undecided(f"cannot decide where {rest} is largest")
        ends = [sp.Abs(found[0].low), sp.Abs(found[0].high)]
        largest = ends[0] if compare(*ends) > 0 else ends[1]
        if largest.is_infinite:
            if not sign(coefficient):
                raise Undecided(f"cannot decide whether {coefficient} is 0")
            return sp.oo
        return sp.Abs(coefficient) * _rounded(largest)

    def _range(self):
        found = [_point(value) for value in self.values if value is not None]
        for a, b, g in self._inside:
            found += _extents(g, self.z, a, b)
        return _as_set(_united(found))

    # symmetries

    def _even(self, parity=1):
        z, count = self.z, len(self.points)
        mirrored = [
            (g, self.cells[-1 - i][2]) for i, (_, _, g) in enumerate(self.cells)
        ]
        if any((g is sp.nan) != (other is sp.nan) for g, other in mirrored):
            return sp.false
        values = zip(self.values, self.values[::-1])
        if any((value is None) != (other is None) for value, other in values):
            return sp.false
        return _all(
            *(
                lambda i=i: _equal(self.points[i], -self.points[count - 1 - i])
                for i in range(count)
            ),
            *(
                lambda g=g, other=other: _vanishes(g - parity * other.subs(z, -z), z)
                for g, other in mirrored
                if g is not sp.nan
            ),
            *(
                lambda i=i: _equal(self.values[i], parity * self.values[count - 1 - i])
                for i in range(count)
                if self.values[i] is not None
            ),
        )

    def _odd(self):
        return self._even(-1)

    def _homogeneous(self):
        z = self.z
        return _all(
            *(lambda p=p: _equal(p, sp.S.Zero) for p in self.points),
            *(
                lambda g=g: _vanishes(z * sp.diff(g, z) - g, z)
                for _, _, g in self._inside
            ),
            *(
                lambda v=v: _equal(v, sp.S.Zero)
                for v in self.values
                if v is not None
            ),
        )


def _all(*questions):
    """All conditions in one; one that fails decides, even if another is open."""
    conditions, still_open = [], None
    for question in questions:
        try:
            condition = question()
        except Undecided as reason:
            still_open = still_open or reason
            continue
        if condition is sp.false:
            return sp.false
        conditions.append(condition)
    if still_open:
        raise still_open
    return sp.And(*conditions).simplify()
