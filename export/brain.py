"""What `synergynet_tf.data.preprocess` does to a scan, inside a graph: the brain, its box, z-scores."""
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from synergynet_tf.data.preprocess import SPECK

from . import components
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
    found = _not_zero(flair)
    found = checked(found, tf.reduce_any(found), f"{name}: no brain: all voxels are 0; send a skull-stripped FLAIR")
    begin, end = _bounds(found)
    brain = _without_specks(_crop(found, begin, end))
    first, last = _bounds(brain)
    return Brain(_without_holes(_crop(brain, first, last)), begin + first, begin + last)


def z_scored(channels: Sequence[Tensor], brain: Brain, names: Sequence[str]) -> Tensor:
    """The channels, float32 [X, Y, Z] each, in the brain's box: float32 [x, y, z, C], 0 outside the brain.

    Mean and deviation are those of a channel's own voxels in the brain that are not 0. Fails with InvalidArgument where these are
    all equal.
    """
    return tf.stack([_z_score(_crop(array, brain.begin, brain.end), brain.mask, name)
                     for array, name in zip(channels, names)], -1)


def uncrop(array: Tensor, brain: Brain, shape: Tensor) -> Tensor:
    """Put an array [x, y, z] of the brain's box on the whole grid [X, Y, Z] of `shape`, 0 outside the box."""
    return tf.pad(array, tf.stack([brain.begin, shape - brain.end], 1))


def _not_zero(array: Tensor) -> Tensor:
    """By the bits: TensorFlow's arithmetic takes numbers below 1e-38 for 0, and NumPy's does not."""
    return tf.not_equal(tf.bitwise.bitwise_and(tf.bitcast(array, tf.int32), 0x7fffffff), 0)


def _z_score(array: Tensor, brain: Tensor, name: str) -> Tensor:
    measured = brain & _not_zero(array)
    values = tf.boolean_mask(array, measured)
    varied = tf.reduce_any(values != values[:1])
    values = checked(values, varied, f"{name}: every voxel in the brain is the same: there is nothing to see; replace the file")
    wide = tf.cast(values, tf.float64)
    count = tf.cast(tf.size(values), tf.float64)
    mean = tf.reduce_sum(wide) / count
    deviation = tf.sqrt(tf.reduce_sum((wide - mean) ** 2) / count)
    scores = tf.cast((tf.cast(array, tf.float64) - mean) / deviation, tf.float32)
    return tf.where(measured, scores, 0.0)


def _without_specks(found: Tensor) -> Tensor:
    volume = components.padded(found)
    runs = components.true_runs(volume)
    root = components.labels(runs, tf.shape(volume), 26)
    sizes = tf.cast(tf.math.unsorted_segment_sum(runs.end - runs.begin, root, tf.shape(root)[0]), tf.float64)
    speck = tf.gather(sizes, root) < SPECK * tf.reduce_max(sizes)
    return components.paint(volume, runs, speck, False)[1:-1, 1:-1, 1:-1]


def _without_holes(mask: Tensor) -> Tensor:
    volume = components.padded(mask)
    outside = components.gaps(components.true_runs(volume), tf.size(volume))
    hole = components.labels(outside, tf.shape(volume), 6) != 0
    return components.paint(volume, outside, hole, True)[1:-1, 1:-1, 1:-1]


def _bounds(mask: Tensor) -> tuple[Tensor, Tensor]:
    """First and one past the last place of a mask that is not empty, on each axis: int32 [3] twice."""
    plane = tf.reduce_any(mask, 2)
    hits = [tf.reduce_any(plane, 1), tf.reduce_any(plane, 0), tf.reduce_any(mask, [0, 1])]
    places = [tf.cast(tf.where(hit)[:, 0], tf.int32) for hit in hits]
    return tf.stack([place[0] for place in places]), tf.stack([place[-1] + 1 for place in places])


def _crop(array: Tensor, begin: Tensor, end: Tensor) -> Tensor:
    return tf.ensure_shape(tf.slice(array, begin, end - begin), [None] * 3)
