"""The network on a whole volume inside a graph: windows, one after the other, and their predictions merged.

The graph counterpart of `synergynet_tf.inference.coverage` and `merge`; the tests hold it to their results. The volume is first
padded so that every window lies inside it; a window's size and the number of windows are known only when a volume comes.
"""
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.inference.coverage import FLOOR, SIGMA, STRIDE
from synergynet_tf.inference.merge import PROBABILITY_STEP
from synergynet_tf.models.fusion import fuse
from synergynet_tf.ops import nms, roi
from synergynet_tf.structures import Prediction

Tensor = tf.Tensor


class Plan(NamedTuple):
    """Where the windows lie in a volume [X, Y, Z]."""

    size: Tensor        # int32 [3], of every window
    starts: Tensor      # int32 [W, 3], in the volume; negative where a window reaches past it
    front: Tensor       # int32 [3], zeros to put before each axis, so that no window reaches past it
    back: Tensor        # int32 [3], and behind


class Found(NamedTuple):
    """Detections in a volume's voxels, rows of fixed number."""

    boxes: Tensor           # float32 [K, 6]
    scores: Tensor          # float32 [K]
    valid: Tensor           # bool [K]
    patch_logits: Tensor    # float32 [K, S, S, S, 1]
    mask_boxes: Tensor      # float32 [K, 6]


class Answer(NamedTuple):
    """What one network says of a volume."""

    probability: Tensor     # float32 [X, Y, Z]
    found: Found            # best first
    finite: Tensor          # bool, whether every logit was a number


def segment(model: Callable[[Tensor], Prediction], config: Config, image: Tensor, max_window_voxels: int) -> Answer:
    """Segment a z-scored volume, float32 [X, Y, Z, C], as `inference.Predictor` does with `config`.

    Where a whole volume has more voxels than `max_window_voxels`, it is seen in windows of `infer.window`.
    """
    shape = tf.shape(image)[:3]
    plan = _plan(shape, config, max_window_voxels)
    logits, seen, found = _over_windows(model, config, image, plan)
    found = _best(found, config)
    local, covered = roi.paste_3d(found.patch_logits, found.mask_boxes, tf.zeros_like(found.valid, tf.int32), found.valid,
                                  (1, *tf.unstack(shape)), config.mask.window)
    fused = fuse(logits[None, ..., None], local, covered, config.fusion.gamma)[0, ..., 0]
    probability = tf.round(tf.sigmoid(fused) / PROBABILITY_STEP) * tf.constant(PROBABILITY_STEP, tf.float32)
    return Answer(tf.where(seen, probability, 0.0), found, tf.math.is_finite(tf.reduce_sum(logits)))


def _plan(shape: Tensor, config: Config, max_window_voxels: int) -> Plan:
    infer = config.infer
    window = tf.constant(infer.window)
    whole = tf.maximum(-(-shape // STRIDE), 1) * STRIDE
    size = window
    if infer.coverage == "whole":
        fits = tf.reduce_prod(tf.cast(whole, tf.int64)) <= max_window_voxels
        size = tf.where(fits, whole, window)
    if infer.coverage == "centre":
        starts = ((shape - size) // 2)[None]
    else:
        axes = [_axis_starts(shape[axis], size[axis], infer.overlap) for axis in range(3)]
        starts = tf.reshape(tf.stack(tf.meshgrid(*axes, indexing="ij"), -1), [-1, 3])
    front = tf.maximum(-tf.reduce_min(starts, 0), 0)
    return Plan(size, starts, front, tf.maximum(tf.reduce_max(starts, 0) + size - shape, 0))


def _axis_starts(length: Tensor, size: Tensor, overlap: float) -> Tensor:
    """As `inference.coverage.axis_starts`."""
    span = length - size
    step = tf.maximum(tf.cast(tf.floor(tf.cast(size, tf.float64) * (1 - overlap)), tf.int32), 1)
    count = tf.maximum(-(-span // step), 0) + 1
    spread = tf.range(count) * span // tf.maximum(count - 1, 1)
    return tf.where(span > 0, spread, span // 2)


def _over_windows(model: Callable[[Tensor], Prediction], config: Config, image: Tensor,
                  plan: Plan) -> tuple[Tensor, Tensor, Found]:
    """Mean logits float32 [X, Y, Z], bool [X, Y, Z], where a window was, and the detections of all windows, [W * K, ...]."""
    shape, channels = tf.shape(image)[:3], len(config.data.channels)
    padding = tf.stack([plan.front, plan.back], 1)
    image = tf.pad(image, tf.concat([padding, [[0, 0]]], 0))
    full, count = tf.shape(image)[:3], tf.shape(plan.starts)[0]
    weights = _gaussian_weights(plan.size)
    rows = Found(*(tf.TensorArray(dtype, count, element_shape=[config.detector.max_detections, *shape])
                   for dtype, shape in _rows(config)))

    def one(i: Tensor, total: Tensor, weight: Tensor, rows: Found) -> tuple[Tensor, Tensor, Tensor, Found]:
        begin = plan.starts[i] + plan.front
        part = tf.slice(image, tf.concat([begin, [0]], 0), tf.concat([plan.size, [channels]], 0))
        prediction = model(tf.ensure_shape(part[None], [1, None, None, None, channels]))
        place = tf.stack([begin, full - begin - plan.size], 1)
        total += tf.pad(weights * prediction.global_logits[0, ..., 0], place)
        weight += tf.pad(weights, place)
        found = _moved(prediction, plan.starts[i])
        return i + 1, total, weight, Found(*(array.write(i, value) for array, value in zip(rows, found)))

    _, total, weight, rows = tf.while_loop(
        lambda i, *_: i < count, one, (0, tf.zeros(full), tf.zeros(full), rows), parallel_iterations=1)
    total, weight = (tf.slice(volume, plan.front, shape) for volume in (total, weight))
    found = Found(*(array.stack() for array in rows))
    return tf.math.divide_no_nan(total, weight), weight > 0, _united(found, plan, shape, config)


def _rows(config: Config) -> list[tuple[tf.DType, list[int]]]:
    """Types and shapes of a row of each field of Found."""
    return [(tf.float32, [6]), (tf.float32, []), (tf.bool, []), (tf.float32, [config.mask.size] * 3 + [1]), (tf.float32, [6])]


def _gaussian_weights(size: Tensor) -> Tensor:
    """As `inference.coverage.gaussian_weights`: float32 [*size]."""
    axes = []
    for axis in range(3):
        n = tf.cast(size[axis], tf.float64)
        position = (tf.range(n, dtype=tf.float64) - (n - 1) / 2) / (n * SIGMA)
        axes.append(tf.exp(-0.5 * position ** 2))
    weights = axes[0][:, None, None] * axes[1][:, None] * axes[2]
    return tf.cast(tf.maximum(weights / tf.reduce_max(weights), FLOOR), tf.float32)


def _moved(prediction: Prediction, start: Tensor) -> Found:
    """A window's detections in the volume's voxels."""
    shift = tf.cast(tf.tile(start, [2]), tf.float32)
    detections = prediction.detections
    return Found(detections.boxes[0] + shift, detections.scores[0], detections.valid[0], prediction.patch_logits[0],
                 prediction.mask_boxes[0] + shift)


def _united(found: Found, plan: Plan, shape: Tensor, config: Config) -> Found:
    """Detections [W, K, ...] of the windows -> [W * K, ...]; those of several are suppressed once more, and what lies in a
    window's margin yields to what does not (`inference.merge.unite`)."""
    margin = _in_margin(found.boxes, plan, shape, config.infer.overlap)
    found = Found(*(tf.reshape(rows, tf.concat([[-1], tf.shape(rows)[2:]], 0)) for rows in found))

    def suppressed() -> Found:
        rank = found.scores + tf.where(tf.reshape(margin, [-1]), 0.0, 1.0)
        kept, valid = nms.nms_3d(found.boxes, rank, found.valid, config.detector.final_nms_iou, tf.shape(rank)[0])
        return gathered(found._replace(valid=tf.ones_like(found.valid)), kept, valid)

    return tf.cond(tf.shape(plan.starts)[0] > 1, suppressed, lambda: found)


def _in_margin(boxes: Tensor, plan: Plan, shape: Tensor, overlap: float) -> Tensor:
    """As `inference.merge.in_margin`: bool [W, K] of boxes [W, K, 6]."""
    middle = (boxes[..., :3] + boxes[..., 3:]) / 2
    start, size, full = (tf.cast(v, tf.float32) for v in (plan.starts[:, None], plan.size, shape))
    margin = overlap * size / 2
    low = (start > 0) & (middle < start + margin)
    high = (start + size < full) & (middle >= start + size - margin)
    return tf.reduce_any(low | high, -1)


def _best(found: Found, config: Config) -> Found:
    """The `max_detections` of highest score, best first; they are the first rows, and no others are valid."""
    count = config.detector.max_detections
    order = tf.argsort(tf.where(found.valid, found.scores, -1.0), direction="DESCENDING", stable=True)[:count]
    order = tf.ensure_shape(order, [count])
    return gathered(found, order, tf.ones([count], tf.bool))


def gathered(found: Found, rows: Tensor, valid: Tensor) -> Found:
    """Some rows of `found`; those that are not `valid` hold zeros."""
    taken = Found(*(tf.gather(values, rows) for values in found))
    valid &= taken.valid
    blank = [tf.reshape(valid, [-1] + [1] * (values.shape.rank - 1)) for values in taken]
    return Found(*(tf.where(b, values, tf.zeros_like(values)) for b, values in zip(blank, taken)))
