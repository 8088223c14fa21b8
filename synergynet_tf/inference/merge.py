"""From the network's word on each window to one word on the whole volume.

Global logits are averaged voxel by voxel, each window weighted by how deep the voxel lies in it. Detections are moved to the
volume's coordinates and suppressed once more over all windows. The patches of those that are left are pasted once, and eq. 1 is
applied once, so a lesion that two windows saw does not count twice.
"""
import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from synergynet_tf.inference import coverage
from synergynet_tf.inference.coverage import Triple, Window
from synergynet_tf.models.fusion import fuse
from synergynet_tf.ops import nms, roi
from synergynet_tf.structures import Prediction

PROBABILITY_STEP = 1 / 4096     # probabilities are multiples of it: float32 files of them are several times smaller


class Found(NamedTuple):
    """Detections in NumPy, best first; only valid ones."""

    boxes: np.ndarray           # float32 [K, 6], voxels of the volume
    scores: np.ndarray          # float32 [K]
    patch_logits: np.ndarray    # float32 [K, S, S, S]
    mask_boxes: np.ndarray      # float32 [K, 6], where each patch lies


class Merged(NamedTuple):
    """What the network says of a whole volume, before eq. 1."""

    global_logits: np.ndarray   # float32 [X, Y, Z], Y_u; 0 where nothing was seen
    seen: np.ndarray            # bool [X, Y, Z], inside a window
    detections: Found
    local_logits: np.ndarray    # float32 [X, Y, Z], Y_m; 0 where not covered
    covered: np.ndarray         # bool [X, Y, Z], inside a patch


def merge(shape: Triple, parts: Iterable[tuple[Window, Prediction]], overlap: float, nms_iou: float, max_detections: int,
          paste_window: int) -> Merged:
    """Put the predictions of a volume's windows together.

    Args:
        shape: X, Y, Z of the volume.
        parts: each window with the network's prediction on it (B = 1); consumed one at a time, so the windows may be predicted
            on the way.
        overlap: share of a side that neighbouring windows have in common at least (`coverage.windows`).
        nms_iou: boxes of different windows above this IoU are one lesion.
        max_detections: as many are kept at most, the best ones.
        paste_window: `mask.window`, the largest box in voxels a side that is pasted whole.
    """
    logits = LogitMean(shape)
    found, margins = [], []
    for window, prediction in parts:
        logits.add(window, np.asarray(prediction.global_logits)[0, ..., 0])
        found.append(detections_of(prediction, window))
        margins.append(in_margin(found[-1].boxes, window, shape, overlap))
    detections = found[0] if len(found) == 1 else unite(found, margins, nms_iou, max_detections)
    return Merged(*logits.result(), detections, *paste(detections, shape, paste_window))


class LogitMean:
    """Weighted mean of the windows' logits, added one window at a time."""

    def __init__(self, shape: Triple):
        self._total = np.zeros(shape, np.float32)
        self._weight = np.zeros(shape, np.float32)
        self._weights: dict[Triple, np.ndarray] = {}

    def add(self, window: Window, logits: np.ndarray) -> None:
        """Add logits [*window.size]; what lies outside the volume is left out."""
        if window.size not in self._weights:
            self._weights[window.size] = coverage.gaussian_weights(window.size)
        inside, local = coverage.overlap_of(window, self._total.shape)
        weights = self._weights[window.size][local]
        self._total[inside] += weights * logits[local]
        self._weight[inside] += weights

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean logits float32 [X, Y, Z], 0 where no window was, and bool [X, Y, Z], where one was."""
        seen = self._weight > 0
        return np.divide(self._total, self._weight, out=np.zeros_like(self._total), where=seen), seen


def detections_of(prediction: Prediction, window: Window) -> Found:
    """The valid detections of one window (B = 1), in the volume's coordinates."""
    valid = np.asarray(prediction.detections.valid)[0]
    shift = np.tile(np.asarray(window.start, np.float32), 2)
    return Found(boxes=np.asarray(prediction.detections.boxes)[0][valid] + shift,
                 scores=np.asarray(prediction.detections.scores)[0][valid],
                 patch_logits=np.asarray(prediction.patch_logits)[0, ..., 0][valid],
                 mask_boxes=np.asarray(prediction.mask_boxes)[0][valid] + shift)


def in_margin(boxes: np.ndarray, window: Window, shape: Triple, overlap: float) -> np.ndarray:
    """Bool [K]: boxes [K, 6] whose centre lies in the outer half of an overlap, where a neighbour window sees more around it.

    Faces of the window on the volume's border have no neighbour and no margin.
    """
    middle = (boxes[:, :3] + boxes[:, 3:]) / 2
    start, size, full = (np.asarray(v, np.float32) for v in (window.start, window.size, shape))
    margin = overlap * size / 2
    low = (start > 0) & (middle < start + margin)
    high = (start + size < full) & (middle >= start + size - margin)
    return (low | high).any(axis=1)


def unite(found: list[Found], margins: list[np.ndarray], nms_iou: float, max_detections: int) -> Found:
    """Suppress duplicates among the detections of all windows; the `max_detections` best are kept, best first.

    A detection in its window's margin yields to any other that overlaps it by more than `nms_iou`, however the scores stand: its
    box and its patch may be cut off. It is not dropped outright, since two windows may place one lesion's centre on different
    sides of the line between them, and then both would drop it.
    """
    joined = Found(*(np.concatenate(rows) for rows in zip(*found)))
    if len(joined.scores) == 0:
        return joined
    rank = joined.scores + np.where(np.concatenate(margins), 0, 1).astype(np.float32)
    indices, valid = nms.nms_3d(tf.constant(joined.boxes), tf.constant(rank), tf.ones(len(rank), tf.bool), nms_iou, len(rank))
    kept = np.asarray(indices)[np.asarray(valid)]
    kept = kept[np.argsort(-joined.scores[kept], kind="stable")][:max_detections]
    return Found(*(rows[kept] for rows in joined))


def paste(detections: Found, shape: Triple, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Y_m of eq. 1: the patches' mean logits float32 [X, Y, Z], 0 where there is none, and bool [X, Y, Z], where there is any."""
    count = len(detections.scores)
    if count == 0:
        return np.zeros(shape, np.float32), np.zeros(shape, bool)
    mean, covered = _pasting(detections.patch_logits.shape[1], window)(detections.patch_logits[..., None], detections.mask_boxes,
                                                                       (1, *shape))
    return np.where(covered, mean[..., 0], 0)[0].astype(np.float32), np.asarray(covered)[0]


@functools.cache
def _pasting(cells: int, window: int) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """`roi.paste_3d` for any number of patches of one volume of any shape, traced once: op by op, each chunk of patches would
    copy the volume."""
    @tf.function(input_signature=[tf.TensorSpec([None, cells, cells, cells, 1]), tf.TensorSpec([None, 6]),
                                  tf.TensorSpec([4], tf.int32)])
    def pasted(patches: tf.Tensor, boxes: tf.Tensor, shape: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        count = tf.shape(patches)[:1]
        return roi.paste_3d(patches, boxes, tf.zeros(count, tf.int32), tf.ones(count, tf.bool), shape, window)

    return pasted


def fused_probability(merged: Merged, gamma: float) -> np.ndarray:
    """Probability of lesion after eq. 1 with this gamma: float32 [X, Y, Z], 0 where no window was.

    Rounded to PROBABILITY_STEP, so that what is thresholded and what is written are the same numbers.
    """
    fused = fuse(merged.global_logits[None, ..., None], merged.local_logits[None, ..., None], merged.covered[None], gamma)
    return np.where(merged.seen, sigmoid(np.asarray(fused)[0, ..., 0]), np.float32(0))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Probabilities float32 of logits, to the nearest PROBABILITY_STEP."""
    return np.round(tf.sigmoid(logits).numpy() / PROBABILITY_STEP) * np.float32(PROBABILITY_STEP)
