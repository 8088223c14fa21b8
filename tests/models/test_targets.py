"""Targets of the detector and the mask head, against sums done by hand on a patch of known lesions."""
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.models import targets
from synergynet_tf.ops import anchors, boxes
from tests.cohort import TINY, make_batch

CONFIG = Config.from_dict(TINY)
DETECTOR = CONFIG.detector


@pytest.fixture(scope="module")
def sample():
    """instances, gt_boxes, gt_valid, gt_ignore of one patch: slots 0 and 4 small, 1 large, 2 a speck."""
    batch = make_batch(1)
    return targets.Annotation(batch.instances[0], batch.gt_boxes[0], batch.gt_valid[0], batch.gt_ignore[0])


def dense_iou(sample):
    grid = anchors.anchor_grid((16, 16, 16), DETECTOR.stride, DETECTOR.anchor_sizes)
    small = boxes.expand(tf.boolean_mask(sample[1], sample[2]), DETECTOR.box_margin)
    return grid.numpy(), boxes.pairwise_iou(grid, small).numpy(), small.numpy()


def test_rpn_targets_follow_the_dense_matching(sample):
    goal = targets.rpn_targets(sample, (16, 16, 16), DETECTOR)
    grid, iou, small = dense_iou(sample)
    positive = iou.max(1) >= 0.5
    positive |= (iou == iou.max(0)).any(1)
    np.testing.assert_array_equal(goal.objectness.numpy() > 0, positive)
    background = (iou.max(1) < 0.1) & ~positive
    assert not (goal.valid.numpy() & ~positive & ~background).any()
    rows = goal.indices.numpy()[goal.indices_valid.numpy()]
    np.testing.assert_array_equal(np.sort(rows), np.flatnonzero(positive))
    decoded = boxes.decode(goal.deltas, tf.gather(grid, goal.indices)).numpy()[goal.indices_valid.numpy()]
    np.testing.assert_allclose(decoded, small[iou[rows].argmax(1)], atol=1e-3)


def test_anchors_on_a_large_lesion_or_a_speck_take_no_part(sample):
    goal = targets.rpn_targets(sample, (16, 16, 16), DETECTOR)
    grid, iou, _ = dense_iou(sample)
    for low, high in (((14, 14, 14), (29, 28, 27)), ((28, 2, 2), (29, 3, 3))):
        overlap = np.all((grid[:, :3] < high) & (grid[:, 3:] > low), axis=1)
        assert not (goal.valid.numpy() & overlap & (iou.max(1) < 0.1)).any()
    far = np.all(grid[:, 3:] < (14, 32, 14), axis=1) & (iou.max(1) < 0.1) & (grid[:, 0] > 0)
    assert goal.valid.numpy()[far].all()


def test_rois_are_labelled_by_their_overlap(sample):
    small = boxes.expand(tf.boolean_mask(sample[1], sample[2]), DETECTOR.box_margin)
    proposals = tf.concat([small + 0.3, [[14.0, 14, 14, 25, 25, 25], [0, 24, 0, 8, 32, 8], [20, 0, 20, 28, 8, 28]]], 0)
    goal = targets.roi_targets(proposals, tf.constant([True] * 5), tf.constant([1, 2]), sample, DETECTOR)
    found, positive = goal.boxes.numpy()[goal.valid.numpy()], goal.positive.numpy()[goal.valid.numpy()]
    expected = np.concatenate([small, small + 0.3])     # the ground truth is added
    np.testing.assert_allclose(found[positive][np.lexsort(found[positive].T)], expected[np.lexsort(expected.T)], atol=1e-4)
    negatives = {tuple(row) for row in found[~positive]}
    assert negatives == {(0, 24, 0, 8, 32, 8), (20, 0, 20, 28, 8, 28)}     # the one on the large lesion is ignored
    decoded = boxes.decode(goal.deltas, goal.boxes).numpy()[goal.positive.numpy()]
    for box in decoded:
        assert np.abs(small.numpy() - box).max(1).min() < 1e-3


def test_mask_patches_hold_every_lesion_in_them(sample):
    mask = dataclasses.replace(CONFIG.mask, size=8, context=1.0)
    boxes_ = tf.constant([[14.0, 14, 14, 30, 30, 30], [4, 4, 4, 12, 12, 12], [0, 0, 20, 8, 8, 28]])
    goal = targets.mask_targets(boxes_, tf.constant([True, True, False]), sample[0], mask)
    np.testing.assert_array_equal(goal.valid, [True, True, False])
    instances = sample[0].numpy() > 0
    np.testing.assert_allclose(goal.masks[1, ..., 0], instances[4:12, 4:12, 4:12])     # one cell a voxel
    halves = instances[14:30, 14:30, 14:30].reshape(8, 2, 8, 2, 8, 2).mean((1, 3, 5))  # a cell samples between 2x2x2 voxels
    np.testing.assert_allclose(goal.masks[0, ..., 0], halves, atol=1e-5)


@pytest.mark.parametrize("proposals_valid", [True, False])
def test_without_lesions_nothing_is_positive_and_all_is_finite(proposals_valid):
    batch = make_batch(1, lesions=False)
    sample = targets.Annotation(batch.instances[0], batch.gt_boxes[0], batch.gt_valid[0], batch.gt_ignore[0])
    rpn = targets.rpn_targets(sample, (16, 16, 16), DETECTOR)
    assert not rpn.objectness.numpy().any() and not rpn.indices_valid.numpy().any() and rpn.valid.numpy().all()
    proposals = tf.tile([[2.0, 2, 2, 10, 10, 10]], [4, 1])
    rois = targets.roi_targets(proposals, tf.fill([4], proposals_valid), tf.constant([1, 2]), sample, DETECTOR)
    assert not rois.positive.numpy().any() and rois.valid.numpy().sum() == 4 * proposals_valid
    masks = targets.mask_targets(rois.boxes, rois.positive, sample[0], CONFIG.mask)
    assert not masks.valid.numpy().any()
    for tensor in (*rpn, *rois, *masks):
        assert np.isfinite(tf.cast(tensor, tf.float32)).all()
