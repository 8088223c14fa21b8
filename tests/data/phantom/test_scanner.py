"""Sampling on thick slices and back, and the parts of an acquisition that can be worked out."""
import numpy as np
import pytest

from synergynet_tf.data.phantom.scanner import Sampling, acquire, draw_sampling, from_slabs, seen, slabs
from synergynet_tf.data.phantom.variety import WIDE

PLAIN = Sampling((0.0, 0.0, 0.0), 2, 1.0, 0.0, False, 0.0, 0.0, 0.0, 1.0, None, 100.0)


def thick(axis, width, offset=0.0, cubic=False):
    return PLAIN._replace(axis=axis, slice=width, offset=offset, cubic=cubic)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_means_of_their_voxels(axis):
    volume = np.random.default_rng(axis).random((12, 15, 18)).astype(np.float32)
    found = np.moveaxis(slabs(volume, thick(axis, 3.0)), axis, 0)
    expected = np.moveaxis(volume, axis, 0).reshape(-1, 3, *np.moveaxis(volume, axis, 0).shape[1:]).mean(1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("cubic", [False, True])
@pytest.mark.parametrize("width, offset", [(2.0, 0.3), (3.7, 0.0), (8.0, 0.9)])
def test_slices_and_back_keep_a_constant_and_a_slope(width, offset, cubic):
    sampling = thick(1, width, offset, cubic)
    slope = np.broadcast_to(np.arange(60, dtype=np.float32)[:, None], (4, 60, 3))
    for volume in (np.full((4, 60, 3), 2.5, np.float32), slope):
        back = from_slabs(slabs(volume, sampling), 60, sampling)
        inner = slice(20, 40)
        np.testing.assert_allclose(back[:, inner], volume[:, inner], atol=0.05)


def test_a_reader_marks_what_fills_enough_of_a_slice():
    lesions = np.zeros((10, 10, 40), bool)
    lesions[2:6, 2:6, 10:22] = True
    lesions[8, 8, 33] = True                    # a voxel: too little of a slice of 6
    marked = seen(lesions, thick(2, 6.0))
    assert marked[3, 3, 12:20].all() and not marked[8, 8].any()
    assert seen(lesions, PLAIN) is lesions
    assert 0.5 < marked.sum() / lesions.sum() < 2


def test_a_plain_scanner_only_scales_and_strips():
    rng = np.random.default_rng(0)
    clean, mask = rng.uniform(0.1, 2, (20, 20, 20)).astype(np.float32), np.zeros((20, 20, 20), bool)
    mask[4:16, 4:16, 4:16] = True
    scan = acquire(clean, mask, PLAIN, rng)
    assert (scan[~mask] == 0).all()
    factor = scan[mask] / clean[mask]
    assert 89 < factor.mean() < 111 and factor.std() / factor.mean() < 0.02
    dark = acquire(np.zeros_like(clean), mask, PLAIN, rng)
    assert (dark[mask] == 1).all()


def test_noise_is_as_strong_as_asked_for_whatever_smooths_it():
    clean, mask = np.ones((40, 40, 40), np.float32), np.ones((40, 40, 40), bool)
    for grain in (0.0, 0.5, 0.8):
        scan = acquire(clean, mask, PLAIN._replace(noise=0.03, grain=grain, scale=10000.0), np.random.default_rng(1))
        assert 0.8 < scan.std() / scan.mean() / 0.03 < 1.2, grain


def test_gamma_leaves_white_matter_and_bias_stays_within_its_bounds():
    mask = np.ones((30, 30, 30), bool)
    ones = np.ones(mask.shape, np.float32)
    scan = acquire(ones, mask, PLAIN._replace(gamma=1.3, scale=1000.0), np.random.default_rng(2))
    assert np.ptp(scan) == 0 and 900 <= scan[0, 0, 0] <= 1100
    scan = acquire(ones, mask, PLAIN._replace(bias=0.4, scale=1000.0), np.random.default_rng(2))
    assert 900 * np.exp(-0.41) < scan.min() < scan.max() < 1100 * np.exp(0.41)


def test_samplings_fill_their_ranges():
    drawn = [draw_sampling(WIDE, np.random.default_rng(i)) for i in range(300)]
    widths = np.array([sampling.slice for sampling in drawn])
    assert 0.4 < (widths > 1).mean() < 0.6 and widths.max() > 7 and widths.max() <= WIDE.slice[1]
    assert {sampling.axis for sampling in drawn} == {0, 1, 2}
    assert all(WIDE.bias[0] <= sampling.bias <= WIDE.bias[1] for sampling in drawn)
    assert all(WIDE.noise[0] <= sampling.noise <= WIDE.noise[1] for sampling in drawn)
