"""What the tests of assignments call to compare an answer with what is right.

The source of this module is put in front of every test file, in the student's
notebook too, so it imports NumPy only (and SymPy where expressions are compared). An
answer is compared if it is plain data: numbers, strings, lists, tuples, dicts, sets,
NumPy arrays and scalars, torch tensors. Other objects are refused by their type,
whatever their `__eq__`, `__array__` or `__class__` say.
"""

import numpy as np

SECRET = None  # in the instructor's test files, the instructor's secret
MOST = 10_000  # entries of an answer of no given size


def expect(got, want, *, rtol=1e-7, atol=0.0, dtype=None, what=""):
    """Raise AssertionError unless `got` is `want`.

    Numbers: |got - want| <= atol + rtol |want|, integers exactly; NaN equals NaN, an
    infinity equals itself and shapes must be the same. A list or a tuple of numbers
    counts as an array. Other lists and tuples, dicts and sets are compared entry by
    entry; bool and str exactly. `dtype` also asks for that dtype, `what` names what is
    compared in the message.
    """
    if want is None:
        _demand(got is None, what, _got(got, "None"))
    elif isinstance(want, str):
        _demand(type(got) in (str, np.str_) and str(got) == want, what,
                _got(got, repr(want)))
    elif isinstance(want, dict):
        _demand(type(got) is dict, what, _got(got, "a dict"))
        _demand(all(_is_plain(key) for key in got) and set(got) == set(want), what,
                f"got the keys {_shown(list(got))}, expected {_shown(list(want))}")
        for key in want:
            expect(got[key], want[key], rtol=rtol, atol=atol, dtype=dtype,
                   what=_joined(what, f"key {key!r}"))
    elif isinstance(want, (set, frozenset)):
        _demand(type(got) in (set, frozenset), what, _got(got, "a set"))
        _demand(all(_is_plain(entry) for entry in got) and set(got) == set(want), what,
                _got(got, _shown(want)))
    elif isinstance(want, (list, tuple)) and not _is_rectangle(want):
        entries = as_entries(got, len(want), what=what)
        for i, (one, right) in enumerate(zip(entries, want)):
            expect(one, right, rtol=rtol, atol=atol, dtype=dtype,
                   what=_joined(what, f"entry {i}"))
    else:
        _expect_array(got, _reference(want, "want"), rtol, atol, dtype, what)


def expect_between(got, low, high, *, atol=0.0, what=""):
    """Raise AssertionError unless low - atol <= got <= high + atol, entry by entry.

    `got` must have the shape to which `low` and `high` broadcast. NaN is never between.
    """
    low, high = np.broadcast_arrays(_reference(low, "low"), _reference(high, "high"))
    got = _array(got, "a number" if low.ndim == 0 else "an array", what)
    _same_shape(got, low, what)
    _demand(got.dtype.kind in "biuf", what, f"got dtype {got.dtype}, expected float64")
    with np.errstate(all="ignore"):
        good = (got >= low - atol) & (got <= high + atol)
    _report(good, got, what, lambda i: f"a value from {low[i]} to {high[i]}")


def expect_ulps(got, want, most, *, what=""):
    """Raise AssertionError unless each entry errs by at most `most` ulp.

    `want` is the reference in float64 or longdouble, correctly rounded. The unit is
    the distance of neighbouring numbers of `got`'s dtype at `want`. Where `want` is
    beyond that dtype's largest number, infinity is right; NaN equals NaN.
    """
    want = _reference(want, "want").astype(np.longdouble)
    got = _array(got, "a number" if want.ndim == 0 else "an array", what)
    _same_shape(got, want, what)
    _demand(got.dtype.kind == "f", what,
            f"got dtype {got.dtype}, expected floating point")
    with np.errstate(all="ignore"):
        rounded = want.astype(got.dtype)
        largest = np.finfo(got.dtype).max
        unit = np.spacing(np.minimum(np.abs(rounded), largest)).astype(np.longdouble)
        error = np.abs(got.astype(np.longdouble) - want) / unit
        good = (got == rounded) | (np.isnan(got) & np.isnan(want))
        good |= np.isfinite(got) & np.isfinite(want) & (error <= most)
    _report(good, got, what,
            lambda i: f"{rounded[i]} to within {most} ulp, not {float(error[i]):.3g}")


def expect_raises(error, function, *args):
    """Raise AssertionError unless `function(*args)` raises `error`, say ValueError."""
    if error in (Exception, BaseException):
        raise TypeError(f"error={error.__name__}, wanted a class such as ValueError")
    name = getattr(error, "__name__", error)
    _demand(function is not None and callable(function), "",
            _got(function, f"a function that raises {name}"))
    try:
        value = function(*args)
    except error:
        return
    except Exception as other:
        if type(other).__module__ != "builtins":
            raise  # not the answer's own error: whoever runs the test knows what it is
        came = f"{type(other).__name__}: {other}"
        raise AssertionError(f"raised {came}, expected {name}") from None
    raise AssertionError(f"returned {_shown(value)}, expected it to raise {name}")


def expect_equal_expressions(got, want, *, what=""):
    """Raise AssertionError unless two SymPy objects mean the same.

    Expressions and conditions: equal for all real values of their symbols where both
    are defined. Symbols count by their names. Sets of numbers: the same members. Lists
    and tuples: entry by entry, in order.

    Values at many rational points, those where a piece ends and their neighbours among
    them, decide at 30 digits: simplification can be slow, and wrong about Piecewise.
    """
    import sympy as sp

    if isinstance(want, (list, tuple, sp.Tuple)):
        entries = (list(got) if type(got) is sp.Tuple
                   else as_entries(got, len(want), what=what))
        _demand(len(entries) == len(want), what,
                f"got {len(entries)} entries, expected {len(want)}")
        for i, (one, right) in enumerate(zip(entries, want)):
            expect_equal_expressions(one, right, what=_joined(what, f"entry {i}"))
        return
    got, want = _expression(got, what), _expression(want, "want")
    if isinstance(want, sp.Set):
        _demand(isinstance(got, sp.Set), what, _got(got, "a set"))
        _demand(_same_set(got, want), what, f"got {_shown(got)}, which is not the set")
        return
    if isinstance(want, sp.Expr):
        _demand(isinstance(got, sp.Expr), what, _got(got, "a number or an expression"))
    else:  # a symbol is an expression and, for SymPy, a condition too
        condition = isinstance(got, sp.logic.boolalg.Boolean)
        _demand(condition and not isinstance(got, sp.Expr), what,
                _got(got, "a condition"))
    extra = sorted(map(str, got.free_symbols - want.free_symbols))
    wrong = _difference(got, want)
    if wrong:
        hint = f"; it contains {', '.join(extra)}, which it should not" if extra else ""
        raise AssertionError(_joined(what, f"got {_shown(got)}; {wrong}{hint}"))


def as_entries(got, count=None, *, what=""):
    """The entries of a list, a tuple or an array; AssertionError for anything else.

    There must be `count` of them, or at most `MOST` where that is None. Nothing is
    known of an entry: each has to be held to something before it is used.
    """
    got = _tensor(got)
    _demand(type(got) in (list, tuple) or (type(got) is np.ndarray and got.ndim > 0),
            what, _got(got, "a list" if count is None else f"{count} entries"))
    if count is None:
        _demand(len(got) <= MOST, what, f"got {len(got)} entries, that is too many")
    else:
        _demand(len(got) == count, what, f"got {len(got)} entries, expected {count}")
    return list(got)


def as_numbers(got, *shape, what=""):
    """`got` as an array of floats, to compute with; AssertionError if it is none.

    In `shape` None is any size, as in `as_numbers(points, None, 2)` for a list of
    pairs; no shape is a single number. Fractions count as numbers, complex ones do not.
    At most `MOST`: what a test computes with an answer of any size could be larger
    than the grader's memory.
    """
    kind = "an array" if shape else "a number"
    array = _array(_without_fractions(got), kind, what)
    sizes = ", ".join("any" if size is None else str(size) for size in shape)
    fits = array.ndim == len(shape) and all(
        wanted in (None, size) for size, wanted in zip(array.shape, shape)
    )
    wanted = f"({sizes}{',' * (len(shape) == 1)})" if shape else "a single value"
    _demand(fits, what, f"got shape {array.shape}, expected {wanted}")
    _demand(array.dtype.kind in "biuf", what,
            f"got dtype {array.dtype}, expected float64")
    _demand(array.size <= MOST, what, f"got {array.size} numbers, that is too many")
    return array.astype(float)


def secret_rng(label):
    """A NumPy Generator drawn from the instructor's secret and `label`."""
    import hashlib

    if SECRET is None:
        raise RuntimeError("secret_rng: only tests with `hidden: true` may call this")
    seed = hashlib.sha256(f"{SECRET}\0{label}".encode()).digest()
    return np.random.default_rng(int.from_bytes(seed, "big"))


# --- Data -----------------------------------------------------------------------------

_NUMBERS = (bool, int, float, complex)
_SCALARS = frozenset(np.sctypeDict.values())


def _demand(condition, what, message):
    if not condition:
        raise AssertionError(_joined(what, message))


def _got(value, wanted):
    """What came and what was wanted; only the first if no answer came at all."""
    missing = value is None or value is ...
    return f"got {_shown(value)}" + ("" if missing else f", expected {wanted}")


def _joined(what, message):
    return f"{what}: {message}" if what else message


def _shown(value):
    """A short text; Only plain data and SymPy objects are asked for it."""
    if value is None:
        return "nothing (None): is a return missing?"
    if value is ...:
        return "...: replace the three dots by your answer"
    if type(value) is np.ndarray:
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    if type(value) in _SCALARS and value.dtype.kind in "biufcU":
        return repr(value.item()) if value.dtype.itemsize <= 8 else str(value)
    if type(value).__name__ == "Remote":  # the grader's stand-in for an object
        return repr(value)
    if not _is_plain(value) and not _is_sympy(value):
        return f"an object of type {type(value).__name__}"
    try:
        text = str(value) if _is_sympy(value) else repr(value)
    except Exception:  # an integer of more digits than Python prints
        return f"an object of type {type(value).__name__}"
    return text if len(text) <= 200 else f"{text[:200]}..."


def _is_plain(value, depth=0):
    """Whether `value` is made of numbers, strings, None and containers of these."""
    if type(value) in (*_NUMBERS, str, type(None)):
        return True
    if type(value) in _SCALARS:
        return value.dtype.kind in "biufcU"
    if depth < 20 and type(value) in (list, tuple, set, frozenset):
        return all(_is_plain(entry, depth + 1) for entry in value)
    if depth < 20 and type(value) is dict:
        parts = [*value.keys(), *value.values()]
        return all(_is_plain(part, depth + 1) for part in parts)
    return False


def _is_number(value):
    return type(value) in _NUMBERS or (
        type(value) in _SCALARS and value.dtype.kind in "biufc"
    )


def _is_rectangle(value):
    """Whether nested lists and tuples hold numbers only, in rows of equal length."""
    if type(value) not in (list, tuple):
        return _is_number(value)
    shapes = {_shape(entry) for entry in value}
    return len(shapes) <= 1 and None not in shapes


def _shape(value):
    if type(value) not in (list, tuple):
        return () if _is_number(value) else None
    shapes = {_shape(entry) for entry in value}
    if len(shapes) > 1 or None in shapes:
        return None
    return (len(value), *(shapes.pop() if shapes else ()))


def _tensor(value):
    """A torch tensor as an array, and anything else as it is."""
    import sys

    torch = sys.modules.get("torch")  # who has a tensor has imported torch
    if torch is None or type(value) not in (torch.Tensor, torch.nn.Parameter):
        return value
    value = value.detach().cpu()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


def _array(got, wanted, what):
    """`got` as an array of numbers, or AssertionError with what it is instead."""
    got = _tensor(got)
    if type(got) is np.ndarray:
        _demand(got.dtype.kind in "biufc", what,
                f"got dtype {got.dtype}, expected numbers")
        return got
    if type(got) is int and not -(2**63) <= got < 2**63 and abs(got) < 2**1023:
        return np.asarray(float(got))
    if _is_number(got) and np.asarray(got).dtype.kind in "biufc":
        return np.asarray(got)
    if type(got) in (list, tuple):
        parts = [_tensor(entry) for entry in got]
        if parts and all(type(part) is np.ndarray for part in parts):
            shapes = {part.shape for part in parts}
            kinds = {part.dtype.kind for part in parts}
            if len(shapes) == 1 and kinds <= set("biufc"):
                return np.asarray(parts)
        if _is_rectangle(got):
            array = np.asarray(got)
            if array.dtype.kind in "biufc":  # not so for integers beyond 64 bits
                return array
    raise AssertionError(_joined(what, _got(got, wanted)))


def _reference(value, name):
    """What the test states, as an array. A mistake here is the test's."""
    array = np.asarray(_tensor(value))
    if array.dtype.kind not in "biufc":
        raise TypeError(f"{name}={value!r} is not data that an answer can be held to")
    return array


def _without_fractions(value, depth=0):
    """Fractions, and arrays and tensors in lists, as what `_array` takes."""
    from fractions import Fraction

    value = _tensor(value)
    if type(value) is Fraction:
        try:
            return float(value)
        except OverflowError:
            return value
    if depth and type(value) is np.ndarray and value.size <= MOST:
        return value.tolist()
    if depth < 20 and type(value) in (list, tuple):
        return [_without_fractions(entry, depth + 1) for entry in value]
    return value


def _expect_array(got, want, rtol, atol, dtype, what):
    logical = want.dtype.kind == "b"
    kind = "a number" if not logical else "True or False"
    got = _array(got, kind if want.ndim == 0 else "an array", what)
    _same_shape(got, want, what)
    if dtype is not None:
        _demand(got.dtype == np.dtype(dtype), what,
                f"got dtype {got.dtype}, expected {np.dtype(dtype)}")
    if logical:
        _demand(got.dtype.kind == "b", what,
                f"got {got} of dtype {got.dtype}, expected {want}" if want.ndim == 0
                else f"got dtype {got.dtype}, expected bool")
    if got.dtype.kind in "biu" and want.dtype.kind in "biu" and not atol:
        good = got == want
    else:
        # Integers could wrap round, and truth values cannot be subtracted.
        one, other = (
            part.astype(np.longdouble) if part.dtype.kind in "biu" else part
            for part in (got, want)
        )
        with np.errstate(all="ignore"):
            good = np.abs(one - other) <= atol + rtol * np.abs(other)
            good &= np.isfinite(one) & np.isfinite(other)
            good |= (one == other) | (np.isnan(one) & np.isnan(other))
    _report(good, got, what, lambda i: want[i])


def _same_shape(got, want, what):
    _demand(got.shape == want.shape, what, f"got shape {got.shape}, expected "
            f"{want.shape if want.ndim else 'a single value'}")


def _report(good, got, what, wanted):
    """Raise AssertionError with the first entry that is not good."""
    good = np.asarray(good)
    if good.all():
        return
    first = tuple(int(i) for i in np.argwhere(~good)[0])
    message = f"got {got[first]}, expected {wanted(first)}"
    if good.ndim:
        place = first[0] if len(first) == 1 else first
        message = f"entry {place}: {message}; {(~good).sum()} of {good.size} differ"
    raise AssertionError(_joined(what, message))


# --- Expressions ----------------------------------------------------------------------

_SECONDS = 3.0  # for all points of a comparison together


def _is_sympy(value):
    import sys

    sympy = sys.modules.get("sympy")
    return sympy is not None and sympy.Basic in type(value).__mro__


def _expression(value, what):
    """A SymPy object whose symbols are real and known by their names alone."""
    import sympy as sp

    if _is_number(value):
        value = sp.sympify(value.item() if type(value) in _SCALARS else value)
    _demand(_is_sympy(value), what, _got(value, "a SymPy expression"))
    return value.xreplace({
        symbol: sp.Symbol(symbol.name, real=True)
        for symbol in value.atoms(sp.Symbol)
    })


def _difference(got, want):
    """How the values of two expressions differ somewhere; None if they never do."""
    import time

    if got == want:
        return None
    symbols = sorted(got.free_symbols | want.free_symbols, key=str)
    end, compared = time.monotonic() + _SECONDS, 0
    for point, special in _points(symbols, _edges(got, want)):
        if time.monotonic() > end:
            break
        right, answer = _value(want, point), _value(got, point)
        if right is None or (answer is None and special):
            continue  # undefined, or maybe so at the end of a piece: nothing to compare
        place = ", ".join(f"{symbol} = {value}" for symbol, value in point.items())
        place = f"at {place} " if place else ""
        if not symbols and answer is not None and not _close(answer, right):
            return f"expected {want}"
        if answer is None:
            return f"{place}it has no value, expected {_rounded(right)}"
        compared += 1
        if not _close(answer, right):
            return f"{place}it is {_rounded(answer)}, expected {_rounded(right)}"
    if not compared:
        return "it could not be compared: write it in a shorter form"
    return None


def _points(symbols, edges):
    """Each (values of the symbols, whether it was chosen because something ends there).

    The same points every time, in an order that finds common mistakes soon.
    """
    import sympy as sp

    rng = np.random.default_rng(list(f"points {SECRET}".encode()))

    def random(scale):
        sign = 1 if rng.random() < 0.5 else -1
        numerator = int(rng.integers(1, 1000))
        return sp.Rational(sign * numerator * scale, int(rng.integers(1000, 2000)))

    if not symbols:
        yield {}, False
        return
    for scale in (2, 2, 8, 8, 8, sp.Rational(1, 10)):
        yield {symbol: random(scale) for symbol in symbols}, False
    for symbol, edge in edges:
        others = {other: random(4) for other in symbols if other != symbol}
        root = edge.xreplace(others)
        if root.is_real and root.is_finite:
            for step in (0, -1, 1):
                place = root + sp.Rational(step, 64)
                yield {**others, symbol: place}, True
    for value in (0, 1, -1, 2, -2, 10, -10):
        yield {symbol: sp.Integer(value) for symbol in symbols}, True
    for scale in (1, 2, 4, 8, 16, 40, sp.Rational(1, 1000)) * 4:
        yield {symbol: random(scale) for symbol in symbols}, False


def _edges(*expressions):
    """Each (symbol, value) at which a piece may end, where that is easy to say."""
    import sympy as sp

    found = {}
    for difference in [d for one in expressions for d in _borders(one)][:40]:
        difference = sp.expand(difference)
        for symbol in sorted(difference.free_symbols, key=str):
            slope = difference.coeff(symbol, 1)
            rest = sp.expand(difference - slope * symbol)
            if slope != 0 and not (rest.has(symbol) or slope.has(symbol)):
                found[symbol, -rest / slope] = None
    return list(found)


def _borders(expression):
    """Expressions whose zeros part the pieces."""
    import sympy as sp

    for part in sorted(expression.atoms(sp.Function, sp.Max, sp.Min,
                                        sp.core.relational.Relational), key=str):
        if isinstance(part, sp.core.relational.Relational):
            if isinstance(part.lhs, sp.Expr) and isinstance(part.rhs, sp.Expr):
                yield part.lhs - part.rhs
        elif isinstance(part, (sp.Max, sp.Min)):
            yield from (part.args[0] - other for other in part.args[1:])
        elif isinstance(part, (sp.Abs, sp.sign, sp.Heaviside)):
            yield part.args[0]


def _value(expression, point):
    """The value as a SymPy number or truth value; None where there is none."""
    import sympy as sp

    try:
        value = expression.xreplace(point)
        if isinstance(value, sp.logic.boolalg.Boolean):
            value = sp.simplify(value) if value not in (sp.true, sp.false) else value
            return value if value in (sp.true, sp.false) else None
        value = value.doit()
        if value in (sp.oo, -sp.oo):
            return value
        value = sp.N(value, 30)
    except (ArithmeticError, AttributeError, NotImplementedError, RecursionError,
            TypeError, ValueError):
        return None
    return value if value.is_number and value.is_finite else None


def _close(one, other):
    import sympy as sp

    odd = (sp.true, sp.false, sp.oo, -sp.oo)
    if one in odd or other in odd:
        return one == other
    return bool(abs(one - other) <= 1e-10 * max(1, abs(other)))


def _rounded(value):
    import sympy as sp

    return str(sp.N(value, 6)) if value.is_number else str(value)


def _same_set(got, want):
    """Whether two sets of real numbers have the same members, whatever the symbols."""
    import time

    symbols = sorted(got.free_symbols | want.free_symbols, key=str)
    end, compared = time.monotonic() + _SECONDS, 0
    for point, _ in _points(symbols, ()):
        if time.monotonic() > end or compared == 12:
            break
        if not _same_members(got.xreplace(point), want.xreplace(point)):
            return False
        compared += 1
    return compared > 0


def _same_members(got, want):
    """The same for sets without symbols."""
    import sympy as sp

    if got == want:
        return True
    if isinstance(got, sp.FiniteSet) and isinstance(want, sp.FiniteSet):
        values = [[_value(member, {}) for member in one.args] for one in (got, want)]
        return None not in values[0] and all(
            any(_close(value, other) for other in others)
            for one, others in (values, values[::-1]) for value in one
        )
    ends = [
        end for one in (got, want) for part in one.atoms(sp.Interval, sp.FiniteSet)
        for end in (part.args if isinstance(part, sp.FiniteSet) else part.args[:2])
        if end.is_real and end.is_finite
    ]
    # A set of intervals and points is known from its ends and what lies between them.
    ends = sorted(set(ends), key=lambda end: sp.N(end, 30))
    middles = [(left + right) / 2 for left, right in zip(ends, ends[1:])]
    outside = [ends[0] - 1, ends[-1] + 1] if ends else []
    probes = [*ends, *middles, *outside, *map(sp.Integer, range(-3, 4)),
              sp.Rational(1, 3), sp.sqrt(2)]
    for probe in probes:
        inside = [one.contains(probe) for one in (got, want)]
        if inside[0] not in (sp.true, sp.false) or inside[0] != inside[1]:
            return False
    return True
