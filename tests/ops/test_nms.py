"""Suppression against the textbook loop, and the two properties that define it."""
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from synergynet_tf.ops.nms import ONE_SORT, TILE, best, nms_3d


def iou(a, b):
    """Of one box with each of several."""
    overlap = np.prod(np.clip(np.minimum(a[3:], b[:, 3:]) - np.maximum(a[:3], b[:, :3]), 0, None), axis=1)
    union = np.prod(a[3:] - a[:3]) + np.prod(b[:, 3:] - b[:, :3], axis=1) - overlap
    return np.where(union > 0, overlap / np.where(union > 0, union, 1), 0).astype(np.float32)


def greedy(boxes, scores, valid, threshold, most):
    kept = []
    for candidate in np.argsort(-scores, kind="stable"):
        if len(kept) < most and valid[candidate] and not (iou(boxes[candidate], boxes[kept]) > np.float32(threshold)).any():
            kept.append(int(candidate))
    return kept


def case(seed, n, spread, levels=50):
    generator = np.random.default_rng(seed)
    corner = generator.integers(-4, spread, (n, 3))
    boxes = np.concatenate([corner, corner + generator.integers(0, 9, (n, 3))], 1).astype(np.float32)
    return boxes, (generator.integers(0, levels, n) / levels).astype(np.float32), generator.random(n) < 0.85


def suppress(boxes, scores, valid, threshold, most, compiled=False):
    run = tf.function(lambda *a: nms_3d(*a, threshold, most), jit_compile=compiled)
    indices, kept = run(tf.constant(boxes), tf.constant(scores), tf.constant(valid))
    assert indices.shape == kept.shape == (most,)
    kept = kept.numpy()
    assert kept[:kept.sum()].all() and (indices.numpy()[~kept] == 0).all()
    return indices.numpy()[kept].tolist()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("n, spread, threshold, most", [
    (1, 5, 0.5, 3), (TILE, 9, 0.3, 64), (TILE + 44, 12, 0.1, 400), (600, 5, 0.0, 50)])
def test_equals_the_textbook_loop(n, spread, threshold, most, compiled):
    boxes, scores, valid = case(n, n, spread)
    expected = greedy(boxes, scores, valid, threshold, most)
    assert suppress(boxes, scores, valid, threshold, most, compiled) == expected


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.1, 0.3, 0.7]))
def test_kept_boxes_are_apart_and_dropped_ones_overlap_a_better(seed, threshold):
    boxes, scores, valid = case(seed, 30, 5)
    indices, found = nms_3d(boxes, tf.constant(scores), tf.constant(valid), threshold, 30)
    kept = indices.numpy()[found.numpy()]
    rank = {int(i): r for r, i in enumerate(np.argsort(-scores, kind="stable"))}
    assert valid[kept].all() and sorted(kept, key=rank.get) == list(kept)
    for i in np.flatnonzero(valid):
        overlaps = iou(boxes[i], boxes[kept]) > np.float32(threshold)
        better = [k for k, overlap in zip(kept, overlaps) if overlap and rank[k] < rank[i]]
        assert (i in kept) == (not better)


def test_a_chain_frees_every_second_box():
    """Each box overlaps its neighbours only, so greedy keeps every second one: the slowest case to settle."""
    n = 2 * TILE
    boxes = np.zeros((n, 6), np.float32)
    boxes[:, 0] = np.arange(n) * 2
    boxes[:, 3:] = boxes[:, :3] + [3, 1, 1]
    scores = np.linspace(1, 0, n, dtype=np.float32)
    assert suppress(boxes, scores, np.ones(n, bool), 0.1, n) == list(range(0, n, 2))


def test_nothing_valid():
    boxes, scores, _ = case(0, 20, 5)
    assert suppress(boxes, scores, np.zeros(20, bool), 0.3, 7) == []


def test_equal_scores_prefer_the_lower_index():
    boxes = np.tile(np.array([[0, 0, 0, 4, 4, 4]], np.float32), (5, 1))
    assert suppress(boxes, np.full(5, 0.5, np.float32), np.array([False, True, True, True, True]), 0.3, 5) == [1]


def test_a_valid_box_of_lowest_score_comes_before_what_is_not_valid():
    boxes = np.array([[0, 0, 0, 4, 4, 4], [9, 9, 9, 12, 12, 12]], np.float32)
    assert suppress(boxes, np.array([5.0, -1e30], np.float32), np.array([False, True]), 0.3, 2) == [1]


def test_number_of_boxes_may_be_unknown_when_traced():
    signature = [tf.TensorSpec([None, 6]), tf.TensorSpec([None]), tf.TensorSpec([None], tf.bool)]
    run = tf.function(lambda b, s, v: nms_3d(b, s, v, 0.3, 10), input_signature=signature)
    for n in (0, 3, 300):
        boxes, scores, valid = case(n, n, 8)
        indices, kept = run(tf.constant(boxes), tf.constant(scores), tf.constant(valid))
        assert indices.numpy()[kept.numpy()].tolist() == greedy(boxes, scores, valid, 0.3, 10)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("n, count", [(5, 9), (300, 40), (ONE_SORT + 500, 2000), (ONE_SORT + 500, ONE_SORT + 100)])
def test_the_best_are_those_of_a_stable_sort(n, count, compiled):
    scores = np.float32(np.random.default_rng(n).integers(-50, 50, (2, n)))         # many are equal
    values, indices = tf.function(best, jit_compile=compiled)(tf.constant(scores), count)
    expected = np.argsort(-scores, 1, kind="stable")[:, :count]
    assert np.array_equal(indices, expected)
    assert np.array_equal(values, np.take_along_axis(scores, expected, 1))


def test_the_best_of_an_unknown_number():
    run = tf.function(lambda scores: best(scores, 4), input_signature=[tf.TensorSpec([1, None])])
    assert np.array_equal(run(tf.constant([[2.0, 7.0, 7.0]]))[1], [[1, 2, 0]])


def test_the_best_of_a_brain_are_found_without_a_loop():
    """XLA's own way for such numbers is a loop of 97 sorts, each of 8192 values: on a GPU a third of a training step."""
    compiled = tf.function(lambda scores: best(scores, 2000), jit_compile=True)
    program = compiled.experimental_get_compiler_ir(tf.zeros([1, 600_000]))(stage="hlo")
    assert "sort(" in program and "while(" not in program
