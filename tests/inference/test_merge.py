"""Windows put together say what the whole would: logits, detections, fusion."""
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.config import Config, DetectorConfig, InferConfig, MaskConfig
from synergynet_tf.inference import coverage, merge
from synergynet_tf.inference.coverage import Windows
from synergynet_tf.inference.merge import VolumeDetections
from synergynet_tf.structures import Detections, Prediction

SIDE = 4    # cells of a patch
CONFIG = Config(detector=DetectorConfig(final_nms_iou=0.2, max_detections=10, train_detections=10),
                mask=MaskConfig(size=SIDE, window=16), infer=InferConfig(overlap=0.5))


def predicted(logits, boxes, scores, slots=6):
    """The network's answer on one window: [X, Y, Z] logits, and boxes in the window's own voxels in fixed slots."""
    count = len(scores)
    held, valid = np.zeros((1, slots, 6), np.float32), np.zeros((1, slots), bool)
    score = np.zeros((1, slots), np.float32)
    held[0, :count], score[0, :count], valid[0, :count] = np.reshape(boxes, (-1, 6)), scores, True
    patches = np.broadcast_to(score[..., None, None, None, None], (1, slots, SIDE, SIDE, SIDE, 1)).astype(np.float32)
    arrays = Prediction(logits[None, ..., None].astype(np.float32), Detections(held, score, valid), patches, held)
    return tf.nest.map_structure(tf.constant, arrays)


def put_together(shape, parts):
    """Merged arrays of what was predicted for windows: their starts, with a prediction each."""
    starts, predictions = zip(*parts)
    windows = Windows(tf.constant(starts), tf.shape(predictions[0].global_logits)[1:4])
    answers = iter(predictions)
    merged = merge.predict_volume(lambda image: next(answers), CONFIG, tf.zeros([*shape, 1]), windows)
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), merged)


def test_windows_of_a_pointwise_network_equal_the_whole():
    volume = np.random.default_rng(0).normal(size=(20, 17, 11)).astype(np.float32)
    windows = coverage.covering(volume.shape, (16, 8, 16), 0.5)
    assert len(windows.starts) == 8
    empty = predicted(np.zeros(0), [], [])
    merged = merge.predict_volume(lambda image: empty._replace(global_logits=image), CONFIG, volume[..., None], windows)
    np.testing.assert_allclose(merged.global_logits, volume, atol=1e-5)
    assert merged.seen.numpy().all() and not merged.covered.numpy().any() and len(merged.detections.scores) == 0


def test_where_windows_disagree_the_deeper_one_weighs_more():
    shape, size = (24, 8, 8), (16, 8, 8)
    parts = [((start, 0, 0), predicted(np.full(size, value), [], [])) for start, value in ((0, 0.0), (8, 1.0))]
    line = put_together(shape, parts).global_logits[:, 4, 4]
    assert (line[:8] == 0).all() and (line[16:] == 1).all()
    assert (np.diff(line[8:16]) > 0).all()
    np.testing.assert_allclose(line[8:16] + line[8:16][::-1], 1, atol=1e-6)


def test_a_centre_window_leaves_the_rest_unseen():
    merged = put_together((20, 20, 20), [((6, 6, 6), predicted(np.full((8, 8, 8), 9.0), [[-4, 0, 0, 8, 8, 8]], [0.9]))])
    probability = merge.fused_probability(merged, 0.3).numpy()
    assert merged.seen.sum() == 8 ** 3 and merged.covered[2, 6, 6]
    assert (probability[merged.seen] > 0.9).all() and (probability[~merged.seen] == 0).all()


def test_detections_move_to_the_volumes_voxels_and_padding_is_subtracted():
    rows = merge.moved(predicted(np.zeros((8, 8, 8)), [[3, 1, 0, 6, 4, 2]], [0.7]), tf.constant([-2, 5, 0]))
    np.testing.assert_allclose(rows.boxes, [[1, 6, 0, 4, 9, 2]])
    np.testing.assert_allclose(rows.mask_boxes, rows.boxes)
    assert rows.mask_logits.shape == (1, SIDE, SIDE, SIDE, 1)


def test_a_lesion_that_two_windows_saw_is_one_detection():
    shape, size = (24, 8, 8), (16, 8, 8)
    lesion, other = np.array([9, 2, 2, 14, 6, 6.0]), np.array([1, 1, 1, 4, 4, 4.0])
    first = predicted(np.zeros(size), [lesion, other], [0.8, 0.6])
    second = predicted(np.zeros(size), [lesion - np.tile([8, 0, 0], 2)], [0.9])
    merged = put_together(shape, [((0, 0, 0), first), ((8, 0, 0), second)])
    np.testing.assert_allclose(merged.detections.boxes, [lesion, other])
    # the lesion's centre, 11.5, lies in the first window's inner part: its box is kept, though the second scored it higher
    np.testing.assert_allclose(merged.detections.scores, [0.8, 0.6])
    np.testing.assert_allclose(merged.local_logits[11, 4, 4], 0.8, atol=1e-6)
    centres = np.stack(np.meshgrid(*(np.arange(n) + 0.5 for n in shape), indexing="ij"), -1)
    inside = [((centres >= box[:3]) & (centres < box[3:])).all(-1) for box in (lesion, other)]
    np.testing.assert_array_equal(merged.covered, inside[0] | inside[1])


def test_a_detection_in_both_windows_margins_is_not_lost():
    shape, size = (24, 8, 8), (16, 8, 8)
    first = predicted(np.zeros(size), [[11, 2, 2, 13.4, 6, 6]], [0.5])        # centre 12.2: the second window's half
    second = predicted(np.zeros(size), [[2.6, 2, 2, 5, 6, 6]], [0.6])         # centre 11.8 in the volume: the first window's
    merged = put_together(shape, [((0, 0, 0), first), ((8, 0, 0), second)])
    np.testing.assert_allclose(merged.detections.scores, [0.6])


def rows_of(boxes, scores):
    boxes = np.array(boxes, np.float32).reshape(-1, 6)
    patches = np.broadcast_to(np.array(scores, np.float32).reshape(-1, 1, 1, 1, 1), (len(scores), SIDE, SIDE, SIDE, 1))
    return VolumeDetections(boxes, np.array(scores, np.float32), patches, boxes)


def test_only_the_best_of_several_networks_are_kept_best_first():
    parts = [rows_of([[0, 0, 0, 2, 2, 2], [4, 4, 4, 6, 6, 6]], [0.9, 0.3]), rows_of([[8, 8, 8, 9, 9, 9]], [0.5])]
    for best in (merge.united(parts, 0.2, 2), merge.united(parts[::-1], 0.2, 2)):
        np.testing.assert_allclose(best.scores, [0.9, 0.5])
        assert best.mask_logits[:, 0, 0, 0, 0].numpy().tolist() == best.scores.numpy().tolist()
        assert best.mask_boxes[:, 0].numpy().tolist() == [0, 8]


def test_networks_that_find_one_lesion_have_one_detection_and_none_is_ordinary():
    lesion = [0, 0, 0, 4, 4, 4]
    united = merge.united([rows_of([lesion], [0.4]), rows_of([], []), rows_of([lesion], [0.6])], 0.2, 10)
    np.testing.assert_allclose(united.scores, [0.6])
    assert len(merge.united([rows_of([], []), rows_of([], [])], 0.2, 10).scores) == 0


def test_a_box_in_a_margin_yields_to_one_that_scores_less():
    rows = rows_of([[0, 0, 0, 4, 4, 4], [0, 0, 0, 4, 4, 3]], [0.9, 0.3])
    np.testing.assert_allclose(merge.suppress(rows, tf.constant([True, False]), 0.2).scores, [0.3])
    np.testing.assert_allclose(merge.suppress(rows, tf.constant([False, False]), 0.2).scores, [0.9])


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
def test_fusion_is_equation_1_on_logits(gamma):
    logits = np.random.default_rng(1).normal(size=(8, 8, 8))
    merged = put_together((8, 8, 8), [((0, 0, 0), predicted(logits, [[2, 2, 2, 6, 6, 6]], [0.8]))])
    expected = logits.copy()
    expected[2:6, 2:6, 2:6] = gamma * 0.8 + (1 - gamma) * logits[2:6, 2:6, 2:6]
    probability = merge.fused_probability(merged, gamma).numpy()
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-expected)), atol=merge.PROBABILITY_STEP)
    assert probability.dtype == np.float32 and (probability * 4096 % 1 == 0).all()
