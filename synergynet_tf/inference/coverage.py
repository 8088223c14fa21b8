"""Where the network is applied to a volume: in one pass, in overlapping windows, or in the paper's centre crop.

A window may reach past the volume on both sides; what lies outside is zero, as the background of a z-scored scan is. So every
window has a size that the network takes (each side a multiple of 8) and no volume is too small.

All of it is in TensorFlow, since the exported graph knows a volume's shape only when the volume comes.
"""
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from synergynet_tf.config import InferConfig

STRIDE = 8          # of the deepest feature map: the sides of what the network sees are multiples of it
SIGMA = 1 / 8       # standard deviation of the window weights, as a share of the side
FLOOR = 1e-3        # least window weight, so that a corner seen by a single window keeps its value


class Windows(NamedTuple):
    """Boxes of one size in a volume."""

    starts: tf.Tensor       # int32 [W, 3], in the volume's voxels; negative where a window reaches past it
    size: tf.Tensor         # int32 [3]


def place(shape: tf.Tensor | Sequence[int], infer: InferConfig, max_voxels: int | None = None) -> Windows:
    """The windows in which a volume is seen.

    Args:
        shape: int32 [3], X, Y, Z of the volume.
        infer: its `coverage`, `window` and `overlap` are read.
        max_voxels: a volume that has more is seen in windows, though `coverage` is "whole"; None: no limit.
    """
    sides, window = tf.convert_to_tensor(shape), tf.constant(infer.window)
    if infer.coverage == "centre":      # paper, 3
        return Windows(((sides - window) // 2)[None], window)
    size = window
    if infer.coverage == "whole":
        whole = whole_size(sides)
        fits = True if max_voxels is None else tf.reduce_prod(tf.cast(whole, tf.int64)) <= max_voxels
        size = tf.where(fits, whole, window)
    return covering(sides, size, infer.overlap)


def whole_size(shape: tf.Tensor | Sequence[int]) -> tf.Tensor:
    """Int32 [3]: the sides of the one window that holds a volume [X, Y, Z], multiples of 8: (10, 16, 20) gives (16, 16, 24)."""
    return tf.maximum(-(-tf.convert_to_tensor(shape) // STRIDE), 1) * STRIDE


def covering(shape: tf.Tensor | Sequence[int], size: tf.Tensor | Sequence[int], overlap: float) -> Windows:
    """Windows of `size` that cover a volume [X, Y, Z]; neighbours share at least `overlap` (0 to below 1) of a side.

    On each axis the starts are those of `axis_starts`; X changes slowest.
    """
    sides, window = tf.convert_to_tensor(shape), tf.convert_to_tensor(size)
    axes = [axis_starts(sides[axis], window[axis], overlap) for axis in range(3)]
    return Windows(tf.reshape(tf.stack(tf.meshgrid(*axes, indexing="ij"), -1), [-1, 3]), window)


def axis_starts(length: tf.Tensor, size: tf.Tensor, overlap: float) -> tf.Tensor:
    """Starts of the windows along one axis, int32: as few as the overlap allows, evenly spread, the last one at the border.

    Length 10, size 4, overlap 0.5: a window may advance by 4 * (1 - 0.5) = 2 voxels, the starts span 0..6, so ceil(6 / 2) + 1 = 4
    windows are needed: 0, 2, 4, 6. With length 9 the span is 5, again 4 windows: 0, 1, 3, 5. An axis that is no longer than the
    window gets one, padded evenly: length 5, size 8 gives -2.
    """
    span = tf.convert_to_tensor(length - size)
    step = tf.maximum(tf.cast(tf.floor(tf.cast(size, tf.float64) * (1 - overlap)), tf.int32), 1)
    gaps = tf.maximum(-(-span // step), 0)
    spread = tf.range(gaps + 1) * span // tf.maximum(gaps, 1)
    return tf.where(span > 0, spread, span // 2)


def padded(volume: tf.Tensor, windows: Windows) -> tuple[tf.Tensor, tf.Tensor]:
    """A volume [X, Y, Z, C] with zeros around it, so that every window lies inside, and how many are in front, int32 [3]."""
    front = tf.maximum(-tf.reduce_min(windows.starts, 0), 0)
    back = tf.maximum(tf.reduce_max(windows.starts, 0) + windows.size - tf.shape(volume)[:3], 0)
    return tf.pad(volume, tf.concat([tf.stack([front, back], 1), [[0, 0]]], 0)), front


def gaussian_weights(size: tf.Tensor) -> tf.Tensor:
    """Float32 [*size], 1 in the middle and falling off to the border, where a window knows least about its surroundings.

    The product of one Gaussian an axis (sigma: an eighth of the side), never below FLOOR.
    """
    axes = []
    for axis in range(3):
        n = tf.cast(size[axis], tf.float64)
        position = (tf.range(n, dtype=tf.float64) - (n - 1) / 2) / (n * SIGMA)
        axes.append(tf.exp(-0.5 * position ** 2))
    weights = axes[0][:, None, None] * axes[1][:, None] * axes[2]
    return tf.cast(tf.maximum(weights / tf.reduce_max(weights), FLOOR), tf.float32)


def in_margin(boxes: tf.Tensor, windows: Windows, index: tf.Tensor, shape: tf.Tensor, overlap: float) -> tf.Tensor:
    """Which boxes have their centre in the outer half of an overlap, where a neighbour window sees more around it.

    Faces of the window on the volume's border have no neighbour and no margin.

    Args:
        boxes: float32 [K, 6], of the window with this `index`, in the volume's voxels.
        windows: all of the volume's.
        index: int32 scalar, of the window that gave the boxes.
        shape: int32 [3], X, Y, Z of the volume.
        overlap: as for `covering`.

    Returns:
        Bool [K].
    """
    middle = (boxes[:, :3] + boxes[:, 3:]) / 2
    start, size, full = (tf.cast(v, tf.float32) for v in (windows.starts[index], windows.size, shape))
    margin = overlap * size / 2
    low = (start > 0) & (middle < start + margin)
    high = (start + size < full) & (middle >= start + size - margin)
    return tf.reduce_any(low | high, axis=1)
