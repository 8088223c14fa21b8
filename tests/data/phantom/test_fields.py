import numpy as np
import pytest

from synergynet_tf.data.phantom.fields import enlarge, lattice_shape, random_field, spline

BOX = (slice(3, 17), slice(0, 20), slice(5, 23))


def test_a_spline_reproduces_affine_functions():
    spacing = 6
    nodes = np.stack(np.meshgrid(*(np.arange(n) for n in lattice_shape((20, 21, 24), spacing)), indexing="ij"))
    voxels = (nodes - 1.0) * spacing
    values = 2 * voxels[0] - voxels[1] + 0.5 * voxels[2] + 7
    x, y, z = np.meshgrid(*(np.arange(s.start, s.stop) for s in BOX), indexing="ij")
    np.testing.assert_allclose(spline(values, spacing, BOX), 2 * x - y + 0.5 * z + 7, rtol=0, atol=1e-4)


def test_enlarge_brings_a_subsampled_ramp_back():
    x, y, z = np.meshgrid(np.arange(21.0), np.arange(16.0), np.arange(18.0), indexing="ij")
    ramp = x + 2 * y - z
    again = enlarge(ramp[::2, ::2, ::2], 2, ramp.shape)
    assert again.shape == ramp.shape
    inner = (slice(3, -4),) * 3     # near the borders the ramp's edge is repeated
    np.testing.assert_allclose(again[inner], ramp[inner], atol=1e-4)


@pytest.mark.parametrize("spacing", [2.5, 6])
def test_a_random_field_is_smooth_with_mean_zero_and_unit_variance(spacing):
    field = random_field(np.random.default_rng(0), (80, 90, 70), spacing)
    assert field.shape == (80, 90, 70)
    assert field.dtype == np.float32
    assert abs(field.mean()) < 0.15
    assert 0.8 < field.std() < 1.2
    assert np.corrcoef(field[1:].ravel(), field[:-1].ravel())[0, 1] > 0.8
    far = int(5 * spacing)
    assert abs(np.corrcoef(field[far:].ravel(), field[:-far].ravel())[0, 1]) < 0.25
