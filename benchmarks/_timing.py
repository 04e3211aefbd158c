"""Time functions as ratios to a yardstick measured in the same breath."""

import time

import numpy as np


def ratios(functions, yardstick, repeats, least=1e-3):
    """Quartiles of each function's time over the yardstick's: name -> (25, 50, 75 %).

    Function and yardstick take turns, each called often enough to fill `least` seconds,
    so that a neighbour on the machine slows both. Nothing here is an absolute time.
    """
    calls = {f: _calls(f, least) for f in (*functions.values(), yardstick)}
    samples = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            unit = _seconds(yardstick, calls[yardstick])
            samples[name].append(_seconds(function, calls[function]) / unit)
    return {name: np.quantile(s, [0.25, 0.5, 0.75]) for name, s in samples.items()}


def _calls(function, least):
    function()  # the first call may allocate or compile
    return max(1, round(least / _seconds(function, 1)))


def _seconds(function, calls):
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return (time.perf_counter() - start) / calls
