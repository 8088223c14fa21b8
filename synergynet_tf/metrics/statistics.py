"""Statistics of several systems' scores on one cohort: means, intervals, paired tests, relative change.

The patient is the unit: time points of a patient are not independent, so that a patient's scans are averaged first. A case
without the score (nan) takes no part. Where a cohort is of several sources, such as hospitals or data sets, a mean is that of the
sources' means, so that each counts alike, however many patients it has; a bootstrap draws the patients of each source among
themselves; and a test ranks the differences of each source among themselves.
"""
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

RESAMPLES = 10_000
LEVEL = 0.95
CHUNK = 500         # bootstrap draws at a time: bounds the memory
EXACT = 25          # patients up to which all signs of ranks in several sources are counted; beyond, their sum is nearly normal


class Interval(NamedTuple):
    """Percentile bootstrap interval of a mean; nan where a source has fewer than two patients."""

    low: float
    high: float


class Comparison(NamedTuple):
    """One pair of systems on one score."""

    first: str
    second: str
    patients: int           # that both systems have the score of
    difference: float       # mean of first - second over them; nan without any
    p: float                # two-sided paired test (`signed_rank`); 1 where no patient differs, nan without patients
    p_holm: float           # corrected for all pairs of systems on this score


def patient_means(values: ArrayLike, patients: Sequence[str]) -> dict[str, float]:
    """The mean of each patient's values, in the order of the patients' first ones; of patients without any but nan: none."""
    own: dict[str, list[float]] = {}
    for value, patient in zip(np.asarray(values, np.float64).tolist(), patients):
        if not math.isnan(value):
            own.setdefault(patient, []).append(value)
    return {patient: math.fsum(of_patient) / len(of_patient) for patient, of_patient in own.items()}


def cohort_mean(values: ArrayLike, patients: Sequence[str], sources: Sequence[str] | None = None) -> float:
    """The mean over sources of the means over their patients.

    Args:
        values: one a case; nan is left out.
        patients: whose each case is.
        sources: which each case is of, every patient's all of one; none: all are of one.

    Returns:
        nan without a value.
    """
    means = [np.mean(list(of_source.values())) for of_source in _by_source(values, patients, sources)]
    return float(np.mean(means)) if means else float("nan")


def bootstrap_interval(values: ArrayLike, patients: Sequence[str], seed: int = 0, resamples: int = RESAMPLES,
                       level: float = LEVEL, sources: Sequence[str] | None = None) -> Interval:
    """Interval of `cohort_mean` when the patients of each source are drawn with replacement, as many as there are.

    Args:
        values: one a case; nan is left out.
        patients: whose each case is.
        seed: of the draws; the same gives the same interval.
        resamples: draws.
        level: share of the draws' means that the interval holds, 0 to 1.
        sources: as in `cohort_mean`.
    """
    groups = _groups(values, patients, sources)
    if not groups or min(map(len, groups)) < 2:
        return Interval(float("nan"), float("nan"))
    rng, means = np.random.default_rng(seed), []
    for start in range(0, resamples, CHUNK):
        drawn = [group[rng.integers(0, len(group), (min(CHUNK, resamples - start), len(group)))] for group in groups]
        means.append(np.mean([of_source.mean(axis=1) for of_source in drawn], axis=0))
    low, high = np.percentile(np.concatenate(means), [50 * (1 - level), 50 * (1 + level)])
    return Interval(float(low), float(high))


def signed_rank(groups: Sequence[np.ndarray]) -> float:
    """The two-sided p value of Wilcoxon's signed-rank test, of one source or stratified by several.

    Of one source it is that of `scipy.stats.wilcoxon`. Of several, the ranks of each source's absolute differences, over the
    number of its differences + 1, are summed with the signs of the differences. So a source weighs by its number of patients,
    and its scale does not matter. These are the weights that van Elteren (Bulletin of the International Statistical Institute 37
    (1960), 351-361) has for the rank sums of several experiments. Under the null hypothesis + and - are alike for each, which
    gives the distribution of the sum: counted for at most `EXACT` differences, else normal, its variance the sum of the squares
    (Lehmann, Nonparametrics, 1975, ch. 3). Differences of 0 are left out, ties have mean ranks.

    Args:
        groups: differences of patients, an array a source, none of them empty.
    """
    groups = [group[group != 0] for group in groups]
    if not any(map(len, groups)):
        return 1.0
    if len(groups) == 1:
        return float(stats.wilcoxon(groups[0]).pvalue)      # exact where few differ, for zeros are gone
    scores = np.concatenate([stats.rankdata(np.abs(group)) / (len(group) + 1) for group in groups])
    signs = np.sign(np.concatenate(groups))
    if len(scores) > EXACT:
        return float(2 * stats.norm.sf(abs(signs @ scores) / np.sqrt(scores @ scores)))
    unit = 2 * math.lcm(*(len(group) + 1 for group in groups))      # of which all scores are multiples
    whole = np.rint(scores * unit).astype(int)
    ways = np.zeros(whole.sum() + 1)        # to have each sum of those with a +
    ways[0] = 1
    for score in whole:
        ways[score:] += ways[:-score].copy()
    extreme = np.abs(2 * np.arange(len(ways)) - whole.sum()) >= abs(signs @ whole)
    return float(ways[extreme].sum() / ways.sum())


def compare(scores: Mapping[str, Sequence[float]], patients: Sequence[str],
            sources: Sequence[str] | None = None) -> list[Comparison]:
    """Paired tests (`signed_rank`) of the patients' means between all pairs of systems, with Holm's correction over them.

    Args:
        scores: each system's score of each case, in one order of cases.
        patients: whose each case is, in that order.
        sources: as in `cohort_mean`.
    """
    compared = []
    for first, second in itertools.combinations(scores, 2):
        differences = np.asarray(scores[first], np.float64) - np.asarray(scores[second], np.float64)
        groups = _groups(differences, patients, sources)
        mean = float(np.mean([group.mean() for group in groups])) if groups else float("nan")
        p = signed_rank(groups) if groups else float("nan")
        compared.append(Comparison(first, second, sum(map(len, groups)), mean, p, p))
    corrected = holm([each.p for each in compared])
    return [each._replace(p_holm=p) for each, p in zip(compared, corrected)]


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction of p values (Scandinavian Journal of Statistics 6 (1979), 65-70); nan stays and is not counted.

    The k-th smallest of m is multiplied by m - k + 1; none is then below the one before it, or above 1.
    """
    values = np.asarray(p, np.float64)
    order = [i for i in np.argsort(values, kind="stable") if not np.isnan(values[i])]
    corrected = values.copy()
    corrected[order] = np.minimum(np.maximum.accumulate(values[order] * np.arange(len(order), 0, -1)), 1)
    return corrected.tolist()


def relative_change(value: float, baseline: float) -> float:
    """(value - baseline) / baseline, as the paper reports its gains over the U-Net: .6152 for .5999 is .0255. Baseline 0: nan."""
    return (value - baseline) / baseline if baseline else float("nan")


def _by_source(values: ArrayLike, patients: Sequence[str], sources: Sequence[str] | None) -> list[dict[str, float]]:
    """`patient_means` of each source that has any."""
    numbers, names = np.asarray(values, np.float64), np.asarray(sources or [""] * len(patients))
    parts = [np.flatnonzero(names == name).tolist() for name in np.unique(names)]
    means = [patient_means(numbers[part], [patients[i] for i in part]) for part in parts]
    return [of_source for of_source in means if of_source]


def _groups(values: ArrayLike, patients: Sequence[str], sources: Sequence[str] | None) -> list[np.ndarray]:
    """The patients' means of each source that has any, in the order of the patients' names."""
    return [np.array([means[patient] for patient in sorted(means)]) for means in _by_source(values, patients, sources)]
