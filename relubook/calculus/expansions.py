r"""One-sided expansions: what an expression does just right or just left of a point.

For small $h > 0$ the rules of this module write $f(a + h)$ (or $f(a - h)$) as

$$c_1 h^{e_1} + c_2 h^{e_2} + \dots + O(h^N), \qquad e_1 < e_2 < \dots < N,$$

with exact coefficients and real exponents. They are the rules for tangent cones carried
beyond the first order: a sum adds, a product multiplies, a maximum keeps the pieces
that lead (Danskin's rule), and what is undecided about a branch is kept as part of the
remainder instead of being guessed. Each step is a true statement about $f$, so the
coefficient of $h$ is the one-sided derivative, or the remainder says why it is unknown.

Logarithms need one more kind of term: a key `(e, j)` stands for $h^e \ell^{-j}$ with
$\ell = \log(1/h)$. Keys in increasing order are terms of decreasing size.

Reference: Bonnans and Shapiro (2000), "Perturbation Analysis of Optimization Problems",
section 4.3, for the directional derivative of a maximum.
"""

from dataclasses import dataclass
from functools import cmp_to_key, lru_cache

import sympy as sp
from sympy.core.evalf import PrecisionExhausted

HIGHEST_ORDER = 16  # of the expansions tried before the answer is `Undecided`
MOST_OPERATIONS = 80  # in what `sympy.simplify` is asked to find equal to 0


class Undecided(ValueError):
    """The rules cannot decide; the message names the condition that is open."""


class OutsideDomain(ValueError):
    """The point, or the side asked for, lies outside the domain."""


class Discontinuous(ValueError):
    """The function has a jump, or no limit, at the point."""


class NoSlope(ValueError):
    """The difference quotient has no limit, not even an infinite one."""


class _MoreTerms(Exception):
    """An expansion was cut off before the term that decides."""


ONE, LINEAR = (sp.S.Zero, sp.S.Zero), (sp.S.One, sp.S.Zero)

# Why a remainder is there: one of these, or the condition that is undecided.
CUT_OFF, OSCILLATES = "cut off", "oscillates"


@dataclass(frozen=True)
class Expansion:
    """Terms `(key, coefficient)`, the dominant first, and the remainder's key.

    `bound` is None for an expansion that is exact. `cause` says what is in the
    remainder; if that is `OSCILLATES`, it is of the exact size `bound` and has, divided
    by that size, no limit.
    """

    terms: tuple = ()
    bound: tuple | None = None
    cause: str | None = None

    @property
    def lead(self):
        """The key of the largest term, or of the remainder; None for exactly 0."""
        return self.terms[0][0] if self.terms else self.bound

    def coefficient(self, key):
        return dict(self.terms).get(key, sp.S.Zero)


def expansion(f, z, at, side, order=LINEAR):
    """The `Expansion` of `f` at `z = at` on a side: +1 right, -1 left, 0 at the point.

    It goes beyond the key `order` unless something other than the length of the
    expansion stands against it. Raises `OutsideDomain` and `Undecided`.
    """
    cap = sp.Integer(2) if order == LINEAR else sp.ceiling(order[0]) + 1
    while True:
        rules = _Rules(z, at, side, (cap, sp.S.Zero))
        try:
            found = rules(f)
            if found.cause != CUT_OFF or less(order, found.bound):
                return found
            open_question = f
        except _MoreTerms as short:
            open_question = short.args[0]
        cap = max(2 * cap, cap + 2)
        if cap > HIGHEST_ORDER + order[0]:
            raise Undecided(
                f"cannot decide what {open_question} does near {z} = {at}: it "
                f"vanishes there to order {cap / 2} or identically"
            )


def branch(f, z, at, side):
    """The branch-free expression that `f` equals close to `at` on a side (+1, -1, 0).

    Raises `Undecided` and `OutsideDomain`.
    """
    cap = sp.Integer(2)
    while True:
        try:
            return _Rules(z, at, side, (cap, sp.S.Zero)).resolve(f)
        except _MoreTerms as short:
            cap *= 2
            if cap > HIGHEST_ORDER:
                raise Undecided(
                    f"cannot decide the sign of {short.args[0]} near {z} = {at}"
                ) from None


def less(a, b):
    """Whether the key `a` comes before `b`, that is, stands for the larger term."""
    for left, right in zip(a, b):
        if left != right:
            order = sign(left - right)
            if order is None:
                raise Undecided(f"cannot decide the sign of {left - right}")
            if order:
                return order < 0
    return False


@lru_cache(maxsize=8192)
def sign(number):
    """The sign of a real constant: 1, 0 or -1 where provable, else None."""
    if number.is_Rational:
        return (number.p > 0) - (number.p < 0)
    for form in (lambda c: c, sp.expand, cancelled, factored, _simplified):
        number = form(number)
        if number.is_zero:
            return 0
        if number.free_symbols:
            if number.is_positive or number.is_negative:
                return 1 if number.is_positive else -1
        elif value := _digits(number):
            return 1 if value > 0 else -1
        if number.is_Symbol:
            break
    return None


def has_rule(node):
    """Whether the rules cover the outermost operation of an expression."""
    return node.is_Add or node.is_Mul or node.is_Pow or node.func in (sp.exp, *_RULES)


def nonzero(number):
    """Whether a real constant is provably not 0."""
    return sign(number) in (1, -1) or number.is_zero is False


class _Rules:
    """The rules at one point, on one side, up to the key `cap`."""

    def __init__(self, z, at, side, cap):
        self.z, self.at, self.side, self.cap = z, at, side, cap
        self.known = {z: _exact({ONE: at, LINEAR: sp.Integer(side)})}

    def __call__(self, node):
        if node not in self.known:
            self.known[node] = self._expand(node)
        return self.known[node]

    def _expand(self, node):
        if not node.has(self.z):
            return _exact({ONE: _real(node)})
        if node.is_Add:
            return self._sum(self(term) for term in node.args)
        if node.is_Mul:
            return self._product(self(factor) for factor in node.args)
        if isinstance(node, sp.exp):
            return self._exp(self(node.exp), node)
        if node.is_Pow:
            return self._power(node)
        rule = _RULES.get(node.func)
        if rule is None:
            raise Undecided(f"no rule for {node.func.__name__}, in {node}")
        return rule(self, node)

    # ---- decisions

    def sign(self, node):
        """The sign of `node` on this side: 1, 0, -1, or None and the open question."""
        found = self(node)
        if not found.terms:
            if found.bound is None:
                return 0, None
            if found.cause == CUT_OFF:
                if _simplified(node) == 0:
                    return 0, None
                raise _MoreTerms(node)
            return None, self._question(found, node)
        for side in (1, -1):
            # Coefficients that are at least 0, up to one that is positive.
            for _, coefficient in found.terms:
                decided = sign(side * coefficient)
                if decided == 1:
                    return side, None
                if decided == -1 or not (side * coefficient).is_nonnegative:
                    break
        return None, f"cannot decide the sign of {found.terms[0][1]}"

    def holds(self, condition):
        """Whether a condition holds on this side: True, False or None."""
        if condition in (sp.true, sp.false):
            return bool(condition)
        if isinstance(condition, sp.Not):
            inner = self.holds(condition.args[0])
            return None if inner is None else not inner
        if isinstance(condition, (sp.And, sp.Or)):
            wanted = isinstance(condition, sp.Or)
            parts = [self.holds(part) for part in condition.args]
            if wanted in parts:
                return wanted
            return None if None in parts else not wanted
        if isinstance(condition, sp.ITE):
            first, then, otherwise = condition.args
            return self.holds((first & then) | (~first & otherwise))
        if isinstance(condition, (sp.Eq, sp.Ne)):
            equal = self._equal(condition)
            return equal if equal is None else equal == isinstance(condition, sp.Eq)
        if isinstance(condition, sp.core.relational.Relational):
            decided, _ = self.sign(condition.gts - condition.lts)
            if decided is None:
                return None
            strict = isinstance(condition, (sp.StrictGreaterThan, sp.StrictLessThan))
            return decided > 0 if strict else decided >= 0
        raise Undecided(f"no rule for the condition {condition}")

    def _equal(self, condition):
        difference = condition.lhs - condition.rhs
        decided, _ = self.sign(difference)
        if decided is None:
            terms = self(difference).terms
            return False if terms and nonzero(terms[0][1]) else None
        return decided == 0

    def candidates(self, node):
        """The branches of a Piecewise that may hold on this side."""
        open_ones = []
        for expr, condition in node.args:
            holds = self.holds(condition)
            if holds is not False:
                open_ones.append((expr, condition))
            if holds:
                return open_ones
        if not open_ones:
            raise OutsideDomain(self._place(f"{node} is not defined"))
        raise Undecided(self._place(f"cannot decide whether {open_ones[0][1]} holds"))

    # ---- sums, products, powers

    def _sum(self, parts):
        total = Expansion()
        for part in parts:
            total = _add(total, part)
        return total

    def _product(self, parts):
        total = _exact({ONE: sp.S.One})
        for part in parts:
            total = self._cut(_multiply(total, part))
        return total

    def _power(self, node):
        base, exponent = self(node.base), node.exp
        if exponent.has(self.z):
            return self._general_power(node)
        exponent = _real(exponent)
        if exponent.is_Integer and 0 < exponent <= 8:
            return self._product([base] * int(exponent))
        if not base.terms:
            return self._power_of_nothing(base, exponent, node)
        (key, first), *_ = base.terms
        self._check_base(first, exponent, node)
        # first * h^key * (1 + small)
        small = _multiply(
            _add(base, Expansion(((key, -first),))), _monomial(_negated(key), 1 / first)
        )
        outer = _scaled(key, exponent)
        last = exponent if exponent.is_Integer and exponent >= 0 else None
        series = self._series(lambda n: sp.binomial(exponent, n), small, outer, last)
        return self._cut(_multiply(_monomial(outer, first**exponent), series))

    def _check_base(self, first, exponent, node):
        if exponent.is_integer:
            if not nonzero(first):
                raise Undecided(f"cannot decide whether {first} is 0, in {node}")
            return
        decided = sign(first)
        if decided is None:
            raise Undecided(f"cannot decide the sign of {first}, in {node}")
        if decided < 0:
            complaint = f"{node} is not real: its base is negative"
            raise OutsideDomain(self._place(complaint))

    def _power_of_nothing(self, base, exponent, node):
        """A power of a base that is 0, or smaller than all terms known."""
        above = sign(exponent)
        if above is None:
            raise Undecided(f"cannot decide the sign of {exponent}, in {node}")
        if base.bound is not None and exponent.is_Integer and above > 0:
            cause = CUT_OFF if base.cause == CUT_OFF else self._question(base, node)
            return Expansion((), _scaled(base.bound, exponent), cause)
        decided, question = self.sign(node.base)
        if decided is None:
            raise Undecided(f"{question}, in {node}")
        if above > 0:
            return Expansion()
        raise OutsideDomain(self._place(f"{node} divides by 0"))

    def _general_power(self, node):
        decided, question = self.sign(node.base)
        if decided == 0:
            above, _ = self.sign(node.exp)
            if above == 1:
                return Expansion()
            raise OutsideDomain(self._place(f"{node} is not defined: its base is 0"))
        if decided is None:
            raise Undecided(f"{question}, in {node}")
        if decided < 0:
            complaint = f"{node} is not real: its base is negative"
            raise OutsideDomain(self._place(complaint))
        logarithm = self._log(node.base, node)
        return self._exp(_multiply(self(node.exp), logarithm), node)

    # ---- functions

    def _analytic(self, node, argument=None):
        """A function that is analytic on the whole real line."""
        argument = self(node.args[0]) if argument is None else argument
        value, small = self._split(argument, node)
        if value is None:
            return small
        return self._series(lambda n: _taylor(node.func, value, n), small)

    def _split(self, argument, node):
        """The limit of an argument and the rest, which tends to 0.

        Without a limit: None and what can be said of a function bounded on bounded
        sets.
        """
        if argument.bound is not None and not less(ONE, argument.bound):
            if argument.cause == CUT_OFF:
                raise _MoreTerms(node.args[0])
            if argument.terms or less(argument.bound, ONE):
                raise Undecided(self._question(argument, node))
            return None, Expansion((), ONE, self._question(argument, node))
        if argument.terms and less(argument.lead, ONE):
            raise Undecided(f"no rule for {node.func} of an unbounded argument: {node}")
        value = argument.coefficient(ONE)
        return value, _add(argument, Expansion(((ONE, -value),) if value != 0 else ()))

    def _series(self, coefficient, small, outer=ONE, last=None):
        """The sum of `coefficient(n) * small**n`, up to `last` or the cap.

        `outer` is the key of a factor that the sum is going to be multiplied by.
        """
        total, power, n = _exact({ONE: coefficient(0)}), _exact({ONE: sp.S.One}), 0
        if small.lead is None:
            return total
        limit = _added(self.cap, _negated(outer))
        while n != last:
            n += 1
            power = _limited(_multiply(power, small), limit)
            if n > 1 and (not less(power.lead, limit) or n > 24):
                return _add(total, Expansion((), power.lead, CUT_OFF))
            total = _add(total, _multiply(power, _exact({ONE: coefficient(n)})))
        return total

    def _exp(self, argument, node):
        large = [term for term in argument.terms if less(term[0], ONE)]
        if not large:
            value, small = self._split(argument, node)
            if value is None:
                return small
            return self._series(lambda n: sp.exp(value) / sp.factorial(n), small)
        logarithm = (sp.S.Zero, -sp.S.One)
        key, first = large[0]
        if key == logarithm:  # exp(first * log(1/h) + rest)
            rest = _add(argument, Expansion(((key, -first),)))
            return self._cut(
                _multiply(_monomial((-first, sp.S.Zero)), self._exp(rest, node))
            )
        decided = sign(first)
        if decided == -1 and less(key, logarithm):  # smaller than every power of h
            return Expansion((), self.cap, CUT_OFF)
        if decided is None:
            raise Undecided(f"cannot decide the sign of {first}, in {node}")
        raise Undecided(f"no rule for a quantity beyond every power: {node}")

    def _log(self, inner, node):
        decided, question = self.sign(inner)
        if decided is None:
            raise Undecided(f"{question}, in {node}")
        if decided <= 0:
            number = "0" if decided == 0 else "a negative number"
            raise OutsideDomain(self._place(f"{node} takes the log of {number}"))
        argument = self(inner)
        (key, first), *_ = argument.terms
        if key[1] != 0:
            raise Undecided(f"no rule for the log of a log: {node}")
        small = _multiply(
            _add(argument, Expansion(((key, -first),))),
            _monomial(_negated(key), 1 / first),
        )
        log_of_h = _exact({(sp.S.Zero, -sp.S.One): -key[0], ONE: sp.log(first)})
        coefficients = self._series(
            lambda n: sp.S.Zero if n == 0 else (-sp.S.One) ** (n + 1) / n, small
        )
        return _add(log_of_h, coefficients)

    def _wave(self, node):
        """sin and cos: of an unbounded argument they oscillate."""
        argument = self(node.args[0])
        if argument.terms and less(argument.lead, ONE):
            smooth = argument.bound is None or argument.cause == CUT_OFF
            if smooth and nonzero(argument.terms[0][1]):
                return Expansion((), ONE, OSCILLATES)
            return Expansion((), ONE, self._question(argument, node))
        return self._analytic(node, argument)

    def _saturating(self, node):
        """tanh, erf and atan: of an unbounded argument they level out."""
        inner = node.args[0]
        argument = self(inner)
        if not argument.terms or not less(argument.lead, ONE):
            return self._analytic(node, argument)
        decided = sign(argument.terms[0][1])
        if decided is None:
            raise Undecided(
                f"cannot decide the sign of {argument.terms[0][1]}, in {node}"
            )
        if isinstance(node, sp.atan):
            return self(decided * sp.pi / 2 - sp.atan(1 / inner, evaluate=False))
        if isinstance(node, sp.tanh):
            fading = sp.exp(-2 * decided * inner)
            return self(decided * (1 - fading) / (1 + fading))
        if not less(argument.lead, (sp.S.Zero, sp.Rational(-1, 2))):
            raise Undecided(f"no rule for so slow an argument: {node}")
        flat = Expansion((), self.cap, CUT_OFF)
        return _add(_exact({ONE: sp.Integer(decided)}), flat)

    def _arcsine(self, node):
        inner = node.args[0]
        value, small = self._split(self(inner), node)
        if value is None:
            raise Undecided(small.cause)
        end = sign(1 - abs(value))
        if end is None or (end == 0 and sign(value) is None):
            raise Undecided(f"cannot decide where {value} lies in [-1, 1], in {node}")
        if end < 0:
            raise OutsideDomain(self._place(f"{node} is not real"))
        if end > 0:
            return self._analytic(node)
        # The half-angle form brings the square root at the end into the open.
        end = sign(value)
        if self.sign(1 - end * inner)[0] == -1:
            raise OutsideDomain(self._place(f"{node} is not real"))
        half = sp.asin(sp.sqrt((1 - end * inner) / 2))
        return self(end * (sp.pi / 2 - 2 * half))

    def _arsinh(self, node):
        inner, argument = node.args[0], self(node.args[0])
        if not argument.terms or not less(argument.lead, ONE):
            return self._analytic(node, argument)
        decided, question = self.sign(inner)
        if decided is None:
            raise Undecided(f"{question}, in {node}")
        return self(decided * sp.log(decided * inner + sp.sqrt(inner**2 + 1)))

    def _rewritten(self, node):
        try:
            return self(_REWRITTEN[node.func](*node.args))
        except OutsideDomain:
            raise OutsideDomain(self._place(f"{node} is not defined")) from None

    # ---- functions with branches

    def _abs(self, node):
        inner = self(node.args[0])
        if not inner.terms and inner.cause == CUT_OFF:
            return inner
        decided, question = self.sign(node.args[0])
        if decided is not None:
            return _multiply(inner, _exact({ONE: sp.Integer(decided)}))
        if not inner.terms:
            return Expansion((), inner.bound, question)
        (key, first), *rest = inner.terms
        if nonzero(first):
            return _multiply(inner, _exact({ONE: abs(first) / first}))
        bound, cause = inner.bound, inner.cause
        if rest:
            bound, cause = rest[0][0], question
        return Expansion(((key, abs(first)),), bound, cause)

    def _sign(self, node):
        decided, question = self.sign(node.args[0])
        if decided is not None:
            return _exact({ONE: sp.Integer(decided)})
        return self._step(node, question, sp.sign)

    def _heaviside(self, node):
        decided, question = self.sign(node.args[0])
        if decided is None:
            return self._step(node, question, sp.Heaviside)
        if decided == 0:
            return self(node.args[1])
        return _exact({ONE: sp.Integer(decided > 0)})

    def _step(self, node, question, function):
        terms = self(node.args[0]).terms
        if terms and nonzero(terms[0][1]):
            return _exact({ONE: function(terms[0][1])})
        return Expansion((), ONE, question)

    def _floor(self, node):
        argument = node.args[0]
        if isinstance(node, sp.ceiling):
            return self(-sp.floor(-argument, evaluate=False))
        value, small = self._split(self(argument), node)
        if value is None:
            return small
        whole = sp.floor(value)
        if nonzero(value - whole):
            return _exact({ONE: whole})
        if sign(value - whole) != 0:
            raise Undecided(f"cannot decide whether {value} is an integer, in {node}")
        decided, question = self.sign(argument - whole)
        if decided is None:
            raise Undecided(f"{question}, in {node}")
        return _exact({ONE: whole - 1 if decided < 0 else whole})

    def _max(self, node):
        upward = 1 if isinstance(node, sp.Max) else -1
        pieces = self.leading(node)
        total = self(pieces[0])
        for piece in pieces[1:]:
            total = self._larger(total, self(piece), upward)
        return total

    def leading(self, node):
        """The arguments of a Max or Min without those that another provably beats."""
        upward = 1 if isinstance(node, sp.Max) else -1
        left = list(node.args)
        for i, piece in enumerate(node.args):
            for other in left:
                if other is not piece and self._beats(other, piece, upward):
                    left.remove(piece)
                    break
        return left

    def _beats(self, one, other, upward):
        try:
            decided, _ = self.sign(one - other)
        except _MoreTerms:  # so nearly equal that either will do
            return False
        return decided is not None and decided * upward >= 0

    def _larger(self, a, b, upward):
        """max(a, b), or min if `upward` is -1, where it is open which one leads."""
        difference = _add(a, _multiply(b, _exact({ONE: sp.S.NegativeOne})))
        if not difference.terms:
            if difference.bound is None:
                return a
            return _cut_at(a, difference.bound, difference.cause)
        key, first = difference.terms[0]
        function = sp.Max if upward > 0 else sp.Min
        later = [t[0] for part in (a, b) for t in part.terms if less(key, t[0])]
        bounds = [(k, f"cannot decide the sign of {first}") for k in later]
        bounds += [(p.bound, p.cause) for p in (a, b) if p.bound is not None]
        common = _cut_at(a, key, None).terms
        first = function(a.coefficient(key), b.coefficient(key))
        bound, cause = _coarsest(bounds)
        return Expansion((*common, (key, first)), bound, cause)

    def _piecewise(self, node):
        branches = self.candidates(node)
        if len(branches) == 1:
            return self(branches[0][0])
        question = self._place(f"cannot decide whether {branches[0][1]} holds")
        try:
            found = [self(expr) for expr, _ in branches]
        except (OutsideDomain, Undecided):
            raise Undecided(question) from None
        total = found[0]
        for other in found[1:]:
            difference = _add(total, _multiply(other, _exact({ONE: sp.S.NegativeOne})))
            if difference.lead is not None:
                cause = question if difference.terms else difference.cause
                cause = question if cause == OSCILLATES else cause
                total = _cut_at(total, difference.lead, cause)
        return total

    # ---- the branch that holds

    def resolve(self, node):
        """`node` without branches: the smooth expression that it equals here."""
        if not node.has(self.z) or not node.args:
            return node
        if isinstance(node, sp.Piecewise):
            branches = self.candidates(node)
            if len(branches) > 1:
                raise Undecided(
                    self._place(f"cannot decide whether {branches[0][1]} holds")
                )
            return self.resolve(branches[0][0])
        if isinstance(node, (sp.Max, sp.Min)):
            pieces = self.leading(node)
            if len(pieces) > 1:
                self.sign(pieces[0] - pieces[1])  # may ask for more terms
                raise Undecided(f"cannot decide the sign of {pieces[0] - pieces[1]}")
            return self.resolve(pieces[0])
        if isinstance(node, (sp.Abs, sp.sign, sp.Heaviside)):
            return self._resolved_sign(node)
        if isinstance(node, (sp.floor, sp.ceiling)):
            return self(node).coefficient(ONE)
        return node.func(*(self.resolve(arg) for arg in node.args))

    def _resolved_sign(self, node):
        decided, question = self.sign(node.args[0])
        if decided is None:
            raise Undecided(question)
        if isinstance(node, sp.Abs):
            return decided * self.resolve(node.args[0])
        if isinstance(node, sp.sign):
            return sp.Integer(decided)
        return node.func(decided, node.args[1])

    # ---- small matters

    def _cut(self, part):
        """Without the terms beyond the cap, which would only cost time."""
        return part if len(part.terms) < 12 else _limited(part, self.cap)

    def _question(self, part, node):
        if part.cause in (CUT_OFF, OSCILLATES, None):
            return f"no rule for what oscillates inside {node}"
        return part.cause

    def _place(self, complaint):
        where = {0: "at", 1: "just right of", -1: "just left of"}[self.side]
        return f"{complaint} {where} {self.z} = {self.at}"


def cancelled(number):
    """Finds tanh(log(...)) - (...) to be 0 much faster than simplify does."""
    if number.free_symbols or not tractable(number):
        return number
    return sp.cancel(number.rewrite(sp.exp))


def factored(number):
    return sp.factor(number) if tractable(number) else number


def tractable(number):
    """Whether `sympy.factor` and the like return: exp(1000) is a power of e to them."""
    exponents = {power.exp for power in number.atoms(sp.Pow, sp.exp)}
    numbers = set().union(*(e.atoms(sp.Rational) for e in exponents))
    small = all(abs(n.p) < 100 and n.q < 100 for n in numbers)
    return small and sp.count_ops(number) <= 4 * MOST_OPERATIONS


def _simplified(number):
    if sp.count_ops(number) > MOST_OPERATIONS or not tractable(number):
        return number
    return sp.simplify(number)


def _digits(number):
    """The value of a constant, or None if its leading digits are not certain."""
    try:
        value = number.evalf(20, strict=True)
    except PrecisionExhausted:
        return None
    return value if value.is_Float else None


def _exact(coefficients):
    return _made(coefficients, None, None)


def _monomial(key, coefficient=sp.S.One):
    return Expansion(((key, coefficient),))


def _made(coefficients, bound, cause):
    terms = [(k, c) for k, c in coefficients.items() if sign(c) != 0]
    terms.sort(key=cmp_to_key(lambda a, b: -1 if less(a[0], b[0]) else 1))
    return Expansion(tuple(terms), bound, cause)


def _add(a, b):
    bounds = [(p.bound, p.cause) for p in (a, b) if p.bound is not None]
    bound, cause = _coarsest(bounds)
    total = {}
    for key, coefficient in a.terms + b.terms:
        if bound is None or less(key, bound):
            total[key] = total.get(key, sp.S.Zero) + coefficient
    return _made(total, bound, cause)


def _multiply(a, b):
    if a.lead is None or b.lead is None:
        return Expansion()
    bounds = []
    for one, other in ((a, b), (b, a)):
        if one.bound is not None:
            # What oscillates goes on oscillating if multiplied by what does not vanish.
            steady = other.terms and nonzero(other.terms[0][1])
            cause = one.cause
            if cause == OSCILLATES and not steady:
                cause = "no rule for the product of what oscillates"
            bounds.append((_added(one.bound, other.lead), cause))
    bound, cause = _coarsest(bounds)
    total = {}
    for key_a, coefficient_a in a.terms:
        for key_b, coefficient_b in b.terms:
            key = _added(key_a, key_b)
            if bound is None or less(key, bound):
                product = coefficient_a * coefficient_b
                total[key] = total.get(key, sp.S.Zero) + product
    return _made(total, bound, cause)


def _coarsest(bounds):
    """The largest of several remainders, and its cause."""
    if not bounds:
        return None, None
    bound, cause = bounds[0]
    for other, why in bounds[1:]:
        if less(other, bound):
            bound, cause = other, why
        elif not less(bound, other) and why != cause:
            pair = {why, cause}
            if OSCILLATES in pair:
                cause = "cannot decide whether oscillations cancel"
            else:
                cause = next(c for c in (cause, why) if c != CUT_OFF)
        elif not less(bound, other) and why == OSCILLATES:
            cause = "cannot decide whether oscillations cancel"
    return bound, cause


def _cut_at(part, bound, cause):
    if part.bound is not None and less(part.bound, bound):
        return part
    terms = tuple(term for term in part.terms if less(term[0], bound))
    return Expansion(terms, bound, cause)


def _limited(part, limit):
    """`part` without terms that are `limit` or smaller."""
    if not part.terms or less(part.terms[-1][0], limit):
        return part
    return _cut_at(part, limit, CUT_OFF)


def _added(a, b):
    return (a[0] + b[0], a[1] + b[1])


def _negated(key):
    return (-key[0], -key[1])


def _scaled(key, factor):
    return (sp.expand(key[0] * factor), sp.expand(key[1] * factor))


@lru_cache(maxsize=1024)
def _derivative(function, n):
    x = sp.Dummy("x", real=True)
    return x, sp.diff(function(x), x, n) / sp.factorial(n)


def _taylor(function, value, n):
    x, coefficient = _derivative(function, n)
    return coefficient.subs(x, value)


def _real(constant):
    """A constant that is provably real and finite, or an error."""
    if constant.has(sp.nan, sp.zoo, sp.oo, -sp.oo):
        raise OutsideDomain(f"{constant} is not a finite number")
    if constant.is_real:
        return constant
    if not constant.free_symbols:
        value = constant.evalf(20)
        if value.is_Float:
            return constant
        if value.is_number and sp.im(value) != 0:
            raise OutsideDomain(f"{constant} is not real")
    if constant.is_real is False:
        raise OutsideDomain(f"{constant} is not real")
    raise Undecided(f"cannot decide whether {constant} is real")


# Functions with poles or edges, by functions whose rules are above.
_REWRITTEN = {
    sp.tan: lambda g: sp.sin(g) / sp.cos(g),
    sp.cot: lambda g: sp.cos(g) / sp.sin(g),
    sp.sec: lambda g: 1 / sp.cos(g),
    sp.csc: lambda g: 1 / sp.sin(g),
    sp.coth: lambda g: sp.cosh(g) / sp.sinh(g),
    sp.sech: lambda g: 1 / sp.cosh(g),
    sp.csch: lambda g: 1 / sp.sinh(g),
    sp.acos: lambda g: sp.pi / 2 - sp.asin(g),
    sp.acot: lambda g: sp.Piecewise((sp.pi / 2, sp.Eq(g, 0)), (sp.atan(1 / g), True)),
    sp.asec: lambda g: sp.acos(1 / g),
    sp.acsc: lambda g: sp.asin(1 / g),
    sp.acosh: lambda g: 2 * sp.asinh(sp.sqrt((g - 1) / 2)),
    sp.atanh: lambda g: (sp.log(1 + g) - sp.log(1 - g)) / 2,
    sp.acoth: lambda g: sp.log((g + 1) / (g - 1)) / 2,
    sp.asech: lambda g: sp.acosh(1 / g),
    sp.acsch: lambda g: sp.asinh(1 / g),
    sp.erfc: lambda g: 1 - sp.erf(g),
}
_RULES = {
    sp.log: lambda rules, node: rules._log(node.args[0], node),
    sp.sin: _Rules._wave,
    sp.cos: _Rules._wave,
    sp.sinh: _Rules._analytic,
    sp.cosh: _Rules._analytic,
    sp.tanh: _Rules._saturating,
    sp.atan: _Rules._saturating,
    sp.erf: _Rules._saturating,
    sp.asin: _Rules._arcsine,
    sp.asinh: _Rules._arsinh,
    sp.Abs: _Rules._abs,
    sp.sign: _Rules._sign,
    sp.Heaviside: _Rules._heaviside,
    sp.floor: _Rules._floor,
    sp.ceiling: _Rules._floor,
    sp.Max: _Rules._max,
    sp.Min: _Rules._max,
    sp.Piecewise: _Rules._piecewise,
    **dict.fromkeys(_REWRITTEN, _Rules._rewritten),
}
