"""What the detector and the mask head are trained towards, derived in the graph from a patch's annotation.

One sample at a time: shapes without B. See structures.py for the letters.
"""
from typing import NamedTuple

import tensorflow as tf

from synergynet_tf.config import DetectorConfig, MaskConfig
from synergynet_tf.ops import anchors, boxes, matching, roi, sampling

MAX_POSITIVE_ANCHORS = 8192     # a row of box targets for each; 300 lesions have about 20 positive anchors each


class Annotation(NamedTuple):
    """What is known of a patch's lesions, as in structures.Batch."""

    instances: tf.Tensor    # int32 [X, Y, Z], lesion labels
    gt_boxes: tf.Tensor     # float32 [L, 6]
    gt_valid: tf.Tensor     # bool [L]
    gt_ignore: tf.Tensor    # bool [L]


class RPNTargets(NamedTuple):
    """For the RPN's two losses."""

    objectness: tf.Tensor   # float32 [N], 1 at positive anchors
    valid: tf.Tensor        # bool [N], neither ignored nor undecided
    indices: tf.Tensor      # int32 [M], rows of the positive anchors
    indices_valid: tf.Tensor    # bool [M]
    deltas: tf.Tensor       # float32 [M, 6], offsets from those anchors to their lesions


class RoITargets(NamedTuple):
    """RoIs sampled for the R-CNN losses, and what they should become."""

    boxes: tf.Tensor        # float32 [R, 6]
    positive: tf.Tensor     # bool [R], holds a lesion
    valid: tf.Tensor        # bool [R]
    deltas: tf.Tensor       # float32 [R, 6], meaningful where positive


class MaskTargets(NamedTuple):
    """RoI crops for the mask loss."""

    boxes: tf.Tensor        # float32 [M, 6], where each crop lies
    masks: tf.Tensor        # float32 [M, S, S, S, 1], lesion (0 to 1) at each cell's centre, every lesion in the crop counted
    valid: tf.Tensor        # bool [M]


def ignored_voxels(instances: tf.Tensor, gt_ignore: tf.Tensor) -> tf.Tensor:
    """Voxels of the lesions that the detector ignores: bool [X, Y, Z] from int32 [X, Y, Z] and bool [L]."""
    return tf.gather(tf.concat([[False], gt_ignore], 0), instances)


def rpn_targets(annotation: Annotation, grid_shape: tuple[int, int, int], config: DetectorConfig) -> RPNTargets:
    """Label every anchor of a patch.

    Positive: IoU of at least `positive_iou` with a small lesion's box and margin, or that lesion's best anchor. Background:
    IoU below `negative_iou` with all of them and off every ignored lesion. The rest is undecided and takes no part.

    Args:
        annotation: of one patch.
        grid_shape: cells of the anchor grid (X / stride, ...), static.
        config: sizes, margin and thresholds of the anchors.
    """
    enlarged = boxes.expand(annotation.gt_boxes, config.box_margin)
    match = matching.match_anchors(grid_shape, config.stride, config.anchor_sizes, enlarged, annotation.gt_valid,
                                   config.positive_iou, config.negative_iou)
    ignored = ignored_voxels(annotation.instances, annotation.gt_ignore)
    on_ignored = matching.touches(ignored, config.stride, config.anchor_sizes)
    count = min(MAX_POSITIVE_ANCHORS, match.positive.shape[0])
    flag, indices = tf.math.top_k(tf.cast(match.positive, tf.float32), count)
    reference = anchors.anchors_at(indices, grid_shape, config.stride, config.anchor_sizes)
    lesion = tf.gather(match.lesion, indices)
    is_positive = flag > 0
    target = tf.where(is_positive[:, None], tf.gather(enlarged, lesion), reference)
    return RPNTargets(objectness=tf.cast(match.positive, tf.float32),
                      valid=match.positive | (match.background & ~on_ignored),
                      indices=indices, indices_valid=is_positive, deltas=boxes.encode(target, reference))


def roi_targets(proposal_boxes: tf.Tensor, proposal_valid: tf.Tensor, seed: tf.Tensor, annotation: Annotation,
                config: DetectorConfig) -> RoITargets:
    """Sample RoIs from the proposals and the ground truth, half of them positive as far as there are any.

    Args:
        proposal_boxes: float32 [P, 6].
        proposal_valid: bool [P].
        seed: int32 [2].
        annotation: of one patch.
        config: thresholds and numbers of the RoIs.
    """
    instances, gt_boxes, gt_valid, gt_ignore = annotation
    enlarged = boxes.expand(gt_boxes, config.box_margin)
    candidates = tf.concat([proposal_boxes, enlarged], 0)
    candidate_valid = tf.concat([proposal_valid, gt_valid], 0)
    best_iou, lesion = matching.match_rois(candidates, candidate_valid, enlarged, gt_valid)
    on_ignored = boxes.count_voxels(candidates, ignored_voxels(instances, gt_ignore)) > 0
    positive = candidate_valid & (best_iou >= config.roi_positive_iou)
    negative = candidate_valid & (best_iou < config.roi_negative_iou) & ~on_ignored
    sample = sampling.sample_balanced(positive, negative, config.rois, config.roi_positive_fraction, seed)
    chosen = tf.gather(candidates, sample.indices)
    target = tf.where(sample.positive[:, None], tf.gather(enlarged, tf.gather(lesion, sample.indices)), chosen)
    return RoITargets(boxes=chosen, positive=sample.positive, valid=sample.valid, deltas=boxes.encode(target, chosen))


def mask_targets(refined: tf.Tensor, positive: tf.Tensor, instances: tf.Tensor, config: MaskConfig) -> MaskTargets:
    """RoI crops around the refined boxes of the RoIs that hold a lesion, with the lesion voxels in them.

    The mask is fused into the whole volume, so every lesion in the crop is foreground, not only the one that was matched.

    Args:
        refined: [R, 6] boxes from the R-CNN sub-network.
        positive: bool [R].
        instances: int32 [X, Y, Z].
        config: size, context and number of the patches.
    """
    flag, indices = tf.math.top_k(tf.cast(positive, tf.float32), min(config.rois, positive.shape[0]))
    crop_boxes = boxes.scale(tf.gather(refined, indices), config.context)
    size = (config.size,) * 3
    lesions = tf.cast(instances > 0, tf.float32)[None, ..., None]
    masks = roi.crop_and_resize_3d(lesions, roi.to_normalised(crop_boxes, instances.shape, 1, size),
                                   tf.zeros_like(indices), size)
    return MaskTargets(boxes=crop_boxes, masks=masks, valid=flag > 0)
