"""Resampling: exact where it must be, a mean over what a voxel covers, 0 outside."""
import nibabel as nib
import numpy as np
import pytest

from synergynet_tf.data import nifti
from synergynet_tf.data.raw.grid import MNI, Grid, resample, write

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("order", [1, 3])
def test_a_grid_onto_itself(order):
    array, grid = RNG.normal(size=(9, 8, 7)), Grid((9, 8, 7), np.diag([-1, 2, 3, 1.0]))
    np.testing.assert_allclose(resample(array, grid, grid, np.eye(4), order), array, atol=1e-5)


def test_other_axes_of_the_same_voxels():
    array = RNG.normal(size=(5, 6, 7)).astype(np.float32)
    image = nib.Nifti1Image(array, np.diag([2.0, 1, 3, 1]))
    turned = image.as_reoriented(nib.orientations.axcodes2ornt("SLP"))
    carried = resample(array, Grid(array.shape, image.affine), Grid(turned.shape, turned.affine), np.eye(4))
    np.testing.assert_allclose(carried, turned.get_fdata(), atol=1e-5)


def test_a_thick_slice_is_the_mean_of_what_it_covers():
    array = RNG.normal(size=(4, 4, 12)).astype(np.float32)
    fine = Grid(array.shape, np.eye(4))
    thick = Grid((4, 4, 4), np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 3, 1], [0, 0, 0, 1.0]]))
    np.testing.assert_allclose(resample(array, fine, thick, np.eye(4)), array.reshape(4, 4, 4, 3).mean(-1), atol=1e-5)


def test_a_shift_in_mm_and_zeros_outside():
    array, grid = np.ones((6, 6, 6)), Grid((6, 6, 6), np.diag([2.0, 2, 2, 1]))
    shift = np.eye(4)
    shift[0, 3] = 4.0
    carried = resample(array, grid, grid, shift, 3)
    np.testing.assert_allclose(carried[:3], 1, atol=0.05)
    assert not carried[4:].any()


def test_a_spline_does_not_overshoot():
    array, grid = np.zeros((8, 8, 8)), Grid((8, 8, 8), np.eye(4))
    array[4:] = 100
    shift = np.eye(4)
    shift[:3, 3] = 0.5
    carried = resample(array, grid, grid, shift, 3)
    assert carried.min() >= 0 and carried.max() <= 100


def test_a_written_file_lies_on_the_network_s_grid(tmp_path):
    array = np.zeros(MNI.shape, np.uint8)
    array[30, 100, 50] = 1
    write(tmp_path / "mask.nii.gz", array, MNI, np.uint8)
    image = nib.load(tmp_path / "mask.nii.gz")
    assert image.shape == (182, 218, 182) and nib.aff2axcodes(image.affine) == ("L", "A", "S")
    np.testing.assert_array_equal(image.affine @ [30, 100, 50, 1], [60, -26, -22, 1])
    assert nifti.read_mask(tmp_path / "mask.nii.gz").array[181 - 30, 100, 50]
