"""The brain of a scan inside a graph, its box, and z-scores in it, as `synergynet_tf.data.preprocess` has them."""
from typing import NamedTuple

import tensorflow as tf

from synergynet_tf.data.preprocess import SPECK
from synergynet_tf.ops import components

from .checks import checked

Tensor = tf.Tensor


class Brain(NamedTuple):
    """A brain, cropped to its box on the grid of the scan."""

    mask: Tensor        # bool [x, y, z]
    begin: Tensor       # int32 [3]
    end: Tensor         # int32 [3], exclusive


def find_brain(flair: Tensor, name: str) -> Brain:
    """The brain of a skull-stripped FLAIR, float32 [X, Y, Z]: what is not 0, without specks, holes filled.

    Components (26-connected) below `SPECK` of the largest are dropped, holes (6-connected) filled.
    Fails with InvalidArgument when every voxel is 0.
    """
    measured = not_zero(flair)
    measured = checked(measured, tf.reduce_any(measured), f"{name}: no brain: all voxels are 0; send a skull-stripped FLAIR")
    begin, end = _bounds(measured)
    brain = _without_specks(_crop(measured, begin, end))
    first, last = _bounds(brain)
    return Brain(components.without_holes(_crop(brain, first, last)), begin + first, begin + last)


def cropped(array: Tensor, brain: Brain) -> tuple[Tensor, Tensor]:
    """A channel, float32 [X, Y, Z], in the brain's box, [x, y, z]; and where in the brain it is not 0."""
    inside = _crop(array, brain.begin, brain.end)
    return inside, brain.mask & not_zero(inside)


def z_scored(values: Tensor) -> Tensor:
    """The z-scores of what is not 0, float32 as `values`; 0 elsewhere."""
    measured = not_zero(values)
    wide = tf.cast(tf.boolean_mask(values, measured), tf.float64)
    count = tf.cast(tf.size(wide), tf.float64)
    mean = tf.reduce_sum(wide) / count
    deviation = tf.sqrt(tf.reduce_sum((wide - mean) ** 2) / count)
    return tf.where(measured, tf.cast((tf.cast(values, tf.float64) - mean) / deviation, tf.float32), 0.0)


def uncrop(array: Tensor, brain: Brain, shape: Tensor) -> Tensor:
    """Put an array [x, y, z] of the brain's box on the whole grid [X, Y, Z] of `shape`, 0 outside the box."""
    return tf.pad(array, tf.stack([brain.begin, shape - brain.end], 1))


def not_zero(array: Tensor) -> Tensor:
    """By the bits: TensorFlow's arithmetic takes numbers below 1e-38 for 0, and NumPy's does not."""
    return tf.not_equal(tf.bitwise.bitwise_and(tf.bitcast(array, tf.int32), 0x7fffffff), 0)


def _without_specks(mask: Tensor) -> Tensor:
    found = components.find(mask, 26)
    sizes = tf.cast(found.sizes, tf.float64)
    return components.without(found, sizes < SPECK * tf.reduce_max(sizes))


def _bounds(mask: Tensor) -> tuple[Tensor, Tensor]:
    """First and one past the last place of a mask that is not empty, on each axis: int32 [3] twice."""
    plane = tf.reduce_any(mask, 2)
    hits = [tf.reduce_any(plane, 1), tf.reduce_any(plane, 0), tf.reduce_any(mask, [0, 1])]
    places = [tf.cast(tf.where(hit)[:, 0], tf.int32) for hit in hits]
    return tf.stack([place[0] for place in places]), tf.stack([place[-1] + 1 for place in places])


def _crop(array: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    return tf.ensure_shape(tf.slice(array, begin, end - begin), [None] * 3)
