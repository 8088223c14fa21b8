"""Boxes: measures, moves, the coding of one box relative to another, and boxes from a map of instances.

A box is [x0, y0, z0, x1, y1, z1] in voxels, half-open (see structures.py). Leading dimensions are written [...] and are free.
Boxes may reach beyond the grid, as a margin at its edge does, and may be degenerate (a side of 0): such a box has volume 0 and
overlaps nothing. Everything here is float32, whatever comes in, so that mixed precision never rounds a coordinate.
"""
import itertools
from collections.abc import Sequence

import tensorflow as tf

MAX_LOG_RATIO = 5.0     # a decoded side is at most e^5 = 148 times the reference's: beyond any scan, far from overflow
MIN_SIDE = 1e-3         # voxels; keeps the logarithm and the division of `encode` finite where a box is degenerate


def volumes(boxes: tf.Tensor) -> tf.Tensor:
    """Volumes in voxels, [...], of boxes [..., 6]; 0 where a side is 0 or negative."""
    boxes = tf.cast(boxes, tf.float32)
    sides = tf.maximum(boxes[..., 3:] - boxes[..., :3], 0.0)
    return sides[..., 0] * sides[..., 1] * sides[..., 2]


def expand(boxes: tf.Tensor, margin: float) -> tf.Tensor:
    """Boxes [..., 6] with `margin` voxels added on each of the six faces."""
    boxes = tf.cast(boxes, tf.float32)
    return tf.concat([boxes[..., :3] - margin, boxes[..., 3:] + margin], axis=-1)


def scale(boxes: tf.Tensor, factor: float) -> tf.Tensor:
    """Boxes [..., 6] with each side multiplied by `factor`, the centre staying where it is."""
    centre, side = _centre_and_side(boxes)
    return _from_centre(centre, side * factor)


def clip(boxes: tf.Tensor, shape: Sequence[float] | tf.Tensor) -> tf.Tensor:
    """Boxes [..., 6] cut to the grid of `shape` (3 numbers, voxels); one that lies outside becomes degenerate, on the edge."""
    shape = tf.cast(shape, tf.float32)
    return tf.clip_by_value(tf.cast(boxes, tf.float32), 0.0, tf.concat([shape, shape], axis=0))


def pairwise_iou(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Intersection over union, float32 [M, N] in 0..1, of each box of `a` [M, 6] with each of `b` [N, 6].

    0 where either is degenerate. Axis by axis: no [M, N, 3] tensor is made, which would cost three times the memory.
    """
    a, b = tf.cast(a, tf.float32), tf.cast(b, tf.float32)
    intersection = None
    for axis in range(3):
        low = tf.maximum(a[:, None, axis], b[None, :, axis])
        high = tf.minimum(a[:, None, axis + 3], b[None, :, axis + 3])
        overlap = tf.maximum(high - low, 0.0)
        intersection = overlap if intersection is None else intersection * overlap
    union = volumes(a)[:, None] + volumes(b)[None, :] - intersection
    return tf.math.divide_no_nan(intersection, union)


def count_voxels(boxes: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """How many voxels of `mask` (bool [X, Y, Z]) share volume with each box [..., 6]: int32 [...]; 0 outside the volume.

    By an integral volume (Viola and Jones 2001, with a third axis): eight look-ups a box, whatever its size.
    """
    shape = tf.shape(mask)
    sums = tf.pad(tf.cast(mask, tf.int32), [[1, 0]] * 3)
    for axis in range(3):
        sums = tf.cumsum(sums, axis)
    low = tf.clip_by_value(tf.cast(tf.floor(boxes[..., :3]), tf.int32), 0, shape)
    high = tf.maximum(tf.clip_by_value(tf.cast(tf.math.ceil(boxes[..., 3:]), tf.int32), 0, shape), low)
    total = tf.zeros(tf.shape(low)[:-1], tf.int32)
    for corner in itertools.product((0, 1), repeat=3):
        index = tf.where(tf.constant(corner) == 1, high, low)
        sign = 1 if sum(corner) % 2 else -1
        total += sign * tf.gather_nd(sums, index)
    return total


def encode(boxes: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Deltas [..., 6] that lead from `reference` [..., 6] (an anchor or a proposal) to `boxes` [..., 6].

    Delta: the centre's offset over the reference's side, x y z, then log(side / reference's side), x y z: the coding of Faster
    R-CNN (Ren et al. 2015, eq. 2) with one more axis. Sides are taken as at least `MIN_SIDE`, so padding gives finite numbers.
    """
    centre, side = _centre_and_side(boxes)
    reference_centre, reference_side = _centre_and_side(reference)
    side, reference_side = tf.maximum(side, MIN_SIDE), tf.maximum(reference_side, MIN_SIDE)
    return tf.concat([(centre - reference_centre) / reference_side, tf.math.log(side / reference_side)], axis=-1)


def decode(deltas: tf.Tensor, reference: tf.Tensor) -> tf.Tensor:
    """Boxes [..., 6] that `deltas` [..., 6] make of `reference` [..., 6]: the inverse of `encode`.

    The logarithm of a side is cut at `MAX_LOG_RATIO`, so that an untrained network cannot make an infinite box.
    """
    deltas = tf.cast(deltas, tf.float32)
    reference_centre, reference_side = _centre_and_side(reference)
    reference_side = tf.maximum(reference_side, MIN_SIDE)
    centre = reference_centre + deltas[..., :3] * reference_side
    return _from_centre(centre, tf.exp(tf.minimum(deltas[..., 3:], MAX_LOG_RATIO)) * reference_side)


def from_instances(instances: tf.Tensor, max_lesions: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Tight boxes float32 [L, 6] and voxel counts int32 [L] of the labels 1..L = `max_lesions` in int32 `instances` [X, Y, Z].

    Slot l is label l + 1. A label that does not occur has a box of zeros and the count 0; labels above L are left out. For each
    axis one pass counts a label's voxels plane by plane; background gets the segment -1, which the segment operations skip.
    """
    instances = tf.cast(instances, tf.int32)
    shape = tf.shape(instances)
    slot = tf.where(instances > max_lesions, 0, instances) - 1
    ones = tf.ones([tf.size(instances)], tf.int32)
    lows, highs = [], []
    for axis in range(3):
        plane = tf.reshape(tf.range(shape[axis]), [-1 if i == axis else 1 for i in range(3)])
        segments = tf.reshape(tf.where(slot >= 0, slot * shape[axis] + plane, -1), [-1])
        counts = tf.reshape(tf.math.unsorted_segment_sum(ones, segments, max_lesions * shape[axis]), [max_lesions, shape[axis]])
        there = tf.cast(counts > 0, tf.int32)
        lows.append(tf.argmax(there, 1, tf.int32))
        highs.append(shape[axis] - tf.argmax(tf.reverse(there, [1]), 1, tf.int32))
    voxels = tf.reduce_sum(counts, 1)
    boxes = tf.where((voxels > 0)[:, None], tf.stack(lows + highs, axis=-1), 0)
    return tf.cast(boxes, tf.float32), voxels


def _centre_and_side(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    boxes = tf.cast(boxes, tf.float32)
    return (boxes[..., :3] + boxes[..., 3:]) * 0.5, boxes[..., 3:] - boxes[..., :3]


def _from_centre(centre: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
    return tf.concat([centre - side * 0.5, centre + side * 0.5], axis=-1)
