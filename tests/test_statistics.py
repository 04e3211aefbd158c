"""Intervals, tests and choices over seeds, against SciPy, formulas and simulation."""

import math
import re
from fractions import Fraction

import mpmath
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from relubook.statistics import (
    Interval,
    bootstrap_interval,
    difference,
    equivalence,
    holm,
    minimum_seeds,
    select_learning_rates,
    time_ratio,
    times_to_threshold,
)

# Student's ten patients: hours of sleep gained with either drug (Student 1908).
SLEEP = (
    [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0],
    [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4],
)
# The spatial test of 26 children (Efron and Tibshirani 1993, table 14.1, A).
SPATIAL = [
    48, 36, 20, 29, 42, 42, 20, 42, 22, 41, 45, 14, 6,
    0, 33, 28, 34, 4, 32, 24, 47, 41, 24, 26, 30, 41,
]  # fmt: skip
SIX = np.arange(6.0)


def assert_rate(hits, trials, least, most):
    """The count is one that a rate between `least` and `most` gives 9,998 times in
    10,000."""
    assert stats.binom.ppf(1e-4, trials, least) <= hits
    assert hits <= stats.binom.ppf(1 - 1e-4, trials, most)


# ---------------------------------------------------------------- results


def test_an_interval_includes_its_ends():
    interval = Interval(0.5, 0.25, 0.75, 0.95, 20, "BCa")
    assert 0.25 in interval and 0.75 in interval
    assert 0.2499 not in interval and math.nan not in interval

    def between(low, high):
        return Interval(low, low, high, 0.95, 20, "BCa")

    for other, meets in [
        (between(0.75, 1), True), (between(0, 0.25), True), (between(0.4, 0.5), True),
        (between(0, 1), True), (between(0.8, 1), False), (between(0, 0.2), False),
    ]:  # fmt: skip
        assert interval.overlaps(other) is meets
        assert other.overlaps(interval) is meets


@pytest.mark.parametrize(
    "numbers, text",
    [
        ((0.98123, 0.97991, 0.98258), "0.9812 (95 % interval 0.9799 to 0.9826"),
        ((0.0, 0.0, 0.0), "0 (95 % interval 0 to 0"),
        ((4.0, 2.0, math.inf), "4 (95 % interval 2 to inf"),
        ((1e-9, -2e-9, 4e-9), "1e-09 (95 % interval -2e-09 to 4e-09"),
    ],
)
def test_text_shows_two_digits_of_the_width(numbers, text):
    interval = Interval(*numbers, level=0.95, n=20, method="BCa")
    assert str(interval) == text + ", n = 20, BCa)"


# ---------------------------------------------------------------- how many seeds


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9, 0.9375, 0.95, 0.99, 0.999])
def test_minimum_seeds_counted(level):
    """With n coins, the share of outcomes that are not all alike reaches the level."""
    n = minimum_seeds(level)
    for seeds, enough in ((n, True), (n - 1, False)):
        covered = 1 - Fraction(2, 2**seeds)
        assert (covered >= Fraction(level)) is enough


@pytest.mark.parametrize("call", [
    lambda values: bootstrap_interval(values),
    lambda values: difference(values, values + 1),
    lambda values: difference(np.arange(9.0), values, paired=False),
    lambda values: equivalence(values, values, 1, alpha=0.025),
    lambda values: time_ratio(values + 1, values + 1, last_epoch=9),
    lambda values: time_ratio(np.arange(1.0, 9), values + 1, 9, paired=False),
])  # fmt: skip
def test_too_few_seeds(call):
    call(SIX)
    with pytest.raises(ValueError, match="has 5 seeds; wanted at least 6: with fewer"):
        call(SIX[:5])


# ---------------------------------------------------------------- bootstrap


@pytest.mark.parametrize("method", ["BCa", "percentile", "basic"])
@pytest.mark.parametrize("statistic", [np.mean, np.std, lambda values: values.max()])
def test_bootstrap_is_scipys(method, statistic):
    values = np.random.default_rng(3).gamma(2, size=15)
    ours = bootstrap_interval(
        values, statistic, level=0.9, method=method, n_resamples=500, seed=7
    )
    wanted = stats.bootstrap(
        (values,), statistic, confidence_level=0.9, method=method, n_resamples=500,
        rng=np.random.default_rng(7),
    ).confidence_interval  # fmt: skip
    assert (ours.low, ours.high) == tuple(wanted)
    assert ours.estimate == statistic(values)
    assert (ours.level, ours.n, ours.method) == (0.9, 15, method)


def test_bootstrap_of_every_draw():
    """The percentile ends are those among all 6^6 draws, each taken once."""
    values = np.array([1.0, 2, 4, 8, 16, 32])
    draws = np.array(np.meshgrid(*[values] * 6)).reshape(6, -1)
    wanted = np.quantile(draws.mean(axis=0), [0.05, 0.95])
    ours = bootstrap_interval(values, level=0.9, method="percentile")
    np.testing.assert_allclose([ours.low, ours.high], wanted, rtol=0.02)


@pytest.mark.parametrize(
    "method, ends", [("BCa", (115.8, 259.6)), ("percentile", (100.8, 233.9))]
)
def test_bootstrap_of_the_spatial_test(method, ends):
    """Efron and Tibshirani (1993), table 14.2, from 2,000 draws."""
    interval = bootstrap_interval(SPATIAL, np.var, level=0.9, method=method)
    assert round(interval.estimate, 1) == 171.5
    np.testing.assert_allclose([interval.low, interval.high], ends, atol=5)


def test_bootstrap_covers_the_mean():
    rng = np.random.default_rng(0)
    trials = 250
    hits = sum(
        0 in bootstrap_interval(rng.normal(size=20), n_resamples=399, seed=seed)
        for seed in range(trials)
    )
    assert_rate(hits, trials, 0.915, 0.935)  # 92.3 % in 1,500 trials


def test_bootstrap_without_spread_is_a_point():
    interval = bootstrap_interval(np.full(8, 0.1))
    assert interval.low == interval.high == interval.estimate == np.full(8, 0.1).mean()


def test_bootstrap_says_when_bca_is_not_defined():
    ties = [1, 2, 3, 3, 3, 3, 4]
    fallen_back = bootstrap_interval(ties, np.median)
    assert fallen_back.method == "percentile"
    assert fallen_back == bootstrap_interval(ties, np.median, method="percentile")


def test_bootstrap_follows_from_its_seed():
    first, again, other = (bootstrap_interval(SLEEP[0], seed=s) for s in (0, 0, 1))
    assert first == again != other


# ---------------------------------------------------------------- differences


def test_difference_of_students_sleep():
    """R's t.test(extra ~ group, sleep), paired and Welch's."""
    paired = difference(*SLEEP)
    assert paired.estimate == pytest.approx(-1.58)
    assert (paired.low, paired.high) == pytest.approx((-2.4598858, -0.7001142))
    assert paired.p_value == pytest.approx(0.002833, abs=5e-7)
    assert (paired.n, paired.method) == (10, "paired t")
    welch = difference(*SLEEP, paired=False)
    assert (welch.low, welch.high) == pytest.approx((-3.3654832, 0.2054832))
    assert welch.p_value == pytest.approx(0.07939, abs=5e-6)
    assert (welch.n, welch.method) == ((10, 10), "Welch's t")


def test_unpaired_samples_may_differ_in_size():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=9), rng.normal(1, 3, size=14)
    ours = difference(first, second, paired=False, level=0.8)
    wanted = stats.ttest_ind(first, second, equal_var=False)
    assert ours.p_value == wanted.pvalue
    assert (ours.low, ours.high) == tuple(wanted.confidence_interval(0.8))
    assert ours.n == (9, 14)


def test_difference_covers_and_agrees_with_its_p_value():
    rng = np.random.default_rng(1)
    trials = 400
    hits = 0
    for _ in range(trials):
        shared = rng.normal(scale=5, size=8)  # by the seed: pairing takes it away
        ours = difference(shared + rng.normal(size=8), shared + rng.normal(size=8))
        assert (0 in ours) is (ours.p_value > 0.05)
        hits += 0 in ours
    assert_rate(hits, trials, 0.95, 0.95)


def test_series_are_paired_by_seed():
    seeds = np.random.default_rng(2).permutation(10)
    first, second = (pd.Series(drug) for drug in SLEEP)
    wanted = difference(*SLEEP)
    assert difference(first, second[seeds]) == wanted
    assert difference(first[seeds], second).p_value == pytest.approx(wanted.p_value)
    assert difference(first[seeds].array, second.array).p_value > 2 * wanted.p_value
    unpaired = difference(first[:7], second[seeds], paired=False)
    assert unpaired.estimate == pytest.approx(first[:7].mean() - second.mean())


def test_differences_that_are_all_equal():
    """As in the control in which nothing was changed: no spread, so no t."""
    first = np.array([0.1, 0.7, 0.3, 0.9, 1.1, 0.4])
    same = difference(first, first)
    assert (same.estimate, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    rounded = difference(first + 0.2, first)  # 0.2 but for the last bit
    assert rounded.p_value == 2 / 2**6
    assert rounded.low == pytest.approx(0.2) == rounded.high
    assert difference(first + 0.2 - 0.2, first).p_value == 1

    ones, zeros = np.ones(6), np.zeros(7)
    apart = difference(ones, zeros, paired=False)
    assert apart.p_value == pytest.approx(
        stats.permutation_test(
            (ones, zeros), lambda a, b: a.mean() - b.mean(), n_resamples=np.inf
        ).pvalue
    )
    assert (apart.low, apart.high) == (1, 1)
    assert difference(ones, np.ones(7), paired=False).p_value == 1
    assert difference(ones * 0.1, SIX, paired=False).p_value == pytest.approx(
        stats.ttest_1samp(SIX, 0.1).pvalue
    )


def test_spread_is_told_from_rounding_at_any_scale():
    values = np.array([1.0, 2, 3, 4, 5, 7])
    wanted = difference(values, values[::-1] - 1)
    for scale in (1e-30, 1e30):
        ours = difference(values * scale, (values[::-1] - 1) * scale)
        assert ours.p_value == pytest.approx(wanted.p_value)
        assert ours.high == pytest.approx(wanted.high * scale)


# ---------------------------------------------------------------- equivalence


@pytest.mark.parametrize(
    "mean, error, ends, p_value, equivalent",
    [
        (0.1646666666666667, 0.1357514067862445,
         (-0.0744336620516462, 0.4037669953849797), 0.003166881489265175, True),
        (0.5626666666666665, 0.2478276410785118,
         (0.1261653305099018, 0.999168002823431), 0.4412034046017588, False),
    ],
)  # fmt: skip
def test_equivalence_published(mean, error, ends, p_value, equivalent):
    """`tost` of R's package equivalence on 15 patients of a clinic, margin 0.6.

    t depends on the differences through their mean and standard error alone.
    """
    differences = np.linspace(-1, 1, 15)
    differences *= error * math.sqrt(15) / differences.std(ddof=1)
    ours = equivalence(differences + mean, np.zeros(15), 0.6)
    assert ours.p_value == pytest.approx(p_value, rel=1e-10)
    assert (ours.low, ours.high) == pytest.approx(ends, rel=1e-10)
    assert ours.level == 0.9 and ours.equivalent is equivalent
    mirrored = equivalence(np.zeros(15), differences + mean, 0.6)
    assert mirrored.p_value == pytest.approx(p_value, rel=1e-10)
    assert (mirrored.low, mirrored.high) == pytest.approx((-ends[1], -ends[0]))


def test_equivalence_of_independent_samples_by_the_formula():
    rng = np.random.default_rng(4)
    first, second, margin = rng.normal(size=9), rng.normal(0.2, 2, size=13), 1.5
    parts = [sample.var(ddof=1) / len(sample) for sample in (first, second)]
    error = math.sqrt(sum(parts))
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / 8 + parts[1] ** 2 / 12)
    gap = first.mean() - second.mean()

    def tail(t):  # P(T > t) of Student's t, t > 0, by the incomplete beta function
        x = freedom / (freedom + t**2)
        return mpmath.betainc(freedom / 2, 0.5, 0, x, regularized=True) / 2

    wanted = max(tail((gap + margin) / error), tail((margin - gap) / error))
    ours = equivalence(first, second, margin, paired=False)
    assert ours.p_value == pytest.approx(float(wanted), rel=1e-9)
    assert ours.n == (9, 13)


def test_equivalence_errs_at_most_at_alpha():
    """At the margin itself: alpha of the trials are called equivalent, no more."""
    rng = np.random.default_rng(5)
    trials = 250
    found = 0
    for _ in range(trials):
        ours = equivalence(rng.normal(1, 0.2, size=8), np.zeros(8), 1, alpha=0.1)
        assert ours.equivalent is (ours.p_value < 0.1)
        found += ours.equivalent
    assert_rate(found, trials, 0.1, 0.1)


def test_equivalence_without_spread():
    same = equivalence(SIX, SIX, 0.1)
    assert same.equivalent and same.p_value == 1 / 2**6
    for shift in (1, -1, 3):  # at the margin and beyond it
        beyond = equivalence(SIX + shift, SIX, margin=1)
        assert beyond.p_value == 1 and not beyond.equivalent
    assert equivalence(np.ones(6), np.ones(7), 0.1, paired=False).p_value == (
        1 / math.comb(13, 6)
    )
    assert str(equivalence(SIX + 1, SIX, 0.1)).endswith(
        "not shown equivalent within 0.1, p = 1"
    )


# ---------------------------------------------------------------- many comparisons


def test_holm_published():
    """R's p.adjust(p, "holm")."""
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]).tolist() == pytest.approx(
        [0.05, 0.08, 0.09, 0.09, 0.09]
    )
    assert holm([0.5, 0.9, 0.4]).tolist() == [1, 1, 1]
    assert holm({"only": 0.03}).to_dict() == {"only": 0.03}


def rejected_by_holm(p_values, alpha):
    """The procedure as Holm states it: smallest first, stop at the first kept."""
    left, rejected = dict(p_values), set()
    while left:
        name = min(left, key=left.get)
        if left[name] > alpha / len(left):
            break
        rejected.add(name)
        del left[name]
    return rejected


def test_holm_rejects_what_the_procedure_rejects():
    rng = np.random.default_rng(6)
    for _ in range(100):
        p_values = pd.Series(rng.choice([0.001, 0.004, 0.012, 0.03, 0.2, 1], 7))
        p_values.index = list("gfedcba")
        adjusted = holm(p_values)
        assert (adjusted.index == p_values.index).all()
        for alpha in (0.01, 0.049, 0.1, 0.3):
            found = set(adjusted.index[adjusted <= alpha])
            assert found == rejected_by_holm(p_values.to_dict(), alpha)


def test_holm_keeps_the_family_wise_error():
    rng = np.random.default_rng(7)
    trials = 1000
    wrong = sum(holm(rng.uniform(size=10)).min() <= 0.05 for _ in range(trials))
    exact = 1 - (1 - 0.05 / 10) ** 10
    assert_rate(wrong, trials, exact, exact)


@pytest.mark.parametrize("p_values", [[], [0.1, math.nan], [1.1], [-0.1], {"a": 2}])
def test_holm_rejects_what_is_no_probability(p_values):
    with pytest.raises(ValueError, match="wanted one or more numbers from 0 to 1"):
        holm(p_values)


# ---------------------------------------------------------------- times


def training(rng, activations=("relu", "tanh"), seeds=8, epochs=12, scale=1.0):
    """Rows of members whose error falls with noise, in no order."""
    rows = [
        {
            "activation": activation, "seed": seed, "epoch": epoch,
            "train_error": rng.uniform(0.6, 1) * 2.0 ** (-epoch / (scale * (2 + i))),
        }
        for i, activation in enumerate(activations)
        for seed in range(seeds)
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip
    return pd.DataFrame(rows).sample(frac=1, random_state=0)


@pytest.mark.parametrize("metric", ["train_error", "train_accuracy"])
def test_times_are_those_of_a_loop(metric):
    results = training(np.random.default_rng(8))
    results["train_accuracy"] = 1 - results["train_error"]
    threshold = results["train_error"].sort_values().iloc[40]  # met exactly by one
    limit = threshold if metric == "train_error" else 1 - threshold
    times = times_to_threshold(results, metric, limit)
    assert times.shape == (8, 2) and np.isinf(times["tanh"]).any()
    for activation in ("relu", "tanh"):
        for seed in range(8):
            wanted = math.inf
            for row in results.itertuples():
                if (row.activation, row.seed) == (activation, seed):
                    if row.train_error <= threshold:
                        wanted = min(wanted, row.epoch)
            assert times.loc[seed, activation] == wanted


def test_a_diverged_member_never_arrives():
    results = training(np.random.default_rng(9))
    reference = times_to_threshold(results, "train_error", 0.2)
    assert 1 < reference.loc[3, "relu"] < 12
    member = (results["activation"] == "relu") & (results["seed"] == 3)
    stopped = results[~member | (results["epoch"] <= 1)].copy()
    wanted = reference.copy()
    wanted.loc[3, "relu"] = np.inf
    with pytest.raises(ValueError, match="activation='relu', seed=3, which did not"):
        times_to_threshold(stopped, "train_error", 0.2)

    flagged = stopped.assign(diverged=False)
    flagged.loc[member, "diverged"] = True
    times = times_to_threshold(flagged, "train_error", 0.2)
    pd.testing.assert_frame_equal(times, wanted, check_like=True)

    stopped.loc[member, "train_error"] = np.nan
    times = times_to_threshold(stopped, "train_error", 0.2)
    pd.testing.assert_frame_equal(times, wanted, check_like=True)

    # What it reached before it diverged, or was cut off, it reached.
    results.loc[member & (results["epoch"] == 12), "train_error"] = np.nan
    assert times_to_threshold(results, "train_error", 0.2).equals(reference)
    assert times_to_threshold(
        results[~member | (results["epoch"] < 12)], "train_error", 0.2
    ).equals(reference)


# ---------------------------------------------------------------- ratios of times


def literal_bounds(first, second, last_epoch):
    """The least and largest ratio over what the unknown times could be."""

    def medians(times):
        return [
            np.median([unknown if np.isinf(time) else time for time in times])
            for unknown in (last_epoch, np.inf)
        ]

    (a, b), (c, d) = medians(first), medians(second)
    return a / d, b / c


def test_time_ratio_of_a_loop():
    rng = np.random.default_rng(10)
    first, second = rng.integers(5, 30, (2, 7)).astype(float)
    first[first > 20] = np.inf
    second[second > 20] = np.inf
    ours = time_ratio(first, second, 20, level=0.9, n_resamples=300, seed=3)
    draws = np.random.default_rng(3).integers(7, size=(300, 7))
    bounds = [literal_bounds(first[draw], second[draw], 20) for draw in draws]
    lower, upper = (sorted(ends) for ends in zip(*bounds, strict=True))
    assert ours.low == lower[math.floor(0.05 * 299)]
    assert ours.high == upper[math.ceil(0.95 * 299)]
    assert ours.never == (np.isinf(first).sum(), np.isinf(second).sum())


NEVER = math.inf


@pytest.mark.parametrize(
    "first, second, estimate, bound",
    [
        ([8] * 6, [4] * 6, 2, "="),
        ([2, 4, 6, 8, 10, NEVER], [1, 2, 3, 4, NEVER, NEVER], 2, "="),
        ([NEVER] * 6, [4] * 6, 5, ">"),
        ([4] * 6, [NEVER] * 6, 0.2, "<"),
        ([2, 4, 10, NEVER, NEVER, NEVER], [3] * 6, 5, ">"),  # median >= (10 + 20) / 2
        ([3] * 6, [2, 4, 10, NEVER, NEVER, NEVER], 0.2, "<"),
        ([2, 4, 6, 8, NEVER, NEVER, NEVER], [4] * 7, 2, "="),
        ([NEVER] * 6, [NEVER] * 6, math.nan, "?"),
        ([NEVER] * 6, [1, 1, 1, NEVER, NEVER, NEVER], math.nan, "?"),
    ],
)
def test_time_ratio_is_what_the_data_tell(first, second, estimate, bound):
    ratio = time_ratio(first, second, 20)
    assert ratio.bound == bound
    np.testing.assert_equal(ratio.estimate, estimate)
    if bound == "?":
        assert (ratio.low, ratio.high) == (0, math.inf)
        assert str(ratio).startswith("undetermined (95 % interval 0 to inf")
    else:
        assert ratio.estimate in ratio
    assert str(ratio).startswith({">": "more than", "<": "less than"}.get(bound, ""))
    lower, upper = literal_bounds(first, second, 20)
    assert ratio.low <= lower and upper <= ratio.high


def test_time_ratio_without_some_times_is_wider():
    """The same draws, with more and more times hidden: each interval holds the last."""
    rng = np.random.default_rng(11)
    for seed in range(20):
        first, second = rng.lognormal(1, 0.5, (2, 11))
        low, high = math.inf, -math.inf
        for last_epoch in (99, 5, 4, 3, 2):
            hidden = [np.where(t > last_epoch, np.inf, t) for t in (first, second)]
            ratio = time_ratio(*hidden, last_epoch, n_resamples=200, seed=seed)
            assert ratio.low <= min(low, ratio.high) and ratio.high >= high
            low, high = ratio.low, ratio.high


def test_time_ratio_turned_over():
    rng = np.random.default_rng(12)
    first, second = rng.integers(1, 25, (2, 9)).astype(float)
    first[first > 20] = np.inf
    second[second > 20] = np.inf
    ratio = time_ratio(first, second, 20)
    turned = time_ratio(second, first, 20)
    with np.errstate(divide="ignore"):  # 1 / 0 is inf here
        wanted = np.divide(1, [ratio.high, ratio.low])
    np.testing.assert_allclose([turned.low, turned.high], wanted)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("last_epoch", [1000, 11])  # all arrive; about four in ten
def test_time_ratio_covers(paired, last_epoch):
    rng = np.random.default_rng(13)
    trials = 200
    hits = 0
    for seed in range(trials):
        shared = rng.normal(scale=0.3, size=20)
        other = shared if paired else rng.normal(scale=0.3, size=20)
        first = 10 * np.exp(shared + rng.normal(scale=0.2, size=20))
        second = 5 * np.exp(other + rng.normal(scale=0.2, size=20))
        first, second = (np.where(t > last_epoch, np.inf, t) for t in (first, second))
        hits += 2 in time_ratio(
            first, second, last_epoch, paired=paired, n_resamples=299, seed=seed
        )
    # 96 to 98 % in 1,500 trials, more with times hidden: never too narrow.
    assert_rate(hits, trials, 0.95, 0.985 if last_epoch == 1000 else 1)


def test_paired_times_are_aligned_by_seed():
    times = pd.DataFrame({"tanh": SIX + 5, "relu": SIX[::-1] + 2})
    shuffled = times["relu"].sample(frac=1, random_state=1)
    assert time_ratio(times["tanh"], shuffled, 20) == time_ratio(
        times["tanh"], times["relu"], 20
    )
    # A ratio that is the same for each seed is certain, but only in pairs.
    half, whole = SIX + 5, 2 * SIX + 10
    paired = time_ratio(whole, half, 20)
    assert (paired.low, paired.estimate, paired.high) == (2, 2, 2)
    unpaired = time_ratio(whole, half, 20, paired=False)
    assert unpaired.low < 1.8 and unpaired.high > 2.2
    unpaired = time_ratio(SIX + 5, np.arange(3.0, 12), 20, paired=False)
    assert unpaired.n == (6, 9) and unpaired.method == "percentile"


# ---------------------------------------------------------------- learning rates


def sweep(rng, seeds=4, epochs=3):
    """Every member's validation loss: relu best at 0.1, tanh at the end of its grid."""
    grids = {"relu": [0.01, 0.1, 1.0], "tanh": [0.1, 0.3, 1.0]}
    loss = {"relu": [0.5, 0.2, 0.4], "tanh": [0.6, 0.5, 0.4]}
    rows = [
        {
            "activation": name, "lr": lr, "seed": seed, "epoch": epoch,
            "validation_loss": level + 1 / epoch + rng.uniform(0, 0.05),
            "test_loss": rng.uniform(),
        }
        for name in grids
        for lr, level in zip(grids[name], loss[name], strict=True)
        for seed in range(seeds)
        for epoch in range(1, epochs + 1)
    ]  # fmt: skip
    return pd.DataFrame(rows).sample(frac=1, random_state=1)


def at(results, **values):
    return np.logical_and.reduce([results[key] == values[key] for key in values])


def test_learning_rates_are_those_of_a_loop():
    results = sweep(np.random.default_rng(14))
    chosen = select_learning_rates(results).set_index("activation")
    assert set(chosen.index) == {"relu", "tanh"}
    for activation, lr, edge in (("relu", 0.1, ""), ("tanh", 1.0, "highest")):
        row = chosen.loc[activation]
        assert (row["lr"], row["edge"]) == (lr, edge)
        assert (row["seeds"], row["diverged"]) == (4, 0)
        final = results[at(results, activation=activation, lr=lr, epoch=3)]
        assert row["validation_loss"] == pytest.approx(final["validation_loss"].mean())
    results["validation_accuracy"] = 1 - results["validation_loss"]
    by_accuracy = select_learning_rates(results, "validation_accuracy")
    assert by_accuracy.set_index("activation")["lr"].equals(chosen["lr"])
    results["validation_accuracy"] *= -1  # the opposite order
    worst = select_learning_rates(results, "validation_accuracy")
    assert worst.set_index("activation").loc["relu", "edge"] == "lowest"


class Sealed(pd.DataFrame):
    """Results whose test columns cannot be read."""

    @property
    def _constructor(self):
        return Sealed

    def __getitem__(self, key):
        names = [key] if isinstance(key, str) else key
        if any("test" in str(name) for name in names):
            raise AssertionError("a test column was read")
        return super().__getitem__(key)


def test_the_choice_cannot_see_the_test_data():
    results = sweep(np.random.default_rng(15))
    wanted = select_learning_rates(results)
    assert select_learning_rates(results.drop(columns="test_loss")).equals(wanted)
    assert select_learning_rates(results.assign(test_loss=np.nan)).equals(wanted)
    sealed = Sealed(results)
    with pytest.raises(AssertionError):
        sealed["test_loss"]
    assert pd.DataFrame(select_learning_rates(sealed)).equals(wanted)
    for metric in ("test_loss", "train_loss", "loss"):
        with pytest.raises(ValueError, match="wanted a column of validation data"):
            select_learning_rates(results, metric)


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("how", ["nan", "inf", "flag"])
def test_a_diverged_member_weighs_more_than_any_mean(early, how):
    results = sweep(np.random.default_rng(16)).assign(diverged=False)
    best = at(results, activation="relu", lr=0.1)
    member = best & (results["seed"] == 2)
    last = member & (results["epoch"] == (1 if early else 3))
    if how == "flag":
        results.loc[last, "diverged"] = True
    else:
        results.loc[last, "validation_loss"] = float(how)
    if early:  # it stopped costing time
        results = results[~member | (results["epoch"] == 1)]
    relu = select_learning_rates(results).set_index("activation").loc["relu"]
    assert (relu["lr"], relu["diverged"], relu["edge"]) == (1.0, 0, "highest")

    # If each learning rate loses as many, the others decide, and the count is told.
    others = at(results, activation="relu", seed=2, epoch=3)
    results.loc[others, "validation_loss"] = np.nan
    relu = select_learning_rates(results).set_index("activation").loc["relu"]
    assert (relu["lr"], relu["diverged"], relu["seeds"]) == (0.1, 1, 4)
    final = results[at(results, activation="relu", lr=0.1, epoch=3)]
    wanted = final.loc[final["seed"] != 2, "validation_loss"].mean()
    assert relu["validation_loss"] == pytest.approx(wanted)

    results.loc[results["activation"] == "relu", "validation_loss"] = np.nan
    with pytest.raises(ValueError, match="every member of activation='relu' diverged"):
        select_learning_rates(results)


def test_of_equal_learning_rates_the_lower_is_chosen():
    results = sweep(np.random.default_rng(17)).assign(validation_loss=0.5)
    assert select_learning_rates(results).set_index("activation")["lr"].to_dict() == {
        "relu": 0.01, "tanh": 0.1,
    }  # fmt: skip


def test_choices_by_more_than_one_column():
    rng = np.random.default_rng(18)
    deep, wide = sweep(rng).assign(depth=10), sweep(rng).assign(depth=2)
    wide["validation_loss"] = -wide["validation_loss"]
    results = pd.concat([deep, wide])
    chosen = select_learning_rates(results, by=["activation", "depth"])
    lr = chosen.set_index(["activation", "depth"])["lr"]
    assert lr["relu", 10] == 0.1 and lr["relu", 2] == 0.01 and len(lr) == 4
    with pytest.raises(ValueError, match="several rows .* another column"):
        select_learning_rates(results)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_diverged_member_is_never_dropped(value):
    values = np.append(SIX, value)
    message = r"has 1 of 7 values that are NaN or inf \(diverged members\?\)"
    for call in (
        bootstrap_interval,
        lambda v: difference(v, np.zeros(7)),
        lambda v: difference(np.zeros(7), v, paired=False),
        lambda v: equivalence(v, np.zeros(7), 1),
    ):
        with pytest.raises(ValueError, match=message):
            call(values)


@pytest.mark.parametrize("call, error, message", [
    (lambda: minimum_seeds(1), ValueError, "level is 1; wanted a number between 0"),
    (lambda: bootstrap_interval(SIX, level=95), ValueError, "level is 95"),
    (lambda: bootstrap_interval(SIX, method="bca"), ValueError, "method is 'bca'"),
    (lambda: bootstrap_interval(list("abcdef")), TypeError, "values has dtype <U1"),
    (lambda: bootstrap_interval(SIX + 1j), TypeError, "complex128; wanted real"),
    (lambda: bootstrap_interval([SIX, SIX]), ValueError, r"values has shape \(2, 6\)"),
    (lambda: bootstrap_interval(SIX, lambda v: np.nan), ValueError, "statistic gives"),
    (lambda: difference(SIX, SIX[1:]), ValueError, r"first has shape \(6,\), second"),
    (lambda: difference(pd.Series(SIX), SIX), TypeError, "wanted two of a kind"),
    (lambda: difference(pd.Series(SIX), pd.Series(SIX, index=range(1, 7))),
     ValueError, r"do not share the seeds \[0, 6\]"),
    (lambda: difference(pd.Series(SIX), pd.Series(SIX, index=[0, 0, 1, 2, 3, 4])),
     ValueError, "second has seed 0 twice"),
    (lambda: equivalence(SIX, SIX, 0), ValueError, "margin is 0; wanted a positive"),
    (lambda: equivalence(SIX, SIX, -1), ValueError, "margin is -1; wanted a positive"),
    (lambda: equivalence(SIX, SIX, math.nan), ValueError, "margin is nan"),
    (lambda: equivalence(SIX, SIX, math.inf), ValueError, "margin is inf"),
    (lambda: equivalence(SIX, SIX, 1, alpha=0.5), ValueError, "alpha is 0.5"),
    (lambda: holm(["low"]), TypeError, "p_values has dtype"),
    (lambda: time_ratio(SIX, SIX + 1, 9), ValueError, "first contains the time 0;"),
    (lambda: time_ratio(SIX + 1, SIX * np.nan, 9), ValueError, "the time nan; wanted"),
    (lambda: time_ratio(SIX + 1, SIX + 5, 9), ValueError, "second contains the time 1"),
    (lambda: time_ratio(SIX + 1, SIX + 1, 0), ValueError, "last_epoch is 0"),
    (lambda: time_ratio(SIX + 1, SIX[1:], 9), ValueError, "wanted the same seeds"),
])  # fmt: skip
def test_errors_name_the_argument(call, error, message):
    with pytest.raises(error, match=message):
        call()


SWEEP = sweep(np.random.default_rng(19))
TRAINING = training(np.random.default_rng(20))


@pytest.mark.parametrize("results, message", [
    (SWEEP.drop(columns="lr"), "no column 'lr'; wanted activation, lr, seed, epoch"),
    (SWEEP.drop(columns="validation_loss"), "no column 'validation_loss'"),
    (SWEEP[:0], "results is empty"),
    (pd.concat([SWEEP, SWEEP[:1]]), "several rows for activation="),
    (SWEEP.assign(seed=np.nan), "NaN in column 'seed'"),
    (SWEEP[~at(SWEEP, lr=0.3)], re.escape("{'relu': 3, 'tanh': 2} learning rates")),
    (SWEEP[at(SWEEP, lr=0.1)], re.escape("{'relu': 1, 'tanh': 1} learning rates")),
    (SWEEP[~at(SWEEP, lr=0.3, seed=2)],
     r"lack activation='tanh', lr=0.3 with seeds \[2\]"),
    (SWEEP[~at(SWEEP, activation="relu", epoch=3)],
     "end at epoch 2 for activation='relu'"),
    (SWEEP[~at(SWEEP, activation="relu", lr=1.0, seed=1, epoch=3)],
     "end at epoch 2 for activation='relu', lr=1.0, seed=1 and at epoch 3 for others"),
])  # fmt: skip
def test_an_unequal_budget_is_no_comparison(results, message):
    results = results.sort_values(["activation"], kind="stable")
    with pytest.raises(ValueError, match=message):
        select_learning_rates(results)


@pytest.mark.parametrize("results, metric, message", [
    (TRAINING, "train_score", "'train_score'; wanted a name that ends in loss, error"),
    (TRAINING, "test_error", "no column 'test_error'"),
    (TRAINING[~at(TRAINING, activation="relu", seed=1)], "train_error",
     re.escape("different seeds by activation: {'relu': 7, 'tanh': 8} of 8")),
    (TRAINING.assign(train_error="low"), "train_error", "train_error has dtype"),
])  # fmt: skip
def test_times_need_complete_results(results, metric, message):
    results = results.sort_values("activation", kind="stable")
    with pytest.raises((ValueError, TypeError), match=message):
        times_to_threshold(results, metric, 0.2)


def test_results_are_a_data_frame_and_thresholds_numbers():
    with pytest.raises(TypeError, match="results is a dict; wanted a DataFrame"):
        select_learning_rates({"lr": [0.1]})
    with pytest.raises(ValueError, match="threshold is nan"):
        times_to_threshold(TRAINING, "train_error", math.nan)
