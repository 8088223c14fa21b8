"""The turn about X against scipy, tensorflow-addons and hand-made cases; the annotation against brute force."""
import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from synergynet_tf.config.augment import AugmentConfig
from synergynet_tf.data import transforms, warp

ANGLES = (-15.0, -4.0, 7.3, 15.0)


@pytest.fixture(scope="module")
def block():
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(rng.normal(size=(5, 36, 30, 2)), (0, 1, 1, 0)).astype(np.float16)
    instances = rng.integers(0, 40, (5, 36, 30)).astype(np.int16)
    return image, instances


def turn(image, instances, degrees, size):
    angle = tf.constant(math.radians(degrees), tf.float32)
    made = warp.warp(warp.Block(tf.constant(image), tf.constant(instances), (np.float32(instances.shape) - 1) / 2),
                     warp.Pose(angle, tf.constant(1.0), tf.constant(False)), None, 1.0, size)
    return [value.numpy() for value in made]


def by_scipy(volume, degrees, size, order):
    """The middle `size` voxels of volume [X, Y, Z], turned so that +Y goes towards +Z; zeros beyond the block."""
    a = math.radians(degrees)
    back = np.array([[1, 0, 0], [0, math.cos(a), math.sin(a)], [0, -math.sin(a), math.cos(a)]])
    centre_in, centre_out = (np.array(volume.shape) - 1) / 2, (np.array(size) - 1) / 2
    return ndimage.affine_transform(volume.astype(np.float64), back, centre_in - back @ centre_out, size, order=order,
                                    mode="grid-constant")


@pytest.mark.parametrize("size", [(5, 24, 20), (5, 36, 30), (5, 40, 33)])
@pytest.mark.parametrize("degrees", ANGLES)
def test_rotation_equals_scipy_inside_and_beyond_the_block(block, degrees, size):
    image, labels = turn(*block, degrees, size)
    assert image.dtype == np.float32 and labels.dtype == np.int32
    expected = np.stack([by_scipy(block[0][..., c], degrees, size, 1) for c in range(2)], -1)
    np.testing.assert_allclose(image, expected, atol=2e-4)
    # A sample exactly between two voxels may go either way under float32: those are a handful.
    assert np.mean(labels != by_scipy(block[1], degrees, size, 0)) < 2e-3


@pytest.mark.parametrize("degrees", [11.0, 90.0])
def test_rotation_has_the_sense_of_scipy_rotate(block, degrees):
    square = block[0][:, 3:33, :, 0]
    image, _ = turn(square[..., None], block[1][:, 3:33], degrees, square.shape)
    expected = ndimage.rotate(square.astype(np.float64), degrees, axes=(1, 2), reshape=False, order=1, mode="grid-constant")
    np.testing.assert_allclose(image[..., 0], expected, atol=2e-4)


def test_a_quarter_turn_takes_the_y_axis_to_the_z_axis():
    labels = np.zeros((1, 9, 9), np.int16)
    labels[0, 7, 4] = 5                                     # 3 voxels along +Y
    image, turned = turn(labels[..., None].astype(np.float16), labels, 90.0, (1, 9, 9))
    assert np.argwhere(turned).tolist() == [[0, 4, 7]]      # 3 voxels along +Z
    np.testing.assert_allclose(image[..., 0], turned, atol=1e-5)


def test_rotation_equals_tensorflow_addons(block):
    tfa = pytest.importorskip("tensorflow_addons")
    for degrees in ANGLES:      # the X planes are its batch of images
        image, labels = turn(*block, degrees, block[1].shape)
        reference = tfa.image.rotate(block[0].astype(np.float32), math.radians(degrees), "bilinear").numpy()
        np.testing.assert_allclose(image, reference, atol=2e-3)
        nearest = tfa.image.rotate(block[1][..., None].astype(np.int32), math.radians(degrees), "nearest").numpy()[..., 0]
        assert np.mean(labels != nearest) < 2e-3


def test_no_angle_is_the_identity_exactly(block):
    for size in ((5, 36, 30), (5, 20, 16)):
        image, labels = turn(*block, 0.0, size)
        middle = tuple(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(block[1].shape, size))
        np.testing.assert_array_equal(image, block[0][middle])
        np.testing.assert_array_equal(labels, block[1][middle])


def test_forth_and_back_restores_a_smooth_image():
    grid = np.stack(np.meshgrid(np.arange(3), np.arange(60), np.arange(50), indexing="ij"), -1).astype(np.float32)
    image = np.exp(-((grid[..., 1:] - (40, 15)) ** 2).sum(-1, keepdims=True) / 60)
    labels = np.zeros(image.shape[:3], np.int16)
    forth, _ = turn(image, labels, 13.0, labels.shape)
    back, _ = turn(forth, labels, -13.0, labels.shape)
    assert np.abs(forth - image).max() > 0.2
    np.testing.assert_allclose(back, image, atol=0.03)


@pytest.mark.parametrize("y, z, rotation", [(160, 128, 15.0), (24, 16, 15.0), (16, 24, 40.0), (16, 16, 180.0)])
def test_margins_hold_every_corner_and_no_more(y, z, rotation):
    size = (1, y, z)
    margin = warp.margins(size, rotation, AugmentConfig())
    block = tuple(n + 2 * m for n, m in zip(size, margin))
    ones, labels = np.ones((*block, 1), np.float16), np.ones(block, np.int16)
    for degrees in np.linspace(-rotation, rotation, 13):
        image, turned = turn(ones, labels, degrees, size)
        np.testing.assert_allclose(image, 1, atol=1e-4)
        assert turned.min() == 1
    for axis in (1, 2):     # one voxel less and some angle shows the outside
        if margin[axis]:
            slim = tuple(slice(None) if a != axis else slice(1, -1) for a in range(3))
            worst = min(turn(ones[slim], labels[slim], d, size)[0].min() for d in np.linspace(-rotation, rotation, 61))
            assert worst < 0.999


def test_no_rotation_needs_no_margin():
    assert warp.margins((128, 160, 128), 0.0, AugmentConfig()) == (0, 0, 0)


def test_a_bright_lesion_stays_bright_under_its_label():
    labels = np.zeros((6, 44, 40), np.int16)
    for label, (y, z) in enumerate([(12, 10), (30, 12), (14, 29), (31, 28)], 1):
        labels[1:5, y - 3:y + 4, z - 3:z + 4] = label
    image = labels.astype(np.float16)[..., None] * 10
    for degrees in ANGLES:
        turned_image, turned = turn(image, labels, degrees, labels.shape)
        assert set(np.unique(turned)) == {0, 1, 2, 3, 4}
        for label in range(1, 5):
            inner = ndimage.binary_erosion(turned == label, np.ones((1, 3, 3)))
            assert inner.any()
            np.testing.assert_allclose(turned_image[inner, 0], 10 * label, rtol=0.01)
        outer = ~ndimage.binary_dilation(turned > 0, np.ones((1, 5, 5)))
        np.testing.assert_allclose(turned_image[outer], 0, atol=1e-3)


def brute_annotation(labels, is_small, min_voxels):
    boxes, valid, ignore = np.zeros((len(is_small), 6)), np.zeros(len(is_small), bool), np.zeros(len(is_small), bool)
    for slot, small in enumerate(is_small):
        where = np.argwhere(labels == slot + 1)
        if len(where):
            boxes[slot] = [*where.min(0), *(where.max(0) + 1)]
            valid[slot] = small and len(where) >= min_voxels
            ignore[slot] = not valid[slot]
    return boxes, valid, ignore


@pytest.mark.parametrize("small", ["some", "all", "none"])
def test_annotation_equals_brute_force(small):
    rng = np.random.default_rng(1)
    labels = np.where(rng.random((10, 12, 9)) < 0.06, rng.integers(1, 15, (10, 12, 9)), 0).astype(np.int32)
    is_small = {"some": rng.random(20) < 0.5, "all": np.ones(20, bool), "none": np.zeros(20, bool)}[small]
    got = transforms.annotate(tf.constant(labels), tf.constant(is_small), 3)
    for value, expected in zip(got, brute_annotation(labels, is_small, 3)):
        np.testing.assert_array_equal(value.numpy(), expected)
    _, valid, ignore = got
    assert np.any(valid) == (small != "none") and np.any(ignore)


def test_annotation_of_a_patch_without_lesions_is_empty():
    boxes, valid, ignore = transforms.annotate(tf.zeros([6, 5, 4], tf.int32), tf.ones([8], bool), 3)
    assert not np.any(boxes) and not np.any(valid) and not np.any(ignore)
