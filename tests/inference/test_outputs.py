"""What is written lies where the lesion is, whatever the orientation of the file, and the JSON file measures it rightly."""
import functools
import json

import nibabel as nib
import numpy as np
import pytest
import tensorflow as tf
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from scipy import ndimage

from synergynet_tf.config import Config
from synergynet_tf.data.layouts import Case
from synergynet_tf.errors import InputError
from synergynet_tf.inference import outputs
from synergynet_tf.inference.predictor import Predictor
from synergynet_tf.structures import Detections, Prediction

STRAIGHT = np.eye(3)
TILT = np.array([[0.96, -0.28, 0.0], [0.28, 0.96, 0.0], [0.0, 0.0, 1.0]]) @ np.diag([1.0, 1.2, 0.9])


def network(image):
    """Global logits 4 * FLAIR - 8, and one detection of 6 voxels a side at the brightest voxel, whose patch says 0."""
    flair = image[..., 0]
    shape = tf.cast(tf.shape(flair), tf.int64)
    best = tf.argmax(tf.reshape(flair, [-1]))
    place = tf.stack([best // (shape[2] * shape[3]), best // shape[3] % shape[2], best % shape[3]])
    middle = tf.cast(place, tf.float32) + 0.5
    box = tf.concat([middle - 3, middle + 3], 0)[None, None]
    return Prediction(4 * flair[..., None] - 8, Detections(box, tf.constant([[0.75]]), tf.constant([[True]])),
                      tf.zeros([1, 1, 4, 4, 4, 1]), box)


def brain():
    """A scan in RAS+: an ellipsoid of noise with three bright lumps, the first one the brightest."""
    shape = (26, 30, 22)
    grid = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in shape), indexing="ij"), -1)
    inside = ((grid / (np.array(shape) * 0.45)) ** 2).sum(-1) < 1
    array = np.random.default_rng(5).normal(100, 2, shape)
    array[8:11, 12:16, 9:12] = 190
    array[18, 8:10, 14] = array[14:16, 20, 7] = 170
    array[9, 13, 10] = 200
    return np.where(inside, array, 0).astype(np.float32)


def save(path, axes, affine):
    affine[:3, 3] = (-11, 5, 40)
    image = nib.Nifti1Image(brain(), affine)
    image = image.as_reoriented(ornt_transform(io_orientation(affine), axcodes2ornt(axes)))
    image.set_sform(image.affine, 4)
    image.set_qform(image.affine, 1)
    nib.save(image, path)
    return nib.load(path)


@functools.cache
def predictor():
    """Of the network, traced once for all scans."""
    return Predictor(network, Config())


def segmented(tmp_path, axes, steps):
    affine = np.eye(4)
    affine[:3, :3] = steps
    given = save(tmp_path / "scan.nii.gz", axes, affine)
    case = Case("scan", "scan", "", {"flair": tmp_path / "scan.nii.gz"}, None, None)
    prediction = predictor().predict_case(case)
    summary = outputs.write_case(tmp_path, prediction, {"sha256": "abc"})
    return given, summary, nib.load(tmp_path / "scan_mask.nii.gz"), nib.load(tmp_path / "scan_probability.nii.gz")


def logits_by_hand(array):
    inside = array != 0
    score = np.zeros(array.shape)
    score[inside] = (array[inside] - array[inside].mean()) / array[inside].std()
    logits = 4 * score - 8
    centres = np.stack(np.indices(array.shape), -1) - np.unravel_index(array.argmax(), array.shape)
    return logits, inside, centres


@pytest.mark.parametrize("axes, steps", [("RAS", STRAIGHT), ("LAS", STRAIGHT), ("PSR", STRAIGHT), ("ILA", STRAIGHT),
                                         ("RAS", TILT), ("LPI", TILT), ("ASL", TILT)])
def test_results_lie_on_the_files_own_grid(tmp_path, axes, steps):
    given, _, mask, probability = segmented(tmp_path, axes, steps)
    for written, dtype in ((mask, np.uint8), (probability, np.float32)):
        assert written.shape == given.shape and written.get_data_dtype() == dtype
        np.testing.assert_array_equal(written.affine, given.affine)
        np.testing.assert_array_equal(written.get_qform(), given.get_qform())
    # A pointwise network commutes with flips: voxel by voxel the answer must be that for the file's array as it is stored.
    logits, inside, offset = logits_by_hand(given.get_fdata())
    away = (np.abs(offset) > 3).any(-1)
    expected = np.where(inside, 1 / (1 + np.exp(-logits)), 0)
    stored = probability.get_fdata()
    np.testing.assert_allclose(stored[away], expected[away], atol=2e-3)
    near = (np.abs(offset) < 3).all(-1) & inside
    np.testing.assert_allclose(stored[near], 1 / (1 + np.exp(-0.7 * logits[near])), atol=2e-3)
    np.testing.assert_array_equal(np.asarray(mask.dataobj) == 1, stored > 0.5)
    assert mask.get_fdata().sum() > 30


@pytest.mark.parametrize("axes, steps", [("RAS", STRAIGHT), ("PSR", STRAIGHT), ("LPI", TILT)])
def test_the_lesion_list_measures_the_written_files(tmp_path, axes, steps):
    given, summary, mask, probability = segmented(tmp_path, axes, steps)
    assert json.loads((tmp_path / "scan_lesions.json").read_text()) == summary
    stored, values = np.asarray(mask.dataobj) == 1, probability.get_fdata()
    labels, count = ndimage.label(stored, ndimage.generate_binary_structure(3, 2))
    voxel = abs(np.linalg.det(given.affine))
    assert summary["count"] == count == 3 and summary["volume_ml"] == pytest.approx(stored.sum() * voxel / 1000, rel=1e-4)
    for i, row in enumerate(summary["lesions"], 1):
        one = labels == i
        places = np.argwhere(one)
        assert row["box_voxels"] == [*places.min(0), *(places.max(0) + 1)] and row["voxels"] == one.sum()
        world = nib.affines.apply_affine(given.affine, places)
        np.testing.assert_allclose(row["centroid_mm"], world.mean(0), atol=2e-3)
        assert (np.array(row["box_mm"][:3]) < world.min(0)).all() and (np.array(row["box_mm"][3:]) > world.max(0)).all()
        assert row["mean_probability"] == pytest.approx(values[one].mean(), abs=1e-5)
        assert row["max_probability"] == pytest.approx(values[one].max(), abs=1e-5)
        assert row["found_by_local"] == bool((labels[np.unravel_index(given.get_fdata().argmax(), given.shape)]) == i)
        assert row["detection_score"] == (0.75 if row["found_by_local"] else None)
        assert row["global_alone"] and not row["local_alone"]      # the patch's logit is 0: not above one half
    settings = {"connectivity": 18, "threshold": 0.5, "gamma": 0.3, "coverage": "whole", "detections": 1}
    assert summary.items() >= settings.items()
    assert summary["checkpoint"] == {"sha256": "abc"}


def test_a_case_without_lesions_is_written_too(tmp_path):
    save(tmp_path / "scan.nii.gz", "LAS", np.eye(4))
    case = Case("scan", "scan", "", {"flair": tmp_path / "scan.nii.gz"}, None, None)
    silent = Predictor(lambda image: network(image)._replace(global_logits=-9 * tf.ones_like(image)), Config())
    summary = outputs.write_case(tmp_path, silent.predict_case(case))
    assert summary["lesions"] == [] and summary["count"] == 0 and summary["volume_ml"] == 0
    assert nib.load(tmp_path / "scan_mask.nii.gz").get_fdata().sum() == 0


def test_a_folder_that_is_gone_is_named(tmp_path):
    save(tmp_path / "scan.nii.gz", "RAS", np.eye(4))
    case = Case("scan", "scan", "", {"flair": tmp_path / "scan.nii.gz"}, None, None)
    with pytest.raises(InputError, match="gone"):
        outputs.write_case(tmp_path / "gone", predictor().predict_case(case))
