"""How sure a comparison of trained networks can be, and how learning rates are chosen.

A member is one trained network. Members with the same seed share minibatches and
initial weights, so that two activations are compared seed by seed. No member is left
out silently: where one diverged or never got there, a function says what it does.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats


@dataclass(frozen=True)
class Interval:
    """An estimate from `n` seeds with its interval of confidence `level`.

    `method` names how the interval was found. For two samples with seeds of their own
    `n` holds both sizes. `value in interval` includes the ends.

    >>> interval = Interval(0.5, 0.25, 0.75, level=0.95, n=20, method="BCa")
    >>> print(interval)
    0.5 (95 % interval 0.25 to 0.75, n = 20, BCa)
    >>> 0.25 in interval, 1 in interval
    (True, False)
    """

    estimate: float
    low: float
    high: float
    level: float
    n: int | tuple[int, int]
    method: str

    def __contains__(self, value):
        return self.low <= value <= self.high

    def __str__(self):
        digits = _digits(self.estimate, self.low, self.high)
        return f"{self.estimate:.{digits}g} ({self._interval(digits)})"

    def overlaps(self, other):
        """Whether some value lies in both intervals, as a record and a rerun should.

        >>> here = Interval(0.5, 0.25, 0.75, level=0.95, n=20, method="BCa")
        >>> here.overlaps(Interval(0.9, 0.75, 0.95, level=0.95, n=20, method="BCa"))
        True
        """
        return self.low <= other.high and other.low <= self.high

    def _interval(self, digits):
        n = " and ".join(map(str, np.atleast_1d(self.n)))
        return (
            f"{100 * self.level:g} % interval {self.low:.{digits}g} to "
            f"{self.high:.{digits}g}, n = {n}, {self.method}"
        )


@dataclass(frozen=True)
class Difference(Interval):
    """A difference of two means; `p_value` tests that there is none."""

    p_value: float

    def __str__(self):
        return f"{super().__str__()}, p = {self.p_value:.2g}"


@dataclass(frozen=True)
class Equivalence(Interval):
    """A difference of two means against a `margin`.

    `p_value` tests that the difference is the margin or more, either way. `equivalent`
    False says that equivalence was not shown, not that a difference was.
    """

    margin: float
    p_value: float

    @property
    def equivalent(self) -> bool:
        """Whether the interval lies within -margin and margin, these left out."""
        return -self.margin < self.low and self.high < self.margin

    def __str__(self):
        verdict = "equivalent" if self.equivalent else "not shown equivalent"
        return (
            f"{super().__str__()}, {verdict} within {self.margin:g}, "
            f"p = {self.p_value:.2g}"
        )


@dataclass(frozen=True)
class TimeRatio(Interval):
    """A ratio of two median times; `never` counts the members that did not arrive.

    `bound` says what the ratio is to `estimate`: "=" that, ">" more, "<" less, or "?"
    where the data tell nothing and `estimate` is NaN.
    """

    bound: str
    never: tuple[int, int]

    def __str__(self):
        if self.bound == "?":
            text = f"undetermined ({self._interval(3)})"
        else:
            words = {"=": "", ">": "more than ", "<": "less than "}
            text = words[self.bound] + super().__str__()
        if any(self.never):
            text += ", {} and {} members never arrived".format(*self.never)
        return text


def minimum_seeds(level=0.95):
    """The fewest seeds for which an interval of this level is given.

    The smallest n with 2^(1 - n) <= 1 - level. Of n independent values all lie on one
    side of the median with probability 2^(1 - n); with fewer seeds not even the range
    of all values covers the median at that level, and any interval rests on what is
    assumed about the distribution alone. A comparison worth printing has 20 or more.

    Raises `ValueError` unless 0 < level < 1.

    >>> minimum_seeds(0.9), minimum_seeds(0.95), minimum_seeds(0.99)
    (5, 6, 8)
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; wanted a number between 0 and 1")
    return math.ceil(1 - math.log2(1 - level))


def bootstrap_interval(
    values, statistic=np.mean, *, level=0.95, method="BCa", n_resamples=9999, seed=0
):
    """The bootstrap interval of a statistic of independent values, an `Interval`.

    The n values are drawn again n at a time, with replacement, and the statistic is
    computed for each of `n_resamples` draws. "percentile" takes the quantiles of these
    at (1 - level)/2 and (1 + level)/2, "BCa" quantiles corrected for bias and
    skewness, "basic" mirrors the percentile ends at the estimate
    (`scipy.stats.bootstrap`). Assumes values that are independent and alike, not that
    they are normal. With few seeds the interval is too narrow: at 95 % BCa covers the
    mean of 20 normal values in 92 % of cases, of 10 in 90 %.

    `values [n]` holds a number for each seed; `statistic` maps an array `[..., n]` to
    `[...]` if it has an argument `axis`, else `[n]` to a number. Of values that are all
    equal, the interval is that point: it tells nothing of what more seeds would bring.
    Where BCa is not defined (the median among ties) the interval is the percentile one
    and its `method` says so. The draws follow from `seed`.

    Raises `ValueError` for fewer than `minimum_seeds(level)` values, NaN or inf (a
    diverged member: give it the value that divergence costs), an unknown method or a
    statistic that is not finite, `TypeError` for values that are not real numbers.

    >>> print(bootstrap_interval([3, 5, 4, 6, 2, 4, 5, 3, 4, 9]))
    4.5 (95 % interval 3.6 to 6, n = 10, BCa)

    Reference: Efron and Tibshirani (1993), An Introduction to the Bootstrap, ch. 14.
    """
    values = _finite("values", values)
    _enough("values", values, level)
    if method not in ("BCa", "percentile", "basic"):
        raise ValueError(
            f"method is {method!r}; wanted 'BCa', 'percentile' or 'basic'"
        )
    estimate = float(statistic(values))
    if not math.isfinite(estimate):
        raise ValueError(f"statistic gives {estimate} for values; wanted a number")
    if np.ptp(values) == 0:
        low = high = estimate
    else:
        low, high = _bootstrap(values, statistic, level, method, n_resamples, seed)
        if np.isnan(low) or np.isnan(high):
            method = "percentile"
            low, high = _bootstrap(values, statistic, level, method, n_resamples, seed)
    return Interval(estimate, float(low), float(high), level, len(values), method)


def difference(first, second, *, paired=True, level=0.95):
    """The difference of two means, first - second, by Student's t: a `Difference`.

    Paired, with d_i = first_i - second_i: mean(d) -+ t_(n-1) sd(d) / sqrt(n), the
    paired t-test. Unpaired, for seeds that have nothing in common: Welch's, which lets
    the variances differ. Assumes that the differences (unpaired: the values) are
    independent and that their mean is nearly normal; `bootstrap_interval` of the
    differences does without the second.

    `first [n]` and `second [n]` (unpaired: `[m]`) hold a number for each seed. Two
    Series are paired by their index, the seeds; anything else by position. Where
    differences are equal but for rounding, t is not defined: the interval is their
    range, and `p_value` 1 for no difference, else 2^(1 - n), the smallest that a test
    without assumptions can give (unpaired: 2 / binomial(n + m, n)).

    Raises `ValueError` for fewer than `minimum_seeds(level)` values, NaN or inf (a
    diverged member), unequal or repeated seeds in a paired comparison, `TypeError` for
    values that are not real numbers or a Series paired with something else.

    >>> relu = [0.91, 0.93, 0.92, 0.95, 0.90, 0.94]
    >>> tanh = [0.89, 0.92, 0.89, 0.93, 0.89, 0.93]
    >>> print(difference(relu, tanh))
    0.017 (95 % interval 0.0081 to 0.025, n = 6, paired t), p = 0.0041

    Reference: Student (1908), "The probable error of a mean"; Welch (1947), "The
    generalization of 'Student's' problem when several different population variances
    are involved".
    """
    first, second = _two_samples(first, second, paired, level)
    return Difference(
        **_t_interval(first, second, paired, level),
        p_value=_t_p_value(first, second, paired, 0.0, "two-sided"),
    )


def equivalence(first, second, margin, *, paired=True, alpha=0.05):
    """Whether two means differ by less than a margin: two one-sided t-tests (TOST).

    Returns an `Equivalence` with the interval of level 1 - 2 alpha for the mean of
    first - second. Both `mean <= -margin` and `mean >= margin` are rejected at alpha
    exactly if it lies within the margin; `p_value` is the larger of the two. The
    margin is the largest difference that does not matter, in the unit of the values,
    and is stated before the results are seen. Input, pairing, assumptions, errors and
    differences without spread are those of `difference`; `p_value` is then 2^(-n) or 1
    (unpaired: 1 / binomial(n + m, n) or 1).

    Raises `ValueError` also for a margin that is not a positive number and unless
    0 < alpha < 1/2.

    >>> relu = [0.91, 0.93, 0.92, 0.95, 0.90, 0.94]
    >>> gelu = [0.91, 0.92, 0.93, 0.95, 0.91, 0.94]
    >>> print(equivalence(relu, gelu, margin=0.01))  # doctest: +NORMALIZE_WHITESPACE
    -0.0017 (90 % interval -0.0079 to 0.0045, n = 6, paired t),
    equivalent within 0.01, p = 0.021

    Reference: Schuirmann (1987), "A comparison of the two one-sided tests procedure
    and the power approach for assessing the equivalence of average bioavailability".
    """
    if not 0 < margin < math.inf:
        raise ValueError(f"margin is {margin}; wanted a positive number")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha is {alpha}; wanted a number between 0 and 1/2")
    level = 1 - 2 * alpha
    first, second = _two_samples(first, second, paired, level)
    p_values = (
        _t_p_value(first, second, paired, -margin, "greater"),
        _t_p_value(first, second, paired, margin, "less"),
    )
    return Equivalence(
        **_t_interval(first, second, paired, level),
        margin=float(margin),
        p_value=max(p_values),
    )


def holm(p_values):
    """p-values corrected for their number by Holm's step-down method, as a Series.

    With the m p-values in ascending order, p_(1) <= ... <= p_(m), the j-th becomes
    max over i <= j of min(1, (m - i + 1) p_(i)). Rejecting where that is at most alpha
    makes the probability of even one false rejection at most alpha, whatever the
    dependence between the tests. `p_values` is a dict, a Series or a sequence, the
    result has its keys in its order.

    Raises `ValueError` for no p-values, NaN, or any outside of [0, 1], `TypeError` for
    others than real numbers.

    >>> holm({"elu": 0.01, "tanh": 0.04, "silu": 0.03, "gelu": 0.005}).to_dict()
    {'elu': 0.03, 'tanh': 0.06, 'silu': 0.06, 'gelu': 0.02}

    Reference: Holm (1979), "A simple sequentially rejective multiple test procedure".
    """
    p_values = pd.Series(p_values)
    numbers = _real("p_values", p_values)
    if not len(numbers) or not ((numbers >= 0) & (numbers <= 1)).all():
        wanted = "one or more numbers from 0 to 1"
        raise ValueError(f"p_values are {numbers.tolist()}; wanted {wanted}")
    order = np.argsort(numbers, kind="stable")
    steps = numbers[order] * np.arange(len(numbers), 0, -1)
    adjusted = np.empty_like(numbers)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return pd.Series(adjusted, index=p_values.index)


def times_to_threshold(results, metric, threshold, *, by="activation"):
    """When each member first reaches a threshold, as a DataFrame `[seeds, by]`.

    `results` has a row for each member and epoch, with columns `by`, seed, epoch and
    `metric`, whose name ends in loss or error (reached at the threshold or below) or
    in accuracy (at it or above). The time is the first epoch at which it is reached,
    inf if that never happens: later than the last epoch, which is `results["epoch"]
    .max()`. A member that diverged (`metric` not finite, or True in a column
    `diverged`) may end early; what it had not reached by then it never reached.

    Raises `ValueError` for unknown columns, an unknown kind of metric, several rows for
    one member and epoch, seeds that not every value of `by` has, a threshold that is
    not finite, and a member that ended early without having reached it or diverged.

    >>> results = pd.DataFrame({
    ...     "activation": "relu", "seed": [0, 0, 1, 1], "epoch": [1, 2, 1, 2],
    ...     "train_error": [0.4, 0.2, 0.5, 0.3],
    ... })
    >>> times_to_threshold(results, "train_error", 0.25)["relu"].to_dict()
    {0: 2.0, 1: inf}
    """
    if not math.isfinite(threshold):
        raise ValueError(f"threshold is {threshold}; wanted a finite number")
    sign = _sign(metric)
    table = _tidy(results, [by, "seed"], metric)
    reached = table[sign * table[metric] >= sign * threshold]
    members = table.groupby([by, "seed"], sort=False)
    times = reached.groupby([by, "seed"])["epoch"].min().astype(float)
    times = times.reindex(members["epoch"].max().index, fill_value=math.inf)
    end = table["epoch"].max()
    cut = np.isinf(times) & (members["epoch"].max() < end) & ~members["diverged"].any()
    if cut.any():
        member = members.get_group(times.index[cut][0])
        raise ValueError(
            f"results end before epoch {end} for {_describe(member, [by, 'seed'])}, "
            "which did not diverge; wanted a complete run"
        )
    times = times.unstack(by, sort=False)
    if times.isna().any(axis=None):
        counts = times.notna().sum().to_dict()
        raise ValueError(
            f"results hold different seeds by {by}: {counts} of {len(times)}; wanted "
            "the same seeds for each"
        )
    return times


def time_ratio(
    first, second, last_epoch, *, paired=True, level=0.95, n_resamples=9999, seed=0
):
    """The ratio of two median times, first over second, as a `TimeRatio`.

    The estimand is median(first) / median(second), where the time of a member that
    never arrived (inf) is unknown but later than `last_epoch`. The ratio is then known
    between two bounds: a median that needs such a time lies between the median with
    `last_epoch` in its place and inf. If half or more of the first never arrived, the
    estimate is a lower bound of the ratio (`bound` ">"), if of the second an upper
    bound ("<"), if of both there is none ("?").

    The interval: seeds are drawn again with replacement (paired: each with both of its
    times), both bounds are computed for each draw; its ends are the quantile of the
    lower bounds at (1 - level)/2 and of the upper bounds at (1 + level)/2. So it is
    never narrower than with all times known, and may reach to 0 or inf. At 95 % it
    covered the ratio for 20 simulated pairs (lognormal times, all known) in 98 % of
    cases, unpaired in 96 %, with unknown times in more. Assumes seeds that are
    independent and alike, and the same last epoch for all.

    `first [n]` and `second [n]` (unpaired: `[m]`) hold times, paired like those of
    `difference`; columns of `times_to_threshold` will do.

    Raises `ValueError` for fewer than `minimum_seeds(level)` times, a time that is NaN,
    not positive, or finite but after `last_epoch`, and as `difference` does.

    >>> tanh, relu = [9, 12, 15, np.inf, np.inf, np.inf, np.inf], [5, 4, 6, 5, 7, 5, 5]
    >>> ratio = time_ratio(tanh, relu, last_epoch=20)
    >>> print(ratio)  # doctest: +NORMALIZE_WHITESPACE
    more than 4 (95 % interval 2.4 to inf, n = 7, paired percentile),
    4 and 0 members never arrived

    Reference: the percentile interval is that of Efron and Tibshirani (1993), ch. 13;
    bounds in place of values that are not known follow Manski (2003), Partial
    Identification of Probability Distributions.
    """
    first, second = _align(first, second, paired)
    first = _times("first", first, last_epoch, level)
    second = _times("second", second, last_epoch, level)
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(first), size=(n_resamples, len(first)))
    others = draws
    if not paired:
        others = rng.integers(len(second), size=(n_resamples, len(second)))
    lower, upper = _ratio_bounds(first[draws], second[others], last_epoch)
    tail = (1 - level) / 2
    # These rules interpolate nowhere: between a number and inf there is no number.
    low = float(np.quantile(lower, tail, method="lower"))
    high = float(np.quantile(upper, 1 - tail, method="higher"))
    estimate, bound = _known(*_ratio_bounds(first, second, last_epoch))
    return TimeRatio(
        estimate, low, high, level,
        n=len(first) if paired else (len(first), len(second)),
        method="paired percentile" if paired else "percentile",
        bound=bound,
        never=(int(np.isinf(first).sum()), int(np.isinf(second).sum())),
    )


def select_learning_rates(results, metric="validation_loss", *, by="activation"):
    """The best learning rate for each activation, by validation data, as a DataFrame.

    `results` has a row for each member and epoch, with columns `by` (a name or a list
    of names), lr, seed, epoch and `metric`: validation_loss, validation_error (lower
    is better) or validation_accuracy. No other column is read but `diverged`, if there
    is one: the choice cannot depend on the test data. Seeds other than those of the
    comparison keep its intervals free of the choice.

    A learning rate is judged by the mean of `metric` over seeds at the last epoch. A
    member that diverged (`metric` not finite at some epoch, or True in `diverged`)
    counts more than any mean: the fewest diverged members come first, then the best
    mean of the others, then the lower learning rate. Every learning rate must have been
    tried with the same seeds and epochs, and by each activation as many of them, three
    or more; the grids may differ.

    Returns a row for each activation: `by`, lr, `metric` (that mean), seeds (how many),
    diverged (how many of them) and edge: "lowest" or "highest" where the choice ends
    its grid, so that a better one may lie beyond it, else "".

    Raises `ValueError` for a metric that is not of validation data, unknown columns,
    several rows for one member and epoch, an unequal budget, and an activation of which
    every member diverged.

    >>> results = pd.DataFrame({
    ...     "activation": "relu", "lr": [0.01, 0.1, 1.0], "seed": 0, "epoch": 5,
    ...     "validation_loss": [0.9, 0.4, np.nan],
    ... })
    >>> select_learning_rates(results).to_dict("records")  # doctest: +ELLIPSIS
    [{'activation': 'relu', 'lr': 0.1, 'validation_loss': 0.4, ... 'edge': ''}]
    """
    by = [by] if isinstance(by, str) else list(by)
    if not str(metric).startswith("validation"):
        raise ValueError(
            f"metric is {metric!r}; wanted a column of validation data, such as "
            "'validation_loss': learning rates are not chosen on other data"
        )
    sign = _sign(metric)
    table = _tidy(results, [*by, "lr", "seed"], metric)
    members = _last_rows(table, [*by, "lr", "seed"])
    _check_budget(members, by)
    members[metric] = members[metric].mask(members["diverged"])
    grid = members.groupby([*by, "lr"], sort=False, as_index=False).agg(
        **{metric: (metric, "mean")},  # of the members that did not diverge
        seeds=("seed", "size"),
        diverged=("diverged", "sum"),
    )
    chosen = []
    for _, rates in grid.groupby(by, sort=False):
        if (rates["diverged"] == rates["seeds"]).all():
            raise ValueError(
                f"every member of {_describe(rates, by)} diverged; wanted a learning "
                "rate that trains"
            )
        order = pd.DataFrame(
            {"diverged": rates["diverged"], "loss": -sign * rates[metric],
             "lr": rates["lr"]}
        ).sort_values(["diverged", "loss", "lr"])
        best = rates.loc[order.index[0]].to_dict()
        ends = {rates["lr"].min(): "lowest", rates["lr"].max(): "highest"}
        chosen.append({**best, "edge": ends.get(best["lr"], "")})
    return pd.DataFrame(chosen)


def _digits(*numbers):
    """Significant digits that show the width of an interval to two of them."""
    width = np.ptp(numbers)
    if not 0 < width < math.inf:
        return 3
    largest = max(map(abs, numbers))
    return max(2, 2 + math.floor(math.log10(largest)) - math.floor(math.log10(width)))


def _real(name, values):
    array = np.asarray(values)
    if array.dtype == object:  # a column that pandas made of Python numbers
        array = np.asarray(array.tolist())
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}; wanted real numbers")
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; wanted one axis, the seeds")
    return array.astype(np.float64)


def _finite(name, values):
    values = _real(name, values)
    wrong = np.count_nonzero(~np.isfinite(values))
    if wrong:
        raise ValueError(
            f"{name} has {wrong} of {len(values)} values that are NaN or inf (diverged "
            "members?); wanted finite numbers: give such a member the value that "
            "divergence costs, and say so"
        )
    return values


def _enough(name, values, level):
    wanted = minimum_seeds(level)
    if len(values) < wanted:
        raise ValueError(
            f"{name} has {len(values)} seeds; wanted at least {wanted}: with fewer not "
            f"even their range covers the median with {100 * level:g} % confidence"
        )


def _bootstrap(values, statistic, level, method, n_resamples, seed):
    with warnings.catch_warnings():
        # SciPy warns where BCa is not defined, and answers NaN, which we look for.
        warnings.simplefilter("ignore")
        return stats.bootstrap(
            (values,), statistic, confidence_level=level, method=method,
            n_resamples=n_resamples, rng=np.random.default_rng(seed),
        ).confidence_interval


def _two_samples(first, second, paired, level):
    first, second = _align(first, second, paired)
    first, second = _finite("first", first), _finite("second", second)
    _enough("first", first, level)
    _enough("second", second, level)
    return first, second


def _align(first, second, paired):
    """Both samples in the same order of seeds, if they are paired."""
    if not paired:
        return first, second
    labelled = [isinstance(sample, pd.Series) for sample in (first, second)]
    if all(labelled):
        for name, sample in (("first", first), ("second", second)):
            if not sample.index.is_unique:
                again = sample.index[sample.index.duplicated()].tolist()[0]
                raise ValueError(f"{name} has seed {again!r} twice; wanted each once")
        alone = first.index.symmetric_difference(second.index)
        if len(alone):
            raise ValueError(
                f"first and second do not share the seeds {alone.tolist()}; wanted the "
                "same seeds in a paired comparison"
            )
        return first, second.reindex(first.index)
    if any(labelled):
        raise TypeError(
            "one of first and second is a Series, paired by seed, the other is not; "
            "wanted two of a kind"
        )
    if np.shape(first) != np.shape(second):
        raise ValueError(
            f"first has shape {np.shape(first)}, second {np.shape(second)}; wanted the "
            "same seeds in a paired comparison"
        )
    return first, second


def _t_interval(first, second, paired, level):
    if _spread(first, second, paired) <= _rounding(first, second):
        differences = first - second if paired else np.subtract.outer(first, second)
        low, high = differences.min(), differences.max()
    else:
        low, high = _t_test(first, second, paired).confidence_interval(level)
    return {
        "estimate": _mean_difference(first, second, paired),
        "low": float(low),
        "high": float(high),
        "level": level,
        "n": len(first) if paired else (len(first), len(second)),
        "method": "paired t" if paired else "Welch's t",
    }


def _t_p_value(first, second, paired, shift, alternative):
    rounding = _rounding(first, second)
    if _spread(first, second, paired) > rounding:
        return float(_t_test(first, second, paired, shift, alternative).pvalue)
    gap = _mean_difference(first, second, paired) - shift
    n, m = len(first), len(second)
    smallest = 0.5**n if paired else 1 / math.comb(n + m, n)
    if alternative == "two-sided":
        return 2 * smallest if abs(gap) > rounding else 1.0
    ahead = gap if alternative == "greater" else -gap
    return smallest if ahead > rounding else 1.0


def _t_test(first, second, paired, shift=0.0, alternative="two-sided"):
    if paired:
        return stats.ttest_1samp(first - second, shift, alternative=alternative)
    with warnings.catch_warnings():
        # SciPy warns if one of two samples has no spread; Welch's test allows for it.
        warnings.simplefilter("ignore", RuntimeWarning)
        return stats.ttest_ind(
            first - shift, second, equal_var=False, alternative=alternative
        )


def _mean_difference(first, second, paired):
    return float(np.mean(first - second) if paired else first.mean() - second.mean())


def _spread(first, second, paired):
    samples = [first - second] if paired else [first, second]
    return max(np.ptp(sample) for sample in samples)


def _rounding(first, second):
    """What differences of equal numbers may differ by in float64."""
    return 32 * np.finfo(np.float64).eps * np.abs([*first, *second]).max()


def _times(name, times, last_epoch, level):
    times = _real(name, times)
    if not 0 < last_epoch < math.inf:
        raise ValueError(f"last_epoch is {last_epoch}; wanted a positive number")
    right = (times > 0) & ((times <= last_epoch) | np.isinf(times))
    if not right.all():
        raise ValueError(
            f"{name} contains the time {times[~right][0]:g}; wanted times above 0 and "
            f"up to last_epoch={last_epoch}, or inf for a member that never arrived"
        )
    _enough(name, times, level)
    return times


def _ratio_bounds(first, second, last_epoch):
    """The least and the largest ratio of medians `[...]` of times `[..., n]`."""
    def median(times):
        return np.median(times, axis=-1)

    lower = median(np.minimum(first, last_epoch)) / median(second)
    upper = median(first) / median(np.minimum(second, last_epoch))
    return lower, upper


def _known(lower, upper):
    """What the bounds tell about the ratio: an estimate, and how to read it."""
    if lower == upper:
        return float(lower), "="
    if lower > 0:
        return float(lower), ">"
    return (float(upper), "<") if np.isfinite(upper) else (math.nan, "?")


def _sign(metric):
    """1 if more of the metric is better, -1 if less is."""
    signs = {"loss": -1, "error": -1, "accuracy": 1}
    kind = str(metric).rpartition("_")[2]
    if kind not in signs:
        raise ValueError(
            f"metric is {metric!r}; wanted a name that ends in {', '.join(signs)}"
        )
    return signs[kind]


def _tidy(results, keys, metric):
    """The columns that are needed, and whether each row's member diverged."""
    if not isinstance(results, pd.DataFrame):
        raise TypeError(f"results is a {type(results).__name__}; wanted a DataFrame")
    columns = [*keys, "epoch", metric]
    missing = [name for name in columns if name not in results]
    if missing:
        raise ValueError(
            f"results has no column {missing[0]!r}; wanted {', '.join(columns)}"
        )
    if results.empty:
        raise ValueError("results is empty; wanted a row for each member and epoch")
    optional = ["diverged"] if "diverged" in results else []
    table = results[columns + optional].reset_index(drop=True)
    for name in columns[:-1]:
        if table[name].isna().any():
            raise ValueError(f"results has NaN in column {name!r}; wanted none")
    again = table.duplicated([*keys, "epoch"])
    if again.any():
        member = _describe(table[again], [*keys, "epoch"])
        raise ValueError(
            f"results has several rows for {member}; wanted one: is there another "
            "column that tells them apart?"
        )
    table[metric] = _real(metric, table[metric])
    diverged = ~np.isfinite(table[metric])
    if optional:
        diverged |= table["diverged"].astype(bool)
    table["diverged"] = diverged
    table["diverged"] = table.groupby(keys, sort=False)["diverged"].transform("any")
    return table


def _last_rows(table, keys):
    # Not groupby().last(), which would skip the NaN of a diverged member.
    last = table.groupby(keys, sort=False)["epoch"].idxmax()
    return table.loc[last].reset_index(drop=True)


def _check_budget(members, by):
    trained = members[~members["diverged"]]
    if trained["epoch"].nunique() > 1:
        short = trained.loc[[trained["epoch"].idxmin()]]
        raise ValueError(
            f"results end at epoch {short['epoch'].item()} for "
            f"{_describe(short, [*by, 'lr', 'seed'])} and at epoch "
            f"{trained['epoch'].max()} for others; wanted an equal budget"
        )
    seeds = set(members["seed"])
    for _, tried in members.groupby([*by, "lr"], sort=False):
        missing = seeds - set(tried["seed"])
        if missing:
            raise ValueError(
                f"results lack {_describe(tried, [*by, 'lr'])} with seeds "
                f"{sorted(missing)}; wanted an equal budget, the same seeds for all"
            )
    rates = members.groupby(by, sort=False)["lr"].nunique()
    if rates.nunique() > 1 or rates.min() < 3:
        raise ValueError(
            f"results hold {rates.to_dict()} learning rates; wanted an equal budget of "
            "three or more for each, so that a choice can lie inside its grid"
        )


def _describe(rows, columns):
    first = rows[columns].head(1).to_dict("records")[0]
    return ", ".join(f"{name}={value!r}" for name, value in first.items())
