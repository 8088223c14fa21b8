"""Our crops, pastes, suppression and matching, and the latter two in NumPy, as jobs for benchmarks/ours.py.

The crops are those of the `paper` preset: RoIs of 7 cells and patches of 16 cells out of d1, half the resolution of a patch of
128x160x128 voxels. Backward is the gradient of the sum of squares by the map, forward included.
"""
import functools
from collections.abc import Callable

import numpy as np

from benchmarks import scenes

VOLUME, STRIDE, CHANNELS = (128, 160, 128), 2, 32
ROIS, CONTEXT, PATCH, WINDOW = 128, 1.5, 16, 40
CROPS = {7: 1.0, 16: CONTEXT}           # cells a side: the boxes' sides over an anchor's
PROPOSALS, LESIONS = (100, 1000, 2000, 10000), (0, 100, 400)
IOU, KEPT = 0.5, 300                    # of the suppression
ANCHORS, POSITIVE, NEGATIVE = (7.0, 9.0, 11.0, 15.0), 0.5, 0.1
SLOTS = 512                             # rows for lesions, valid or not

Jobs = dict[str, Callable[[], object]]


@functools.cache
def inputs() -> dict[str, np.ndarray]:
    """The map, and boxes and patches for it."""
    given = {"map": scenes.image(tuple(n // STRIDE for n in VOLUME), CHANNELS),
             "patches": np.random.default_rng(1).standard_normal((ROIS, PATCH, PATCH, PATCH, 1), np.float32)}
    return given | {f"boxes{cells}": scenes.boxes(VOLUME, ROIS, scale) for cells, scale in CROPS.items()}


def examples() -> dict[str, np.ndarray]:
    """The inputs with what we make of them, for the peers to compare theirs with."""
    jobs = _ours()
    results = {name: jobs[name]() for name in ("crop7", "crop16", "paste")}
    gradients = {f"{name} gradient": jobs[f"{name} backward"]() for name in results}
    results["paste"] = results["paste"][0]
    return inputs() | {name: np.asarray(value) for name, value in (results | gradients).items()}


def ours() -> Jobs:
    """Everything, for `worker.serve`."""
    return _ours() | _suppression() | _matching()


def _ours() -> Jobs:
    import tensorflow as tf

    from synergynet_tf.ops import roi

    given = {name: tf.constant(value) for name, value in inputs().items()}
    none, all_valid, shape = tf.zeros(ROIS, tf.int32), tf.ones(ROIS, tf.bool), (1, *VOLUME)

    def crop(cells: int, level: tf.Tensor) -> tf.Tensor:
        boxes = roi.to_normalised(given[f"boxes{cells}"], level.shape[1:4], STRIDE, (cells,) * 3)
        return roi.crop_and_resize_3d(level, boxes, none, (cells,) * 3)

    def paste(patches: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return roi.paste_3d(patches, given[f"boxes{PATCH}"], none, all_valid, shape, WINDOW)

    def pasted(patches: tf.Tensor) -> tf.Tensor:
        return paste(patches)[0]

    jobs: Jobs = {"paste": functools.partial(tf.function(paste, autograph=False), given["patches"]),
                  "paste backward": functools.partial(_gradient(pasted), given["patches"])}
    for cells in CROPS:
        run = functools.partial(crop, cells)
        jobs[f"crop{cells}"] = functools.partial(tf.function(run, autograph=False), given["map"])
        jobs[f"crop{cells} backward"] = functools.partial(_gradient(run), given["map"])
    return jobs


def _gradient(run: Callable) -> Callable:
    import tensorflow as tf

    @tf.function(autograph=False)
    def gradient(x: tf.Tensor) -> tf.Tensor:
        return tf.gradients(tf.reduce_sum(tf.square(run(x))), x)[0]

    return gradient


def _suppression() -> Jobs:
    import tensorflow as tf

    from synergynet_tf.ops.nms import nms_3d

    run = tf.function(lambda boxes, scores: nms_3d(boxes, scores, tf.ones_like(scores, tf.bool), IOU, KEPT), autograph=False)
    return {f"nms {count}": functools.partial(run, *map(tf.constant, _scored(count))) for count in PROPOSALS}


def _matching() -> Jobs:
    import tensorflow as tf

    from synergynet_tf.ops import matching

    grid = tuple(n // STRIDE for n in VOLUME)
    rois = tf.function(lambda boxes, *lesions: matching.match_rois(boxes, tf.ones_like(boxes[:, 0], tf.bool), *lesions),
                       autograph=False)
    anchors = tf.function(lambda *lesions: matching.match_anchors(grid, STRIDE, ANCHORS, *lesions, POSITIVE, NEGATIVE),
                          autograph=False)
    jobs: Jobs = {}
    for count in LESIONS:
        lesions = tuple(map(tf.constant, _padded(count)))
        jobs[f"match anchors, {count} lesions"] = functools.partial(anchors, *lesions)
        jobs |= {f"match {boxes}, {count} lesions": functools.partial(rois, tf.constant(_scored(boxes)[0]), *lesions)
                 for boxes in PROPOSALS}
    return jobs


def numpys() -> Jobs:
    """Suppression and matching vectorised in NumPy. It is given the valid lesions alone, without padding."""
    jobs: Jobs = {f"nms {count}": functools.partial(_numpy_nms, *_scored(count)) for count in PROPOSALS}
    for count in LESIONS:
        lesions = _padded(count)[0][:count]
        jobs[f"match anchors, {count} lesions"] = functools.partial(_numpy_anchors, lesions)
        jobs |= {f"match {boxes}, {count} lesions": functools.partial(_numpy_rois, _scored(boxes)[0], lesions)
                 for boxes in PROPOSALS}
    return jobs


def _numpy_nms(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    left, kept = np.argsort(-scores, kind="stable"), []
    while len(left) and len(kept) < KEPT:
        kept.append(left[0])
        left = left[1:][_numpy_iou(boxes[left[:1]], boxes[left[1:]])[0] <= IOU]
    return np.array(kept)


def _numpy_rois(boxes: np.ndarray, lesions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not len(lesions):
        return np.zeros(len(boxes), np.float32), np.zeros(len(boxes), int)
    iou = _numpy_iou(boxes, lesions)
    best = iou.argmax(1)
    return iou[np.arange(len(boxes)), best], best


def _numpy_anchors(lesions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The best lesion of each anchor, and the best anchor of each lesion; all anchors at once, a lesion at a time."""
    centres = [(np.arange(n // STRIDE, dtype=np.float32)[:, None] + 0.5) * STRIDE for n in VOLUME]
    sizes = np.array(ANCHORS, np.float32)
    most = np.zeros((*(n // STRIDE for n in VOLUME), len(sizes)), np.float32)
    owner, own = np.zeros(most.shape, np.int32), []
    for slot, box in enumerate(lesions):
        x, y, z = (np.maximum(np.minimum(c + sizes / 2, box[axis + 3]) - np.maximum(c - sizes / 2, box[axis]), 0)
                   for axis, c in enumerate(centres))
        shared = x[:, None, None] * y[:, None] * z
        iou = shared / (sizes ** 3 + np.prod(box[3:] - box[:3]) - shared)
        better = iou > most
        most[better], owner[better] = iou[better], slot
        own.append(iou.argmax())
    return owner, np.array(own)


def _numpy_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    sides = [np.maximum(np.minimum(a[:, None, axis + 3], b[:, axis + 3]) - np.maximum(a[:, None, axis], b[:, axis]), 0)
             for axis in range(3)]
    shared = sides[0] * sides[1] * sides[2]
    volume_a, volume_b = (np.prod(boxes[:, 3:] - boxes[:, :3], 1) for boxes in (a, b))
    return shared / (volume_a[:, None] + volume_b - shared)


def _scored(count: int) -> tuple[np.ndarray, np.ndarray]:
    return scenes.boxes(VOLUME, count), np.random.default_rng(2).uniform(size=count).astype(np.float32)


def _padded(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Lesions' boxes [SLOTS, 6] and which of them are valid: the first `count`."""
    boxes = np.zeros((SLOTS, 6), np.float32)
    boxes[:count] = scenes.boxes(VOLUME, count, seed=3)
    return boxes, np.arange(SLOTS) < count
