"""Which voxels of a scan are cortex: the template's share of grey matter there, and what the FLAIR shows.

A voxel's class is the likelier of grey and white matter: two normal distributions of the FLAIR, smoothed and without its slow
changes, with the template's shares as prior; their means are found by expectation maximisation (Ashburner and Friston, NeuroImage
26 (2005), 839-851). The contrast of grey and white matter in FLAIR is faint, so neither of both would do alone.
"""
import numpy as np
from scipy import ndimage

from synergynet_tf.data.phantom.fields import enlarge

SLOW = (4, 3)           # slow changes: seen on every 4th voxel, smoothed by 3 of those
ROUNDS = 6              # of the maximisation
SURE = 0.7              # a share of either tissue from which the first means are taken
SHARES = (0.05, 0.95)   # no prior is surer


def find_cortex(flair: np.ndarray, tissue: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Find the cortex.

    Args:
        flair: float32 [X, Y, Z].
        tissue: bool [X, Y, Z], what is neither fluid nor lesion.
        share: float32 [X, Y, Z], the template's share of grey matter in all tissue; 0 where there is none of the cortex.

    Returns:
        bool [X, Y, Z], without what is thinner than three voxels.
    """
    white = tissue & (share < 0.5)
    step, width = SLOW
    coarse = tuple(slice(None, None, step) for _ in range(3))
    slow = _mean_near(flair[coarse], white[coarse], width, float(np.median(flair[white])))
    level = _mean_near(flair - enlarge(slow, step, flair.shape), tissue, 1, 0.0)
    known = tissue & (share > 0)
    values, prior = level[known], np.clip(share[known], *SHARES)
    odds = np.log(prior / (1 - prior)).astype(np.float32)
    cortex = np.zeros(flair.shape, bool)
    cortex[known] = _log_odds(values, odds, _levels(values[::4], odds[::4])) > 0
    return ndimage.binary_opening(cortex)


def _levels(values: np.ndarray, odds: np.ndarray) -> tuple[float, float, float]:
    """The means of grey and of white matter, and the deviation of both, by expectation maximisation; odds: log, prior."""
    sure = np.log(SURE / (1 - SURE))
    grey, white = float(np.median(values[odds > sure])), float(np.median(values[odds < -sure]))
    deviation = float(values[odds < -sure].std())
    for _ in range(ROUNDS):
        share = 1 / (1 + np.exp(-np.clip(_log_odds(values, odds, (grey, white, deviation)), -30, 30)))
        grey, white = float(np.average(values, weights=share)), float(np.average(values, weights=1 - share))
        deviation = float(np.sqrt(np.mean((values - np.where(share > 0.5, grey, white)) ** 2)))
    return grey, white, deviation


def _log_odds(values: np.ndarray, odds: np.ndarray, levels: tuple[float, float, float]) -> np.ndarray:
    grey, white, deviation = levels
    return odds + ((values - white) ** 2 - (values - grey) ** 2) / (2 * deviation ** 2)


def _mean_near(values: np.ndarray, where: np.ndarray, width: float, otherwise: float) -> np.ndarray:
    """The mean of the values near each voxel of those that are `where`, by a Gaussian; `otherwise` where there is none."""
    weight = ndimage.gaussian_filter(where.astype(np.float32), width, truncate=3)
    total = ndimage.gaussian_filter(np.where(where, values, np.float32(0)).astype(np.float32), width, truncate=3)
    return np.where(weight > 1e-3, total / np.maximum(weight, 1e-3), np.float32(otherwise))
