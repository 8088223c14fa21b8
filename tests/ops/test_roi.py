"""crop_and_resize_3d against tf.image and SciPy."""
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from synergynet_tf.errors import InputError
from synergynet_tf.ops import crop
from synergynet_tf.ops.roi import crop_and_resize_3d, reach, to_normalised


def random_boxes(rng, count, low=-0.2, high=1.2):
    """Normalised boxes: partly outside, flipped, long and short."""
    return rng.uniform(low, high, (count, 6)).astype(np.float32)


def voxel_boxes(rng, count, shape, smallest=2.0, largest=6.0):
    side = rng.uniform(smallest, largest, (count, 3))
    begin = rng.uniform(-2, np.array(shape) - 2, (count, 3))
    return np.concatenate([begin, begin + side], 1).astype(np.float32)


class TestCropAgainstTfImage:
    """A 2D image lies in two axes of the volume; along the third, one plane is cropped."""

    @pytest.mark.parametrize("flat_axis", [0, 1, 2])
    @pytest.mark.parametrize("method", ["trilinear", "nearest"])
    @pytest.mark.parametrize("cells", [(5, 4), (1, 3), (4, 1)])
    def test_each_axis(self, flat_axis, method, cells):
        rng = np.random.default_rng(flat_axis)
        image = rng.normal(size=(2, 7, 9, 3)).astype(np.float32)
        box = random_boxes(rng, 40)
        box[:4] = [[0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0], [0.5] * 6, [-3, -3, -3, -2, -2, -2]]
        which = rng.integers(0, 2, 40).astype(np.int32)
        first, second = [axis for axis in range(3) if axis != flat_axis]
        expected = tf.image.crop_and_resize(image, box[:, [first, second, first + 3, second + 3]], which, cells,
                                            "bilinear" if method == "trilinear" else "nearest", 7.5)
        box[:, [flat_axis, flat_axis + 3]] = 0.0
        size = list(cells)
        size.insert(flat_axis, 1)
        volume = np.expand_dims(image, flat_axis + 1)
        got = crop_and_resize_3d(volume, box, which, size, method, 7.5)
        np.testing.assert_allclose(np.squeeze(got, flat_axis + 1), expected, atol=2e-5)

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float16", "float64"])
    @pytest.mark.parametrize("method", ["trilinear", "nearest"])
    def test_dtypes_give_float32(self, dtype, method):
        rng = np.random.default_rng(3)
        image = rng.integers(0, 100, (1, 6, 5, 2)).astype(dtype)
        box, which = random_boxes(rng, 12, 0, 1), np.zeros(12, np.int32)
        expected = tf.image.crop_and_resize(image, box[:, [1, 2, 4, 5]], which, (4, 4),
                                            "bilinear" if method == "trilinear" else "nearest")
        box[:, [0, 3]] = 0.0
        got = crop_and_resize_3d(image[:, None], box, which, (1, 4, 4), method)
        assert got.dtype == tf.float32
        np.testing.assert_allclose(got[:, 0], expected, rtol=1e-5, atol=1e-4)

    @pytest.mark.parametrize("reach", [None, 1, 3])
    @pytest.mark.parametrize("at_once", [0, 2 ** 25])
    def test_gradients(self, at_once, reach, monkeypatch):
        monkeypatch.setattr(crop, "AT_ONCE", at_once)
        monkeypatch.setattr(crop, "MANY", 8)
        rng = np.random.default_rng(4)
        image = tf.constant(rng.normal(size=(2, 6, 8, 2)).astype(np.float32))
        box, which = tf.constant(random_boxes(rng, 30)), rng.integers(0, 2, 30).astype(np.int32)
        weights = rng.normal(size=(30, 4, 5, 2)).astype(np.float32)
        flat = tf.constant([1, 1, 0, 1, 1, 0], tf.float32)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch([image, box])
            ours = tf.reduce_sum(crop_and_resize_3d(image[:, :, :, None], box * flat, which, (4, 5, 1), reach=reach)[:, :, :, 0]
                                 * weights)
            theirs = tf.reduce_sum(tf.image.crop_and_resize(image, tf.gather(box, [0, 1, 3, 4], axis=1), which, (4, 5)) * weights)
        np.testing.assert_allclose(tape.gradient(ours, image), tape.gradient(theirs, image), atol=1e-4)
        np.testing.assert_allclose(tape.gradient(ours, box), tape.gradient(theirs, box), rtol=1e-3, atol=1e-3)


class TestCrop:
    @pytest.mark.parametrize("order, method", [(1, "trilinear"), (0, "nearest")])
    @pytest.mark.parametrize("largest", [0.3, 1.0])       # 0.3: every box dense; 1.0: many sparse
    @pytest.mark.parametrize("at_once", [0, 2 ** 25])     # fewer boxes at a time than there are, or all together
    @pytest.mark.parametrize("reach", [None, 1, 4])       # some boxes touch no more than 4 voxels, none only 1
    def test_against_scipy(self, order, method, largest, at_once, reach, monkeypatch):
        monkeypatch.setattr(crop, "AT_ONCE", at_once)
        monkeypatch.setattr(crop, "MANY", 8)
        rng = np.random.default_rng(5)
        volume = rng.normal(size=(2, 13, 11, 12, 2)).astype(np.float32)
        begin = rng.uniform(0, 1 - largest, (25, 3))
        box = np.concatenate([begin, begin + rng.uniform(0, largest, (25, 3))], 1).astype(np.float32)
        which = rng.integers(0, 2, 25).astype(np.int32)
        got = crop_and_resize_3d(volume, box, which, (4, 3, 5), method, reach=reach).numpy()
        last = np.array(volume.shape[1:4]) - 1
        for row, corner, index in zip(got, box.astype(np.float64), which):
            lines = [np.linspace(corner[a], corner[a + 3], n) * last[a] for a, n in enumerate((4, 3, 5))]
            where = np.stack(np.meshgrid(*lines, indexing="ij"))
            for channel in range(2):
                expected = ndimage.map_coordinates(volume[index, ..., channel], where, order=order)
                np.testing.assert_allclose(row[..., channel], expected, atol=1e-4)

    def test_whole_volume_is_itself_and_flipped(self):
        volume = np.random.default_rng(6).normal(size=(1, 4, 5, 6, 1)).astype(np.float32)
        box = np.array([[0, 0, 0, 1, 1, 1], [1, 0, 1, 0, 1, 0]], np.float32)
        got = crop_and_resize_3d(volume, box, [0, 0], (4, 5, 6))
        np.testing.assert_allclose(got[0], volume[0], atol=1e-6)
        np.testing.assert_allclose(got[1], volume[0, ::-1, :, ::-1], atol=1e-6)

    def test_outside_is_extrapolated_cell_by_cell(self):
        volume = np.ones((1, 5, 5, 5, 1), np.float32)
        box = np.array([[-0.25, 0, 0, 0.5, 1, 1], [2, 2, 2, 3, 3, 3], [np.nan, 0, 0, 1, 1, 1]], np.float32)
        got = crop_and_resize_3d(volume, box, [0, 0, 0], (4, 2, 2), extrapolation_value=-1.0).numpy()
        np.testing.assert_allclose(got[0, :, 0, 0, 0], [-1, 1, 1, 1], atol=1e-6)
        np.testing.assert_array_equal(got[1:], -1)

    def test_gradients_numerically(self):
        """One box whose cells are neighbours, one flipped and long; no cell near a voxel's centre, where the kinks are."""
        rng = np.random.default_rng(7)
        volume = tf.constant(rng.normal(size=(1, 3, 4, 3, 1)).astype(np.float32))
        box = tf.constant([[0.1, 0.2, 0.15, 0.6, 0.55, 0.45], [0.07, 0.9, 0.1, 0.93, 0.06, 0.95]])
        weights = rng.normal(size=(2, 2, 2, 2, 1)).astype(np.float32)

        @tf.function(autograph=False)
        def value(volume, box):
            return tf.reduce_sum(crop_and_resize_3d(volume, box, [0, 0], (2, 2, 2)) * weights)

        theoretical, numerical = tf.test.compute_gradient(value, [volume, box], delta=2e-3)
        for got, expected in zip(theoretical, numerical):
            np.testing.assert_allclose(got, expected, atol=5e-3)

    @pytest.mark.parametrize("cells", [(2, 2, 2), (2, 3, 1)])
    def test_without_the_boxes_gradient_the_volume_s_is_the_same(self, cells):
        rng = np.random.default_rng(8)
        volume, box = tf.constant(rng.normal(size=(1, 5, 4, 6, 2)).astype(np.float32)), tf.constant(random_boxes(rng, 9, 0, 1))
        found = []
        for boxes_gradient in (True, False):
            with tf.GradientTape() as tape:
                tape.watch([volume, box])
                crops = crop_and_resize_3d(volume, box, [0] * 9, cells, boxes_gradient=boxes_gradient)
            found.append(tape.gradient(crops, [volume, box]))
        np.testing.assert_array_equal(found[0][0], found[1][0])
        assert found[0][1] is not None and found[1][1] is None

    def test_nearest_gradient_counts_the_reads(self):
        volume = tf.zeros([1, 3, 3, 3, 1])
        with tf.GradientTape() as tape:
            tape.watch(volume)
            crops = crop_and_resize_3d(volume, [[0.0, 0, 0, 0, 0, 0], [0.0, 0, 0, 1, 1, 1]], [0, 0], (2, 2, 2), "nearest")
        expected = np.zeros((3, 3, 3))
        expected[::2, ::2, ::2] = 1
        expected[0, 0, 0] = 9
        np.testing.assert_array_equal(tape.gradient(crops, volume)[0, ..., 0], expected)

    def test_half_volume_keeps_its_dtype_in_the_gradient(self):
        volume = tf.ones([1, 4, 4, 4, 2], tf.float16)
        with tf.GradientTape() as tape:
            tape.watch(volume)
            crops = crop_and_resize_3d(volume, [[0.0, 0, 0, 1, 1, 1]], [0], (4, 4, 4))
        gradient = tape.gradient(crops, volume)
        assert gradient.dtype == tf.float16
        np.testing.assert_allclose(gradient, 1, atol=1e-3)

    def test_no_boxes(self):
        crops = crop_and_resize_3d(tf.ones([1, 4, 4, 4, 3]), tf.zeros([0, 6]), tf.zeros([0], tf.int32), (2, 2, 2))
        assert crops.shape == (0, 2, 2, 2, 3)

    @pytest.mark.parametrize("change", [{"method": "bilinear"}, {"crop_size": (2, 2)}, {"crop_size": (2, 0, 2)},
                                        {"boxes": np.zeros((1, 4), np.float32)}, {"volume": np.zeros((1, 4, 4, 4), np.float32)}])
    def test_wrong_input(self, change):
        given = {"volume": np.zeros((1, 4, 4, 4, 1), np.float32), "boxes": np.zeros((1, 6), np.float32), "box_indices": [0],
                 "crop_size": (2, 2, 2), **change}
        with pytest.raises(InputError):
            crop_and_resize_3d(**given)


class TestToNormalised:
    def test_positions_by_hand(self):
        """Stride 2, box 4..12 with 4 cells: centres 5, 7, 9, 11 voxels, features 2, 3, 4, 5 (centred on 5, 7, 9, 11)."""
        got = to_normalised(np.array([4, 0, 8, 12, 16, 10], np.float32), (11, 9, 9), 2, (4, 2, 1)).numpy()
        # y: cells at 4 and 12 voxels: features 1.5 and 5.5; z: one cell at 9: feature 4
        np.testing.assert_allclose(got, [2 / 10, 1.5 / 8, 4 / 8, 5 / 10, 5.5 / 8, 4 / 8], rtol=1e-6)

    @pytest.mark.parametrize("stride", [1, 2, 4])
    def test_ramp_is_read_at_the_cells(self, stride):
        """Features that hold their own centre's coordinate are read back as the cells' coordinates."""
        shape = (10, 12, 9)
        centres = [(np.arange(n) + 0.5) * stride for n in shape]
        features = np.stack(np.meshgrid(*centres, indexing="ij"), -1)[None].astype(np.float32)
        box = (np.array([[2, 3, 2, 6.5, 7, 5], [3, 1, 1.25, 4, 9, 7]]) * stride).astype(np.float32)
        got = crop_and_resize_3d(features, to_normalised(box, shape, stride, (4, 3, 5)), [0, 0], (4, 3, 5)).numpy()
        for row, corner in zip(got, box):
            lines = [corner[a] + (np.arange(n) + 0.5) * (corner[a + 3] - corner[a]) / n for a, n in enumerate((4, 3, 5))]
            np.testing.assert_allclose(row, np.stack(np.meshgrid(*lines, indexing="ij"), -1), rtol=1e-4)

    def test_single_feature(self):
        got = to_normalised(np.array([[0, 0, 0, 2, 2, 2]], np.float32), tf.constant([1, 1, 1]), 2, (1, 1, 1))
        np.testing.assert_array_equal(got, np.zeros((1, 6)))


@pytest.mark.parametrize("side, stride, cells", [(22.5, 2, 16), (22.5, 8, 16), (15.0, 2, 8), (10.0, 1, 5)])
def test_reach(side, stride, cells):
    def touched(side):
        begin = np.linspace(0, 3 * stride, 4001)[:, None]
        places = (begin + (np.arange(cells) + 0.5) * side / cells) / stride - 0.5
        return np.ceil(places[:, -1]) - np.floor(places[:, 0]) + 1

    assert touched(side).min() == reach(side, stride, cells)
    assert touched(side - stride * cells / (cells - 1)).max() <= reach(side, stride, cells)
