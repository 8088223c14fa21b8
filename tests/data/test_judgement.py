"""The rules by themselves, on arrays: what is certain, what is not, and numbers beside those of independent code."""
import itertools

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from synergynet_tf.data import judgement, nifti
from synergynet_tf.errors import InputError


@pytest.mark.parametrize("mm", [(1, 1, 1), (0.4, 0.4, 3), (0.05, 0.05, 0.06), (8, 8, 8), (1, 1, 30)])
@pytest.mark.parametrize("power", [-2, -1, 0, 1, 2])
def test_one_power_of_a_thousand_makes_mm(mm, power):
    assert judgement.power_of_thousand([side * 1000.0 ** -power for side in mm]) == power


def test_a_length_in_no_unit():
    assert judgement.power_of_thousand([1e12] * 3) is None and judgement.power_of_thousand([1e-11] * 3) is None


@pytest.mark.parametrize("degrees", [0, 0.5, 1.5, 10, 40])
@pytest.mark.parametrize("pair", list(itertools.permutations(range(3), 2)))
def test_skew_is_the_angle_by_which_an_axis_leans(degrees, pair):
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    lean = np.eye(3)
    first, second = pair
    lean[:, first] = np.cos(np.radians(degrees)) * np.eye(3)[first] + np.sin(np.radians(degrees)) * np.eye(3)[second]
    affine = np.eye(4)
    affine[:3, :3] = turn @ lean @ np.diag([0.9, -1.0, 3.0])
    assert judgement.skew(affine) == pytest.approx(degrees, abs=1e-5)


def stored(path, affine, array=None):
    image = nib.Nifti1Image(np.ones((5, 6, 7), np.uint8) if array is None else array, None)
    image.set_sform(affine, 1)
    nib.save(image, path)
    return path


def leaning(degrees):
    affine = np.diag([-0.9, 1.0, 1.2, 1.0])
    affine[0, 1], affine[1, 1] = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return affine


def test_a_voxel_has_one_volume(tmp_path):
    """The product of the sides that distances are measured by is the determinant that volumes are computed with."""
    for degrees in (0, 0.4, 0.95):
        volume = nifti.read(stored(tmp_path / "scan.nii", leaning(degrees)))
        expected = abs(np.linalg.det(nib.load(tmp_path / "scan.nii").affine[:3, :3]))
        assert np.prod(volume.spacing) == pytest.approx(expected, rel=1e-12)
        np.testing.assert_allclose(volume.spacing, nib.affines.voxel_sizes(volume.affine), rtol=2e-4)
    with pytest.raises(InputError, match=r"scan\.nii: the voxels' axes are 1\.5 degrees off.*resample"):
        nifti.read(stored(tmp_path / "scan.nii", leaning(1.5)))


@pytest.mark.parametrize("unit, power, code", [("metres", 1, 2), ("microns", -1, 2), ("microns", -1, 3)])
def test_units_are_told_by_the_size_whatever_the_header_says(tmp_path, unit, power, code):
    affine = np.diag([-0.9, 1.0, 1.2, 1.0])
    affine[:3, 3] = 90, -126, -72
    path = stored(tmp_path / "mm.nii", affine)
    expected = nifti.read(path)
    other = affine.copy()
    other[:3] *= 1000.0 ** -power
    image = nib.load(stored(tmp_path / "scan.nii", other))
    image.header["xyzt_units"] = code
    nib.save(image, tmp_path / "scan2.nii")
    found = nifti.read(tmp_path / "scan2.nii")
    assert [note.kind for note in found.notes] == ["spacing"] and unit in found.notes[0].text
    np.testing.assert_allclose(found.spacing, expected.spacing, rtol=1e-6)
    np.testing.assert_allclose(found.affine, expected.affine, rtol=1e-6)
    nifti.check_same_grid(expected, found)
    nifti.write_like(tmp_path / "out.nii", found.array, found, np.uint8)
    np.testing.assert_array_equal(nib.load(tmp_path / "out.nii").affine, image.affine)      # the file's own header is kept


@pytest.mark.parametrize("value, share, expected", [
    (-1, 1.0, True), (-1, 0.51, True), (-1, 0.4, False), (0, 1.0, False), (np.inf, 1.0, False), (np.nan, 1.0, True),
    (-2.9e-5, 1.0, True),
])
def test_the_background_is_what_the_faces_share(value, share, expected):
    rng = np.random.default_rng(0)
    array = rng.normal(100, 5, (20, 22, 24)).astype(np.float32)
    for axis, end in itertools.product(range(3), (0, -1)):
        face = np.moveaxis(array, axis, 0)[end]
        face[:round(share * len(face))] = value
    array[np.ix_(*[(0, -1)] * 3)] = value
    array[0, 0, 0], array[0, 0, -1], array[0, -1, 0] = 3, 4, -9     # three corners may be odd
    found = judgement.background(array)
    assert (found is not None) == expected
    if expected:
        np.testing.assert_equal(found, np.float32(value))
        settled, notes = judgement.without_background(array, found)
        same = np.isnan(array) if np.isnan(found) else array == found
        np.testing.assert_array_equal(settled == 0, same)
        assert len(notes) == 1


def test_what_differs_from_the_background_by_the_least_is_not_lost():
    array = np.full((4, 4, 4), -2.9e-5, np.float32)
    array[1, 1, 1] = np.nextafter(array[0, 0, 0], np.float32(0))
    settled, _ = judgement.without_background(array, judgement.background(array))
    assert np.argwhere(settled).tolist() == [[1, 1, 1]]


def ellipsoid(shape, radii):
    axes = np.indices(shape).T - (np.array(shape) - 1) / 2
    return np.linalg.norm(axes / radii, axis=-1).T <= 1


def test_bone_between_bright_layers_is_seen_from_every_side_and_brains_have_none():
    shape, rng = (66, 82, 70), np.random.default_rng(0)
    head = ellipsoid(shape, (32, 40, 33))
    depth = ndimage.distance_transform_edt(head, sampling=2.2)
    array = np.where(head, 100 + rng.normal(0, 10, shape), 0).astype(np.float32)
    bone = (depth > 6) & (depth < 13)
    assert judgement.skull_sign(array, head, (2.2, 2.2, 2.2)) == 0
    assert judgement.skull_sign(np.where(bone, array / 8, array), head, (2.2, 2.2, 2.2)) == 1
    assert judgement.skull_sign(np.where(depth < 8, array / 3, array), head, (2.2, 2.2, 2.2)) == 0      # fluid around a brain
    ventricles = ellipsoid(shape, (9, 16, 8))
    assert judgement.skull_sign(np.where(ventricles, array / 5, array), head, (2.2, 2.2, 2.2)) == 0


def test_a_head_is_refused_and_a_normalised_brain_is_not():
    shape = (66, 82, 70)
    head = ellipsoid(shape, (32, 40, 33))
    depth = ndimage.distance_transform_edt(head, sampling=2.2)
    array = np.where(head, np.random.default_rng(0).normal(100, 10, shape), 0).astype(np.float32)
    with_bone = np.where((depth > 6) & (depth < 13), array / 8, array)
    with pytest.raises(InputError, match="dark layer.*prepare --raw"):
        judgement.judge_brain(with_bone, head, (2.2, 2.2, 2.2))
    scores = np.where(head, (array - 100) / 10, 0).astype(np.float32)
    assert judgement.judge_brain(scores, head, (2.2, 2.2, 2.2)) == []
    with pytest.raises(InputError, match=r"takes 4\d\d\d ml, but a brain takes 2400"):
        judgement.judge_brain(array, head, (3.0, 3.0, 3.0))
    note, = judgement.judge_brain(array, head, (1.2, 1.2, 1.2))
    assert note.kind == "brain" and "at least 700" in note.text


@pytest.mark.parametrize("count", [20, 301, 5000])
def test_the_fences_lie_far_beyond_the_quartiles(count):
    values = np.random.default_rng(count).normal(100, 10, count).astype(np.float32)
    same, notes = judgement.within_fences(values)
    assert same is values and notes == []
    hot = values.copy()
    hot[:3] = 1e6, -1e5, 2e6
    ordered = sorted(float(value) for value in hot)
    first, third = ordered[count // 4], ordered[count - 1 - count // 4]
    reach = max(16 * (third - first), 2 * third)
    clipped, notes = judgement.within_fences(hot)
    assert clipped.max() == np.float32(third + reach) and clipped.min() == np.float32(first - reach)
    np.testing.assert_array_equal(clipped[3:], hot[3:])
    assert [note.text.split()[:3] for note in notes] == [["1", "voxel", "below"], ["2", "voxels", "above"]]
    assert "the lowest is -100000)" in notes[0].text and "the highest is 2e+06)" in notes[1].text


@pytest.mark.parametrize("values, fragment", [
    ([], "every voxel in the brain is 0"), ([4] * 50, "every voxel in the brain is 4"),
    (np.arange(80) % 8, "only 8 different values"), (np.where(np.arange(800) % 4, 5, np.arange(800)), "at least half"),
    (np.r_[np.arange(1000), [1e6] * 13], "13 of the brain's 1013 voxels"),
    (np.r_[np.arange(100, 200), np.arange(1, 8) / 1e4], "7 % of the brain's voxels are nearly 0"),
])
def test_what_is_no_scan(values, fragment):
    with pytest.raises(InputError, match=fragment):
        judgement.within_fences(np.asarray(values, np.float32))
