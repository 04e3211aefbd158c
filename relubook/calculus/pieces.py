"""Where the branches of an expression meet, and what it is between them."""

from dataclasses import dataclass
from functools import cmp_to_key
from itertools import combinations, product

import sympy as sp
from sympy.functions.elementary.piecewise import ExprCondPair

from relubook.calculus.expansions import (
    HIGHEST_ORDER,
    ONE,
    OSCILLATES,
    Discontinuous,
    NoSlope,
    OutsideDomain,
    Undecided,
    branch,
    expansion,
    has_rule,
    less,
    nonzero,
    sign,
)
from relubook.calculus.slopes import check_steady, checked, slopes
from relubook.calculus.zeros import real_zeros

MOST_VERSIONS = 256  # ways to choose the branches inside a condition


def kinks(f, z):
    r"""All points where the one-sided derivatives of `f` exist and differ: a SymPy set.

    Infinite ones too, with symbols for parameters where they are, and as a
    `ConditionSet` where it hangs on the parameters whether there is a kink (put values
    into that with `xreplace`; SymPy's `subs` leaves its condition alone). A cusp
    (slopes -oo and oo) is a kink, a jump and a vertical tangent are not.

    Raises `Undecided` where the points cannot all be found or judged; bad input as
    `one_sided_derivatives`.

    >>> z, alpha = sp.symbols("z alpha", real=True)
    >>> kinks(sp.Max(0, z, 2 * z - 3), z)
    {0, 3}
    >>> kinks(sp.Max(0, z) - sp.Max(0, -z), z)
    EmptySet
    >>> kinks(sp.Abs(sp.sin(z)), z)
    ImageSet(Lambda(n, pi*n), Integers)
    >>> kinks(sp.Max(0, z) + alpha * sp.Min(0, z), z)
    ConditionSet(z, Ne(alpha, 1), {0})
    """
    f = checked(f, z)
    found = [
        points if condition is sp.true else sp.ConditionSet(z, condition, points)
        for _, points, condition in _judged(f, z, _kink)
    ]
    return sp.Union(*found)


def pieces(f, z):
    """The smooth pieces of `f`: `(lower, upper, expression)` from -oo to oo.

    `f` equals the branch-free, analytic expression on the open interval; where it is
    undefined, the expression is nan. Raises `Undecided` for infinitely many.

    >>> z = sp.Symbol("z", real=True)
    >>> pieces(sp.Max(0, z), z)
    ((-oo, 0, 0), (0, oo, z))
    """
    f = checked(f, z)
    edges = _ordered(_edges(f, z))
    ends = (-sp.oo, *edges, sp.oo)
    cells = [
        (lower, upper, _inside(f, z, lower, upper))
        for lower, upper in zip(ends, ends[1:])
    ]
    return tuple(_merged(cells, f, z))


def derivative(f, z):
    """The derivative of `f`, undefined (SymPy's nan) where there is none.

    Two pieces are joined at their edge only where the one-sided slopes provably agree.

    Raises `Undecided` where the edges cannot be found or put in order.

    >>> z = sp.Symbol("z", real=True)
    >>> derivative(sp.Max(0, z), z)
    Piecewise((1, z > 0), (0, z < 0))
    >>> derivative(sp.Max(0, z) ** 2, z)
    Piecewise((2*z, z > 0), (0, True))
    >>> derivative(sp.Abs(sp.sin(z)), z)
    Piecewise((cos(z), sin(z) > 0), (-cos(z), sin(z) < 0))
    """
    f = checked(f, z)
    if any(isinstance(edge, sp.ImageSet) for edge in _edges(f, z)):
        return _derivative_by_conditions(f, z)
    branches = []
    for lower, upper, piece in reversed(pieces(f, z)):
        inside = z > lower if lower != -sp.oo else sp.true
        if upper != sp.oo:
            slope = _slope_at(f, z, upper)
            if slope is not None and _analytic(f, z, upper, -1):
                inside = sp.And(inside, z <= upper)
            else:
                inside = sp.And(inside, z < upper)
                if slope is not None:
                    branches.append((slope, sp.Eq(z, upper)))
        if piece is not sp.nan:
            branches.append((sp.diff(piece, z), inside))
    return sp.Piecewise(*branches) if branches else sp.nan


@dataclass(frozen=True)
class Smoothness:
    """The largest k for which a function is $C^k$ on its domain, and where it ends.

    `order` is -1 for a jump, `oo` for a smooth function, and a Piecewise where it
    hangs on parameters; `at` is the set of points where the next derivative is not
    there or not continuous.
    """

    order: sp.Expr
    at: sp.Set

    def __str__(self):
        if self.order == sp.oo:
            return "smooth (C^oo)"
        if self.order == -1:
            return f"not continuous at {self.at}"
        if isinstance(self.order, sp.Piecewise):
            cases = (f"C^{k} if {condition}" for k, condition in self.order.args)
            return f"{', '.join(cases)}; decided at {self.at}"
        return f"C^{self.order}, not C^{self.order + 1}, because of {self.at}"


def smoothness(f, z):
    r"""The class $C^k$ of `f` on its domain: `Smoothness(order, at)`.

    At each edge of a piece the Taylor coefficients of the two sides are compared; at
    the end of the domain the one side must have them.

    Raises `Undecided`, in particular for a function that is flat (vanishes to every
    order that was looked at) or oscillates; bad input as `one_sided_derivatives`.

    >>> z = sp.Symbol("z", real=True)
    >>> smoothness(sp.Max(0, z), z)
    Smoothness(order=0, at={0})
    >>> smoothness(sp.Max(0, z) ** 3, z)
    Smoothness(order=2, at={0})
    >>> smoothness(sp.log(1 + sp.exp(z)), z)
    Smoothness(order=oo, at=EmptySet)
    """
    f = checked(f, z)
    judged = _judged(f, z, _order)
    orders = {order for _, _, order in judged}
    if len(orders) > 1 and any(order.has(sp.Piecewise) for order in orders):
        raise Undecided(f"cannot decide which of {orders} is smallest")
    order = min(orders, default=sp.oo)
    return Smoothness(order, sp.Union(*(at for _, at, k in judged if k == order)))


@dataclass(frozen=True)
class SecondDerivative:
    r"""A second derivative as a distribution: a function and point masses.

    `masses` maps a point to its mass; a key with an integer symbol `n` stands for all
    the points it takes.
    """

    regular: sp.Expr
    masses: dict

    def __str__(self):
        regular = [str(self.regular)] if self.regular != 0 else []
        deltas = [f"({m}) δ(z - ({at}))" for at, m in self.masses.items()]
        return " + ".join(regular + deltas) or "0"


def second_derivative_distribution(f, z):
    r"""The second derivative of `f` in the sense of distributions.

    $$f'' = \{f''\} + \sum_p \bigl(f'_+(p) - f'_-(p)\bigr)\, \delta_p:$$

    the pointwise second derivative where there is one (`regular`), and a point mass as
    large as the jump of the slope at each kink (`masses`).

    Raises `Discontinuous` where `f` jumps (its second derivative then holds a
    derivative of δ), `OutsideDomain` where it is not defined on the whole line,
    `ValueError` at a vertical slope, `Undecided` as `kinks`.

    >>> z = sp.Symbol("z", real=True)
    >>> second_derivative_distribution(sp.Max(0, z), z).masses
    {0: 1}
    >>> second_derivative_distribution(sp.Abs(z), z).masses
    {0: 2}

    Reference: Schwartz (1966), "Théorie des distributions", chapter II.
    """
    f = checked(f, z)
    masses = {at: mass for at, _, mass in _judged(f, z, _mass)}
    if any(isinstance(edge, sp.ImageSet) for edge in _edges(f, z)):
        return SecondDerivative(_derivative_by_conditions(derivative(f, z), z), masses)
    cells = [(a, b, sp.diff(piece, z, 2)) for a, b, piece in pieces(f, z)]
    branches = []
    for i, (_, upper, second) in enumerate(cells):
        if i + 1 < len(cells) and sign(second - cells[i + 1][2]) != 0:
            branches.append((second, z < upper))
    regular = sp.Piecewise(*branches, (cells[-1][2], True))
    return SecondDerivative(regular, masses)


# ---- judging each edge


def _judged(f, z, judge):
    """`(point, set of points, verdict)` for each edge on which `judge` has one."""
    found = []
    for edge in _edges(f, z):
        if isinstance(edge, sp.ImageSet):
            found += _judged_family(f, z, edge, judge)
        elif (verdict := judge(f, z, edge)) is not None:
            found.append((edge, sp.FiniteSet(edge), verdict))
    return _joined(found)


def _joined(found):
    """2πn and 2πn + π of one verdict as πn."""
    for one, other in combinations(found, 2):
        n, shift = sp.Symbol("n", integer=True), sp.expand(other[0] - one[0])
        step = one[0].coeff(n)
        if one[2] == other[2] and step and abs(2 * shift) == abs(step):
            at = one[0].subs(n, 0) + abs(shift) * n
            rest = [entry for entry in found if entry not in (one, other)]
            return _joined([(at, _image(at, n, sp.S.Integers), one[2]), *rest])
    return found


def _image(at, n, numbers):
    index = sp.Symbol("n", integer=True)
    return sp.ImageSet(sp.Lambda(index, at.subs(n, index)), numbers)


def _judged_family(f, z, family, judge):
    """A family over the integers: all at once, else by the sign of the integer."""
    (index,) = family.lamda.variables

    def judged(n, step, numbers):
        at = sp.expand(family.lamda.expr.subs(index, step))
        verdict = judge(f, z, at)
        points = _image(at, n, numbers) if n else sp.FiniteSet(at)
        return [] if verdict is None else [(at, points, verdict)]

    n = sp.Symbol("n", integer=True)
    try:
        return judged(n, n, sp.S.Integers)
    except Undecided:
        n = sp.Symbol("n", integer=True, positive=True)
        return (
            judged(n, n, sp.S.Naturals)
            + judged(None, sp.S.Zero, None)
            + judged(n, -n, sp.S.Naturals)
        )


def _kink(f, z, at):
    """The condition on the parameters under which there is a kink; None for never."""
    try:
        left, right = slopes(f, z, at)
    except (OutsideDomain, Discontinuous, NoSlope):
        return None
    if left == right:
        return None
    if left.is_infinite or right.is_infinite or nonzero(right - left):
        return sp.true
    if sign(right - left) == 0:
        return None
    return _unequal(left, right)


def _mass(f, z, at):
    left, right = slopes(f, z, at)
    check_steady(f, z, at)
    if left.is_infinite or right.is_infinite:
        raise ValueError(
            f"the slopes of {f} at {z} = {at} are {left} and {right}; its second "
            "derivative is no sum of a function and point masses"
        )
    return right - left if sign(right - left) != 0 else None


def _order(f, z, at):
    """The k for which `f` is C^k at a point and not C^(k+1); None if smooth there."""
    try:
        value = expansion(f, z, at, 0).coefficient(ONE)
    except OutsideDomain:
        return None
    sides = [side for side in (1, -1) if _defined(f, z, at, side)]
    branches = [branch(f, z, at, side) for side in sides]
    if all(_follows(f, z, at, branches[0], other, sides[0]) for other in branches):
        return None
    order = sp.Integer(2)
    while order <= 4 * HIGHEST_ORDER:
        key = (order, sp.S.Zero)
        found = [expansion(f, z, at, side, key) for side in sides]
        if any(part.cause == OSCILLATES for part in found):
            raise Undecided(
                f"cannot decide how smooth {f} is at {z} = {at}: it oscillates"
            )
        failing = _first_failure(found, sides, value, f, z, at)
        if failing is not None:
            return failing
        order *= 2
    raise Undecided(f"cannot decide how smooth {f} is at {z} = {at}: it is flat there")


def _first_failure(found, sides, value, f, z, at):
    """The order at which Taylor's coefficients are missing or differ, less one."""
    keys = {key for part in found for key, _ in part.terms}
    for key in sorted(keys | {ONE}, key=cmp_to_key(_by_key)):
        for part in found:
            if part.bound is not None and not less(key, part.bound):
                return None
        e, logs = key
        if e.is_integer is None:
            raise Undecided(f"cannot decide whether {e} is an integer")
        if logs != 0 or not e.is_integer or e.is_negative:
            return sp.Max(sp.ceiling(e) - 1, -1)
        taylor = [side**e * part.coefficient(key) for part, side in zip(found, sides)]
        taylor += [value] if e == 0 else []
        for one, other in combinations(taylor, 2):
            if sign(one - other) == 0:
                continue
            if nonzero(one - other):
                return e - 1
            return _conditional_order(e - 1, one, other, f, z, at)
    return None


def _conditional_order(order, one, other, f, z, at):
    """The order where two Taylor coefficients differ or agree as parameters say."""
    condition = _unequal(one, other)
    if not condition.lhs.is_Symbol:
        raise Undecided(f"cannot decide whether {one} is {other}")
    exception = {condition.lhs: condition.rhs}
    otherwise = _order(f.subs(exception), z, at.subs(exception))
    return sp.Piecewise(
        (order, condition), (sp.oo if otherwise is None else otherwise, True)
    )


def _unequal(left, right):
    """The condition `left != right`, solved for a parameter where that is unique."""
    symbols = sorted((left - right).free_symbols, key=str)
    for symbol in symbols if not (left - right).has(sp.Max, sp.Min) else ():
        try:
            solutions = sp.solve(left - right, symbol)
        except NotImplementedError:
            continue
        if len(solutions) == 1 and not (left - right).subs(symbol, solutions[0]):
            return sp.Ne(symbol, solutions[0])
    return sp.Ne(left, right)


def _defined(f, z, at, side):
    try:
        expansion(f, z, at, side)
    except OutsideDomain:
        return False
    return True


def _analytic(f, z, at, side):
    """Whether the branch on this side is analytic at the point itself."""
    smooth = branch(f, z, at, side)
    return all(nonzero(g.subs(z, at)) for g in _critical(smooth, z))


def _slope_at(f, z, at):
    """The derivative at a point, or None where none is provably there."""
    try:
        return slopes(f, z, at).left if _joins(f, z, at) else None
    except Undecided:
        return None


def _joins(f, z, at):
    """Whether there is a derivative at a point."""
    try:
        left, right = slopes(f, z, at)
    except (OutsideDomain, Discontinuous, NoSlope):
        return False
    return bool(left.is_finite) and sign(left - right) == 0


# ---- the pieces


def _inside(f, z, lower, upper):
    """The smooth expression between two neighbouring edges, or nan."""
    if lower != -sp.oo:
        at, side = lower, 1
    else:
        at, side = (upper, -1) if upper != sp.oo else (sp.S.Zero, 1)
    return branch(f, z, at, side) if _defined(f, z, at, side) else sp.nan


def _merged(cells, f, z):
    """Neighbours of one expression as one cell, where `f` follows it at the edge."""
    merged = cells[:1]
    for lower, upper, piece in cells[1:]:
        first, _, before = merged[-1]
        gap = piece is before is sp.nan and not _defined(f, z, lower, 0)
        if gap or _follows(f, z, lower, before, piece):
            merged[-1] = (first, upper, piece)
        else:
            merged.append((lower, upper, piece))
    return merged


def _follows(f, z, at, left, right, side=1):
    """Whether `f` is at and around a point one and the same analytic expression."""
    if sp.nan in (left, right) or sign(left - right) != 0:
        return False
    if not _defined(f, z, at, 0) or not _analytic(f, z, at, side):
        return False
    return sign(right.subs(z, at) - expansion(f, z, at, 0).coefficient(ONE)) == 0


def _ordered(edges):
    if any(isinstance(edge, sp.ImageSet) for edge in edges):
        raise Undecided("infinitely many pieces; wanted finitely many")
    return sorted(edges, key=cmp_to_key(_compare))


def _compare(left, right):
    order = sign(left - right)
    if order is None:
        raise Undecided(
            f"cannot decide which of the edges {left} and {right} is larger; "
            "give the parameters numbers, or symbols with a sign"
        )
    return order


def _by_key(a, b):
    return -1 if less(a, b) else int(less(b, a))


def _derivative_by_conditions(f, z):
    """The derivative on the sets where one condition after another holds.

    For infinitely many edges. The sets are open if no edge has a derivative, closed
    if each has.
    """
    folded = sp.piecewise_fold(f.rewrite(sp.Piecewise))
    if folded.has(sp.floor, sp.ceiling) or not isinstance(folded, sp.Piecewise):
        raise Undecided(f"no rule for the derivative of {f}: infinitely many edges")
    joined = {joins for _, _, joins in _judged(f, z, _joins)}
    if len(joined) > 1:
        raise Undecided(f"cannot write down the derivative of {f}: edges of two kinds")
    branches, left = [], sp.true
    for expr, condition in folded.args:
        holds = sp.And(left, condition)
        left = sp.And(left, sp.Not(condition))
        if joined != {True}:
            holds = holds.replace(_is_weak, _strict)
        branches.append((sp.diff(expr, z), holds))
    return sp.Piecewise(*branches)


def _is_weak(e):
    return isinstance(e, (sp.GreaterThan, sp.LessThan))


def _strict(relation):
    return sp.Gt(relation.gts, relation.lts)


# ---- the edges


def _edges(f, z):
    """The points, single or in families, where `f` may fail to be analytic."""
    found = []
    for condition in _critical(f, z):
        for smooth in _versions(condition, z):
            for point in _zeros(smooth, z):
                if not any(_same(point, other) for other in found):
                    found.append(point)
    return tuple(found)


def _same(one, other):
    if isinstance(one, sp.ImageSet) or isinstance(other, sp.ImageSet):
        return one == other
    return sign(one - other) == 0


_OUTSIDE_UNIT = (sp.asin, sp.acos, sp.atanh, sp.acoth, sp.acosh)
_AT_ZERO_TOO = (sp.asec, sp.acsc, sp.asech)
_AT_ZERO = (sp.Abs, sp.sign, sp.Heaviside, sp.log, sp.acot, sp.acsch, sp.coth, sp.csch)


def _critical(f, z):
    """Expressions at whose zeros `f` may fail to be analytic."""
    for node in sp.preorder_traversal(f):
        if not node.has(z) or not node.args:
            continue
        known = has_rule(node) if isinstance(node, sp.Expr) else _is_condition(node)
        if not known:
            raise Undecided(f"no rule for {node.func.__name__}, in {node}")
        inner = node.args[0]
        if isinstance(node, _AT_ZERO + _AT_ZERO_TOO):
            yield inner
        if isinstance(node, _OUTSIDE_UNIT + _AT_ZERO_TOO):
            yield from (1 - inner, 1 + inner)
        if isinstance(node, (sp.tan, sp.sec)):
            yield sp.cos(inner)
        elif isinstance(node, (sp.cot, sp.csc)):
            yield sp.sin(inner)
        elif isinstance(node, (sp.floor, sp.ceiling)):
            if not inner.is_polynomial(z) or sp.degree(inner, z) > 1:
                raise Undecided(f"no rule for where {inner} is an integer, in {node}")
            yield sp.sin(sp.pi * inner)
        elif isinstance(node, (sp.Max, sp.Min)):
            yield from (a - b for a, b in combinations(node.args, 2))
        elif isinstance(node, sp.core.relational.Relational):
            yield node.lhs - node.rhs
        elif node.is_Pow and not (node.exp.is_Integer and node.exp >= 0):
            if not isinstance(node, sp.exp):
                yield node.base


def _is_condition(node):
    conditions = (sp.core.relational.Relational, sp.And, sp.Or, sp.Not, sp.ITE)
    return isinstance(node, (*conditions, ExprCondPair))


def _versions(node, z):
    """Every branch-free expression that `node` may equal somewhere."""
    if not node.has(z) or not node.args:
        return {node}
    if isinstance(node, sp.Piecewise):
        return set().union(*(_versions(expr, z) for expr, _ in node.args))
    if isinstance(node, (sp.Max, sp.Min)):
        return set().union(*(_versions(arg, z) for arg in node.args))
    if isinstance(node, sp.sign):
        return {sp.S.One, sp.S.NegativeOne, sp.S.Zero}
    if isinstance(node, sp.Heaviside):
        return {sp.S.One, sp.S.Zero, node.args[1]}
    if isinstance(node, (sp.floor, sp.ceiling)):
        raise Undecided(f"no rule for {node} inside a condition")
    choices = [_versions(arg, z) for arg in node.args]
    if sp.prod(len(choice) for choice in choices) > MOST_VERSIONS:
        raise Undecided(f"cannot decide where the branches of {node} meet: too many")
    found = {node.func(*args) for args in product(*choices)}
    if isinstance(node, sp.Abs):
        return {side * inner for inner in choices[0] for side in (1, -1)}
    return found


def _zeros(g, z):
    """All real zeros of a branch-free expression: points and families of points.

    None for one that vanishes identically, which changes no branch.
    """
    numerator = sp.fraction(sp.together(g))[0]
    found = []
    for factor in sp.Mul.make_args(sp.factor(numerator)):
        factor = factor.base if factor.is_Pow and factor.exp.is_positive else factor
        if factor.has(z) and factor.is_zero is not False:
            found += _zeros_of_factor(factor, z)
    return found


def _zeros_of_factor(g, z):
    if g.is_polynomial(z) and sp.degree(g, z) == 1:
        return sp.solve(g, z)
    if sign(sp.diff(g, z)) == 0 and nonzero(g):
        return []
    try:
        zeros = sp.solveset(g, z, sp.S.Reals)
    except (NotImplementedError, RecursionError, TypeError, ValueError):
        return list(_isolated_zeros(g, z))
    found = []
    for part in zeros.args if isinstance(zeros, sp.Union) else (zeros,):
        if isinstance(part, sp.FiniteSet):
            found += part
        elif isinstance(part, sp.ImageSet) and part.base_sets == (sp.S.Integers,):
            found.append(_family(part, g))
        elif part is not sp.S.EmptySet and part is not sp.S.Reals:
            found += _isolated_zeros(g, z)
    return found


def _family(zeros, g):
    """All a*n + b for integers n; a family of another form need not be real."""
    (index,), expr = zeros.lamda.variables, sp.expand(zeros.lamda.expr)
    if not expr.is_polynomial(index) or sp.degree(expr, index) > 1 or not expr.is_real:
        raise Undecided(f"cannot decide which of the zeros {expr} of {g} are real")
    return sp.ImageSet(sp.Lambda(index, expr), sp.S.Integers)


def _isolated_zeros(g, z):
    zeros = real_zeros(g, z)
    if any(zero.has(sp.Float) for zero in zeros):
        raise Undecided(f"cannot decide where {g} is 0 exactly")
    return list(zeros)
