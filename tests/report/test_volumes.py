"""What a browser is given of a scan: the right voxels at the right places."""
import base64
import gzip
import io

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

from synergynet_tf.data import nifti
from synergynet_tf.report.volumes import Layer, Scan, brain_box, flair_text, grey_range, masks_text, picture, world

AFFINE = np.array([[-1.0, 0, 0, 20], [0, 1, 0, -10], [0, 0, 2, -5], [0, 0, 0, 1]])
SHAPE = (24, 26, 14)


@pytest.fixture
def flair(tmp_path):
    """A scan whose brain begins at (2, 3, 0) of the file, stored from right to left."""
    array = np.random.default_rng(0).normal(100, 10, SHAPE).astype(np.float32)
    array[:2] = array[:, :3] = array[..., -2:] = 0
    nib.save(nib.Nifti1Image(array, AFFINE), tmp_path / "flair.nii.gz")
    return nifti.read(tmp_path / "flair.nii.gz")


def decoded(text):
    return nib.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(text)))


def places(image, condition):
    """World places, mm, of an image's voxels that a condition holds for, in one order."""
    return np.round(nib.affines.apply_affine(image.affine, np.argwhere(condition(image.get_fdata()))), 3)


def in_order(points):
    return sorted(map(tuple, points))


def test_a_scan_keeps_its_intensities_and_its_place(flair):
    image = decoded(flair_text(flair))
    assert image.get_data_dtype() == np.uint8
    brain = flair.array != 0
    assert image.shape == tuple(np.ptp(axis) + 1 for axis in np.nonzero(brain))
    back = np.linalg.inv(flair.affine) @ image.affine
    voxels = nib.affines.apply_affine(back, np.argwhere(np.ones(image.shape))).round().astype(int)
    expected = flair.array[tuple(voxels.T)].reshape(image.shape)
    low, high = grey_range(flair.array)
    inside = expected != 0
    np.testing.assert_allclose(image.get_fdata()[inside], np.clip(expected, low, high)[inside], atol=(high - low) / 500)
    assert (np.asarray(image.dataobj.get_unscaled())[~inside] == 0).all()
    assert (np.asarray(image.dataobj.get_unscaled())[inside] > 0).all()


@given(st.data())
@settings(deadline=None, max_examples=20)
def test_every_mask_comes_back_at_its_place(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    masks = [rng.random(SHAPE) < 0.02 for _ in range(data.draw(st.integers(1, 8)))]
    array = np.zeros(SHAPE, np.float32)
    array[5:20, 6:20, 3:12] = 1
    scan = nifti.Volume(array, AFFINE, (1, 1, 2), None, None, SHAPE, AFFINE, nifti.CANONICAL)
    image = decoded(masks_text(masks, scan))
    assert int(image.header["intent_code"]) == 1002         # labels
    for bit, mask in enumerate(masks):
        found = places(image, lambda values, bit=bit: values.astype(int) >> bit & 1)
        assert in_order(found) == in_order(np.round(nib.affines.apply_affine(AFFINE, np.argwhere(mask)), 3))


def test_masks_inside_the_brain_share_the_scan_s_grid(flair):
    mask = np.zeros(SHAPE, bool)
    mask[10, 10, 5] = True
    for masks in ([mask], [np.zeros(SHAPE, bool)]):
        image, scan = decoded(masks_text(masks, flair)), decoded(flair_text(flair))
        assert image.shape == scan.shape
        np.testing.assert_array_equal(image.affine, scan.affine)


def test_an_empty_scan_is_shown_whole():
    assert brain_box(np.zeros((3, 4, 5))) == (slice(0, 3), slice(0, 4), slice(0, 5))
    low, high = grey_range(np.zeros((3, 4, 5)))
    assert low < high


def test_a_place_by_hand():
    assert world(AFFINE, (1, 2, 3)) == (19.0, -8.0, 1.0)


def test_a_picture_marks_what_is_shown(flair):
    lesion, other = np.zeros((2, *SHAPE), bool)
    lesion[8:14, 8:14, 4:9], other[15:18, 15:18, 4:9] = True, True

    def pixels(*layers):
        return imread(io.BytesIO(picture(Scan("a", "a", flair, layers))), format="png")[..., :3]

    plain, marked = pixels(Layer("hidden", lesion, "#ff0000", shown=False)), pixels(Layer("lesion", lesion, "#ff0000"))
    assert np.ptp(plain, axis=-1).max() == 0        # grey
    red = (marked[..., 0] - marked[..., 1]) > 0.3
    # sagittal 6 x 5 voxels, each 2 mm high; coronal 6 x 5, too; axial 6 x 6
    assert red.sum() == 60 + 60 + 36
