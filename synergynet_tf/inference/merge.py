"""The network on a whole volume: window by window, and the windows' predictions merged into one.

Global logits are averaged voxel by voxel, each window weighted by how deep the voxel lies in it. Detections are moved to the
volume's coordinates and suppressed once more over all windows. The masks of those that are left are pasted once, and eq. 1 is
applied once, so a lesion that two windows saw does not count twice.

It is one graph, in which `predict` and the exported SavedModel do the same.
"""
from typing import NamedTuple

import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.inference.coverage import Windows, gaussian_weights, in_margin, padded
from synergynet_tf.models.fusion import fuse
from synergynet_tf.ops import nms, roi
from synergynet_tf.structures import Array, Network, Prediction

PROBABILITY_STEP = 1 / 4096     # probabilities are multiples of it: float32 files of them are several times smaller


class VolumeDetections(NamedTuple):
    """The detections in a volume, all of them valid."""

    boxes: Array                # float32 [K, 6], voxels of the volume
    scores: Array               # float32 [K]
    mask_logits: Array          # float32 [K, S, S, S, 1]
    mask_boxes: Array           # float32 [K, 6], where each mask lies


class Merged(NamedTuple):
    """What the network predicts for a whole volume, before eq. 1: tensors, or arrays of the same shapes."""

    global_logits: Array        # float32 [X, Y, Z], Y_u; 0 where nothing was seen
    seen: Array                 # bool [X, Y, Z], inside a window
    detections: VolumeDetections    # best first
    local_logits: Array         # float32 [X, Y, Z], Y_m; 0 where not covered
    covered: Array              # bool [X, Y, Z], under a mask


class _Sums(NamedTuple):
    """What grows window by window, on the padded volume; the rows are TensorArrays meanwhile."""

    logits: tf.Tensor           # float32 [X, Y, Z], weighted
    weights: tf.Tensor          # float32 [X, Y, Z]
    detections: VolumeDetections
    margins: tf.Tensor          # bool [K], in a margin of its window


def predict_volume(network: Network, config: Config, image: tf.Tensor, windows: Windows) -> Merged:
    """Run a network on a volume's windows, one after the other, and merge what it predicts.

    Args:
        network: image float32 [1, X, Y, Z, C] -> Prediction.
        config: of its run; `infer.overlap`, `detector`, `mask` and `data.channels` are read.
        image: float32 [X, Y, Z, C], z-scored.
        windows: where it is applied (`coverage.place`).
    """
    shape = tf.shape(image)[:3]
    image, front = padded(image, windows)
    sums = _over_windows(network, config, image, windows, front, shape)
    logits, weights = (tf.slice(volume, front, shape) for volume in (sums.logits, sums.weights))
    detections = tf.cond(tf.shape(windows.starts)[0] > 1,
                         lambda: suppress(sums.detections, sums.margins, config.detector.final_nms_iou), lambda: sums.detections)
    detections = best(detections, config.detector.max_detections)
    return Merged(tf.math.divide_no_nan(logits, weights), weights > 0, detections,
                  *paste(detections, shape, config.mask.window))


def _over_windows(network: Network, config: Config, image: tf.Tensor, windows: Windows, front: tf.Tensor,
                  shape: tf.Tensor) -> _Sums:
    """`image` is padded, `front` voxels in front, so that every window lies inside; `shape` is the volume's without it."""
    full, count, channels = tf.shape(image)[:3], tf.shape(windows.starts)[0], len(config.data.channels)
    window_weights, mask_shapes = gaussian_weights(windows.size), []

    def add(i: tf.Tensor, sums: _Sums) -> tuple[tf.Tensor, _Sums]:
        begin = windows.starts[i] + front
        part = tf.slice(image, tf.concat([begin, [0]], 0), tf.concat([windows.size, [channels]], 0))
        prediction = network(tf.ensure_shape(part[None], [1, None, None, None, channels]))
        around = tf.stack([begin, full - begin - windows.size], 1)
        detections = moved(prediction, windows.starts[i])
        mask_shapes.append(detections.mask_logits.shape[1:])
        margin = in_margin(detections.boxes, windows, i, shape, config.infer.overlap)
        return i + 1, _Sums(sums.logits + tf.pad(window_weights * prediction.global_logits[0, ..., 0], around),
                            sums.weights + tf.pad(window_weights, around),
                            VolumeDetections(*(array.write(i, rows) for array, rows in zip(sums.detections, detections))),
                            sums.margins.write(i, margin))

    def rows(row: list[int | None], dtype: tf.DType = tf.float32) -> tf.TensorArray:
        return tf.TensorArray(dtype, count, element_shape=[None, *row], infer_shape=False)

    start = _Sums(tf.zeros(full), tf.zeros(full), VolumeDetections(rows([6]), rows([]), rows([None] * 3 + [1]), rows([6])),
                  rows([], tf.bool))
    sums = tf.while_loop(lambda i, _: i < count, add, (0, start), parallel_iterations=1)[1]     # one at a time: memory
    detections = VolumeDetections(*(array.concat() for array in sums.detections))
    masks = tf.ensure_shape(detections.mask_logits, [None, *mask_shapes[-1]])       # known once the network is traced
    return sums._replace(detections=detections._replace(mask_logits=masks), margins=sums.margins.concat())


def moved(prediction: Prediction, start: tf.Tensor) -> VolumeDetections:
    """The valid detections of a window (B = 1) that begins at `start`, in the volume's coordinates."""
    detections, shift = prediction.detections, tf.cast(tf.tile(start, [2]), tf.float32)
    rows = (detections.boxes[0] + shift, detections.scores[0], prediction.mask_logits[0], prediction.mask_boxes[0] + shift)
    return VolumeDetections(*(tf.boolean_mask(values, detections.valid[0]) for values in rows))


def suppress(detections: VolumeDetections, yielding: tf.Tensor, nms_iou: float) -> VolumeDetections:
    """Suppress duplicates among the detections of several windows or networks.

    A detection in its window's margin yields to any other that overlaps it by more than `nms_iou`, however the scores stand: its
    box and its mask may be cut off. It is not dropped outright, since two windows may place one lesion's centre on different
    sides of the line between them, and then both would drop it.

    Args:
        detections: of all windows or networks, valid ones alone.
        yielding: bool [K], in a margin.
        nms_iou: boxes above this IoU are one lesion.
    """
    rank = detections.scores + tf.where(yielding, 0.0, 1.0)
    kept, valid = nms.nms_3d(detections.boxes, rank, tf.ones_like(yielding), nms_iou, tf.shape(rank)[0])
    kept = tf.boolean_mask(kept, valid)
    return VolumeDetections(*(tf.gather(values, kept) for values in detections))


def best(detections: VolumeDetections, count: int) -> VolumeDetections:
    """The `count` detections of highest score, best first."""
    order = tf.argsort(detections.scores, direction="DESCENDING", stable=True)[:count]
    return VolumeDetections(*(tf.gather(values, order) for values in detections))


def united(parts: list[VolumeDetections], nms_iou: float, count: int) -> VolumeDetections:
    """The detections of several networks in one volume, duplicates suppressed; the `count` best, best first."""
    if len(parts) == 1:
        return best(parts[0], count)
    joined = VolumeDetections(*(tf.concat(values, 0) for values in zip(*parts)))
    return best(suppress(joined, tf.zeros_like(joined.scores, tf.bool), nms_iou), count)


def paste(detections: VolumeDetections, shape: tf.Tensor, window: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Y_m of eq. 1: the masks' mean logits float32 [X, Y, Z], 0 where there is none, and bool [X, Y, Z], where there is any.

    `window` is `mask.window`, the largest box in voxels a side that is pasted whole.
    """
    count = tf.shape(detections.scores)
    mean, covered = roi.paste_3d(detections.mask_logits, detections.mask_boxes, tf.zeros(count, tf.int32),
                                 tf.ones(count, tf.bool), tf.concat([[1], shape], 0), window)
    return tf.where(covered, mean[..., 0], 0.0)[0], covered[0]


def fused_probability(merged: Merged, gamma: float) -> tf.Tensor:
    """Probability of lesion after eq. 1 with this gamma: float32 [X, Y, Z], 0 where no window was."""
    fused = fuse(merged.global_logits[None, ..., None], merged.local_logits[None, ..., None], merged.covered[None], gamma)
    return tf.where(merged.seen, sigmoid(fused[0, ..., 0]), 0.0)


def sigmoid(logits: Array) -> tf.Tensor:
    """Probabilities float32 of logits, to the nearest PROBABILITY_STEP, so that what is thresholded is what is written."""
    return tf.round(tf.sigmoid(logits) / PROBABILITY_STEP) * tf.constant(PROBABILITY_STEP, tf.float32)
