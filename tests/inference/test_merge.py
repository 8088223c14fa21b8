"""Windows put together say what the whole would: logits, detections, fusion."""
import numpy as np
import pytest

from synergynet_tf.inference import coverage, merge
from synergynet_tf.inference.coverage import Window
from synergynet_tf.inference.merge import Found
from synergynet_tf.structures import Detections, Prediction

SIDE = 4    # cells of a patch


def predicted(logits, boxes, scores, slots=6):
    """The network's answer on one window: [X, Y, Z] logits, and boxes in the window's own voxels in fixed slots."""
    count = len(scores)
    held, valid = np.zeros((1, slots, 6), np.float32), np.zeros((1, slots), bool)
    score = np.zeros((1, slots), np.float32)
    held[0, :count], score[0, :count], valid[0, :count] = np.reshape(boxes, (-1, 6)), scores, True
    patches = np.broadcast_to(score[..., None, None, None, None], (1, slots, SIDE, SIDE, SIDE, 1)).astype(np.float32)
    return Prediction(logits[None, ..., None].astype(np.float32), Detections(held, score, valid), patches, held)


def put_together(shape, parts, **changes):
    settings = {"overlap": 0.5, "nms_iou": 0.2, "max_detections": 10, "paste_window": 16} | changes
    return merge.merge(shape, parts, **settings)


def test_windows_of_a_pointwise_network_equal_the_whole():
    volume = np.random.default_rng(0).normal(size=(20, 17, 11)).astype(np.float32)
    windows = coverage.windows(volume.shape, (16, 8, 16), 0.5)
    assert len(windows) == 8
    merged = put_together(volume.shape, [(w, predicted(coverage.extract(volume, w), [], [])) for w in windows])
    np.testing.assert_allclose(merged.global_logits, volume, atol=1e-5)
    assert merged.seen.all() and not merged.covered.any() and len(merged.detections.scores) == 0


def test_where_windows_disagree_the_deeper_one_weighs_more():
    shape, size = (24, 8, 8), (16, 8, 8)
    parts = [(Window((start, 0, 0), size), predicted(np.full(size, value), [], [])) for start, value in ((0, 0.0), (8, 1.0))]
    line = put_together(shape, parts).global_logits[:, 4, 4]
    assert (line[:8] == 0).all() and (line[16:] == 1).all()
    assert (np.diff(line[8:16]) > 0).all()
    np.testing.assert_allclose(line[8:16] + line[8:16][::-1], 1, atol=1e-6)


def test_a_centre_window_leaves_the_rest_unseen():
    shape, window = (20, 20, 20), coverage.centre((20, 20, 20), (8, 8, 8))
    merged = put_together(shape, [(window, predicted(np.full((8, 8, 8), 9.0), [[-4, 0, 0, 8, 8, 8]], [0.9]))])
    probability = merge.fused_probability(merged, 0.3)
    assert merged.seen.sum() == 8 ** 3 and merged.covered[2, 6, 6]
    assert (probability[merged.seen] > 0.9).all() and (probability[~merged.seen] == 0).all()


def test_detections_move_to_the_volumes_voxels_and_padding_is_subtracted():
    window = Window((-2, 5, 0), (8, 8, 8))
    found = merge.detections_of(predicted(np.zeros((8, 8, 8)), [[3, 1, 0, 6, 4, 2]], [0.7]), window)
    np.testing.assert_allclose(found.boxes, [[1, 6, 0, 4, 9, 2]])
    np.testing.assert_allclose(found.mask_boxes, found.boxes)
    assert found.patch_logits.shape == (1, SIDE, SIDE, SIDE)


def test_a_lesion_that_two_windows_saw_is_one_detection():
    shape, size = (24, 8, 8), (16, 8, 8)
    lesion, other = np.array([9, 2, 2, 14, 6, 6.0]), np.array([1, 1, 1, 4, 4, 4.0])
    first = predicted(np.zeros(size), [lesion, other], [0.8, 0.6])
    second = predicted(np.zeros(size), [lesion - np.tile([8, 0, 0], 2)], [0.9])
    merged = put_together(shape, [(Window((0, 0, 0), size), first), (Window((8, 0, 0), size), second)])
    np.testing.assert_allclose(merged.detections.boxes, [lesion, other])
    # the lesion's centre, 11.5, lies in the first window's inner part: its box is kept, though the second scored it higher
    np.testing.assert_allclose(merged.detections.scores, [0.8, 0.6])
    np.testing.assert_allclose(merged.local_logits[11, 4, 4], 0.8, atol=1e-6)
    centres = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in shape), indexing="ij"), -1)
    inside = [((centres >= box[:3]) & (centres < box[3:])).all(-1) for box in (lesion, other)]
    np.testing.assert_array_equal(merged.covered, inside[0] | inside[1])


def test_margins_lie_at_inner_faces_only():
    boxes = np.array([[x - 1, 3, 3, x + 1, 5, 5] for x in (2, 11.9, 12.1, 15)], np.float32)
    first, last = Window((0, 0, 0), (16, 8, 8)), Window((8, 0, 0), (16, 8, 8))
    assert merge.in_margin(boxes, first, (24, 8, 8), 0.5).tolist() == [False, False, True, True]
    assert merge.in_margin(boxes, last, (24, 8, 8), 0.5).tolist() == [True, True, False, False]
    assert not merge.in_margin(boxes, first, (16, 8, 8), 0.5).any()
    assert not merge.in_margin(boxes, first, (24, 8, 8), 0.0).any()


def test_a_detection_in_both_windows_margins_is_not_lost():
    shape, size = (24, 8, 8), (16, 8, 8)
    first = predicted(np.zeros(size), [[11, 2, 2, 13.4, 6, 6]], [0.5])        # centre 12.2: the second window's half
    second = predicted(np.zeros(size), [[2.6, 2, 2, 5, 6, 6]], [0.6])         # centre 11.8 in the volume: the first window's
    merged = put_together(shape, [(Window((0, 0, 0), size), first), (Window((8, 0, 0), size), second)])
    np.testing.assert_allclose(merged.detections.scores, [0.6])


def test_only_the_best_are_kept_best_first():
    rows = [Found(np.array([[0, 0, 0, 2, 2, 2], [4, 4, 4, 6, 6, 6]], np.float32), np.array([0.9, 0.3], np.float32),
                  np.zeros((2, SIDE, SIDE, SIDE), np.float32), np.zeros((2, 6), np.float32)),
            Found(np.array([[8, 8, 8, 9, 9, 9]], np.float32), np.array([0.5], np.float32),
                  np.ones((1, SIDE, SIDE, SIDE), np.float32), np.ones((1, 6), np.float32))]
    best = merge.unite(rows, [np.array([True, False]), np.array([True])], 0.2, 2)
    np.testing.assert_allclose(best.scores, [0.9, 0.5])
    assert best.patch_logits[:, 0, 0, 0].tolist() == [0, 1] and best.mask_boxes[:, 0].tolist() == [0, 1]


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
def test_fusion_is_equation_1_on_logits(gamma):
    logits = np.random.default_rng(1).normal(size=(8, 8, 8))
    merged = put_together((8, 8, 8), [(Window((0, 0, 0), (8, 8, 8)), predicted(logits, [[2, 2, 2, 6, 6, 6]], [0.8]))])
    expected = logits.copy()
    expected[2:6, 2:6, 2:6] = gamma * 0.8 + (1 - gamma) * logits[2:6, 2:6, 2:6]
    probability = merge.fused_probability(merged, gamma)
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-expected)), atol=merge.PROBABILITY_STEP)
    assert probability.dtype == np.float32 and (probability * 4096 % 1 == 0).all()
