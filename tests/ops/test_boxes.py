"""Boxes: round trips and bounds as properties, counting on a voxel grid and SciPy as references."""
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from synergynet_tf.ops import boxes as ops

COORDINATE = st.floats(-50, 200, width=32)
SIDE = st.floats(0.5, 60, width=32)
WHOLE = st.integers(0, 9)


def box(corner, side):
    return st.tuples(*[corner] * 3, *[side] * 3).map(lambda v: [*v[:3], *(a + b for a, b in zip(v[:3], v[3:]))])


def several(corner, side):
    return st.lists(box(corner, side), min_size=1, max_size=5).map(lambda rows: np.array(rows, np.float32))


def filled(row):
    """A whole-numbered box as voxels, counted rather than computed."""
    grid = np.zeros((20, 20, 20), bool)
    x0, y0, z0, x1, y1, z1 = np.asarray(row, int)
    grid[x0:x1, y0:y1, z0:z1] = True
    return grid


@settings(max_examples=40, deadline=None)
@given(several(COORDINATE, SIDE), several(COORDINATE, SIDE))
def test_decode_inverts_encode(boxes, references):
    n = min(len(boxes), len(references))
    boxes, references = boxes[:n], references[:n]
    deltas = ops.encode(boxes, references)
    np.testing.assert_allclose(ops.decode(deltas, references), boxes, atol=2e-3)


def test_encode_by_hand():
    deltas = ops.encode([[4.0, 0, 0, 8, 20, 5]], [[0.0, 0, 0, 4, 10, 10]])
    np.testing.assert_allclose(deltas, [[1.0, 0.5, -0.25, 0, np.log(2), -np.log(2)]], atol=1e-6)


def test_decode_cannot_overflow():
    decoded = ops.decode([[0.0, 0, 0, 1e4, 100, -1e4]], [[0.0, 0, 0, 7, 7, 7]]).numpy()
    assert np.isfinite(decoded).all()
    np.testing.assert_allclose(decoded[0, 3:] - decoded[0, :3], [7 * np.exp(5), 7 * np.exp(5), 0], rtol=1e-5)


def test_degenerate_boxes_give_finite_values_and_gradients():
    boxes = tf.Variable([[0.0, 0, 0, 0, 0, 0], [3, 3, 3, 3, 9, 9], [5, 5, 5, 2, 2, 2]])
    references = tf.Variable([[1.0, 1, 1, 8, 8, 8], [0, 0, 0, 0, 0, 0], [4, 4, 4, 4, 4, 4]])
    with tf.GradientTape(persistent=True) as tape:
        deltas = ops.encode(boxes, references)
        decoded = ops.decode(deltas * 1e3, references)
        iou = ops.pairwise_iou(boxes, references)
    assert np.array_equal(iou, np.zeros((3, 3)))
    for value in (deltas, decoded, iou):
        assert np.isfinite(value).all()
        for variable in (boxes, references):
            gradient = tape.gradient(value, variable)
            assert gradient is not None and np.isfinite(gradient).all()


@settings(max_examples=40, deadline=None)
@given(several(COORDINATE, SIDE), several(COORDINATE, SIDE))
def test_iou_is_symmetric_and_bounded(a, b):
    iou = ops.pairwise_iou(a, b).numpy()
    assert np.array_equal(iou, ops.pairwise_iou(b, a).numpy().T)
    assert iou.min() >= 0 and iou.max() <= 1
    np.testing.assert_allclose(np.diag(ops.pairwise_iou(a, a)), 1, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(several(WHOLE, WHOLE), several(WHOLE, WHOLE))
def test_volumes_and_iou_count_voxels(a, b):
    np.testing.assert_array_equal(ops.volumes(a), [filled(row).sum() for row in a])
    counted = [[(filled(p) & filled(q)).sum() / max((filled(p) | filled(q)).sum(), 1) for q in b] for p in a]
    np.testing.assert_allclose(ops.pairwise_iou(a, b), counted, atol=1e-6)


def test_expand_scale_clip_by_hand():
    boxes = np.array([[[2.0, 4, 6, 6, 6, 7]]], np.float32)
    np.testing.assert_array_equal(ops.expand(boxes, 2), [[[0, 2, 4, 8, 8, 9]]])
    np.testing.assert_array_equal(ops.scale(boxes, 1.5), [[[1, 3.5, 5.75, 7, 6.5, 7.25]]])
    np.testing.assert_array_equal(ops.clip(ops.expand(boxes, 5), (9, 8, 7)), [[[0, 0, 1, 9, 8, 7]]])
    outside = ops.clip([[-9.0, 2, 2, -3, 4, 4]], (9, 8, 7))
    np.testing.assert_array_equal(outside, [[0, 2, 2, 0, 4, 4]])
    assert float(ops.volumes(outside)[0]) == 0


def test_half_precision_does_not_round_coordinates():
    deltas = tf.zeros([1, 6], tf.float16)
    decoded = ops.decode(deltas, [[2049.0, 1, 1, 2052, 4, 4]])
    assert decoded.dtype == tf.float32
    np.testing.assert_array_equal(decoded, [[2049, 1, 1, 2052, 4, 4]])


@pytest.mark.parametrize("compiled", [False, True])
def test_from_instances_agrees_with_scipy(compiled):
    generator = np.random.default_rng(3)
    instances = np.zeros((24, 17, 20), np.int32)
    for label in (1, 2, 4, 7, 30):                      # 3, 5, 6 absent; 30 above the slots
        corner, side = generator.integers(0, 14, 3), generator.integers(1, 7, 3)
        where = tuple(slice(c, c + s) for c, s in zip(corner, side))
        instances[where] = np.where(generator.random(instances[where].shape) < 0.7, label, instances[where])
    boxes, counts = tf.function(lambda v: ops.from_instances(v, 9), jit_compile=compiled)(tf.constant(instances))
    expected = np.zeros((9, 6))
    for slot, found in enumerate(ndimage.find_objects(instances, 9)):
        if found is not None:
            expected[slot] = [s.start for s in found] + [s.stop for s in found]
    assert boxes.dtype == tf.float32 and counts.dtype == tf.int32
    np.testing.assert_array_equal(boxes, expected)
    np.testing.assert_array_equal(counts, np.bincount(instances.ravel(), minlength=31)[1:10])


def test_from_instances_without_lesions():
    boxes, counts = ops.from_instances(tf.zeros([8, 9, 10], tf.int32), 5)
    np.testing.assert_array_equal(boxes, np.zeros((5, 6)))
    np.testing.assert_array_equal(counts, np.zeros(5))


def test_voxels_in_boxes_are_counted_as_by_hand():
    rng = np.random.default_rng(5)
    mask = rng.random((7, 9, 6)) < 0.2
    low = rng.uniform(-3, 9, (60, 3)).astype(np.float32)
    high = (low + rng.uniform(0, 6, (60, 3))).astype(np.float32)
    voxels = np.argwhere(mask)
    expected = [np.all((voxels < b) & (voxels + 1 > a), axis=1).sum() for a, b in zip(low, high)]
    found = ops.count_voxels(tf.constant(np.concatenate([low, high], 1)), tf.constant(mask))
    np.testing.assert_array_equal(found, expected)
    assert max(expected) > 5 and min(expected) == 0
