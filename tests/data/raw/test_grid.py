"""Resampling: exact where it must be, a mean over what a voxel covers, 0 outside."""
import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from synergynet_tf.data import nifti
from synergynet_tf.data.raw.grid import MNI, Grid, resample, shrunk, write

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


@pytest.mark.parametrize("order", [1, 3])
def test_within_gives_the_same_values_where_they_are_asked_for(order):
    array = RNG.normal(size=(9, 8, 12)).astype(np.float32)
    source, target = Grid(array.shape, np.diag([1.0, 1, 1, 1])), Grid((7, 9, 5), np.diag([1.3, 0.9, 2.4, 1]))
    turn = np.array([[0.96, -0.28, 0, 1], [0.28, 0.96, 0, -1], [0, 0, 1, 0.4], [0, 0, 0, 1.0]])
    asked = RNG.random(target.shape) > 0.5
    some, all_of_it = (resample(array, source, target, turn, order, within) for within in (asked, None))
    np.testing.assert_allclose(some, np.where(asked, all_of_it, 0), atol=1e-5)
    assert all_of_it.any()


def test_what_is_far_from_a_small_mask_is_left_out_of_the_work_not_of_the_result():
    mask, grid = np.zeros((30, 30, 30), bool), Grid((30, 30, 30), np.diag([-1.0, 2, 1.5, 1]))
    mask[11:14, 20, 5:9] = True
    target = Grid((40, 25, 12), np.array([[0, 1, 0, -35], [1.5, 0, 0, 0], [0, 0, 4, -2], [0, 0, 0, 1.0]]))
    step = np.linalg.inv(grid.affine) @ target.affine
    expected = np.zeros(target.shape)
    for part in range(3):       # 4 mm slices over voxels of 1.5 mm: the mean of three points
        offset = step[:3, :3] @ [0, 0, (part + 0.5) / 3 - 0.5] + step[:3, 3]
        expected += ndimage.affine_transform(mask.astype(float), step[:3, :3], offset, target.shape, order=1) / 3
    np.testing.assert_allclose(resample(mask, grid, target, np.eye(4)), expected, atol=1e-6)
    assert expected.max() > 0.3 and not resample(np.zeros_like(mask), grid, target, np.eye(4)).any()


def test_shrunk_blocks_lie_where_their_voxels_did():
    array, affine = RNG.normal(size=(10, 7, 3)), np.array([[0.5, 0, 0, 3], [0, 0, 6.0, 1], [0, -0.9, 0, 2], [0, 0, 0, 1]])
    means, grid = shrunk(array, Grid(array.shape, affine), 2.0)
    assert means.shape == grid.shape == (2, 3, 3)       # 4 x 0.5 mm, 2 x 0.9 mm, and slices thicker than that
    np.testing.assert_allclose(means[1, 2, 1], array[4:8, 4:6, 1].mean(), rtol=1e-5)
    np.testing.assert_allclose(grid.affine @ [1, 2, 1, 1], affine @ [5.5, 4.5, 1, 1])
