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
    low, high = tf.split(boxes, 2, axis=-1)
    x, y, z = tf.unstack(tf.maximum(high - low, 0.0), 3, axis=-1)
    return x * y * z


def expand(boxes: tf.Tensor, margin: float) -> tf.Tensor:
    """Boxes [..., 6] with `margin` voxels added on each of the six faces."""
    low, high = tf.split(tf.cast(boxes, tf.float32), 2, axis=-1)
    return tf.concat([low - margin, high + margin], axis=-1)


def scale(boxes: tf.Tensor, factor: float) -> tf.Tensor:
    """Boxes [..., 6] with each side multiplied by `factor`, the centre staying where it is."""
    centre, side = _centre_and_side(boxes)
    return _from_centre(centre, side * factor)


def clip(boxes: tf.Tensor, shape: Sequence[float | tf.Tensor] | tf.Tensor) -> tf.Tensor:
    """Boxes [..., 6] cut to the grid of `shape` (3 numbers, voxels); one that lies outside becomes degenerate, on the edge."""
    shape = tf.cast(shape, tf.float32)
    return tf.clip_by_value(tf.cast(boxes, tf.float32), 0.0, tf.concat([shape, shape], axis=0))


def pairwise_iou(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Intersection over union, float32 [M, N] in 0..1, of each box of `a` [M, 6] with each of `b` [N, 6].

    0 where either is degenerate. Axis by axis: no [M, N, 3] tensor is made, which would cost three times the memory.
    """
    a, b = tf.cast(a, tf.float32), tf.cast(b, tf.float32)
    rows, columns = tf.unstack(tf.expand_dims(a, 1), 6, axis=-1), tf.unstack(tf.expand_dims(b, 0), 6, axis=-1)
    intersection = None
    for axis in range(3):
        low = tf.maximum(rows[axis], columns[axis])
        high = tf.minimum(rows[axis + 3], columns[axis + 3])
        overlap = tf.maximum(high - low, 0.0)
        intersection = overlap if intersection is None else intersection * overlap
    union = tf.expand_dims(volumes(a), 1) + tf.expand_dims(volumes(b), 0) - intersection
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

    Slot l is label l + 1. A label that does not occur has a box of zeros and the count 0; labels above L are left out. Voxels of
    each label are counted by plane of each axis, in one loop over the planes along X: whole maps of indices are never made.
    """
    instances = tf.cast(instances, tf.int32)
    x, y, z = (instances.shape[axis] or tf.shape(instances)[axis] for axis in range(3))

    def add(number: tf.Tensor, by_x: tf.Tensor, by_y: tf.Tensor, by_z: tf.Tensor) -> tuple[tf.Tensor, ...]:
        plane = instances[number]
        slot = tf.where(plane > max_lesions, 0, plane) - 1       # background is the segment -1, which is skipped
        counts = [_count(slot, 0, max_lesions, 1), _count(slot, tf.range(y)[:, None], max_lesions, y),
                  _count(slot, tf.range(z)[None, :], max_lesions, z)]
        return number + 1, tf.tensor_scatter_nd_add(by_x, [[number]], counts[0][None, :, 0]), by_y + counts[1], by_z + counts[2]

    start = 0, *(tf.zeros(shape, tf.int32) for shape in ([x, max_lesions], [max_lesions, y], [max_lesions, z]))
    _, by_x, by_y, by_z = tf.while_loop(lambda number, *_: number < x, add, start)
    lows, highs = zip(*map(_ends, (tf.transpose(by_x), by_y, by_z)))
    voxels = tf.reduce_sum(by_z, 1)
    boxes = tf.where((voxels > 0)[:, None], tf.stack(lows + highs, axis=-1), 0)
    return tf.cast(boxes, tf.float32), voxels


def _count(slot: tf.Tensor, line: tf.Tensor | int, slots: int, lines: tf.Tensor | int) -> tf.Tensor:
    """How many of `slot` [Y, Z] are each of 0..slots - 1 on each line: int32 [slots, lines]."""
    segments = tf.reshape(tf.where(slot >= 0, slot * lines + line, -1), [-1])
    return tf.reshape(tf.math.unsorted_segment_sum(tf.ones_like(segments), segments, slots * lines), [slots, lines])


def _ends(counts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The first and one beyond the last place of each row of [L, N] that is not 0: int32 [L] each."""
    there = tf.cast(counts > 0, tf.int32)
    return tf.argmax(there, 1, tf.int32), tf.shape(counts)[1] - tf.argmax(tf.reverse(there, [1]), 1, tf.int32)


def _centre_and_side(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    low, high = tf.split(tf.cast(boxes, tf.float32), 2, axis=-1)
    return (low + high) * 0.5, high - low


def _from_centre(centre: tf.Tensor, side: tf.Tensor) -> tf.Tensor:
    return tf.concat([centre - side * 0.5, centre + side * 0.5], axis=-1)
