r"""Symbolic answers as text: `to_text` in the sandbox, `parse` outside.

A submission's SymPy expression leaves the sandbox as text, which may be anything.
`parse` reads it with Python's grammar, walks the tree by a list of what is allowed and
calls SymPy's constructors; nothing of the text is evaluated, looked up or imported.

| written | read as |
|---|---|
| `2`, `1/3`, `Rational(1, 3)`, `Integer(2)` | exact numbers |
| `0.25`, `1.5e-3`, `Float(0.25)` | a `Float`: double precision up to 17 digits, else as many digits as are written |
| `pi E I oo -oo zoo nan True False` | SymPy's constants |
| `z`, `alpha_1` | a real symbol, up to 20 ASCII letters, digits and underscores |
| `+ - * / **`, `sqrt cbrt` | arithmetic |
| `exp(z)`, `Max(0, z)`, ... | the functions of `_FUNCTIONS` |
| `< <= > >= == !=` (chains too), `Eq Ne Lt Le Gt Ge` | relations |
| `& \| ~`, `And Or Not` | conditions |
| `Piecewise((z, z > 0), (0, True))` | pieces |
| `{0, 1}`, `FiniteSet`, `Interval(0, 1)`, `Interval(0, 1, True, False)`, `Interval.open`, `Interval.Lopen`, `Interval.Ropen`, `Union Intersection Complement`, `EmptySet Reals Integers` | sets |
| `(z, 1)`, `Tuple(z, 1)` | a `Tuple`, at the outside only |
| `[z, 1]` | a list, at the outside only |

Everything else is `Refused`: attributes, indices, strings, keywords, comparisons with
`is` and `in`, other names. `==` is read as `Eq`.

What SymPy printed has been evaluated already, so functions, relations and pieces are
built as they are written (`evaluate=False`); only sums, products, integer powers and
powers of numbers are evaluated, which restores SymPy's order of terms. So the text of
an evaluated expression gives back an equal expression if its symbols are real. SymPy
distributes a number over a sum, so `2*(z + 1)` comes back as `2*z + 2`.

The limits (constants below) keep `parse` under a second, and keep numbers that would
fill the memory out of what tests do with the result afterwards.
"""

import ast
import re

import mpmath
import sympy as sp
from sympy.logic.boolalg import Boolean, BooleanAtom
from sympy.printing.str import StrPrinter

LENGTH = 4000  # characters
NODES = 500  # numbers, names, operations and calls
NESTING = 30  # brackets in brackets, functions in functions
DIGITS = 1000  # of an integer as it is written
FLOAT_DIGITS = 50
FLOAT_EXPONENT = 400
BITS = 3300  # of what a power of numbers may become, 1000 digits
POWER = 200  # the exponent of what is not a number
IN_EXPONENT = 10_000  # numbers in an exponent that holds a symbol
ARGUMENTS = 20  # of Max, And, FiniteSet, Piecewise, ...
CASES = 6  # Max, Abs, Piecewise, ... in each other
SYMBOLS = 20

_TOKEN = re.compile(
    r"(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![A-Za-z0-9_.]))"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<other>[-+*/<>=!&|~,. ])"
)
_SYMBOL = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,19}")

_CONSTANTS = {
    "pi": sp.pi, "E": sp.E, "I": sp.I, "oo": sp.oo, "zoo": sp.zoo, "nan": sp.nan,
    "true": sp.true, "false": sp.false, "EmptySet": sp.S.EmptySet,
    "Reals": sp.S.Reals, "Integers": sp.S.Integers,
}  # fmt: skip
_INFINITE = {sp.oo, -sp.oo, sp.zoo, sp.nan}

# name: the constructor, the fewest and the most arguments
_ONE = (sp.Abs, sp.sign, sp.exp, sp.log, sp.floor, sp.ceiling, sp.sin, sp.cos, sp.tan,
        sp.cot, sp.sec, sp.csc, sp.asin, sp.acos, sp.atan, sp.sinh, sp.cosh, sp.tanh,
        sp.coth, sp.sech, sp.csch, sp.asinh, sp.acosh, sp.atanh, sp.erf, sp.erfc,
        sp.DiracDelta)  # fmt: skip
_FUNCTIONS = {function.__name__: (function, 1, 1) for function in _ONE} | {
    "Max": (sp.Max, 1, ARGUMENTS),
    "Min": (sp.Min, 1, ARGUMENTS),
    "Heaviside": (sp.Heaviside, 1, 2),
    "LambertW": (sp.LambertW, 1, 2),
}
_RELATIONS = {"Eq": sp.Eq, "Ne": sp.Ne, "Lt": sp.Lt, "Le": sp.Le, "Gt": sp.Gt,
              "Ge": sp.Ge}  # fmt: skip
_COMPARISONS = {ast.Eq: sp.Eq, ast.NotEq: sp.Ne, ast.Lt: sp.Lt, ast.LtE: sp.Le,
                ast.Gt: sp.Gt, ast.GtE: sp.Ge}  # fmt: skip
_SETS = {"Union": sp.Union, "Intersection": sp.Intersection}
_INTERVALS = {"open": (True, True), "Lopen": (True, False), "Ropen": (False, True)}

_BY_CASES = (sp.Max, sp.Min, sp.Abs, sp.sign, sp.Heaviside, sp.Piecewise)
_EXPONENTIAL = (sp.exp, sp.sinh, sp.cosh)
# Their values cost as many digits as the argument has before the point.
_COSTLY_IF_LARGE = (sp.sin, sp.cos, sp.tan, sp.cot, sp.sec, sp.csc, sp.floor,
                    sp.ceiling)  # fmt: skip


class Refused(ValueError):
    """The text is no expression of the course; the message says what was met."""


class _Printer(StrPrinter):
    """SymPy's `sstr`, but Floats keep all their bits."""

    def _print_Float(self, expr):
        text = repr(float(expr))
        if expr == sp.Float(text, precision=53):
            return text
        return mpmath.libmp.to_str(expr._mpf_, mpmath.libmp.repr_dps(expr._prec))

    def _print_Interval(self, expr):
        # SymPy's own prints the ends by `str`, Floats with 15 digits.
        low, high, *is_open = expr.args
        closed_at_infinity = (low in _INFINITE, high in _INFINITE)
        opens = tuple(bool(o) and not i for o, i in zip(is_open, closed_at_infinity))
        names = {flags: f".{name}" for name, flags in _INTERVALS.items()}
        return f"Interval{names.get(opens, '')}({self._print(low)}, {self._print(high)})"


def to_text(expr):
    """The text from which `parse` makes an equal expression.

    It needs SymPy only, so this file alone can be bound into the sandbox.

    >>> to_text(sp.Max(0, sp.Symbol("z")) / 3 + sp.Float(0.1))
    'Max(0, z)/3 + 0.1'
    """
    return _Printer().doprint(expr)


def parse(text, symbols=()):
    """The SymPy expression, condition, set, `Tuple` or list that `text` says.

    Symbols are real. Those in `symbols` (a sequence) keep the assumptions they have.
    Raises `Refused`, a `ValueError`, whatever else the text is.

    >>> parse("Piecewise((z, z > 0), (z/100, True))")
    Piecewise((z, z > 0), (z/100, True))
    >>> parse("z.__class__")
    Traceback (most recent call last):
        ...
    relubook.grading.expressions.Refused: attribute '__class__' at character 0
    """
    tree = _tree(text)
    known = {symbol.name: symbol for symbol in symbols}
    try:
        return _checked(_Reader(text, known).outside(tree))
    except Refused:
        raise
    # SymPy's constructors raise what they like; whatever it is, the text is at fault.
    except (Exception, RecursionError) as error:
        raise Refused(
            f"SymPy does not take it: {type(error).__name__}: {str(error)[:200]}"
        ) from None


def _tree(text):
    """Python's tree of a text that holds only numbers, names and operators."""
    if not isinstance(text, str):
        raise Refused(f"text is a {type(text).__name__}, want a str")
    if len(text) > LENGTH:
        raise Refused(f"{len(text)} characters, want at most {LENGTH}")
    text = text.strip(" ")
    position = depth = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise Refused(f"character {text[position]!r} at {position}")
        depth += (token.lastgroup == "open") - (token.lastgroup == "close")
        if depth > NESTING:
            raise Refused(f"more than {NESTING} brackets in each other")
        if token.lastgroup == "number":
            _check_number(token.group())
        position = token.end()
    try:
        tree = ast.parse(text, mode="eval").body
    # Long chains of operators overflow Python's parser.
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        raise Refused(f"no expression: {reason}") from None
    if sum(isinstance(node, ast.expr) for node in ast.walk(tree)) > NODES:
        raise Refused(f"more than {NODES} parts")
    return tree


def _check_number(number):
    mantissa, _, exponent = number.lower().partition("e")
    digits = mantissa.replace(".", "")
    if not exponent and "." not in number:
        if len(digits) > DIGITS:
            raise Refused(f"a number of {len(digits)} digits, want at most {DIGITS}")
    elif len(digits) > FLOAT_DIGITS:
        raise Refused(f"a decimal of {len(digits)} digits, want at most {FLOAT_DIGITS}")
    elif exponent and (len(exponent) > 8 or abs(int(exponent)) > FLOAT_EXPONENT):
        raise Refused(f"exponent {exponent[:20]}, want at most {FLOAT_EXPONENT}")


class _Reader:
    """From Python's tree to SymPy: one method a kind of value that is wanted."""

    def __init__(self, text, known):
        self.text, self.known = text, known
        self.depth = 0
        self.names = set()

    def outside(self, node):
        if isinstance(node, ast.List):
            return [self.outside(entry) for entry in self._few(node.elts, "a list")]
        if isinstance(node, ast.Tuple):
            return sp.Tuple(*map(self.outside, self._few(node.elts, "a tuple")))
        if _called(node) == "Tuple":
            return sp.Tuple(*map(self.outside, self._arguments(node, 0, ARGUMENTS)))
        return self.read(node)

    def read(self, node):
        self.depth += 1
        if self.depth > 2 * NESTING:
            raise Refused("too many operators in each other")
        if type(node) not in _NODES:
            raise Refused(f"{_what(node)} at character {node.col_offset}")
        result = _NODES[type(node)](self, node)
        self.depth -= 1
        return result

    def number(self, node):
        """An expression, not a condition or a set."""
        return self._of(node, sp.Expr, "a number or an expression")

    def condition(self, node):
        return self._of(node, Boolean, "a condition")

    def set(self, node):
        return self._of(node, sp.Set, "a set")

    def _of(self, node, kind, wanted):
        result = self.read(node)
        if not isinstance(result, kind):
            raise Refused(f"{_short(result)} where {wanted} is wanted")
        return result

    def _constant(self, node):
        if isinstance(node.value, bool):
            return sp.true if node.value else sp.false
        if isinstance(node.value, int):
            return sp.Integer(node.value)
        if isinstance(node.value, float):
            # Python has rounded it already; the text has all its digits.
            text = self.text[node.col_offset : node.end_col_offset]
            digits = text.lower().partition("e")[0].replace(".", "").lstrip("0")
            if len(digits) <= 17:
                return sp.Float(text, precision=53)
            return sp.Float(text)
        raise Refused(f"{_what(node)} at character {node.col_offset}")

    def _name(self, node):
        name = node.id
        if name in _CONSTANTS:
            return _CONSTANTS[name]
        if name in _CALLS:
            raise Refused(f"{name} without its arguments")
        if not _SYMBOL.fullmatch(name):
            raise Refused(
                f"symbol {name[:40]!r}: want a letter, then at most 19 letters, digits"
                " and underscores"
            )
        self.names.add(name)
        if len(self.names) > SYMBOLS:
            raise Refused(f"more than {SYMBOLS} symbols")
        return self.known.get(name) or sp.Symbol(name, real=True)

    def _unary(self, node):
        if isinstance(node.op, ast.Invert):
            return sp.Not(self.condition(node.operand))
        if isinstance(node.op, ast.USub):
            return _product([sp.S.NegativeOne, self.number(node.operand)])
        if isinstance(node.op, ast.UAdd):
            return self.number(node.operand)
        raise Refused(f"{_what(node)} at character {node.col_offset}; want ~")

    def _binary(self, node):
        for operators, build in _CHAINS:
            if isinstance(node.op, operators):
                return build(self, _chain(node, operators))
        if isinstance(node.op, ast.Pow):
            return _power(self.number(node.left), self.number(node.right))
        raise Refused(f"{_what(node)} at character {node.col_offset}")

    def _sum(self, links):
        terms = [(operator, self.number(operand)) for operator, operand in links]
        return _sum([
            _product([sp.S.NegativeOne, term]) if operator is ast.Sub else term
            for operator, term in terms
        ])  # fmt: skip

    def _multiply(self, links):
        factors = [(operator, self.number(operand)) for operator, operand in links]
        return _product([
            _power(factor, sp.S.NegativeOne) if operator is ast.Div else factor
            for operator, factor in factors
        ])  # fmt: skip

    def _all(self, links):
        return sp.And(*self._conditions([operand for _, operand in links]))

    def _any(self, links):
        return sp.Or(*self._conditions([operand for _, operand in links]))

    def _conditions(self, nodes):
        return [self.condition(node) for node in self._few(nodes, "a condition")]

    def _compare(self, node):
        operands = self._few([node.left, *node.comparators], "a comparison")
        operands = [self.number(operand) for operand in operands]
        relations = []
        for operator, left, right in zip(node.ops, operands, operands[1:]):
            if type(operator) not in _COMPARISONS:
                raise Refused(f"{_what(operator)} at character {node.col_offset}")
            relations.append(_relation(_COMPARISONS[type(operator)], left, right))
        return relations[0] if len(relations) == 1 else sp.And(*relations)

    def _braces(self, node):
        elements = self._few(node.elts, "a set")
        return sp.FiniteSet(*map(self.number, elements))

    def _call(self, node):
        name = _called(node)
        if name not in _CALLS:
            raise Refused(
                f"function {name or _what(node.func)!r}; want one of "
                f"{', '.join(sorted(_CALLS))}"
                + ("; is a symbol not declared real?" if name == "Derivative" else "")
            )
        build, fewest, most = _CALLS[name]
        return build(self, name, self._arguments(node, fewest, most))

    def _arguments(self, node, fewest, most):
        if node.keywords:
            raise Refused(f"{_called(node)} with keywords, want plain arguments")
        if not fewest <= len(node.args) <= most:
            wanted = fewest if fewest == most else f"{fewest} to {most}"
            raise Refused(
                f"{_called(node)} with {len(node.args)} arguments, want {wanted}"
            )
        return node.args

    def _few(self, nodes, what):
        if len(nodes) > ARGUMENTS:
            raise Refused(f"{what} of {len(nodes)} parts, want at most {ARGUMENTS}")
        return nodes

    # What `_CALLS` names: (name, nodes of the arguments) -> SymPy

    def _function(self, name, nodes):
        function = _FUNCTIONS[name][0]
        arguments = [self.number(node) for node in nodes]
        return function(*arguments, evaluate=False)

    def _root(self, name, nodes):
        return _power(self.number(nodes[0]), sp.Rational(1, 2 if name == "sqrt" else 3))

    def _relation(self, name, nodes):
        return _relation(_RELATIONS[name], *map(self.number, nodes))

    def _logic(self, name, nodes):
        return {"And": sp.And, "Or": sp.Or, "Not": sp.Not}[name](
            *map(self.condition, nodes)
        )

    def _piecewise(self, name, nodes):
        pairs = []
        for node in nodes:
            if not isinstance(node, ast.Tuple) or len(node.elts) != 2:
                raise Refused("Piecewise wants pairs (expression, condition)")
            value, condition = node.elts
            condition = self.condition(condition)
            # SymPy would multiply the pieces out, in exponential time.
            if condition.has(sp.Piecewise):
                raise Refused("Piecewise in a condition of another")
            pairs.append((self.number(value), condition))
        return sp.Piecewise(*pairs, evaluate=False)

    def _exact(self, name, nodes):
        parts = [self.number(node) for node in nodes]
        if not all(isinstance(part, sp.Integer) for part in parts):
            raise Refused(f"{name} wants integers")
        return sp.Rational(*parts)

    def _float(self, name, nodes):
        number = self.number(nodes[0])
        if not isinstance(number, (sp.Rational, sp.Float)):
            raise Refused("Float wants a number as it is written")
        return number if number.is_Float else sp.Float(number, precision=53)

    def _interval(self, name, nodes):
        low, high = (self._end(node) for node in nodes[:2])
        if name == "Interval":
            flags = [self.condition(node) for node in nodes[2:]]
            if not all(isinstance(flag, BooleanAtom) for flag in flags):
                raise Refused("Interval wants True or False after its two ends")
        else:
            flags = _INTERVALS[name.removeprefix("Interval.")]
        return sp.Interval(low, high, *map(bool, flags))

    def _end(self, node):
        """An end of an interval: SymPy compares the two, so it must be a plain one."""
        end = self.number(node)
        plain = (sp.Symbol, sp.Number, sp.NumberSymbol, sp.Add, sp.Mul, sp.Pow, sp.log,
                 sp.exp, sp.Max, sp.Min)  # fmt: skip
        parts = list(sp.preorder_traversal(end))
        for part in parts:
            if not isinstance(part, plain):
                raise Refused(f"{_short(part)} in an end of an interval")
            if isinstance(part, (sp.exp, sp.log)) and not part.args[0].is_Rational:
                raise Refused(f"{_short(part)} in an end of an interval")
        if len(parts) > 20:
            raise Refused("the end of an interval has more than 20 parts")
        return end

    def _finite(self, name, nodes):
        return sp.FiniteSet(*map(self.number, nodes))

    def _combined(self, name, nodes):
        return _SETS[name](*map(self.set, nodes), evaluate=False)

    def _complement(self, name, nodes):
        return sp.Complement(*map(self.set, nodes), evaluate=False)


_CALLS = {
    **{name: (_Reader._function, *counts) for name, (_, *counts) in _FUNCTIONS.items()},
    **dict.fromkeys(("sqrt", "cbrt"), (_Reader._root, 1, 1)),
    **dict.fromkeys(_RELATIONS, (_Reader._relation, 2, 2)),
    **dict.fromkeys(("And", "Or"), (_Reader._logic, 1, ARGUMENTS)),
    "Not": (_Reader._logic, 1, 1),
    "Piecewise": (_Reader._piecewise, 1, ARGUMENTS),
    "Integer": (_Reader._exact, 1, 1),
    "Rational": (_Reader._exact, 1, 2),
    "Float": (_Reader._float, 1, 1),
    "Interval": (_Reader._interval, 2, 4),
    **{f"Interval.{name}": (_Reader._interval, 2, 2) for name in _INTERVALS},
    "FiniteSet": (_Reader._finite, 0, ARGUMENTS),
    **dict.fromkeys(_SETS, (_Reader._combined, 1, ARGUMENTS)),
    "Complement": (_Reader._complement, 2, 2),
}
_NODES = {
    ast.Constant: _Reader._constant,
    ast.Name: _Reader._name,
    ast.UnaryOp: _Reader._unary,
    ast.BinOp: _Reader._binary,
    ast.Compare: _Reader._compare,
    ast.Set: _Reader._braces,
    ast.Call: _Reader._call,
}
_CHAINS = (
    ((ast.Add, ast.Sub), _Reader._sum),
    ((ast.Mult, ast.Div), _Reader._multiply),
    ((ast.BitAnd,), _Reader._all),
    ((ast.BitOr,), _Reader._any),
)


def _called(node):
    """The name that a call calls; `Interval.open` counts as a name."""
    if not isinstance(node, ast.Call):
        return None
    function = node.func
    if isinstance(function, ast.Name):
        return function.id
    if (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "Interval"
        and function.attr in _INTERVALS
    ):
        return f"Interval.{function.attr}"
    return None


def _chain(node, operators):
    """`a + b - c` as [(Add, a), (Add, b), (Sub, c)]: a long sum is not a deep one."""
    links = []
    while isinstance(node, ast.BinOp) and isinstance(node.op, operators):
        links.append((type(node.op), node.right))
        node = node.left
    links.append((operators[0], node))
    return links[::-1]


def _sum(terms):
    _finite_or_numbers(terms)
    return sp.Add(*terms)


def _product(factors):
    _finite_or_numbers(factors)
    if any(factor.is_zero for factor in factors if factor.is_Number):
        # SymPy would ask each factor whether it is finite, which can take long.
        if not any(factor in _INFINITE for factor in factors):
            return sp.S.Zero
    pieces = [part for factor in factors for part in _pieces(factor)]
    if len(set(pieces)) < len(pieces):
        raise Refused(_NO_POWER)
    return sp.Mul(*factors)


_NO_POWER = "a power of a Piecewise: SymPy writes it as one Piecewise"


def _pieces(factor):
    return [part for part in sp.Mul.make_args(factor) if isinstance(part, sp.Piecewise)]


def _finite_or_numbers(parts):
    if any(part in _INFINITE for part in parts):
        if not all(part.is_Number or part in _INFINITE for part in parts):
            raise Refused("oo, zoo or nan in arithmetic with symbols")


def _power(base, exponent):
    _finite_or_numbers([base, exponent])
    if exponent in _INFINITE:
        raise Refused(f"the exponent {exponent}")
    if not exponent.is_Number:
        return sp.Pow(base, exponent, evaluate=False)
    if base in _INFINITE:
        return sp.Pow(base, exponent)
    if _pieces(base):  # SymPy would evaluate its pieces again, which can take long
        raise Refused(_NO_POWER)
    bits = _bits(base) * abs(exponent)
    if bits > BITS:
        raise Refused(f"a power of more than {BITS} bits: the exponent {_short(exponent)}")
    if exponent.is_Integer or (base.is_Number and _bits(exponent) <= 40):
        return sp.Pow(base, exponent)
    return sp.Pow(base, exponent, evaluate=False)


def _bits(expression):
    """How many bits the numbers in it have together."""
    bits = 0
    for number in expression.atoms(sp.Number) - _INFINITE:
        if number.is_Rational:
            bits += number.p.bit_length() + number.q.bit_length() - 1
        else:
            bits += abs(sum(number._mpf_[2:]))  # exponent and length of the mantissa
    return max(bits, 1)


def _relation(relation, left, right):
    numbers = left.is_Number and right.is_Number and sp.nan not in (left, right)
    return relation(left, right, evaluate=bool(numbers))


def _checked(result):
    """The result, if what a test may do with it stays cheap."""
    if isinstance(result, list):
        return [_checked(entry) for entry in result]
    cases, exponents = _depths(result)
    if cases > CASES:
        raise Refused(f"more than {CASES} of Max, Abs, Piecewise, ... in each other")
    if exponents > 1:
        raise Refused("an exponential in the exponent of another")
    for part in sp.preorder_traversal(result):
        if part.is_Number:
            if part not in _INFINITE and _bits(part) > 2 * BITS:
                raise Refused(f"a number of more than {2 * BITS} bits")
        elif isinstance(part, sp.Pow) and part.exp.is_Number:
            if not part.base.is_Number and abs(part.exp) > POWER:
                raise Refused(f"the exponent {_short(part.exp)}, want at most {POWER}")
        elif isinstance(part, (sp.Pow, *_EXPONENTIAL)):
            exponent = part.exp if isinstance(part, sp.Pow) else part.args[0]
            for number in exponent.atoms(sp.Number):
                if abs(number) > IN_EXPONENT:
                    raise Refused(
                        f"{_short(number)} in an exponent, want at most {IN_EXPONENT}"
                    )
        elif isinstance(part, _COSTLY_IF_LARGE):
            if any(_depths(argument)[1] for argument in part.args):
                raise Refused(f"an exponential in {part.func}")
    return result


def _depths(expression):
    """How deep Max, Piecewise, ... and exponentials are nested, each for itself."""
    inner = [_depths(argument) for argument in expression.args]
    cases = max((depth for depth, _ in inner), default=0)
    exponents = max((depth for _, depth in inner), default=0)
    is_power = isinstance(expression, sp.Pow) and not expression.exp.is_Number
    return (
        cases + isinstance(expression, _BY_CASES),
        exponents + (is_power or isinstance(expression, _EXPONENTIAL)),
    )


def _what(node):
    """A few words for a node that is not allowed."""
    if isinstance(node, ast.Attribute):
        return f"attribute {node.attr[:40]!r}"
    if isinstance(node, ast.Constant):
        return f"a {type(node.value).__name__}"
    return f"{type(node).__name__}"


def _short(value):
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
