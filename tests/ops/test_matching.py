"""Matching against the dense IoU matrix, in NumPy and double precision; touching against every pair of cube and voxel."""
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.errors import InputError
from synergynet_tf.ops.matching import match_anchors, match_rois, touches


def dense_anchors(grid, stride, sizes):
    cells = np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), -1).reshape(-1, 1, 3)
    centre, half = (cells + 0.5) * stride, np.array(sizes)[:, None] / 2
    return np.concatenate([centre - half, centre + half], -1).reshape(-1, 6)


def dense_iou(a, b):
    a, b = np.asarray(a, float)[:, None], np.asarray(b, float)[None]
    overlap = np.clip(np.minimum(a[..., 3:], b[..., 3:]) - np.maximum(a[..., :3], b[..., :3]), 0, None).prod(-1)
    union = (a[..., 3:] - a[..., :3]).prod(-1) + (b[..., 3:] - b[..., :3]).prod(-1) - overlap
    return overlap / np.where(union > 0, union, 1)


def dense_match(grid, stride, sizes, boxes, valid, positive_iou, negative_iou):
    anchors = dense_anchors(grid, stride, sizes)
    iou = dense_iou(anchors, boxes) * valid
    claims = (iou >= positive_iou) & valid
    for lesion in np.flatnonzero(valid):
        best = iou[:, lesion].max()
        if best > 0:
            distance = (((anchors[:, :3] + anchors[:, 3:]) - (boxes[lesion, :3] + boxes[lesion, 3:])) ** 2).sum(1)
            distance[iou[:, lesion] < best] = np.inf
            claims[distance.argmin(), lesion] = True
    positive = claims.any(1)
    return positive, (iou.max(1) < negative_iou) & ~positive, np.where(positive, np.where(claims, iou, -1).argmax(1), 0)


def lesions(seed, n, extent, longest=12):
    """Whole-numbered boxes, some of them partly outside the grid, each second one half off the lattice; 3 in 4 valid."""
    generator = np.random.default_rng(seed)
    corner = np.stack([generator.integers(-3, e, n) for e in extent], 1) + (np.arange(n) % 2)[:, None] / 2
    boxes = np.concatenate([corner, corner + generator.integers(2, longest, (n, 3))], 1).astype(np.float32)
    return boxes, generator.random(n) < 0.75


def check_all(grid, stride, sizes, cases, positive_iou=0.5, negative_iou=0.1, compiled=False):
    """Hold each (boxes, valid) of `cases` against the dense matrix; gives the matches."""
    run = tf.function(lambda b, v: match_anchors(grid, stride, sizes, b, v, positive_iou, negative_iou), jit_compile=compiled)
    matches = []
    for boxes, valid in cases:
        matches.append(run(tf.constant(boxes), tf.constant(valid)))
        expected = dense_match(grid, stride, sizes, boxes, valid, positive_iou, negative_iou)
        for name, part, reference in zip(matches[-1]._fields, matches[-1], expected):
            np.testing.assert_array_equal(part, reference, err_msg=name)
    return matches


def check(grid, stride, sizes, boxes, valid):
    return check_all(grid, stride, sizes, [(boxes, valid)])[0]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("grid, stride, sizes, n, thresholds", [
    ((12, 15, 10), 2, (7.0, 9.0, 11.0, 15.0), 24, (0.5, 0.1)),      # crowded: lesions compete for anchors
    ((6, 7, 9), 4, (7.0, 9.0), 10, (0.6, 0.25)),
    ((3, 4, 20), 2, (5.0,), 6, (0.3, 0.3)),                         # the grid is smaller than a block
])
def test_equals_the_dense_matrix(grid, stride, sizes, n, thresholds, compiled):
    cases = [lesions(seed, n, [g * stride for g in grid]) for seed in range(3)]
    for match in check_all(grid, stride, sizes, cases, *thresholds, compiled):
        assert 0 < match.positive.numpy().sum() < match.positive.shape[0]


def test_elongated_lesions_are_matched_over_their_whole_length():
    along_z, along_x = [10, 10, 1, 17, 17, 63], [0, 1, 30, 60, 12, 41]
    compact, huge = [3, 2, 40, 9, 50, 47], [-60, -60, -60, 99, 99, 99]
    boxes = np.array([along_z, along_x, compact, huge], np.float32)
    match = check((30, 30, 32), 2, (7.0, 11.0, 15.0), boxes, np.ones(4, bool))
    undecided = ~(match.positive.numpy() | match.background.numpy()).reshape(30, 30, 32, 3)
    assert undecided.any(axis=(1, 2, 3)).sum() > 25, "the lesion along x should keep anchors off the background all along"


@pytest.mark.parametrize("compiled", [False, True])
def test_without_lesions_all_is_background(compiled):
    boxes, _ = lesions(0, 8, (20, 20, 20))
    cases = [(given, np.zeros(8, bool)) for given in (boxes, np.zeros_like(boxes))]
    for match in check_all((10, 10, 10), 2, (7.0, 9.0), cases, compiled=compiled):
        assert match.background.numpy().all() and not match.positive.numpy().any()


def test_a_row_that_is_not_valid_claims_nothing():
    boxes = np.array([[4, 4, 4, 11, 11, 11], [4, 4, 4, 11, 11, 11]], np.float32)
    match = check((10, 10, 10), 2, (7.0,), boxes, np.array([False, True]))
    assert set(match.lesion.numpy()[match.positive.numpy()]) == {1}


def test_best_anchor_is_positive_below_the_threshold_and_alone():
    tiny = np.array([[10, 10, 10, 12, 12, 12]], np.float32)         # 8 voxels in a cube of 343
    match = check((10, 10, 10), 2, (7.0, 9.0), tiny, np.ones(1, bool))
    row = ((5 * 10 + 5) * 10 + 5) * 2                               # the cell centred on (11, 11, 11), smaller size
    assert np.flatnonzero(match.positive).tolist() == [row]


def test_the_higher_iou_wins_and_the_lower_slot_among_equals():
    exact, shifted = [2, 2, 2, 8, 8, 8], [2, 2, 3, 8, 8, 9]
    anchor = ((2 * 6 + 2) * 6 + 2)                                  # [2, 2, 2, 8, 8, 8]
    cases = [([shifted, exact], 1), ([exact, shifted], 0), ([exact, exact], 0)]
    given = [(np.array(rows, np.float32), np.ones(2, bool)) for rows, _ in cases]
    for (_, winner), match in zip(cases, check_all((6, 6, 6), 2, (6.0,), given)):
        assert match.lesion.numpy()[anchor] == winner


def test_a_lesion_outside_the_grid_matches_nothing():
    far = np.array([[50, 50, 50, 57, 57, 57], [-20, 3, 3, -10, 9, 9]], np.float32)
    match = check((5, 5, 5), 2, (7.0,), far, np.ones(2, bool))
    assert not match.positive.numpy().any()


@pytest.mark.parametrize("positive, negative", [(0.5, 0.0), (0.4, 0.5), (1.5, 0.1)])
def test_thresholds_out_of_order_are_refused(positive, negative):
    with pytest.raises(InputError, match=str(negative)):
        match_anchors((2, 2, 2), 2, (7.0,), tf.zeros([1, 6]), tf.zeros([1], tf.bool), positive, negative)


@pytest.mark.parametrize("compiled", [False, True])
def test_match_rois_equals_the_dense_matrix(compiled):
    rois, roi_valid = lesions(1, 60, (9, 9, 9))
    boxes, valid = lesions(2, 12, (12, 12, 12))
    best, slot = tf.function(match_rois, jit_compile=compiled)(*map(tf.constant, (rois, roi_valid, boxes, valid)))
    iou = dense_iou(rois, boxes) * valid * roi_valid[:, None]
    np.testing.assert_allclose(best, iou.max(1), atol=1e-6)
    assert slot.dtype == tf.int32 and (best.numpy() > 0.3).any()
    np.testing.assert_allclose(iou[np.arange(60), slot], iou.max(1), atol=1e-6)
    assert (slot.numpy()[iou.max(1) == 0] == 0).all()


def test_match_rois_where_nothing_is_valid():
    rois, valid = lesions(1, 5, (9, 9, 9))
    for sides in ((np.zeros(5, bool), np.ones(5, bool)), (np.ones(5, bool), np.zeros(5, bool))):
        best, slot = match_rois(rois, sides[0], rois, sides[1])
        assert not best.numpy().any() and not slot.numpy().any()


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("shape, stride, sizes", [((8, 12, 10), 2, (3.0, 4.5, 7.0)), ((8, 8, 16), 4, (2.0, 15.0))])
def test_touches_every_cube_that_shares_volume_with_a_voxel(shape, stride, sizes, compiled):
    mask = np.random.default_rng(0).random(shape) < 0.006
    voxels = np.argwhere(mask)
    anchors = dense_anchors([n // stride for n in shape], stride, sizes)
    expected = dense_iou(anchors, np.concatenate([voxels, voxels + 1], 1)).max(1) > 0
    found = tf.function(lambda m: touches(m, stride, sizes), jit_compile=compiled)(tf.constant(mask)).numpy()
    assert 0 < expected.sum() < len(expected)
    np.testing.assert_array_equal(found, expected)


def test_touches_nothing_and_refuses_a_ragged_grid():
    assert not touches(tf.zeros([4, 4, 4], tf.bool), 2, (3.0,)).numpy().any()
    with pytest.raises(InputError, match="stride 2"):
        touches(tf.zeros([4, 5, 4], tf.bool), 2, (3.0,))
