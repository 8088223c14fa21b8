"""The scanners of the wide phantoms: bias, point spread, thick slices along any axis, Rician noise, gamma, clipping, scale.

All is done element by element and in fixed order (see `fields`), so that a seed gives the same bytes.
"""
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from synergynet_tf.data.phantom.fields import random_field
from synergynet_tf.data.phantom.variety import Variety, draw, draw_log

_SEEN = 0.45        # share of a slice that a lesion fills where a reader marks it


class Sampling(NamedTuple):
    """How one sequence is sampled and stored: the same at every time point."""

    blur: tuple[float, float, float]    # voxels, sigma of the point spread
    axis: int                           # across the slices
    slice: float                        # mm; 1: isotropic
    offset: float                       # 0 to below 1, the share of the first slice that lies before the volume
    cubic: bool                         # how slices are brought back to 1 mm: by cubic convolution, which rings, or linearly
    bias: float                         # largest log of the bias field
    noise: float                        # sigma of a stored voxel, relative to white matter
    grain: float                        # voxels, sigma of the smoothing that image and noise went through
    gamma: float
    clip: float | None                  # percentile above which voxels were cut off
    scale: float                        # stored value of white matter

    @property
    def spread(self) -> float:
        """Voxels, sigma of all smoothing within a slice."""
        return float(np.hypot(np.mean(self.blur), self.grain))


def draw_sampling(variety: Variety, rng: np.random.Generator) -> Sampling:
    """A sequence of a scanner."""
    thick = rng.random() < variety.thick
    return Sampling(tuple(draw(rng, variety.blur) * rng.uniform(0.8, 1.2, 3)), int(rng.choice(3, p=(0.15, 0.1, 0.75))),
                    draw(rng, variety.slice) if thick else 1.0, rng.random(), bool(rng.random() < 0.5),
                    variety.bias[0] + (variety.bias[1] - variety.bias[0]) * rng.beta(1, 2.5), draw_log(rng, variety.noise),
                    draw(rng, variety.grain), draw(rng, variety.gamma),
                    rng.uniform(98.5, 99.9) if rng.random() < variety.clipped else None, draw_log(rng, variety.scale))


def slabs(volume: np.ndarray, sampling: Sampling) -> np.ndarray:
    """The means of a volume over its slices, float32, as many along `sampling.axis` as there are slices."""
    moved = np.moveaxis(volume, sampling.axis, 0)
    n, step = moved.shape[0], sampling.slice
    first = -sampling.offset * step
    edges = np.clip(first + step * np.arange(int(np.ceil((n - first) / step)) + 1), 0, n)
    total = np.concatenate([np.zeros((1, *moved.shape[1:])), np.cumsum(moved, axis=0, dtype=np.float64)])
    at = np.minimum(edges.astype(int), n - 1)
    part = (edges - at)[:, None, None]
    total = total[at] * (1 - part) + total[at + 1] * part
    width = np.maximum(np.diff(edges), 1e-6)[:, None, None]
    return np.moveaxis((np.diff(total, axis=0) / width).astype(np.float32), 0, sampling.axis)


def from_slabs(slices: np.ndarray, n: int, sampling: Sampling, nearest: bool = False) -> np.ndarray:
    """Slices brought back to `n` voxels along `sampling.axis`, float32: linearly, by cubic convolution, or each as it is."""
    moved = np.moveaxis(slices, sampling.axis, 0)
    position = (np.arange(n) + 0.5) / sampling.slice + sampling.offset - 0.5
    if nearest:
        return np.moveaxis(moved[np.clip(np.rint(position).astype(int), 0, len(moved) - 1)], 0, sampling.axis)
    first = np.floor(position).astype(int)
    t = (position - first)[:, None, None]
    weights = {0: 1 - t, 1: t}
    if sampling.cubic:      # Keys (1981), a = -1/2
        weights = {-1: (-t ** 3 + 2 * t ** 2 - t) / 2, 0: (3 * t ** 3 - 5 * t ** 2 + 2) / 2,
                   1: (-3 * t ** 3 + 4 * t ** 2 + t) / 2, 2: (t ** 3 - t ** 2) / 2}
    result = np.zeros((n, *moved.shape[1:]), np.float32)
    for shift, weight in weights.items():
        result += weight.astype(np.float32) * moved[np.clip(first + shift, 0, len(moved) - 1)]
    return np.moveaxis(result, 0, sampling.axis)


def seen(lesions: np.ndarray, sampling: Sampling) -> np.ndarray:
    """What a reader marks of lesions (bool [x, y, z]) on thick slices: slice by slice, what fills enough of one."""
    if sampling.slice == 1:
        return lesions
    return from_slabs(slabs(lesions.astype(np.float32), sampling), lesions.shape[sampling.axis], sampling, nearest=True) > _SEEN


def acquire(clean: np.ndarray, mask: np.ndarray, sampling: Sampling, rng: np.random.Generator) -> np.ndarray:
    """One scan of a clean image, float32 [x, y, z] relative to white matter.

    Returns float32 whole numbers, 0 outside `mask` and at least 1 inside.
    """
    field = random_field(rng, clean.shape, rng.uniform(40, 90))
    scan = clean * np.exp(np.float32(sampling.bias / max(np.abs(field).max(), 1)) * field)
    scan = ndimage.gaussian_filter(scan, sampling.blur, truncate=3.0)
    if sampling.slice > 1:
        scan = slabs(scan, sampling)
    _add_noise(scan, sampling, rng)
    if sampling.grain > 0.2:
        sigma = [0 if axis == sampling.axis and sampling.slice > 1 else sampling.grain for axis in range(3)]
        scan = ndimage.gaussian_filter(scan, sigma, truncate=3.0)
    if sampling.slice > 1:
        scan = from_slabs(scan, clean.shape[sampling.axis], sampling)
    scan = np.maximum(scan, 0) ** np.float32(sampling.gamma)
    if sampling.clip is not None:
        scan = np.minimum(scan, np.percentile(scan[mask], sampling.clip))
    scan *= np.float32(sampling.scale * rng.uniform(0.9, 1.1))
    return np.where(mask, np.maximum(np.rint(scan), 1), 0).astype(np.float32)


def _add_noise(scan: np.ndarray, sampling: Sampling, rng: np.random.Generator) -> None:
    """Rician noise in place, so strong that what smoothing leaves of it is `sampling.noise`."""
    weights = np.exp(-0.5 * (np.arange(-3, 4) / max(sampling.grain, 0.01)) ** 2)
    kept = np.sqrt((weights ** 2).sum()) / weights.sum()        # along an axis
    sigma = np.float32(min(sampling.noise / kept ** (2 if sampling.slice > 1 else 3), 0.25))
    real, other = (sigma * rng.standard_normal(scan.shape, dtype=np.float32) for _ in range(2))
    np.hypot(scan + real, other, out=scan)
