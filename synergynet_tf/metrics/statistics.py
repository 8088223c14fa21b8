"""Statistics of several systems' scores on one cohort: intervals, paired tests, relative change.

Time points of a patient are not independent, so patients, not cases, are what is drawn again and what is paired: a bootstrap
draws patients with all their cases, and a test compares the patients' means. A case without the score (nan) takes no part.
"""
import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

RESAMPLES = 10_000
LEVEL = 0.95
CHUNK = 500         # bootstrap draws at a time: bounds the memory


class Interval(NamedTuple):
    """Percentile bootstrap interval of a mean; nan with fewer than two patients."""

    low: float
    high: float


class Comparison(NamedTuple):
    """One pair of systems on one score."""

    first: str
    second: str
    patients: int           # that both systems have the score of
    difference: float       # mean of first - second over them; nan without any
    p: float                # two-sided paired Wilcoxon test; 1 where no patient differs, nan without patients
    p_holm: float           # corrected for all pairs of systems on this score


def bootstrap_interval(values: Sequence[float], patients: Sequence[str], seed: int = 0, resamples: int = RESAMPLES,
                       level: float = LEVEL) -> Interval:
    """Interval of the mean over cases when patients are drawn with replacement, each with all its cases.

    Args:
        values: one a case; nan is left out.
        patients: whose each case is.
        seed: of the draws; the same gives the same interval.
        resamples: draws.
        level: share of the draws' means that the interval holds, 0 to 1.
    """
    sums, counts = _by_patient(values, patients)
    n = len(sums)
    if n < 2:
        return Interval(float("nan"), float("nan"))
    rng, means = np.random.default_rng(seed), []
    for start in range(0, resamples, CHUNK):
        drawn = rng.integers(0, n, (min(CHUNK, resamples - start), n))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    low, high = np.percentile(np.concatenate(means), [50 * (1 - level), 50 * (1 + level)])
    return Interval(float(low), float(high))


def compare(scores: Mapping[str, Sequence[float]], patients: Sequence[str]) -> list[Comparison]:
    """Paired Wilcoxon signed-rank tests between all pairs of systems, with Holm's correction over them.

    Args:
        scores: each system's score of each case, in one order of cases.
        patients: whose each case is, in that order.
    """
    pairs = list(itertools.combinations(scores, 2))
    tested = [_paired(np.asarray(scores[a], np.float64), np.asarray(scores[b], np.float64), patients) for a, b in pairs]
    corrected = holm([p for _, _, p in tested])
    return [Comparison(a, b, n, difference, p, adjusted)
            for (a, b), (n, difference, p), adjusted in zip(pairs, tested, corrected)]


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


def _paired(first: np.ndarray, second: np.ndarray, patients: Sequence[str]) -> tuple[int, float, float]:
    sums, counts = _by_patient(first - second, patients)
    if not len(sums):
        return 0, float("nan"), float("nan")
    differences = sums / counts
    p = 1.0 if not differences.any() else float(stats.wilcoxon(differences).pvalue)
    return len(differences), float(differences.mean()), p


def _by_patient(values: ArrayLike, patients: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Sum and number of the defined values of each patient that has any."""
    numbers = np.asarray(values, np.float64)
    defined = ~np.isnan(numbers)
    _, index = np.unique(np.asarray(patients, str)[defined], return_inverse=True)
    return np.bincount(index, numbers[defined]), np.bincount(index).astype(np.float64)
