"""Worked derivations of one-sided derivatives, line by line."""

import textwrap
from dataclasses import dataclass, replace
from typing import NamedTuple

import sympy as sp

from relubook.calculus.expansions import (
    Discontinuous,
    NoSlope,
    OutsideDomain,
    Undecided,
)
from relubook.calculus.slopes import checked, one_sided_derivative
from relubook.calculus.substitution import Approach, approach, value_at


def derivation(f, z, at):
    r"""The one-sided derivatives of $f$ at `z = at`, with every step that leads there.

    The difference quotient, the substitution $z = a \pm h$ with $h > 0$, the branch
    that holds and why, the simplified quotient, its limit, and whether the two sides
    agree. A side without a slope (the domain ends, a jump, no limit) says so. It shows
    itself as Markdown with LaTeX in a notebook, as text in a terminal.

    What is shown was found by substitution and agrees with `one_sided_derivative`.
    Raises `Undecided` where neither method decides, or the two disagree;
    `OutsideDomain` where `f` is undefined at the point; else as `one_sided_derivative`.

    >>> z = sp.Symbol("z", real=True)
    >>> print(derivation(sp.Max(0, z), z, 0))
      f(z) = Max(0, z)
    At z = 0 it is f(0) = 0.
    <BLANKLINE>
    From the right, put z = h with small h > 0.
      h > 0, so Max(0, h) = h.
      (f(h) - f(0)) / h = (h - 0) / h
                        = 1
                        -> 1  as h -> 0
    <BLANKLINE>
    From the left, put z = -h with small h > 0.
      -h < 0, so Max(0, -h) = 0.
      (f(-h) - f(0)) / (-h) = (0 - 0) / (-h)
                            = 0
                            -> 0  as h -> 0
    <BLANKLINE>
    The left derivative is 0, the right one 1: f has a kink at 0 and no derivative
    there.

    Reference: Apostol (1967), "Calculus", volume 1, section 4.3.
    """
    f, at = checked(f, z, at)
    value = value_at(f, z, at)
    left, right = (
        _confirmed(approach(f, z, at, side, value), f, z, at)
        for side in ("left", "right")
    )
    return Derivation(f, z, at, value, left, right)


@dataclass(frozen=True, repr=False)
class Derivation:
    """A worked derivation; `left` and `right` hold the steps, `slopes` the results.

    A slope is None where there is none. `str` is the text, a notebook shows Markdown.
    """

    f: sp.Expr
    z: sp.Symbol
    at: sp.Expr
    value: sp.Expr
    left: Approach
    right: Approach

    @property
    def slopes(self):
        return self.left.slope, self.right.slope

    def __str__(self):
        return _text(_story(self))

    __repr__ = __str__

    def _repr_markdown_(self):
        return _markdown(_story(self))


def _confirmed(found, f, z, at):
    """The approach as the other method confirms it."""
    try:
        slope, error = one_sided_derivative(f, z, at, found.side), None
    except (Undecided, OutsideDomain, Discontinuous, NoSlope) as raised:
        slope, error = None, raised
    if isinstance(found.error, Undecided):
        if isinstance(error, Undecided):
            raise error
        return replace(found, quotient=None, slope=slope, error=error)
    if isinstance(error, Undecided) or _same(found, slope, error):
        return found
    raise Undecided(
        f"cannot decide the slope of {f} at {z} = {at} from the {found.side}: "
        f"the rules say {slope if error is None else error}, the substituted limit "
        f"{found.slope if found.error is None else found.error}"
    )


def _same(found, slope, error):
    if error is not None or found.error is not None:
        return type(error) is type(found.error)
    return _equal(found.slope, slope) is True


def _equal(a, b):
    """True, False, or the condition on the parameters under which they are equal."""
    if a.is_infinite or b.is_infinite:
        return a == b
    difference = sp.simplify(a - b)
    if difference.is_zero is not None:
        return difference.is_zero
    if not difference.free_symbols:
        return difference.equals(0)
    return sp.Eq(a, b)


# The story is told once, for both renderings: paragraphs of words and `_Math`, and
# `_Lines` of formulas whose first relations stand below each other.


class _Math(NamedTuple):
    latex: str
    text: str

    def __add__(self, other):
        return _Math(self.latex + other.latex, self.text + other.text)


class _Lines(NamedTuple):
    lines: tuple  # of (left, relation, right)


class _Item(NamedTuple):
    words: tuple


def _story(d):
    name, start = _math(d.at), _of(_math(d.at))
    yield _Lines(((_of(_math(d.z)), "=", _definition(d.f)),))
    where = _math(d.z) + _same_in_both(" = ") + name
    yield "At ", where, " it is ", start + _same_in_both(" = ") + _math(d.value), "."
    for side in d.right, d.left:
        yield ()
        yield from _side(d, side)
    yield ()
    yield tuple(_conclusion(d, name))


def _side(d, side):
    h = _math(side.h)
    point = _point(d.at, side)
    put = _math(d.z) + _same_in_both(" = ") + point
    positive = h + _same_in_both(" > 0")
    yield f"**From the {side.side}**", ", put ", put, " with small ", positive, "."
    whole = False
    for remark in side.remarks:
        whole = remark.before is None and remark.after == side.near
        yield _Item(_reason(remark, _of(point) if whole else None))
    yield from _end(d, side, point, h)


def _reason(remark, whole):
    words = []
    for left, sign, right in map(_point_first, remark.facts):
        relation = _same_in_both({1: " > ", 0: " = ", -1: " < "}[sign])
        words += [", " if words else "", _math(left) + relation + _math(right)]
    if whole is None and remark.before is None:
        return *words, ", so the branch is ", _math(remark.after), "."
    before = _math(remark.before) if whole is None else whole
    return *words, ", so ", before + _same_in_both(" = ") + _math(remark.after), "."


def _point_first(fact):
    left, sign, right = fact
    return fact if left.free_symbols - right.free_symbols else (right, -sign, left)


def _end(d, side, point, h):
    """How one side ends: in a limit or without one."""
    none = f"there is no {side.side} derivative."
    if isinstance(side.error, OutsideDomain):
        yield _of(point), " is not defined: ", none
    elif isinstance(side.error, Discontinuous):
        if side.limit is not None and side.limit.is_real:
            yield _Lines((
                (_of(point), "=", _math(side.near)),
                (None, "->", _tends(side.limit, h)),
            ))
            start = _of(_math(d.at)) + _same_in_both(" = ") + _math(d.value)
            yield "But ", start, ": the function jumps, so ", none
        else:
            yield _of(point), " has no finite limit: ", none
    elif side.quotient is None:
        yield from _by_the_rules(side, none)
    else:
        yield _Lines(tuple(_quotient_lines(d, side, point, h)))
        yield from _why(side, none)


def _by_the_rules(side, none):
    yield ("The quotient's limit is not one that SymPy finds.",)
    if side.error is not None:
        yield "By the rules for one-sided derivatives, ", none
    else:
        slope = _math(side.slope)
        yield "By the rules for one-sided derivatives it is ", slope, "."


def _quotient_lines(d, side, point, h):
    step = h if side.side == "right" else _Math(f"-{h.latex}", f"(-{h.text})")
    change = _of(point) + _same_in_both(" - ") + _of(_math(d.at))
    put_in = _math(side.near) + _same_in_both(" - ") + _in_brackets(d.value)
    yield _over(change, step), "=", _over(put_in, step)
    if _over(put_in, step) != _math(side.quotient):
        yield None, "=", _math(side.quotient)
    if side.slope is not None:
        yield None, "->", _tends(side.slope, h)


def _tends(limit, h):
    return _math(limit) + _Math(
        rf" \quad \text{{as }} {h.latex} \to 0", f"  as {h.text} -> 0"
    )


def _why(side, none):
    if side.derivatives is not None:
        tends = _Math(r" \to ", " -> ") + _math(side.slope)
        yield (
            "Its numerator and denominator tend to 0; their derivatives have the "
            "quotient ", _math(side.derivatives) + tends, " (l'Hôpital's rule).",
        )  # fmt: skip
    if side.witnesses:
        (wave, first, one), (_, second, other) = side.witnesses
        whole = _Math(r" + 2 \pi k", " + 2*pi*k")
        wave = _math(wave) + _same_in_both(" = ")
        yield (
            "Where ", wave + _math(first) + whole, " with integers ",
            _same_in_both("k"), ", it tends to ", _math(one), "; where ",
            wave + _math(second) + whole, ", to ", _math(other), ": ", none,
        )  # fmt: skip


def _conclusion(d, at):
    left, right = d.slopes
    f = _same_in_both("f")
    if left is None and right is None:
        return f, " has no one-sided derivative at ", at, "."
    if left is None or right is None:
        side, slope = ("right", right) if left is None else ("left", left)
        return f, f" has a {side} derivative alone at ", at, ": ", _math(slope), "."
    equal = _equal(left, right)
    vertical = left.is_infinite and right.is_infinite
    if equal is True and vertical:
        return "Both one-sided derivatives are ", _math(left), ": a vertical tangent."
    if equal is True:
        slope = _Math("f'", "f'") + _brackets(at) + _same_in_both(" = ") + _math(right)
        return "Both one-sided derivatives agree: ", slope, "."
    both = "The left derivative is ", _math(left), ", the right one ", _math(right)
    if equal is False:
        what = "cusp" if vertical else "kink"
        return *both, ": ", f, f" has a {what} at ", at, " and no derivative there."
    equation = _math(left) + _same_in_both(" = ") + _math(right)
    return *both, ": ", f, " has a kink at ", at, " unless ", equation, "."


def _math(e):
    from relubook.activations import latex  # the catalogue imports the calculus

    short = e.replace(
        lambda part: part.is_Rational and part.q > 10**6, lambda part: sp.Float(part, 5)
    )
    return _Math(latex(e), sp.sstr(short))


def _definition(f):
    if not isinstance(f, sp.Piecewise):
        return _math(f)
    rows = [
        f"{_math(branch).text}  {_if(condition)}"
        for branch, condition in f.args
    ]
    return _Math(_math(f).latex, "\n".join(rows))


def _if(condition):
    if condition == sp.true:
        return "otherwise"
    return f"if {condition.canonical if condition.is_Relational else condition}"


def _same_in_both(symbols):
    return _Math(symbols, symbols)


def _brackets(inside):
    return _Math(rf"\left({inside.latex}\right)", f"({inside.text})")


def _of(inside):
    return _same_in_both("f") + _brackets(inside)


def _in_brackets(value):
    shown = _math(value)
    alone = value.is_Add or value.is_Piecewise or shown.text.startswith("-")
    return _brackets(shown) if alone else shown


def _point(at, side):
    sign = "+" if side.side == "right" else "-"
    if at == 0:
        return _math(side.point)
    return _math(at) + _same_in_both(f" {sign} ") + _math(side.h)


def _over(top, bottom):
    return _Math(
        rf"\frac{{{top.latex}}}{{{bottom.latex}}}", f"({top.text}) / {bottom.text}"
    )


def _text(story):
    return "\n".join(_text_block(block) for block in story)


def _text_block(block):
    if isinstance(block, _Lines):
        return _text_lines(block.lines)
    words = block.words if isinstance(block, _Item) else block
    line = "".join(w.text if isinstance(w, _Math) else w.strip("*") for w in words)
    if isinstance(block, _Item):
        return textwrap.fill(line, 80, initial_indent="  ", subsequent_indent="    ")
    return textwrap.fill(line, 80)


def _text_lines(lines):
    width = max(len(left.text) for left, _, _ in lines if left is not None)
    rows = []
    for left, relation, right in lines:
        start = f"  {left.text if left else '':<{width}} {relation} "
        rows.append(start + right.text.replace("\n", "\n" + " " * len(start)))
    return "\n".join(rows)


def _markdown(story):
    return "\n\n".join(_markdown_block(block) for block in story if block)


def _markdown_block(block):
    if isinstance(block, _Lines):
        rows = r" \\ ".join(
            rf"{left.latex if left else ''} &{_ARROWS[relation]} {right.latex}"
            for left, relation, right in block.lines
        )
        return rf"$$\begin{{aligned}} {rows} \end{{aligned}}$$"
    words = block.words if isinstance(block, _Item) else block
    line = "".join(f"${w.latex}$" if isinstance(w, _Math) else w for w in words)
    return f"- {line}" if isinstance(block, _Item) else line


_ARROWS = {"=": "=", "->": r"\to"}
