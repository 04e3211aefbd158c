"""Where the tests of accuracy look, and what they compare with."""

import mpmath
import numpy as np


def sample(dtype, size):
    """About 20 `size` floats of both signs, subnormal to huge, dense where it hurts.

    It hurts where formulas change: near 0, where exp leaves 1 + exp unchanged (17 to
    40), where it underflows or overflows (87 to 104, 700 to 750).
    """
    info, rng = np.finfo(dtype), np.random.default_rng(0)
    tiny, largest = float(info.smallest_subnormal), float(info.max)
    magnitudes = np.concatenate([
        np.exp(np.linspace(np.log(tiny), np.log(1e-8), size)),
        np.exp(np.linspace(np.log(1e-8), np.log(1e3), 2 * size)),
        rng.uniform(0, 2, 2 * size),
        rng.uniform(2, 45, 3 * size),
        rng.uniform(80, 110, size),
        rng.uniform(690, 760, size),
        np.exp(np.linspace(np.log(1e3), np.log(largest / 2), 15)),
        [0, tiny, info.tiny, 1e-8, 17, 20, np.nextafter(20, 21), 40, largest],
    ]).astype(dtype)
    patterns = np.frombuffer(rng.bytes(100 * info.bits // 8), dtype)
    patterns = patterns[np.isfinite(patterns)]
    return np.concatenate([magnitudes, -magnitudes, patterns])


def gelu(x):
    """GELU of an mpmath number; the formula's 1 + erf wants hundreds of digits."""
    return x * _normal_cdf(x)


def gelu_slope(x):
    return _normal_cdf(x) + x * mpmath.exp(-x * x / 2) / mpmath.sqrt(2 * mpmath.pi)


def _normal_cdf(x):
    if abs(x) > 1000:  # mpmath's erfc stops at huge arguments
        return mpmath.mpf(x > 0)
    return mpmath.erfc(-x / mpmath.sqrt(2)) / 2
