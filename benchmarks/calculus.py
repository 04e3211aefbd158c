"""Time of the calculus on the catalogue, and of SymPy's limit as the alternative.

For each function of `relubook.calculus` and each activation with symbolic parameters:
milliseconds of a first call (all caches emptied) and of a second one, the median over
the catalogue and the slowest entry. The last column is the time of the difference
quotient's limit by SymPy (`substituted_limit`, both sides) as a multiple of
`one_sided_derivatives` on the same activation, in the same breath.
"""

import time

import numpy as np
import sympy as sp
from sympy.core.cache import clear_cache

from relubook import calculus
from relubook.activations import CATALOGUE, z
from relubook.calculus import expansions, ranges, zeros
from relubook.calculus.substitution import substituted_limit

REPEATS = 3
FUNCTIONS = {
    "one_sided_derivatives": lambda f: calculus.one_sided_derivatives(f, z, 0),
    "kinks": lambda f: calculus.kinks(f, z),
    "derivative": lambda f: calculus.derivative(f, z),
    "smoothness": lambda f: calculus.smoothness(f, z),
    "clarke_subdifferential": lambda f: calculus.clarke_subdifferential(f, z, 0),
    "second_derivative_distribution": lambda f: (
        calculus.second_derivative_distribution(f, z)
    ),
    "properties": lambda f: calculus.properties(f, z),
    "derivation": lambda f: calculus.derivation(f, z, 0),
    "SymPy: substituted_limit, both sides": lambda f: [
        substituted_limit(f, z, 0, side) for side in ("left", "right")
    ],
}


def main():
    print(f"SymPy {sp.__version__}, milliseconds, medians of {REPEATS}\n")
    print("| | first call: median | slowest | second call: median | slowest |")
    print("|---|--:|--:|--:|--:|")
    first_calls = {}
    for name, function in FUNCTIONS.items():
        first, second = measure(function)
        first_calls[name] = first
        print(f"| {name} | {summary(first)} | {summary(second)} |")
    ours, theirs = first_calls["one_sided_derivatives"], first_calls[[*FUNCTIONS][-1]]
    ratios = [theirs[name] / ours[name] for name in ours]
    low, median, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    print(f"\nSymPy's limit takes {median:.1f} times as long as "
          f"`one_sided_derivatives` (quartiles {low:.1f}–{high:.1f}).")


def measure(function):
    first, second = {}, {}
    for activation in CATALOGUE.values():
        f = activation.symbolic.formula
        times = [(cold(function, f), seconds(function, f)) for _ in range(REPEATS)]
        first[activation.name], second[activation.name] = np.median(times, axis=0) * 1e3
    return first, second


def cold(function, f):
    clear_cache()
    for module in (expansions, zeros, ranges):
        for cached in vars(module).values():
            if hasattr(cached, "cache_clear"):
                cached.cache_clear()
    return seconds(function, f)


def seconds(function, f):
    start = time.perf_counter()
    try:
        function(f)
    except calculus.Undecided:  # an answer like any other
        pass
    return time.perf_counter() - start


def summary(times):
    slowest = max(times, key=times.get)
    return f"{np.median([*times.values()]):.1f} | {times[slowest]:.1f} ({slowest})"


if __name__ == "__main__":
    main()
