"""The largest of several lines: what one maxout unit can compute, and how well.

Chapter "Maxout" introduces everything here. `relubook.regions.maxout_regions` does for
two inputs what `upper_envelope` does for one.
"""

from dataclasses import dataclass
from fractions import Fraction
from numbers import Rational

import numpy as np
from scipy.optimize import brentq

from relubook._arguments import finite, positive_integer

_GRID = 2049  # points at which a function is asked whether it is convex
_STEPS = np.linspace(0, 1, 257)
_PRECISION = 1e-12  # of the error, relative to that of one line

_ROUNDING = 16 * np.finfo(float).eps  # in a sum of values of f, relative to them


@dataclass(frozen=True)
class Envelope:
    """The pieces of the largest of several lines, from left to right.

    pieces: indices of the lines that lead on an interval. Their slopes increase.
    breakpoints: exact, where one leader hands over to the next; one fewer than pieces.
    """

    pieces: tuple[int, ...]
    breakpoints: tuple[Fraction, ...]


def upper_envelope(slopes, intercepts):
    r"""The pieces and breakpoints of $\max_j (s_j x + c_j)$, exactly.

    A line that leads nowhere, or at one point only, is left out; of equal lines the
    first one is kept, as `layers.maxout` has it. Floats are taken for the fractions that
    they are, so no rounding decides which lines lead.

    slopes, intercepts: as many integers, fractions (SymPy's too) or finite floats, at
    least one -> `Envelope`.

    Raises ValueError for none, for different numbers of them, NaN and infinities, and
    TypeError for what is no rational number.

    >>> upper_envelope([-1, 0, 1, 2], [0, -3, 0, -1])  # |x|, and 2x - 1 from 1 on
    Envelope(pieces=(0, 2, 3), breakpoints=(Fraction(0, 1), Fraction(1, 1)))

    Reference: Goodfellow, Warde-Farley, Mirza, Courville and Bengio, "Maxout
    Networks" (2013).
    """
    slopes = _fractions("slopes", slopes)
    intercepts = _fractions("intercepts", intercepts)
    if not slopes or len(slopes) != len(intercepts):
        raise ValueError(
            f"slopes has {len(slopes)} entries and intercepts has {len(intercepts)},"
            " want the same number, at least 1"
        )

    def crossing(i, j):
        return (intercepts[i] - intercepts[j]) / (slopes[j] - slopes[i])

    highest = {}
    for i, slope in enumerate(slopes):
        if slope not in highest or intercepts[i] > intercepts[highest[slope]]:
            highest[slope] = i

    leaders, breakpoints = [], []
    for _, i in sorted(highest.items()):
        while breakpoints and crossing(leaders[-1], i) <= breakpoints[-1]:
            leaders.pop()
            breakpoints.pop()
        if leaders:
            breakpoints.append(crossing(leaders[-1], i))
        leaders.append(i)
    return Envelope(tuple(leaders), tuple(breakpoints))


@dataclass(frozen=True, eq=False)
class ConvexFit:
    """The largest of several affine functions; called with x, its value there.

    slopes, intercepts: float64 [pieces], slopes increasing.
    knots: float64 [pieces + 1]; piece j leads on [knots[j], knots[j + 1]].
    error: the largest distance to the function on the whole interval.
    """

    slopes: np.ndarray
    intercepts: np.ndarray
    knots: np.ndarray
    error: float

    def __call__(self, x):
        lines = np.multiply.outer(np.asarray(x, float), self.slopes) + self.intercepts
        return lines.max(axis=-1)


def fit_convex(f, interval, num_pieces):
    r"""The best approximation of a convex function by the largest of k affine ones.

    $$\min_{s, c} \; \max_{low \le x \le high} \; \bigl| f(x) - \max_j (s_j x + c_j)
    \bigr|$$

    The best line on one piece is parallel to the chord and half the greatest distance
    below it: the error is +e at both ends and -e between. Where the e of all pieces
    agree, neighbours meet at the knots, and no other choice does better. So e is
    sought at which pieces, each as long as e allows, arrive at the end with the k-th.

    f: a function of an array [n] that returns [n], convex and continuous on the closed
    interval (low, high), such as a record of the catalogue. num_pieces: k >= 1. Returns
    a `ConvexFit` of k pieces, or fewer where fewer fit as well as float64 can tell: to
    1e-12 of the error of a single line, or to the rounding of f's values, 4e-15 of the
    largest; 1e-8 of it where f has kinks. For x² on [-1, 1] the error is 1 / (2 k²).

    Raises ValueError for an f that is not convex on a grid of 2049 points, not finite
    or of another shape there, an interval that is not low < high, and a num_pieces that
    is no positive integer; TypeError for an f that cannot be called.

    >>> fit = fit_convex(np.square, (-1, 1), num_pieces=4)
    >>> fit.slopes.round(6).tolist(), round(fit.error, 12)
    ([-1.5, -0.5, 0.5, 1.5], 0.03125)

    Reference: chapter "Maxout", which proves it.
    """
    num_pieces = positive_integer("num_pieces", num_pieces)
    low, high = _interval(interval)
    scale = _demand_convex(f, low, high) or 1.0

    def heights(x):
        return np.asarray(f(x), float) / scale

    def error(a, b):
        """Of the best line on [a, b]: half of how far f sags below the chord."""
        ends = heights(np.array([a, b]))
        rise = (ends[1] - ends[0]) / (b - a) if a < b else 0.0
        left, right = a, b
        for _ in range(4):  # zoom in on the place: to 1e-8 of the piece
            x = left + (right - left) * _STEPS
            sag = ends[0] + rise * (x - a) - heights(x)
            lowest = int(sag.argmax())
            left, right = x[max(lowest - 1, 0)], x[min(lowest + 1, len(x) - 1)]
        return max(0.0, sag[lowest].item() / 2)

    def knots_for(e):
        """Pieces from the left, each as long as e allows; the last takes the rest."""
        knots = [low]
        for _ in range(num_pieces - 1):
            a = knots[-1]
            if error(a, high) <= e:
                break
            knots.append(brentq(lambda b: error(a, b) - e, a, high, rtol=1e-14,
                                xtol=1e-14 * (high - low)))
        return [*knots, high]

    def excess(e):
        knots = knots_for(e)
        return (error(*knots[-2:]) if len(knots) > num_pieces else 0) - e

    largest = error(low, high)
    allowed = max(_PRECISION * largest, _ROUNDING)
    if largest > allowed and excess(allowed) > 0:
        allowed = brentq(excess, allowed, largest, rtol=_PRECISION, xtol=_ROUNDING)
    knots = np.array(knots_for(allowed))
    values = scale * heights(knots)
    slopes = np.diff(values) / np.diff(knots)
    found = scale * max(error(*ends) for ends in zip(knots, knots[1:]))
    return ConvexFit(slopes, values[:-1] - slopes * knots[:-1] - found, knots, found)


def _fractions(name, values):
    """The values as Fractions."""
    if isinstance(values, str) or not np.iterable(values):
        raise TypeError(f"{name} is {values!r}, want a sequence of numbers")
    return [_fraction(f"{name}[{i}]", value) for i, value in enumerate(values)]


def _fraction(name, value):
    if isinstance(value, np.generic) or getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        raise ValueError(f"{name} is {value}, want a finite number")
    if isinstance(value, bool) or not isinstance(value, (Rational, float)):
        raise TypeError(
            f"{name} is {value!r}, want an integer, a fraction or a float"
        )
    if isinstance(value, Rational):
        return Fraction(int(value.numerator), int(value.denominator))
    return Fraction(value)


def _interval(interval):
    interval = finite("interval", interval)
    if interval.shape != (2,) or interval[0] >= interval[1]:
        raise ValueError(f"interval={interval.tolist()}, want (low, high), low < high")
    return interval.tolist()


def _demand_convex(f, low, high):
    """The largest |f| on a grid, if f is convex there."""
    if not callable(f):
        raise TypeError(f"f is {f!r}, want a function of an array")
    x = np.linspace(low, high, _GRID)
    with np.errstate(all="ignore"):
        values = np.asarray(f(x))
    if values.shape != x.shape:
        raise ValueError(
            f"f returns shape {values.shape} for {x.shape}, want the same shape"
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ValueError(
            f"f({x[bad[0]]:g}) is {values[bad[0]]}, want a function that is finite on"
            " the closed interval"
        )
    scale = float(np.abs(values).max())
    # What rounding f and the sum may do; a bend this small changes no fit.
    sag = values[1:-1] - (values[:-2] + values[2:]) / 2
    worst = int(np.argmax(sag))
    if sag[worst] > _ROUNDING * scale:
        raise ValueError(
            f"f is not convex: at {x[worst + 1]:g} it is {sag[worst]:.2g} above the"
            f" chord from {x[worst]:g} to {x[worst + 2]:g}; want a convex function"
        )
    return scale
