"""The single resampling of a patch against scipy, its random field against scipy's B-splines, and how far it reaches."""
import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage
from scipy.interpolate import BSpline

from synergynet_tf.config.augment import UNFOLDED, AugmentConfig
from synergynet_tf.data import warp

BLOCK, SIZE, SPACING = (20, 30, 26), (14, 20, 18), 9.0


@pytest.fixture(scope="module")
def block():
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(rng.normal(size=(*BLOCK, 2)), (1, 1, 1, 0)).astype(np.float16)
    return image, rng.integers(0, 40, BLOCK).astype(np.int16)


def warped(block, degrees=0.0, scale=1.0, control=None, size=SIZE, flip=False):
    image, instances = map(tf.constant, block)
    pose = warp.Pose(tf.constant(math.radians(degrees), tf.float32), tf.constant(scale, tf.float32), tf.constant(flip))
    made = warp.warp(warp.Block(image, instances, (np.float32(block[1].shape) - 1) / 2), pose, control, SPACING, size)
    return [x.numpy() for x in made]


def points(strength=3.0, seed=(4, 5), size=SIZE, spacing=SPACING, flip=False):
    return warp.control_points(tf.constant(seed, tf.int32), tf.constant(strength), tf.constant(flip), size, spacing)


def field(control, size=SIZE, spacing=SPACING):
    return np.stack([warp.displacement(row, size, spacing) for row in control], 1)


def by_scipy(volume, degrees, scale, shift, order, size=SIZE):
    a = math.radians(degrees)
    back = np.array([[1, 0, 0], [0, math.cos(a), math.sin(a)], [0, -math.sin(a), math.cos(a)]]) / scale
    grid = np.moveaxis(np.indices(size), 0, -1) - (np.array(size) - 1) / 2
    places = grid @ back.T + (np.array(volume.shape) - 1) / 2 + np.moveaxis(shift, 0, -1)
    return ndimage.map_coordinates(volume.astype(np.float64), np.moveaxis(places, -1, 0), order=order, mode="grid-constant")


@pytest.mark.parametrize("size", [SIZE, (24, 36, 30)])
@pytest.mark.parametrize(("degrees", "scale", "strength"), [
    (0, 0.85, 0), (0, 1.2, 0), (0, 1, 3.0), (12, 1, 0), (-14, 0.8, 3.0), (90, 1, 0)])
def test_resampling_equals_scipy_inside_and_beyond_the_block(block, degrees, scale, strength, size):
    control = points(strength, size=size) if strength else None
    image, labels = warped(block, degrees, scale, control, size)
    assert image.dtype == np.float32 and labels.dtype == np.int32
    shift = np.zeros((3, 1, 1, 1)) if control is None else field(control, size).astype(np.float64)
    expected = np.stack([by_scipy(block[0][..., c], degrees, scale, shift, 1, size) for c in range(2)], -1)
    np.testing.assert_allclose(image, expected, atol=5e-4)
    # A sample exactly between two voxels may go either way under float32: those are a handful.
    assert np.mean(labels != by_scipy(block[1], degrees, scale, shift, 0, size)) < (0.03 if degrees == 0 else 3e-3)


@pytest.mark.parametrize("size", [SIZE, BLOCK, (24, 32, 30)])
def test_no_strength_is_the_identity_exactly(block, size):
    image, labels = warped(block, control=points(0.0, size=size), size=size)
    pad = [(max(m - n, 0) // 2,) * 2 for n, m in zip(BLOCK, size)]
    middle = tuple(slice(max(n - m, 0) // 2, max(n - m, 0) // 2 + m) for n, m in zip(BLOCK, size))
    np.testing.assert_array_equal(image, np.pad(block[0], [*pad, (0, 0)])[middle])
    np.testing.assert_array_equal(labels, np.pad(block[1], pad)[middle])


def test_a_flip_reverses_the_patch(block):
    plain, back = (warped(block, 12, 0.9, points(flip=flip), flip=flip) for flip in (False, True))
    for a, b in zip(plain, back):
        np.testing.assert_array_equal(a[::-1], b)
    assert (plain[0] != back[0]).any()


def test_the_field_is_a_cubic_b_spline_within_its_bound():
    got = field(points())
    assert got.shape == (3, *SIZE) and np.abs(got).max() <= 3.0 and got.std() > 0.3
    bases = []
    for n in SIZE:
        count = int((n - 1) / SPACING) + 4
        spline = BSpline((np.arange(count + 4) - 3) * SPACING, np.eye(count), 3)
        bases.append(spline(np.arange(n)))
    # Control points are what the field must be a combination of: solved for, they give it back, and lie within the bound.
    inverse = [np.linalg.pinv(b) for b in bases]
    control = np.einsum("cxyz,ix,jy,kz->cijk", got, *inverse)
    np.testing.assert_allclose(got, np.einsum("cijk,xi,yj,zk->cxyz", control, *bases), atol=1e-5)
    np.testing.assert_array_equal(got, field(points()))
    assert np.abs(got - field(points(seed=(4, 6)))).max() > 0.1


def test_the_strongest_field_does_not_fold():
    for seed in range(5):
        u = field(points(UNFOLDED * 8, (seed, 0), (32, 32, 32), 8.0), (32, 32, 32), 8.0)
        jacobian = np.stack([np.stack(np.gradient(u[c]), -1) for c in range(3)], -2) + np.eye(3)
        assert np.linalg.det(jacobian).min() > 0


@pytest.mark.parametrize(("settings", "rotation"), [
    ({"scale": 1.0}, 0.0), ({"elastic": 1.0}, 0.0), ({"scale": 1.0, "elastic": 1.0}, 15.0),
    ({"scale": 1.0, "scale_range": (1.1, 1.2)}, 15.0)])
def test_margins_hold_the_strongest_transform(settings, rotation):
    config = AugmentConfig(**settings)
    margin = warp.margins(SIZE, rotation, config)
    whole = tuple(n + 2 * m for n, m in zip(SIZE, margin))
    ones = np.ones((*whole, 1), np.float16), np.ones(whole, np.int16)
    strength = config.elastic_range[1] if config.elastic else 0.0
    scale = min(config.scale_range[0], 1) if config.scale else 1.0
    for degrees in (-rotation, 0.0, rotation / 2, rotation):
        for sign in (-1, 1):        # every point displaced as far as it may be
            image, labels = warped(ones, degrees, scale, sign * strength * tf.ones_like(points()))
            np.testing.assert_allclose(image, 1, atol=1e-4)
            assert labels.min() == 1
    assert (max(margin) > 0) and (margin[0] > 0) == (scale < 1 or strength > 0)
