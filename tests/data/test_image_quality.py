"""Image quality against what was put in: noise, widths, ghosts, cuts and contrasts of known size, in made images."""
import math

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from synergynet_tf.data import image_quality, preprocess
from synergynet_tf.data.phantom import atlas
from synergynet_tf.data.raw import record

SHAPE = (72, 84, 66)
ONE = (1.0, 1.0, 1.0)
RADII = (33.0, 39.0, 30.0)


def ball(shape=SHAPE, radii=RADII):
    """An ellipsoid in the middle, bool."""
    grids = np.ogrid[tuple(slice(0, n) for n in shape)]
    return sum(((grid - (n - 1) / 2) / radius) ** 2 for grid, n, radius in zip(grids, shape, radii)) < 1


def normal(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def tissue():
    """Blobs of 6 mm about 100, as brain holds them, everywhere."""
    field = ndimage.gaussian_filter(normal(1), 2.5)
    return (100 + 10 * field / field.std()).astype(np.float32)


def anatomy():
    return np.where(ball(), tissue(), 0)


@pytest.mark.parametrize("sigma", [2.0, 5.0, 15.0])
def test_noise_that_was_added_is_measured(sigma):
    scan = np.where(ball(), anatomy() + sigma * normal(), 0)
    assert image_quality.noise(scan, ball()) == pytest.approx(sigma, rel=0.04)
    assert image_quality.noise(40 * scan, ball()) == pytest.approx(image_quality.noise(scan, ball()), rel=1e-4)


def test_anatomy_without_noise_has_next_to_none():
    assert image_quality.noise(anatomy(), ball()) < 0.2


@pytest.mark.parametrize("width", [3.0, 4.5, 6.0])
def test_the_width_of_smoothed_noise_is_measured(width):
    field = ndimage.gaussian_filter(normal(), width / math.sqrt(8 * math.log(2)))
    field = np.where(ball(), 100 + field / field.std(), 0)
    assert image_quality.smoothness(field, ball(), ONE) == pytest.approx(width, rel=0.06)
    assert image_quality.smoothness(field, ball(), (0.8, 0.8, 0.8)) == pytest.approx(0.8 * width, rel=0.06)


def test_blur_lowers_the_sharpness_step_by_step_and_a_bias_field_hardly():
    widths = [image_quality.smoothness(np.where(ball(), ndimage.gaussian_filter(tissue(), sigma), 0), ball(), ONE)
              for sigma in (0, 1, 2, 3)]
    assert widths == sorted(widths) and widths[-1] > 1.3 * widths[0]
    bias = np.linspace(0.8, 1.2, SHAPE[1], dtype=np.float32)[:, None]
    assert image_quality.smoothness(anatomy() * bias, ball(), ONE) == pytest.approx(widths[0], rel=0.1)


def test_thick_slices_are_no_blur():
    slices = np.repeat(tissue()[:, :, ::6], 6, axis=2)[:, :, :SHAPE[2]]
    scan = np.where(ball(), slices, 0)
    assert image_quality.smoothness(scan, ball(), ONE) == pytest.approx(image_quality.smoothness(anatomy(), ball(), ONE), rel=0.1)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("strength", [0.1, 0.25])
def test_a_ghost_of_known_strength_is_measured(axis, strength):
    field = 100 + 10 * normal(2)
    scan = np.where(ball(), field + strength * np.roll(field, 30, axis), 0).astype(np.float32)
    found = image_quality.ghosts(scan, ball(), ONE)
    assert found[axis].strength == pytest.approx(strength / (1 + strength ** 2), abs=0.03)
    assert image_quality.motion(scan, ball(), ONE) == found[axis].strength / found[axis].chance > 5
    assert all(ghost.strength < 0.06 for other, ghost in enumerate(found) if other != axis)


@pytest.mark.parametrize("blur", [0, 1.5])
def test_no_ghost_is_seen_where_there_is_none_nor_is_blur_one(blur):
    scan = np.where(ball(), 100 + 10 * ndimage.gaussian_filter(normal(2), blur), 0)
    assert image_quality.motion(scan, ball(), ONE) < 5


@pytest.mark.parametrize("depth", [0, 5, 12, 24])
def test_a_cut_face_is_as_large_as_the_section_there(depth):
    brain = ball()[:, :, 3:SHAPE[2] - 3 - depth]
    assert image_quality.cut_face(brain) == pytest.approx(1 - ((RADII[2] - depth - 0.5) / RADII[2]) ** 2, abs=0.03)


@pytest.mark.parametrize("grey, size", [(80.0, 1.0), (105.0, 0.85), (130.0, 1.0)])
def test_the_contrast_of_a_brain_of_known_greys_is_measured(grey, size):
    maps = [atlas.template_map(kind)[::-1].astype(np.float32) / 255 for kind in ("gm", "wm")]
    (box,) = ndimage.find_objects((sum(maps) > 0.5).astype(np.uint8))
    maps = [array[box] if size == 1 else ndimage.zoom(array[box], size, order=1) for array in maps]
    brain = preprocess.fill_holes(sum(maps) > 0.5)
    scan = np.where(brain, grey * maps[0] + 100 * maps[1] + 40 * (1 - maps[0] - maps[1]), 0)
    assert image_quality.contrast(scan, brain, ONE) == pytest.approx(200 * (grey - 100) / (grey + 100), abs=2)


def stored(path, array, sides):
    nib.save(nib.Nifti1Image(array, np.diag([*sides, 1.0])), path)
    flair = preprocess.read_scan(path)
    return flair, *preprocess.brain_mask(flair)


def test_slices_are_as_thick_as_the_header_says_and_a_small_brain_has_no_contrast(tmp_path):
    found = image_quality.measure(*stored(tmp_path / "flair.nii", anatomy()[:, :, ::3], (1, 1, 3)))
    assert found["slice_thickness"] == 3 and found["contrast"] is None and found["field_of_view"] < 30
    assert set(found) == set(image_quality.MEASURES)


def test_of_a_prepared_scan_slices_and_field_of_view_are_those_of_the_raw_one(tmp_path):
    prepared = stored(tmp_path / "flair.nii.gz", anatomy(), ONE)
    assert image_quality.measure(*prepared)["slice_thickness"] == 1
    own = ball()[:, :, 4:SHAPE[2] // 2:6]       # half a brain on slices of 6 mm
    nib.save(nib.Nifti1Image(own.astype(np.uint8), np.diag([1, 1, 6, 1])), tmp_path / record.OWN_BRAIN)
    unit = np.eye(4).tolist()
    known = record.Record("", "a", "", None, {"flair": "flair.nii.gz"}, {}, {"shape": list(own.shape), "affine":
                          np.diag([1.0, 1, 6, 1]).tolist(), "axes": list("RAS")}, {}, {}, unit, None, {}, {})
    record.write(tmp_path, known)
    found = image_quality.measure(*prepared)
    assert found["slice_thickness"] == 6 and found["field_of_view"] > 90


def test_the_smallest_brains_are_measured_or_not_but_never_fail(tmp_path):
    array = np.zeros((9, 9, 9), np.float32)
    array[1:-1, 1:-1, 1:-1] = 100 + normal()[:7, :7, :7]
    for part in (array, array[:, :, :2], array[4:6, 4:6]):
        found = image_quality.measure(*stored(tmp_path / "small.nii", part, ONE))
        assert all(value is None or math.isfinite(value) for value in found.values())
        assert found["motion"] is None and found["contrast"] is None
