r"""All real zeros of a smooth expression, none missed and none invented.

Polynomials, exact; everything else by Rolle's theorem. If $q$ has no zero on an
interval and $g/q$ has a derivative with the zeros $c_1 < \dots < c_n$, then $g/q$ is
strictly monotone between them, so $g$ has one zero there or none, and its signs at both
ends tell which. The divisor $q$ is chosen so that the derivative is simpler than $g$:
a logarithm or an error function goes away, a term with an exponential loses a degree.
The same question for $q$ and for the derivative is answered first, by the same means.

Reference: Khovanskii (1991), "Fewnomials", chapter 1, for the divisors.
"""

import functools
from functools import cmp_to_key, lru_cache

import mpmath
import sympy as sp
from sympy.core.evalf import PrecisionExhausted
from sympy.polys.polyerrors import BasePolynomialError

from relubook.calculus.expansions import (
    ONE,
    Discontinuous,
    OutsideDomain,
    Undecided,
    expansion,
    less,
    sign,
)

DIGITS = 30  # of a zero that has no exact form
_INNER_DIGITS = 50  # of the zeros that the signs are taken at
_DEEPEST = 12  # derivatives taken before the answer is `Undecided`
_LONGEST = 1500  # operations in an expression, likewise


def real_zeros(g, z, lower=-sp.oo, upper=sp.oo):
    """All zeros of a smooth `g` in the open interval, in increasing order, as a tuple.

    `g` is a SymPy expression without branches that is analytic on the interval. A zero
    is exact where there is a closed form at hand; else it is a `Float` of 30 digits,
    rounded. A double zero counts once. Where one step is unclear, `Undecided` names
    it; so it does for infinitely many zeros. `ValueError` for a `g` that is 0 all over.

    >>> z = sp.Symbol("z", real=True)
    >>> real_zeros(sp.diff(z / (1 + sp.exp(-z)), z), z)  # where SiLU is least
    (-1 - LambertW(exp(-1)),)
    >>> real_zeros(sp.cos(z) - z, z, 0, 1)
    (0.739085133215160641655312087674,)
    """
    lower, upper = sp.sympify(lower), sp.sympify(upper)
    g = sp.sympify(g)
    return tuple(_closed_form(g, z, r) for r in zeros(g, z, lower, upper))


def definite_sign(g, z, lower, upper):
    """1 or -1 where SymPy's assumptions prove that sign on the interval, else 0."""
    step = sp.Dummy("t", positive=True)
    places = [z]
    places += [lower + step] if lower.is_finite else []
    places += [upper - step] if upper.is_finite else []
    for place in places:
        if (placed := g.xreplace({z: place})).is_positive:
            return 1
        if placed.is_negative:
            return -1
    return 0


def sign_at(g, z, point):
    """The sign of `g` at a point of its domain; at a rounded one it must be clear."""
    if not point.is_Float:
        found = sign(without_lambert(g.subs(z, point)))
        if found is None:
            raise Undecided(f"cannot decide whether {_short(g)} is 0 at {z} = {point}")
        return found
    # The true point is far closer than `near`: what g changes by over there is more
    # than it can differ from its value at the true point.
    exact = sp.Rational(point)
    near = exact + sp.Rational(1, 10 ** (_INNER_DIGITS // 3)) * max(1, abs(exact))
    value, beside = numerical(g, z, exact), numerical(g, z, near)
    if value is None or beside is None or abs(value) <= abs(value - beside):
        where = f"{z} = {point.n(15)}"
        raise Undecided(f"cannot decide whether {_short(g)} is 0 at {where}")
    return 1 if value > 0 else -1


def sign_near(g, z, point, side):
    """The sign of `g` just right (1) or left (-1) of a point, where it may be 0."""
    if not point.free_symbols:
        derivative = g
        for order in range(4):  # the first that is not 0 decides
            value = without_lambert(derivative.subs(z, point))
            infinite = value.has(sp.nan, sp.zoo, sp.oo, -sp.oo)
            if infinite or (found := sign(value)) is None:
                break
            if found:
                return found * side**order
            derivative = sp.diff(derivative, z)
    found = expansion(g, z, point, side)
    if found.terms and (decided := sign(found.terms[0][1])):
        return decided
    raise Undecided(f"cannot decide the sign of {_short(g)} near {z} = {point}")


def without_lambert(value):
    """`value` with exp(n * W(x)) as (x / W(x))**n, which SymPy leaves as it is."""

    def rewritten(exponential):
        product = sp.S.One
        for term in sp.Add.make_args(sp.expand(exponential.exp)):
            times, function = term.as_coeff_Mul()
            if isinstance(function, sp.LambertW) and times.is_Integer:
                product *= (function.args[0] / function) ** times
            else:
                product *= sp.exp(term)
        return product

    if not value.has(sp.LambertW):
        return value
    return sp.simplify(value.replace(
        lambda e: isinstance(e, sp.exp) and e.has(sp.LambertW), rewritten
    ))


def limit(g, z, end, side):
    """The limit of `g` at a finite end from a side, or at an infinite one."""
    if end.is_infinite:
        numerator, denominator = factored(g, z)  # several times faster so
        constant, rest = (numerator / denominator).as_independent(z, as_Add=False)
        if sign(constant):
            return constant * _sympy_limit(rest, z, end)
        return _sympy_limit(numerator / denominator, z, end)
    try:
        found = expansion(g, z, end, side, ONE)
        if found.terms and less(found.lead, ONE):
            if decided := sign(found.terms[0][1]):
                return decided * sp.oo
        elif found.bound is None or less(ONE, found.bound):
            return found.coefficient(ONE)
    except (Undecided, OutsideDomain, Discontinuous):
        pass
    return _sympy_limit(g, z, end, dir="+" if side == 1 else "-")


def numerical(g, z, point, digits=20, working=1000):
    """`g` at an exact point to so many correct digits, or None."""
    try:
        value = g.subs(z, point).evalf(digits, strict=True, maxn=working)
    except (PrecisionExhausted, OverflowError, ValueError, ZeroDivisionError):
        return None
    return value if value.is_Float or value.is_Rational else None


def between(lower, upper):
    """A rational number strictly between two numbers, or beyond one."""
    low, high = (sp.sympify(end) for end in (lower, upper))
    if low.is_infinite and high.is_infinite:
        return sp.S.Zero
    if low.is_infinite or high.is_infinite:
        end, side = (high, -1) if low.is_infinite else (low, 1)
        return sp.Rational(sp.floor(end) + (1 if side > 0 else 0)) + side * 1
    low, high = (end.evalf(_INNER_DIGITS) for end in (low, high))
    middle, width = sp.Rational((low + high) / 2), sp.Rational(high - low)
    if width <= 0:
        raise Undecided(f"cannot decide which of {lower} and {upper} is larger")
    return middle.limit_denominator(sp.ceiling(4 / width))


def compare(a, b):
    """The sign of a - b for real numbers or infinities; `Undecided` if open."""
    if a == b:
        return 0
    if a.is_infinite or b.is_infinite:
        return 1 if a == sp.oo or b == -sp.oo else -1
    difference = a - b
    if difference.has(sp.Float):
        noise = max(abs(a.n()), abs(b.n())) * 10 ** (5 - DIGITS)
        found = None if abs(difference) < noise else sign(difference)
    else:
        found = sign(difference)
    if found is None:
        raise Undecided(f"cannot decide whether {difference} is positive")
    return found


@lru_cache(maxsize=1024)
def signs(g, z, lower, upper, depth=0):
    """The signs, 1 or -1 or both, of an analytic `g` that is not 0 all over."""
    period = period_of(g, z)
    if period is not None and (lower.is_infinite or upper.is_infinite):
        lower, upper = sp.S.Zero, period
    edges = (lower, *zeros(g, z, lower, upper, depth), upper)
    return tuple({sign_at(g, z, between(a, b)) for a, b in zip(edges, edges[1:])})


@lru_cache(maxsize=1024)
def period_of(g, z):
    """A period of a function of sines and cosines of z alone, proved, or None."""
    waves = {wave: sp.Dummy("x") for wave in g.atoms(sp.sin, sp.cos) if wave.has(z)}
    if not waves or g.xreplace(waves).has(z):
        return None
    try:
        period = sp.periodicity(g, z)
    except NotImplementedError:
        return None
    if not period or not is_zero(g.subs(z, z + period) - g, z):
        return None
    return period


def is_zero(g, z, lower=-sp.oo, upper=sp.oo):
    """Whether the analytic `g` is 0 all over, as proved by a value or by algebra."""
    if g.is_zero or not g.has(z):
        return sign(g) == 0
    if g.free_symbols <= {z} and not (lower.free_symbols | upper.free_symbols):
        start = between(lower, upper)
        left, right = between(lower, start), between(start, upper)
        for point in (start, left, right, between(left, start), between(start, right)):
            value = numerical(g, z, point)
            if value is not None and value != 0:
                return False
    if factored(g, z)[0].is_zero or sp.simplify(g).is_zero:
        return True
    if not (g.free_symbols | lower.free_symbols | upper.free_symbols) <= {z}:
        return False
    raise Undecided(f"cannot decide whether {_short(g)} is 0 all over")


def zeros(g, z, lower, upper, depth=0):
    """`real_zeros`, the zeros without closed form to 50 digits."""
    found = _zeros_or_reason(g, z, lower, upper, depth)
    if isinstance(found, str):
        raise Undecided(found)
    return found


@lru_cache(maxsize=4096)  # of failures too, which take longest
def _zeros_or_reason(g, z, lower, upper, depth):
    try:
        return _search(g, z, lower, upper, depth)
    except Undecided as reason:
        return str(reason)
    except (BasePolynomialError, NotImplementedError):
        return f"cannot decide where {_short(g)} is 0"


def _search(g, z, lower, upper, depth):
    if definite_sign(g, z, lower, upper):
        return ()
    if is_zero(g, z, lower, upper):
        raise ValueError(f"g = {_short(g)} is 0 all over; wanted isolated zeros")
    if depth > _DEEPEST or sp.count_ops(g) > _LONGEST:
        raise Undecided(f"cannot decide where {_short(g)} is 0: it is too long")
    numerator, denominator = factored(g, z)
    roots = ()
    for factor in sp.Mul.make_args(numerator):
        base = factor.as_base_exp()[0] if factor.is_Pow else factor
        if base.has(z) and not definite_sign(base, z, lower, upper):
            found = _factor_zeros(base, z, lower, upper, depth)
            roots = _merged(roots + found)
    if denominator.has(z) and not definite_sign(denominator, z, lower, upper):
        for root in roots:
            if sign_at(denominator, z, root) == 0:
                where = f"{z} = {_short(root)}"
                raise Undecided(f"cannot decide the value of {_short(g)} at {where}")
    return roots


@lru_cache(maxsize=1024)
def factored(g, z):
    """Numerator and denominator in few functions, the numerator factored."""
    g = g.rewrite((sp.tanh, sp.sinh, sp.cosh, sp.coth, sp.sech, sp.csch), sp.exp)
    g = g.rewrite(sp.erfc, sp.erf).replace(sp.tan, lambda u: sp.sin(u) / sp.cos(u))
    g = g.replace(
        lambda e: e.is_Pow and not isinstance(e, sp.exp) and e.exp.has(z),
        lambda e: sp.exp(e.exp * sp.log(e.base)),
    )
    g = sp.powsimp(g)
    exponents = {e: sp.expand(e.exp) for e in g.atoms(sp.exp) if e.has(z)}
    units = {u: sp.Dummy("x", positive=True) for u in _units(exponents.values())}
    powers = {e: _power(exponent, units) for e, exponent in exponents.items()}
    numerator, denominator = sp.fraction(sp.together(g.xreplace(powers)))
    numerator, more = sp.fraction(sp.factor(numerator))
    back = {x: sp.exp(unit) for unit, x in units.items()}
    return numerator.xreplace(back), (more * denominator).xreplace(back)


def _units(exponents):
    """Exponents of which all the given ones are sums of integer multiples.

    Those that are multiples of one another stay whole: to factor with exp(z) and
    exp(8943 * z**3 / 100000) as independent symbols would take forever.
    """
    units = _common_measures(exponents)
    terms = [term for unit in units for term in unit.as_coefficients_dict()]
    if len(set(terms)) < len(terms):
        parts = {part for e in exponents for part in sp.Add.make_args(e)}
        units = _common_measures(parts)
    return units


def _common_measures(exponents):
    units = []
    for exponent in sorted(set(exponents), key=sp.default_sort_key):
        for i, unit in enumerate(units):
            ratio = sp.cancel(exponent / unit)
            if ratio.is_Rational:
                units[i] = unit * sp.gcd(sp.S.One, ratio)
                break
        else:
            negated = exponent.could_extract_minus_sign()
            units.append(-exponent if negated else exponent)
    return units


def _power(exponent, units):
    """exp(exponent) as a product of powers of the units' symbols."""
    coefficients, product = exponent.as_coefficients_dict(), sp.S.One
    for unit, x in units.items():
        term, coefficient = next(iter(unit.as_coefficients_dict().items()))
        product *= x ** (coefficients.get(term, 0) / coefficient)
    return product


def _factor_zeros(h, z, lower, upper, depth):
    """The zeros of a factor that is not a product."""
    if not h.free_symbols <= {z} or lower.free_symbols or upper.free_symbols:
        return _symbolic_zeros(h, z, lower, upper)
    for method in (_polynomial_zeros, _exponential_zeros, _trigonometric_zeros):
        found = method(h, z, lower, upper)
        if found is not None:
            return found
    top = _top(h, z)
    if top is not None and _is_radical(top):
        return _radical_zeros(h, z, top, lower, upper, depth)
    return _rolle(h, z, top, lower, upper, depth)


def _symbolic_zeros(h, z, lower, upper):
    if h.is_polynomial(z) and sp.degree(h, z) == 1:
        slope, constant = sp.Poly(h, z).all_coeffs()
        if slope.is_nonzero:
            root = sp.simplify(-constant / slope)
            inside = compare(root, lower) > 0 and compare(root, upper) < 0
            return (root,) if inside else ()
    raise Undecided(f"cannot decide where {_short(h)} is 0")


def _polynomial_zeros(h, z, lower, upper):
    if not h.is_polynomial(z):
        return None
    polynomial = sp.Poly(h, z)
    if polynomial.degree() <= 2:
        roots = [r for r in sp.roots(polynomial) if _is_real(r)]
    elif polynomial.domain.is_QQ or polynomial.domain.is_ZZ:
        roots = set(sp.real_roots(polynomial))
    else:
        return None
    return _inside(roots, lower, upper)


def _is_real(root):
    if root.is_real is None:
        raise Undecided(f"cannot decide whether {_short(root)} is real")
    return root.is_real


def _exponential_zeros(h, z, lower, upper):
    """The zeros of a polynomial in exp(k*z), by their logarithms."""
    x = sp.Dummy("x", positive=True)
    rates = {e.exp / z for e in h.atoms(sp.exp) if e.has(z)}
    if not rates or any(rate.has(z) for rate in rates):
        return None
    first = min(rates, key=abs)
    unit = functools.reduce(sp.gcd, [rate / first for rate in rates])
    if not unit.is_Rational:
        return None
    rate = first * unit
    replaced = sp.expand(h).replace(
        lambda e: isinstance(e, sp.exp) and e.has(z), lambda e: x ** (e.exp / z / rate)
    )
    replaced = sp.fraction(sp.together(replaced))[0]
    if replaced.has(z) or not replaced.is_polynomial(x):
        return None
    roots = _polynomial_zeros(replaced, x, sp.S.Zero, sp.oo)
    if roots is None:
        return None
    return _inside([sp.log(root) / rate for root in roots], lower, upper)


def _trigonometric_zeros(h, z, lower, upper):
    """The zeros of a polynomial in sin(k*z) and cos(k*z), through tan(x/2)."""
    kernels = h.atoms(sp.sin, sp.cos)
    rates = {k.args[0] / z for k in kernels if k.has(z)}
    if not rates or any(rate.has(z) for rate in rates):
        return None
    first = min(rates, key=abs)
    unit = functools.reduce(sp.gcd, [rate / first for rate in rates])
    if not unit.is_Rational:
        return None
    rate = sp.Abs(first * unit)
    x, t = sp.Dummy("x", real=True), sp.Dummy("t", real=True)
    in_x = sp.expand_trig(h.subs(z, x / rate))
    in_t = in_x.subs({
        sp.sin(x): 2 * t / (1 + t**2), sp.cos(x): (1 - t**2) / (1 + t**2)
    })
    if in_t.has(x, sp.sin, sp.cos):
        return None
    turns = [2 * sp.atan(r) for r in zeros(in_t, t, -sp.oo, sp.oo)]
    if sign_at(h, z, sp.pi / rate) == 0:
        turns.append(sp.pi)
    if not turns:
        return ()
    if lower.is_infinite or upper.is_infinite:
        raise Undecided(f"cannot list the infinitely many zeros of {_short(h)}")
    first = sp.floor(lower * rate / (2 * sp.pi)) - 1
    last = sp.ceiling(upper * rate / (2 * sp.pi)) + 1
    periods = range(int(first), int(last) + 1)
    roots = [(turn + 2 * n * sp.pi) / rate for n in periods for turn in turns]
    return _inside(roots, lower, upper)


def _radical_zeros(h, z, top, lower, upper, depth):
    """The zeros of the norm, which has no radical, where `h` is 0 as well."""
    x = sp.Dummy("x")
    powers = [e for e in h.atoms(sp.Pow) if e.base == top.base and _is_radical(e)]
    index = sp.ilcm(1, *(e.exp.q for e in powers))
    replaced = sp.fraction(sp.together(h.replace(
        lambda e: e.is_Pow and e.base == top.base and _is_radical(e),
        lambda e: x ** (e.exp * index),
    )))[0]
    norm = sp.expand(sp.resultant(replaced, x**index - top.base, x))
    if is_zero(norm, z, lower, upper):
        raise Undecided(f"cannot decide where {_short(h)} is 0: its norm vanishes")
    candidates = zeros(norm, z, lower, upper, depth + 1)
    edges = (lower, *candidates, upper)
    beside = [sign_at(h, z, between(a, b)) for a, b in zip(edges, edges[1:])]
    # Between candidates the sign stays; where it changes, h is 0.
    return tuple(
        candidate
        for left, candidate, right in zip(beside, candidates, beside[1:])
        if left != right or sign_at(h, z, candidate) == 0
    )


def _rolle(h, z, top, lower, upper, depth):
    """Zeros by the parts on which `h / divisor` is strictly monotone."""
    divisor = _divisor(h, z, top)
    quotient = sp.expand(h / divisor)
    slope = sp.diff(quotient, z)
    cuts = zeros(divisor, z, lower, upper, depth + 1) if divisor.has(z) else ()
    if is_zero(slope, z, lower, upper):  # h is a multiple of the divisor, not 0
        return cuts
    if not _keeps_sign(slope, z, depth + 1):
        if slope.has(sp.sin, sp.cos) and (lower.is_infinite or upper.is_infinite):
            raise Undecided(f"cannot list the zeros, many perhaps, of {_short(slope)}")
        cuts += zeros(slope, z, lower, upper, depth + 1)
    cuts = _merged(cuts, rounded=True)
    zero_cuts = [c for c in cuts if sign_at(h, z, c) == 0]
    roots = list(zero_cuts)
    edges = (lower, *cuts, upper)
    for low, high in zip(edges, edges[1:]):
        if any(c in zero_cuts and sign_at(divisor, z, c) for c in (low, high)):
            continue  # monotone from 0 onwards
        part = _Part(h, quotient, z, low, high)
        signs = (part.sign(low, 1, low in cuts), part.sign(high, -1, high in cuts))
        if signs[0] != signs[1]:
            roots.append(part.root(*signs))
    return tuple(sorted(roots, key=cmp_to_key(compare)))


class _Part:
    """An open interval on which `quotient` is strictly monotone, with `h`'s sign."""

    def __init__(self, h, quotient, z, low, high):
        self.h, self.quotient, self.z, self.low, self.high = h, quotient, z, low, high
        self.middle = between(low, high)

    def sign(self, end, side, is_cut):
        """The sign of `h` inside the part, close to an end of it."""
        if is_cut and (found := sign_at(self.h, self.z, end)):
            return found
        if end.is_infinite:
            return self._sign_far_out(end)
        return sign_near(self.h, self.z, end, side)

    def _sign_far_out(self, end):
        near, far = self.middle, self.middle + (1 if end > 0 else -1)
        sign_near, sign_far = (sign_at(self.h, self.z, x) for x in (near, far))
        values = [self.quotient.subs(self.z, x) for x in (near, far)]
        grows = numerical(values[1] - values[0], self.z, near)
        value = numerical(values[1], self.z, near)
        if grows is None or value is None:
            raise Undecided(f"cannot decide the sign of {self.h} at {self.z} = {end}")
        if sign_near != sign_far or (grows > 0) == (value > 0):
            return sign_far  # it moves away from 0
        ahead = limit(self.quotient, self.z, end, None)
        decided = sign(ahead) if ahead.is_finite else int(sp.sign(ahead))
        if decided is None:
            raise Undecided(f"cannot decide the sign of {ahead}")
        if decided == 0:
            return sign_far
        return sign_far if (decided > 0) == (value > 0) else -sign_far

    def root(self, sign_low, sign_high):
        """The one zero in the part, between signs that differ."""
        low = self._inner(self.low, sign_low)
        high = self._inner(self.high, sign_high)
        return _bracketed(self.h, self.z, low, high, sign_low)

    def _inner(self, end, wanted):
        """A rational point between the zero and an end."""
        point, step = self.middle, 1
        for _ in range(400):
            if sign_at(self.h, self.z, point) == wanted:
                return point
            if end.is_infinite:
                point, step = point + step * (1 if end > 0 else -1), 2 * step
            else:
                point = between(*sorted((point, end), key=cmp_to_key(compare)))
        raise Undecided(f"cannot find the zero of {self.h} close to {self.z} = {end}")


def _bracketed(h, z, low, high, sign_low):
    """The zero between two rational points to 50 digits, checked by the signs."""
    width = sp.Rational(1, 10 ** (_INNER_DIGITS - 1))
    for point in (low, high):
        if sign_at(h, z, point) == 0:
            return point
    with mpmath.workdps(2 * _INNER_DIGITS):
        function = sp.lambdify(z, h, "mpmath")
        ends = [mpmath.mpf(int(p.p)) / int(p.q) for p in (low, high)]
        guess = mpmath.findroot(
            function, ends, solver="anderson", tol=mpmath.mpf(10) ** -60,
            maxsteps=200, verify=False,
        )
        guess = sp.Rational(sp.Float(guess, _INNER_DIGITS + 10))
    simple = guess.limit_denominator(1000)
    if abs(simple - guess) < width and sign(h.subs(z, simple)) == 0:
        return simple
    radius = width * max(abs(guess), sp.Rational(1, 10**10))
    inner = [guess - radius, guess + radius]
    if low < inner[0] and inner[1] < high:
        signs = [sign_at(h, z, point) for point in inner]
        if signs == [sign_low, -sign_low]:
            return sp.Float(guess, _INNER_DIGITS)
    while high - low > radius:
        middle = (low + high) / 2
        decided = sign_at(h, z, middle)
        if decided == 0:
            return middle
        low, high = (middle, high) if decided == sign_low else (low, middle)
    return sp.Float((low + high) / 2, _INNER_DIGITS)


def _keeps_sign(g, z, depth):
    """Whether a periodic `g` has the same sign all over, but for single zeros."""
    period = period_of(g, z)
    if period is None:
        return False
    return len(signs(g, z, sp.S.Zero, period, depth)) == 1


def _divisor(h, z, top):
    """What to divide by so that the derivative is simpler than `h`."""
    if top is None:
        return sp.S.One
    if not isinstance(top, sp.exp):
        return sp.factor(sp.LC(sp.expand(h), top))
    groups = {}
    for term in sp.Add.make_args(sp.expand(h)):
        powers = [f for f in sp.Mul.make_args(term) if isinstance(f, sp.exp)]
        monomial = sp.exp(sp.Add(*(p.exp for p in powers)))
        groups[monomial] = groups.get(monomial, 0) + term / monomial

    def cost(item):
        coefficient = item[1]
        polynomial = coefficient.is_polynomial(z)
        degree = sp.degree(coefficient, z) if polynomial else sp.count_ops(coefficient)
        return not polynomial, degree, sp.count_ops(item[0]), str(item[0])

    monomial, coefficient = min(groups.items(), key=cost)
    if coefficient.is_polynomial(z) and sp.degree(coefficient, z) <= 3:
        return monomial
    return monomial * sp.factor(coefficient)


def _top(h, z):
    """A function of z in `h` that no other is built on: the first to remove."""
    kernels = _kernels(h, z)
    needed = {k: _kernels(sp.diff(k, z), z) | _inner_kernels(k, z) for k in kernels}
    tops = [k for k in kernels if not any(k in needed[o] for o in kernels - {k})]
    order = sorted(tops or kernels, key=lambda k: (_rank(k), sp.default_sort_key(k)))
    return order[0] if order else None


def _rank(kernel):
    return 2 if _is_radical(kernel) else 1 if isinstance(kernel, sp.exp) else 0


def _kernels(h, z):
    """The functions and radicals of z that `h` is a polynomial or a fraction in."""
    if not h.has(z) or h.is_Symbol:
        return set()
    if h.is_Add or h.is_Mul or (h.is_Pow and h.exp.is_Integer):
        parts = h.args if not h.is_Pow or isinstance(h, sp.exp) else (h.base,)
        return set().union(*(_kernels(part, z) for part in parts))
    return {h}


def _inner_kernels(kernel, z):
    return set().union(*(_kernels(arg, z) for arg in kernel.args))


def _is_radical(e):
    return e.is_Pow and e.exp.is_Rational and not e.exp.is_Integer


def _closed_form(g, z, root):
    """An exact form of a zero that is known to 50 digits, or the zero to 30."""
    if not root.is_Float:
        return root
    for factor in sp.Mul.make_args(factored(g, z)[0]):
        for candidate in _solutions(factor, z):
            value = candidate.evalf(_INNER_DIGITS)
            if value.is_Float and abs(value - root) < abs(root) * sp.Float(10) ** -40:
                return candidate
    return sp.Float(root, DIGITS)


_INVERSES = {sp.exp: sp.log, sp.log: sp.exp, sp.atan: sp.tan}


def _solutions(h, z):
    """Candidates for closed forms: inverse functions and Lambert's W.

    `sympy.solve` knows more forms, and does not return from exp(z) = z + 1 + 10**-20.
    """
    kernels = _kernels(h, z)
    if len(kernels) != 1:
        return ()
    (kernel,), x = kernels, sp.Dummy("x")
    replaced = h.xreplace({kernel: x})
    if not replaced.is_polynomial(x, z):
        return ()
    terms = sp.Poly(replaced, x, z).as_dict()
    if not set(terms) <= {(0, 0), (0, 1), (1, 0)}:
        return ()
    a, b, c = (terms.get(powers, sp.S.Zero) for powers in ((0, 0), (0, 1), (1, 0)))
    if b == 0:  # c * kernel + a
        inverse = _INVERSES.get(kernel.func)
        if inverse is None:
            return ()
        inner = sp.expand(kernel.args[0] - inverse(-a / c))
        if not inner.is_polynomial(z):
            return _solutions(inner, z)
        return tuple(sp.roots(inner, z)) if sp.degree(inner, z) == 1 else ()
    if kernel == sp.log(z):
        return tuple(c / b * sp.LambertW(b / c * sp.exp(-a / c), k) for k in (0, -1))
    rate = kernel.args[0] / z
    if isinstance(kernel, sp.exp) and not rate.has(z):
        place = c * rate / b * sp.exp(-a * rate / b)
        return tuple(-a / b - sp.LambertW(place, k) / rate for k in (0, -1))
    return ()


def _short(expression):
    text = str(expression)
    return text if len(text) <= 120 else f"{text[:100]}..."


def _inside(roots, lower, upper):
    kept = [r for r in roots if compare(r, lower) > 0 and compare(r, upper) < 0]
    return tuple(sorted(kept, key=cmp_to_key(compare)))


def _merged(roots, rounded=False):
    """In increasing order, each once; with `rounded`, what may be equal is."""
    merged = []
    for root in sorted(roots, key=cmp_to_key(_roughly)):
        if merged and not _roughly(merged[-1], root):
            either = root.is_Float or merged[-1].is_Float
            if (rounded and either) or compare(merged[-1], root) == 0:
                if merged[-1].is_Float:
                    merged[-1] = root
                continue
        merged.append(root)
    return tuple(merged)


def _roughly(a, b):
    difference = (a - b).evalf(_INNER_DIGITS)
    return 0 if abs(difference) < sp.Float(10) ** -40 else int(sp.sign(difference))


@lru_cache(maxsize=1024)
def _sympy_limit(g, z, end, **direction):
    unknown = f"cannot decide the limit of {_short(g)} at {z} = {end}"
    try:
        found = sp.limit(g, z, end, **direction)
    except (NotImplementedError, ValueError, TypeError, AttributeError) as error:
        raise Undecided(unknown) from error
    known = found.is_real or found in (sp.oo, -sp.oo)
    if not known or found.has(sp.Limit, sp.AccumBounds, sp.nan, sp.zoo):
        raise Undecided(unknown)
    return found
