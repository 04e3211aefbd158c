"""Speed of the NumPy activations and of what one might write instead.

Each number is the time as a multiple of `np.copyto(out, z)` on the same array: the
median, and in brackets the quartiles. Arrays of a million elements, and of 16 million
(beyond any cache) for the functions that the book compares. `np.where` and torch
allocate their result, which the large arrays show.
"""

import os
import platform

import numpy as np
import scipy.special

from benchmarks._timing import ratios
from relubook.activations import CATALOGUE

MILLION, LARGE = 1 << 20, 1 << 24
LARGE_TOO = {"relu", "softplus", "elu"}

# What one might write instead; each (z, out).
ALTERNATIVES = {
    "relu: np.maximum(z, 0)": lambda z, out: np.maximum(z, 0, out=out),
    "relu: np.where(z > 0, z, 0)": lambda z, out: np.where(z > 0, z, 0),
    "relu: z * (z > 0)": lambda z, out: np.multiply(z, z > 0, out=out),
    "softplus: np.logaddexp(0, z)": lambda z, out: np.logaddexp(0, z, out=out),
    "softplus: log(1 + exp(z)), naive": lambda z, out: np.log(1 + np.exp(z), out=out),
    "softplus: -scipy.special.log_expit(-z)": lambda z, out: np.negative(
        scipy.special.log_expit(-z), out=out
    ),
    "elu: np.where(z > 0, z, exp(z) - 1), naive": lambda z, out: np.where(
        z > 0, z, np.exp(z) - 1
    ),
    "sigmoid: scipy.special.expit": lambda z, out: scipy.special.expit(z, out=out),
}
TORCH = ("relu", "leaky_relu", "softplus", "elu", "sigmoid", "tanh", "gelu", "silu")


def main():
    print(f"NumPy {np.__version__}, SciPy {scipy.__version__}, {platform.machine()}, "
          f"{os.cpu_count()} CPUs, features {', '.join(features())}\n")
    columns = {
        f"{dtype}, {size >> 20} Mi": measure(dtype, size, repeats)
        for size, repeats in ((MILLION, 5), (LARGE, 3))
        for dtype in ("float32", "float64")
    }
    print(f"| times a copy | {' | '.join(columns)} |")
    print(f"|---|{'--:|' * len(columns)}")
    for name in next(iter(columns.values())):
        cells = (cell(column.get(name)) for column in columns.values())
        print(f"| {name} | {' | '.join(cells)} |")


def features():
    """The vector extensions that NumPy uses here; its speed hangs on them."""
    found = np.show_config(mode="dicts")["SIMD Extensions"]
    return [*found["baseline"], *found.get("found", [])]


def measure(dtype, size, repeats):
    z = np.random.default_rng(0).normal(scale=3, size=size).astype(dtype)
    out = np.empty_like(z)
    functions = {
        name: lambda f=f: f(z, out)
        for name, f in (catalogue() | ALTERNATIVES | torch_functions()).items()
        if size == MILLION or set(name.split(": ")) & LARGE_TOO
    }
    return ratios(functions, lambda: np.copyto(out, z), repeats)


def catalogue():
    return {
        name: lambda z, out, activation=activation: activation(z, out)
        for name, activation in CATALOGUE.items()
    }


def torch_functions():
    """torch's modules on the same memory, in one thread; none without torch."""
    try:
        import torch
    except ModuleNotFoundError:
        return {}
    torch.set_num_threads(1)
    functions = {}
    for name in TORCH:
        module = CATALOGUE[name].torch_module()

        def function(z, out, module=module):
            with torch.inference_mode():
                module(torch.from_numpy(z))

        functions[f"{name}: {CATALOGUE[name].module}"] = function
    return functions


def cell(quartiles):
    if quartiles is None:
        return ""
    low, median, high = (f"{q:.1f}" if q < 10 else f"{q:.0f}" for q in quartiles)
    return f"{median} ({low}–{high})"


if __name__ == "__main__":
    main()
