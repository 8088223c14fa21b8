import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from synergynet_tf.data import layouts, nifti, preprocess
from synergynet_tf.data.layouts import Case
from synergynet_tf.errors import InputError

SHAPE = (20, 24, 18)
LAS = np.array([[-1, 0, 0, 9], [0, 1, 0, -12], [0, 0, 1, -7], [0, 0, 0, 1.0]])


def ball(centre=(9, 11, 8), radius=6):
    distance = np.linalg.norm(np.indices(SHAPE).T - centre, axis=-1).T
    return distance <= radius


def scan(seed=0, brain=None):
    """Values around 300 in the brain, some of them negative, three holes; 0 outside."""
    brain = ball() if brain is None else brain
    array = np.where(brain, 300 + 50 * np.random.default_rng(seed).standard_normal(SHAPE), 0)
    array[12, 11, 8], array[9, 15, 8] = -20, -3
    array[9, 11, 8] = array[8, 11, 7] = array[7, 12, 8] = 0
    return array.astype(np.float32)


def case_of(folder, affine=LAS, **arrays):
    paths = {name: folder / f"{name}.nii.gz" for name in arrays}
    for name, array in arrays.items():
        nib.save(nib.Nifti1Image(array, affine), paths[name])
    lesions = paths.pop("lesions", None)
    return Case("P01", "P01", "", paths, lesions, None)


def test_brain_box_and_z_scores(tmp_path):
    flair, t2 = scan(), scan(1)
    loaded = preprocess.load_case(case_of(tmp_path, flair=flair, t2=t2), ("flair", "t2"))
    mirrored = ball()[::-1]         # LAS on disk, RAS in memory
    where = np.argwhere(mirrored)
    low, high = where.min(axis=0), where.max(axis=0) + 1
    assert loaded.box == (*low, *high)
    assert loaded.image.shape == (*(high - low), 2)
    assert loaded.image.dtype == np.float32
    inside = tuple(map(slice, low, high))
    np.testing.assert_array_equal(loaded.brain, mirrored[inside])       # the negative voxels and the holes are brain
    assert not loaded.image[~loaded.brain].any()
    for i, array in enumerate((flair, t2)):
        values = array[::-1][inside].astype(np.float64)
        measured = loaded.brain & (values != 0)
        expected = np.where(measured, (values - values[measured].mean()) / values[measured].std(), 0)
        np.testing.assert_allclose(loaded.image[..., i], expected, atol=1e-5)


def test_channels_come_in_the_order_asked_for(tmp_path):
    case = case_of(tmp_path, flair=scan(), t2=scan(1))
    both = preprocess.load_case(case, ("flair", "t2")).image
    np.testing.assert_array_equal(preprocess.load_case(case, ("t2", "flair")).image, both[..., ::-1])


def test_what_a_channel_did_not_measure_stays_zero_and_does_not_count(tmp_path):
    t2 = scan(1)
    t2[:, :, 12:] = 0       # stripped apart, it lacks the top of the brain
    loaded = preprocess.load_case(case_of(tmp_path, flair=scan(), t2=t2), ("flair", "t2"))
    lacking = loaded.brain & (np.arange(loaded.box[2], loaded.box[5]) >= 12)
    assert lacking.any()
    assert not loaded.image[lacking, 1].any()
    assert loaded.image[..., 1][loaded.image[..., 1] != 0].std() == pytest.approx(1, abs=1e-5)


def test_the_statistics_are_double_precision(tmp_path):
    flair = np.where(scan() != 0, np.rint(scan()) + 2.0 ** 23, 0).astype(np.float32)    # float32 holds whole numbers only, here
    loaded = preprocess.load_case(case_of(tmp_path, flair=flair), ("flair",))
    values = flair[flair != 0].astype(np.float64)
    expected = np.sort((values - values.mean()) / values.std())
    found = np.sort(loaded.image[..., 0][loaded.brain])
    assert len(found) - len(expected) == 3      # the holes
    np.testing.assert_allclose(found[[0, -1]], expected[[0, -1]], atol=1e-5)


def test_holes_are_filled_as_scipy_fills_them(tmp_path):
    noisy = np.where(ball() & (np.random.default_rng(3).random(SHAPE) < 0.8), 100 + scan(), 0).astype(np.float32)
    brain, box = preprocess.brain_mask(nifti.read(case_of(tmp_path, affine=np.eye(4), flair=noisy).images["flair"]))
    labels, _ = ndimage.label(noisy != 0, np.ones((3, 3, 3)))
    largest = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    whole = np.zeros(SHAPE, bool)
    whole[tuple(map(slice, box[:3], box[3:]))] = brain
    np.testing.assert_array_equal(whole, ndimage.binary_fill_holes(largest))


def test_specks_do_not_widen_the_box_but_large_parts_stay(tmp_path):
    speck, part = scan(), scan()
    speck[0, 0, 0] = 80
    part[0:4, 0:4, 0:4] = 80
    clean = preprocess.load_case(case_of(tmp_path, flair=scan()), ("flair",)).box
    assert preprocess.load_case(case_of(tmp_path, flair=speck), ("flair",)).box == clean
    assert preprocess.load_case(case_of(tmp_path, flair=part), ("flair",)).box != clean


@pytest.mark.parametrize("axes", ["LAS", "RAS", "PSR", "SLA", "IPL"])
def test_mask_through_crop_and_back_to_its_file(tmp_path, axes):
    affine = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(axes), SHAPE)
    lesions = (ball(radius=2) | ball((7, 8, 9), 1)).astype(np.uint8)
    case = case_of(tmp_path, affine=affine, flair=scan(), lesions=lesions)
    loaded = preprocess.load_case(case, ("flair",))
    assert loaded.lesions.shape == loaded.brain.shape
    whole = preprocess.uncrop(loaded.lesions, loaded)
    assert whole.dtype == bool
    assert preprocess.uncrop(loaded.image, loaded).shape == (*loaded.grid.array.shape, 1)
    nifti.write_like(tmp_path / "out.nii.gz", whole, loaded.grid, np.uint8)
    written = nib.load(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj), lesions)
    np.testing.assert_array_equal(written.affine, nib.load(case.images["flair"]).affine)


def test_uncrop_refuses_another_shape(tmp_path):
    loaded = preprocess.load_case(case_of(tmp_path, flair=scan()), ("flair",))
    with pytest.raises(ValueError, match="P01"):
        preprocess.uncrop(np.zeros((3, 3, 3)), loaded)


def test_a_case_without_lesions(tmp_path):
    assert preprocess.load_case(case_of(tmp_path, flair=scan()), ("flair",)).lesions is None


def test_empty_and_constant_images_are_named(tmp_path):
    with pytest.raises(InputError, match=r"flair\.nii\.gz: no brain: all 8640 voxels are 0"):
        preprocess.load_case(case_of(tmp_path, flair=np.zeros(SHAPE, np.float32)), ("flair",))
    with pytest.raises(InputError, match=r"flair\.nii\.gz: every voxel in the brain is 7"):
        preprocess.load_case(case_of(tmp_path, flair=ball().astype(np.float32) * 7), ("flair",))
    with pytest.raises(InputError, match=r"t2\.nii\.gz: every voxel in the brain is 0"):
        preprocess.load_case(case_of(tmp_path, flair=scan(), t2=np.zeros(SHAPE, np.float32)), ("flair", "t2"))


@pytest.mark.parametrize("side, warned", [(0.5, True), (0.8, False), (1.0, False), (1.3, False), (3.0, True)])
def test_a_far_spacing_is_warned_of(tmp_path, caplog, side, warned):
    preprocess.load_case(case_of(tmp_path, affine=np.diag([1, 1, side, 1]), flair=scan()), ("flair",))
    assert (f"1 x 1 x {side:.3g} mm" in caplog.text and "flair.nii.gz" in caplog.text) == warned


def test_a_skull_and_lost_lesions_are_warned_of(tmp_path, caplog):
    lesions = np.zeros(SHAPE, np.uint8)
    lesions[0, 0, :2] = lesions[9, 11, 8] = 1
    preprocess.load_case(case_of(tmp_path, flair=scan(), lesions=lesions), ("flair",))
    assert "2 lesion voxels lie outside" in caplog.text
    preprocess.load_case(case_of(tmp_path, flair=scan(brain=np.ones(SHAPE, bool))), ("flair",))
    assert "skull" in caplog.text


def test_a_real_scan(real_data):
    case = layouts.discover(real_data / "open_ms" / "patient07", channels=("flair", "t2"))[0]
    loaded = preprocess.load_case(case, ("flair", "t2"))
    assert 1.10e6 < loaded.brain.sum() < 1.15e6
    assert loaded.lesions.sum() == 1300
    np.testing.assert_allclose(loaded.image[loaded.brain].mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(loaded.image[loaded.brain].std(axis=0), 1, atol=1e-3)
