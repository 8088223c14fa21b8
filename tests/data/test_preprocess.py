import dataclasses

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from synergynet_tf.data import layouts, nifti, preprocess
from synergynet_tf.data.layouts import Case
from synergynet_tf.errors import InputError, Unprepared
from tests.data.raw import head

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


def notes_of(folder, affine=LAS, channels=("flair",), **arrays):
    return "\n".join(preprocess.load_case(case_of(folder, affine, **arrays), channels).notes)


@pytest.mark.parametrize("side, noted", [(0.5, True), (0.8, False), (1.0, False), (1.3, False), (3.0, True)])
def test_a_far_spacing_is_noted(tmp_path, side, noted):
    notes = notes_of(tmp_path, np.diag([1, 1, side, 1]), flair=scan())
    assert (f"flair: voxels of 1 x 1 x {side:.3g} mm" in notes) == noted


@pytest.mark.parametrize("side", [0.3, 3.2, 10])
def test_a_spacing_at_which_nothing_is_seen_is_refused(tmp_path, side):
    with pytest.raises(InputError, match=rf"flair\.nii\.gz: .* x {side:g} mm.*0\.4 to 3 mm.*resample"):
        preprocess.load_case(case_of(tmp_path, np.diag([1, 1, side, 1]), flair=scan()), ("flair",))


def test_lost_lesions_are_noted(tmp_path):
    lesions = np.zeros(SHAPE, np.uint8)
    lesions[0, 0, :2] = lesions[9, 11, 8] = 1
    assert "lesions: 2 lesion voxels lie outside" in notes_of(tmp_path, flair=scan(), lesions=lesions)


def test_a_scan_without_a_background_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"flair\.nii\.gz: 100 % of the voxels are not 0.*skull.*prepare --raw"):
        preprocess.load_case(case_of(tmp_path, flair=scan(brain=np.ones(SHAPE, bool))), ("flair",))


@pytest.mark.parametrize("value", [-1, -1024, 1e-5, -2.9e-5, 7, np.nan])
@pytest.mark.parametrize("odd_corner", [False, True])
def test_a_constant_background_changes_nothing(tmp_path, value, odd_corner):
    """Whole numbers apart, which the shift cannot move: the same brain, the same z-scores, and a note."""
    flair, t2 = np.rint(scan()), np.rint(scan(1))
    expected = preprocess.load_case(case_of(tmp_path, flair=flair, t2=t2), ("flair", "t2"))
    assert not any("background" in note for note in expected.notes)
    outside = ~ndimage.binary_fill_holes(flair != 0)
    shift = np.nan_to_num(value)
    moved = [np.where(outside, value, array + shift * (array != 0) if shift % 1 else array + shift).astype(np.float32)
             for array in (flair, t2)]
    if odd_corner:
        moved[0][0, 0, 0] = 60
    found = preprocess.load_case(case_of(tmp_path, flair=moved[0], t2=moved[1]), ("flair", "t2"))
    assert f"flair: the background is {np.float32(value):g}; taken as 0" in found.notes
    assert f"t2: the background is {np.float32(value):g}; taken as 0" in found.notes
    assert found.box == expected.box
    np.testing.assert_array_equal(found.brain, expected.brain)
    if not shift % 1:
        np.testing.assert_allclose(found.image, expected.image, atol=1e-6)


def test_nan_within_the_brain_is_no_background(tmp_path):
    flair = np.where(ndimage.binary_fill_holes(scan() != 0), scan(), np.nan).astype(np.float32)
    flair[9, 11, 8] = np.nan
    with pytest.raises(InputError, match="voxels are NaN or Inf"):
        preprocess.load_case(case_of(tmp_path, flair=flair), ("flair",))


@pytest.mark.parametrize("value", [1e6, -1e9, 3e38])
def test_one_hot_voxel_does_not_move_the_others(tmp_path, value):
    expected = preprocess.load_case(case_of(tmp_path, flair=scan(), t2=scan(1)), ("flair", "t2"))
    assert not any("clipped" in note for note in expected.notes)
    for channel in (0, 1):
        arrays = [scan(), scan(1)]
        arrays[channel][9, 12, 8] = value
        found = preprocess.load_case(case_of(tmp_path, flair=arrays[0], t2=arrays[1]), ("flair", "t2"))
        note, = (note for note in found.notes if "clipped" in note)
        assert note.startswith(("flair", "t2")[channel]) and f"est is {value:g})" in note
        assert np.median(np.abs(found.image - expected.image)) < 0.1
        assert np.abs(found.image).max() < 30


def test_many_hot_voxels_are_refused(tmp_path):
    flair = scan()
    flair[7:11, 9:12, 7:9] = 5000
    with pytest.raises(InputError, match=r"flair\.nii\.gz: 24 of the brain's .* voxels lie outside.*highest 5000"):
        preprocess.load_case(case_of(tmp_path, flair=flair), ("flair",))


@pytest.mark.parametrize("channel", ["flair", "t2"])
def test_label_maps_and_probabilities_are_refused(tmp_path, channel):
    rng = np.random.default_rng(0)
    labels = np.where(ball(), rng.integers(1, 6, SHAPE), 0).astype(np.float32)
    probability = np.where(ball(), np.where(rng.random(SHAPE) < 0.9, 1e-9, rng.random(SHAPE)), 0).astype(np.float32)
    for array, fragment in ((labels, "only 5 different values"), (probability, "at least half of the brain's voxels are 1e-09")):
        arrays = {"flair": scan(), "t2": scan(1)} | {channel: array}
        with pytest.raises(InputError, match=rf"{channel}\.nii\.gz: {fragment}"):
            preprocess.load_case(case_of(tmp_path, **arrays), ("flair", "t2"))


def test_a_head_is_called_one_whatever_else_is_wrong_with_its_values(tmp_path):
    """Air and bone inside a head are nearly 0, as no brain has it: that the skull is on says more."""
    grid = head.slices(sides=(1.5, 1.5, 1.5), counts=(146, 124, 120))
    array = head.view("flair", grid)
    dark = (array > 10) & (np.random.default_rng(0).random(array.shape) < 0.1)
    path = head.save(tmp_path / "head.nii.gz", np.where(dark, np.float32(0.01), np.where(array > 10, array, 0)), grid)
    with pytest.raises(Unprepared, match="head.nii.gz: .*is the skull on"):
        preprocess.find_brain(preprocess.read_scan(path))


def test_a_real_scan(real_data):
    case = layouts.discover(real_data / "open_ms" / "patient07", channels=("flair", "t2"))[0]
    loaded = preprocess.load_case(case, ("flair", "t2"))
    assert 1.10e6 < loaded.brain.sum() < 1.15e6
    assert loaded.notes == ()
    assert loaded.lesions.sum() == 1300
    np.testing.assert_allclose(loaded.image[loaded.brain].mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(loaded.image[loaded.brain].std(axis=0), 1, atol=1e-3)


def test_no_stripped_scan_is_touched_and_no_head_passes(real_data):
    """Results of sound scans stay what they are; a head is refused, small as it may be, be it thresholded or cut in two."""
    for name in ("open_ms/patient19", "mslesseg/P14_T3"):
        images = {channel: real_data / name / f"{channel}.nii.gz" for channel in ("flair", "t2")}
        assert preprocess.load_case(Case("P", "P", "", images, None, None), ("flair", "t2")).notes == ()
    head = nifti.read(real_data / "unlabelled" / "healthy_flair_with_skull.nii.gz")
    for array in (head.array * (head.array > 60), head.array * (np.arange(159) > 80)):
        assert np.count_nonzero(array) < 2.0e6
        with pytest.raises(InputError, match="dark layer.*skull"):
            preprocess.find_brain(dataclasses.replace(head, array=array.astype(np.float32)))


@pytest.mark.slow       # some twenty whole scans
def test_every_raw_scan_is_seen_to_be_one(real_data):
    raw = [*real_data.glob("ms3seg/*/flair.nii.gz"), *real_data.glob("unlabelled/open_ms_long/*/flair.nii.gz"),
           *real_data.glob("open_ms/raw/*/flair.nii.gz"), real_data / "unlabelled" / "healthy_flair_with_skull.nii.gz"]
    assert len(raw) > 20
    for path in raw:
        with pytest.raises(Unprepared):
            preprocess.find_brain(preprocess.read_scan(path))
