"""Lesions in a made-up brain: a ball of white matter around a small ventricle."""
import numpy as np
import pytest
from scipy import ndimage

from synergynet_tf.data.phantom.anatomy import Anatomy
from synergynet_tf.data.phantom.atlas import CORTEX, VENTRICLE, WHITE
from synergynet_tf.data.phantom.imaging import draw_protocol, lesion_signal
from synergynet_tf.data.phantom.lesions import Burden, LesionHistory, draw_burden, find_sites

SIDE = 72


@pytest.fixture(scope="module")
def ball():
    x, y, z = np.ogrid[:SIDE, :SIDE, :SIDE]
    radius = np.sqrt((x - 36) ** 2 + (y - 36) ** 2 + (z - 36) ** 2)
    regions = np.select([radius < 6, radius < 28, radius < 32], [VENTRICLE, WHITE, CORTEX], 0).astype(np.uint8)
    white, grey = (regions == WHITE).astype(np.float32), (regions == CORTEX).astype(np.float32)
    return Anatomy((slice(0, SIDE),) * 3, grey, white, regions, regions > 0)


@pytest.mark.parametrize("burden", [Burden(25, 600.0, 12.0), Burden(30, 6000.0, 20.0)])
def test_count_and_volume_come_out_as_drawn(ball, burden):
    rng = np.random.default_rng(4)
    mask = LesionHistory(find_sites(ball, rng), burden, rng).mask()
    count = ndimage.label(mask, np.ones((3, 3, 3)))[1]
    assert abs(count - burden.count) <= 0.2 * burden.count
    assert 0.75 * burden.total <= mask.sum() <= 1.05 * burden.total
    assert (ball.regions[mask] == WHITE).all()


def test_a_large_load_gathers_at_the_ventricle(ball):
    rng = np.random.default_rng(5)
    mask = LesionHistory(find_sites(ball, rng), Burden(20, 9000.0, 10.0), rng).mask()
    distance = np.linalg.norm(np.argwhere(mask) - 36, axis=1)
    of_white = np.linalg.norm(np.argwhere(ball.regions == WHITE) - 36, axis=1)
    assert np.median(distance) < 0.85 * np.median(of_white)


def test_without_change_a_mask_is_repeated_and_advancing_changes_it(ball):
    rng = np.random.default_rng(6)
    history = LesionHistory(find_sites(ball, rng), Burden(40, 1500.0, 15.0), rng)
    before = history.mask()
    np.testing.assert_array_equal(before, history.mask())
    history.advance(np.random.default_rng(7))
    after = history.mask()
    assert (after & ~before).any()
    assert (before & ~after).any()
    assert (before & after).sum() > 0.4 * before.sum()


def test_burdens_lie_in_the_real_range_and_vary():
    burdens = [draw_burden(np.random.default_rng(seed)) for seed in range(300)]
    count, total, median = np.array(burdens).T
    assert count.min() >= 17
    assert count.max() <= 392
    assert total.min() >= 300
    assert total.max() <= 52000
    assert median.min() >= 6
    assert median.max() <= 37
    assert np.corrcoef(np.log(count), np.log(total))[0, 1] > 0.4


def test_small_lesions_have_less_contrast_but_some():
    lesions = np.zeros((60, 30, 30), bool)
    lesions[10, 15, 15] = True
    lesions[30:44, 8:22, 8:22] = True
    small, large = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        protocol = draw_protocol(rng)
        signal = lesion_signal(lesions, protocol, rng) / protocol.lesion_contrast
        small.append(signal[10, 15, 15])
        large.append(signal[30:44, 8:22, 8:22].mean())
        assert abs(signal[55:].max()) < 1e-3
    assert 0.25 < np.mean(small) < 0.8 * np.mean(large)
    assert 0.75 < np.mean(large) < 1.25


def test_no_lesions_give_no_signal():
    rng = np.random.default_rng(0)
    assert not lesion_signal(np.zeros((9, 9, 9), bool), draw_protocol(rng), rng).any()
