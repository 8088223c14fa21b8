"""Where the network is applied to a volume: in one pass, in overlapping windows, or in the paper's centre crop.

A window may reach past the volume on both sides; what lies outside is zero, as the background of a z-scored scan is. So every
window has a size that the network takes (each side a multiple of 8) and no volume is too small.
"""
import math
from typing import NamedTuple

import numpy as np

STRIDE = 8          # of the deepest feature map: the sides of what the network sees are multiples of it
SIGMA = 1 / 8       # standard deviation of the window weights, as a share of the side
FLOOR = 1e-3        # least window weight, so that a corner seen by a single window keeps its value

Triple = tuple[int, int, int]


class Window(NamedTuple):
    """A box of voxels of the volume: `start` (negative: padding in front) and `size`."""

    start: Triple
    size: Triple


def whole(shape: Triple) -> Window:
    """The one window that holds a volume [X, Y, Z], each side padded evenly to a multiple of 8: (10, 16, 20) gives
    start (-3, 0, -2), size (16, 16, 24)."""
    size = tuple(max(math.ceil(n / STRIDE), 1) * STRIDE for n in shape)
    return centre(shape, size)


def centre(shape: Triple, size: Triple) -> Window:
    """The window of `size` in the middle of a volume [X, Y, Z] (paper, 3); axes on which the volume is shorter are padded."""
    return Window(tuple((n - s) // 2 for n, s in zip(shape, size)), tuple(size))


def axis_starts(length: int, size: int, overlap: float) -> list[int]:
    """Starts of the windows along one axis: as few as the overlap allows, evenly spread, the last one ending at the border.

    Length 10, size 4, overlap 0.5: a window may advance by 4 * (1 - 0.5) = 2 voxels, the starts span 0..6, so ceil(6 / 2) + 1 = 4
    windows are needed: 0, 2, 4, 6. With length 9 the span is 5, again 4 windows: 0, 1, 3, 5. A length of 4 or less gives one.
    """
    span = length - size
    if span <= 0:
        return [span // 2]
    step = max(math.floor(size * (1 - overlap)), 1)
    gaps = math.ceil(span / step)
    return [i * span // gaps for i in range(gaps + 1)]


def windows(shape: Triple, size: Triple, overlap: float) -> list[Window]:
    """Windows of `size` that cover a volume [X, Y, Z]; neighbours share at least `overlap` (0 to below 1) of a side.

    On each axis the starts are those of `axis_starts`; an axis shorter than the window gets one padded window.
    """
    axes = [axis_starts(n, s, overlap) for n, s in zip(shape, size)]
    return [Window((x, y, z), tuple(size)) for x in axes[0] for y in axes[1] for z in axes[2]]


def overlap_of(window: Window, shape: Triple) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The voxels that a window and a volume [X, Y, Z] share: their slices in the volume, and in the window."""
    low = [max(a, 0) for a in window.start]
    high = [min(a + n, full) for a, n, full in zip(window.start, window.size, shape)]
    inside = tuple(slice(a, b) for a, b in zip(low, high))
    local = tuple(slice(a - start, b - start) for a, b, start in zip(low, high, window.start))
    return inside, local


def extract(volume: np.ndarray, window: Window) -> np.ndarray:
    """The window's part of `volume` [X, Y, Z, ...], zero where the window reaches past it: [*window.size, ...]."""
    inside, local = overlap_of(window, volume.shape[:3])
    if all(s.start == 0 and s.stop == n for s, n in zip(local, window.size)):
        return volume[inside]
    out = np.zeros((*window.size, *volume.shape[3:]), volume.dtype)
    out[local] = volume[inside]
    return out


def gaussian_weights(size: Triple) -> np.ndarray:
    """Float32 [*size], 1 in the middle and falling off to the border, where a window knows least about its surroundings.

    The product of one Gaussian an axis (sigma: an eighth of the side), never below FLOOR.
    """
    axes = []
    for n in size:
        position = (np.arange(n) - (n - 1) / 2) / (n * SIGMA)
        axes.append(np.exp(-0.5 * position ** 2))
    weights = axes[0][:, None, None] * axes[1][:, None] * axes[2]
    return np.maximum(weights / weights.max(), FLOOR).astype(np.float32)
