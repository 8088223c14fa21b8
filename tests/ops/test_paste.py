"""paste_3d against a loop over voxels, and against crop_and_resize_3d."""
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from synergynet_tf.errors import InputError
from synergynet_tf.ops import paste
from synergynet_tf.ops.roi import crop_and_resize_3d, paste_3d, to_normalised
from tests.ops.test_roi import voxel_boxes


def paste_by_loops(patches, boxes, which, valid, shape):
    """What paste_3d promises, voxel by voxel, in float64."""
    total, count = np.zeros((*shape, patches.shape[-1])), np.zeros(shape)
    for patch, box, index, is_valid in zip(patches, boxes.astype(np.float64), which, valid):
        if not is_valid:
            continue
        lines, positions = [], []
        for a, size in enumerate(shape[1:]):
            centre = np.arange(size) + 0.5
            centre = centre[(centre >= box[a]) & (centre < box[a + 3])]
            lines.append(np.floor(centre).astype(int))
            at = (centre - box[a]) / (box[a + 3] - box[a]) * patch.shape[a] - 0.5
            positions.append(np.clip(at, 0, patch.shape[a] - 1))
        where = np.stack(np.meshgrid(*positions, indexing="ij"))
        for channel in range(patch.shape[-1]):
            block = ndimage.map_coordinates(patch[..., channel].astype(np.float64), where, order=1)
            total[index][(*np.ix_(*lines), channel)] += block
        count[index][np.ix_(*lines)] += 1
    return total / np.maximum(count, 1)[..., None], count > 0


class TestPaste:
    @pytest.mark.parametrize("channels, cells, small", [(1, (4, 4, 4), 24), (2, (3, 1, 5), 24), (2, (3, 1, 5), 4)])
    def test_against_loops(self, channels, cells, small, monkeypatch):
        """Boxes overlap, lie partly or wholly outside, some are longer than `small`, and some rows are not valid."""
        monkeypatch.setattr(paste, "SMALL", small)
        rng = np.random.default_rng(8)
        shape = (2, 11, 9, 19)
        patches = rng.normal(size=(40, *cells, channels)).astype(np.float32)
        boxes = voxel_boxes(rng, 40, shape[1:])
        boxes[0], boxes[1] = [30, 30, 30, 34, 34, 34], [-9, -9, -9, -5, -5, -5]
        which, valid = rng.integers(0, 2, 40).astype(np.int32), rng.uniform(size=40) < 0.7
        mean, covered = paste_3d(patches, boxes, which, valid, shape, 6)
        expected_mean, expected_covered = paste_by_loops(patches, boxes, which, valid, shape)
        np.testing.assert_array_equal(covered, expected_covered)
        np.testing.assert_allclose(mean, expected_mean, atol=1e-4)

    def test_window_larger_than_the_volume(self):
        rng = np.random.default_rng(9)
        patches, boxes = rng.normal(size=(3, 2, 2, 2, 1)).astype(np.float32), voxel_boxes(rng, 3, (5, 4, 6), 3, 9)
        given = patches, boxes, np.zeros(3, np.int32), np.ones(3, bool)
        mean, covered = paste_3d(*given, (1, 5, 4, 6), 12)
        expected_mean, expected_covered = paste_by_loops(*given, (1, 5, 4, 6))
        np.testing.assert_array_equal(covered, expected_covered)
        np.testing.assert_allclose(mean, expected_mean, atol=1e-5)

    def test_boxes_are_half_open_about_voxel_centres(self):
        """0.5..2.5 holds the centres 0.5 and 1.5 but not 2.5: boxes that share a face share no voxel."""
        box = np.array([[0.5, 0.5, 0.5, 2.5, 2.5, 2.5]], np.float32)
        _, covered = paste_3d(tf.ones([1, 2, 2, 2, 1]), box, [0], [True], (1, 4, 4, 4), 3)
        expected = np.zeros((4, 4, 4), bool)
        expected[:2, :2, :2] = True
        np.testing.assert_array_equal(covered[0], expected)

    def test_long_box_is_pasted_about_its_centre(self):
        box = np.array([[2, 0, 0, 14, 4, 4]], np.float32)
        _, covered = paste_3d(tf.ones([1, 2, 2, 2, 1]), box, [0], [True], (1, 16, 4, 4), 4)
        assert np.flatnonzero(covered[0, :, 0, 0]).tolist() == [6, 7, 8, 9]

    def test_paste_of_a_cropped_ramp_is_the_ramp(self):
        shape = (20, 18, 22)
        ramp = sum(slope * np.arange(n).reshape(np.roll((n, 1, 1), a)) for a, (n, slope) in enumerate(zip(shape, (1, -2, 0.5))))
        ramp = tf.constant(ramp[None, ..., None], tf.float32)
        box = tf.constant([[4, 3, 5, 13, 12, 14]], tf.float32)
        patch = crop_and_resize_3d(ramp, to_normalised(box, shape, 1, (18, 18, 18)), [0], (18, 18, 18))
        mean, covered = paste_3d(patch, box, [0], [True], (1, *shape), 10)
        assert np.count_nonzero(covered) == 9 ** 3
        np.testing.assert_allclose(mean.numpy()[covered], ramp.numpy()[covered], atol=1e-3)

    def test_overlap_is_the_mean(self):
        box = np.array([[0, 0, 0, 3, 3, 3], [1, 1, 1, 4, 4, 4]], np.float32)
        patches = np.stack([np.full((2, 2, 2, 1), value, np.float32) for value in (2, 6)])
        mean, covered = paste_3d(patches, box, [0, 0], [True, True], (1, 5, 5, 5), 4)
        assert [float(mean[0, i, i, i, 0]) for i in range(5)] == pytest.approx([2, 4, 4, 6, 0], abs=1e-5)
        assert covered.numpy()[0, range(5), range(5), range(5)].tolist() == [True, True, True, True, False]

    def test_order_does_not_matter(self):
        rng = np.random.default_rng(10)
        patches, boxes = rng.normal(size=(30, 3, 3, 3, 1)).astype(np.float32), voxel_boxes(rng, 30, (8, 8, 8))
        which, valid, order = np.zeros(30, np.int32), rng.uniform(size=30) < 0.5, rng.permutation(30)
        mean, covered = paste_3d(patches, boxes, which, valid, (1, 8, 8, 8), 6)
        again, covered_again = paste_3d(patches[order], boxes[order], which, valid[order], (1, 8, 8, 8), 6)
        np.testing.assert_array_equal(covered, covered_again)
        np.testing.assert_allclose(mean, again, atol=1e-5)

    def test_rows_that_are_not_valid_are_not_read(self):
        patches, boxes = np.full((3, 2, 2, 2, 1), np.nan, np.float32), np.full((3, 6), np.nan, np.float32)
        patches[1], boxes[1] = 1, [0, 0, 0, 2, 2, 2]
        for valid, voxels in (([False] * 3, 0), ([False, True, False], 8)):
            mean, covered = paste_3d(patches, boxes, [0, 0, 0], valid, (1, 4, 4, 4), 4)
            assert np.count_nonzero(covered) == voxels
            np.testing.assert_allclose(np.sum(mean), voxels, rtol=1e-5)

    def test_gradient_numerically(self):
        rng = np.random.default_rng(11)
        boxes, which = voxel_boxes(rng, 3, (6, 6, 6)), np.zeros(3, np.int32)
        boxes[:2] = [[0.3, 0, 0.6, 4, 4.2, 4.4], [1.2, 0.7, 1, 5, 5, 3.9]]
        weights = rng.normal(size=(1, 6, 6, 6, 1)).astype(np.float32)

        @tf.function(autograph=False)
        def value(patches):
            return tf.reduce_sum(paste_3d(patches, boxes, which, [True, True, False], (1, 6, 6, 6), 5)[0] * weights)

        patches = tf.constant(rng.normal(size=(3, 2, 3, 2, 1)).astype(np.float32))
        theoretical, numerical = tf.test.compute_gradient(value, [patches], delta=0.1)
        np.testing.assert_allclose(theoretical[0], numerical[0], atol=1e-3)
        assert np.abs(theoretical[0][0, :24]).max() > 0.1 and not theoretical[0][0, 24:].any()

    @pytest.mark.parametrize("shape, window", [((1, 2, 2, 2), 4), ((1, 2, 2, 2, 1), 0)])
    def test_wrong_input(self, shape, window):
        with pytest.raises(InputError):
            paste_3d(np.zeros(shape, np.float32), np.zeros((1, 6), np.float32), [0], [True], (1, 4, 4, 4), window)
