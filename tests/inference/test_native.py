"""A prediction on a prepared scan lies, in the raw scan's own space, where the lesion is."""
import json

import nibabel as nib
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.raw import preparation, record
from synergynet_tf.data.raw.config import RawConfig
from synergynet_tf.errors import InputError
from synergynet_tf.inference import outputs
from synergynet_tf.inference.predictor import Predictor
from synergynet_tf.structures import Detections, Prediction

STEPS = RawConfig(align=False, register="none", skull="none", bias=False)


def network(image):
    """Global logits 8 * FLAIR - 16, no detection."""
    box = tf.constant([[[0, 0, 0, 4, 4, 4.0]]])
    return Prediction(8 * image[..., :1] - 16, Detections(box, tf.zeros([1, 1]), tf.constant([[False]])),
                      tf.zeros([1, 1, 4, 4, 4, 1]), box)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A stripped ball of a brain on tilted PSR slices of 1.5 x 3 x 1.5 mm with a bright lump, prepared onto the MNI grid."""
    folder = tmp_path_factory.mktemp("native")
    affine = np.array([[0, 0, 1.5, -50], [-1.47, 0.6, 0, 40], [0.294, 2.94, 0, -50], [0, 0, 0, 1.0]])
    places = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in (80, 40, 70)), indexing="ij"), -1) * (1.5, 3, 1.5)
    array = np.where((places ** 2).sum(-1) < 48 ** 2, np.random.default_rng(0).normal(100, 3, places.shape[:3]), 0)
    lump = (np.abs(places - (10, -6, 12)) < (9, 12, 9)).all(-1)
    array[lump] = 200
    image = nib.Nifti1Image(array.astype(np.float32), affine)
    nib.save(image, folder / "raw.nii.gz")
    case = Case("anna", "anna", "", {"flair": folder / "raw.nii.gz"}, None, None)
    preparation.prepare_case(case, folder / "anna", STEPS)
    return folder, lump


def predicted(folder, out):
    case = Case("anna", "anna", "", {"flair": folder / "anna" / "flair.nii.gz"}, None, None)
    out.mkdir()
    outputs.write_case(out, Predictor(network, Config()).predict_case(case))
    return out


def test_both_masks_are_written(prepared, tmp_path):
    folder, lump = prepared
    out = predicted(folder, tmp_path / "out")
    native, raw = nib.load(out / "anna_mask_native.nii.gz"), nib.load(folder / "raw.nii.gz")
    assert native.shape == raw.shape and native.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(native.affine, raw.affine)
    mask = np.asarray(native.dataobj) > 0
    assert 2 * (mask & lump).sum() / (mask.sum() + lump.sum()) > 0.9
    assert nib.load(out / "anna_mask.nii.gz").shape == (182, 218, 182)


def test_other_scans_have_no_native_mask(prepared, tmp_path):
    folder, _ = prepared
    case = Case("raw", "raw", "", {"flair": folder / "raw.nii.gz"}, None, None)
    outputs.write_case(tmp_path, Predictor(network, Config()).predict_case(case))
    assert not list(tmp_path.glob("*_native*"))


def test_a_damaged_case_is_named(prepared, tmp_path):
    folder, _ = prepared
    path = folder / "anna" / record.FILE
    whole = path.read_text()
    try:
        path.write_text(json.dumps(json.loads(whole) | {"source_grid": {"shape": [1, 2, 3]}}))
        with pytest.raises(InputError, match="prepare the case again"):
            predicted(folder, tmp_path / "out")
    finally:
        path.write_text(whole)
