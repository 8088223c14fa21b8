"""Regions of interest: from a box to its patch of features (crop_and_resize_3d) and back to the volume (paste_3d).

Both are written for any stride: `to_normalised` is the one place where voxels of the full-resolution grid become positions on a
feature map.
"""
import math
from collections.abc import Sequence

import tensorflow as tf

from synergynet_tf.ops.crop import crop_and_resize_3d
from synergynet_tf.ops.paste import paste_3d

__all__ = ["crop_and_resize_3d", "paste_3d", "reach", "to_normalised"]

Tensor = tf.Tensor


def to_normalised(boxes: Tensor, feature_shape: Sequence[int | Tensor] | Tensor, stride: float,
                  crop_size: Sequence[int]) -> Tensor:
    """Boxes in voxels -> the normalised boxes with which crop_and_resize_3d samples the centres of their cells.

    boxes float32 [..., 6], voxels of the full-resolution grid; feature_shape (X, Y, Z) of the feature map, numbers or a tensor
    [3]; stride in voxels of one feature cell; crop_size cells along each axis -> float32 [..., 6].

    Cell k of n along an axis is centred on b0 + (k + 0.5) (b1 - b0) / n voxels; feature i is centred on (i + 0.5) * stride. So a
    cell lies at centre / stride - 0.5 of the feature map. A cell between the volume's edge and the centre of the outermost
    feature lies outside (below 0 or above size - 1) and is extrapolated, by tf.image's convention.
    """
    boxes = tf.cast(boxes, tf.float32)
    cells = tf.constant([float(n) for n in crop_size])
    last = tf.maximum(tf.cast(tf.convert_to_tensor(feature_shape), tf.float32) - 1.0, 1.0)    # a single feature lies at 0
    begin, end = tf.split(boxes, 2, axis=-1)
    half_cell = 0.5 * (end - begin) / cells
    return tf.concat([((begin + half_cell) / stride - 0.5) / last, ((end - half_cell) / stride - 0.5) / last], -1)


def reach(side: float, stride: float, cells: int) -> int:
    """How many features of `stride` voxels the cells of a box `side` voxels long touch along an axis, at the best place.

    Elsewhere they touch one more; a box that is shorter by a feature touches no more than this anywhere.
    """
    return math.ceil(side * (cells - 1) / cells / stride) + 1
