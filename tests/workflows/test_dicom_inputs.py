"""`predict` takes DICOM studies beside NIfTI files: what it segments is the volume that the scanner measured."""
import shutil

import nibabel as nib
import numpy as np
import pytest

from tests.data.dicom.write import ORIGIN, SHAPE, SPACING, TURN, classic, edit
from tests.test_predict import call, run, write_scan  # noqa: F401 - run is a fixture

AFFINE = np.diag([-1.0, -1, 1, 1]) @ np.block([[TURN * SPACING, ORIGIN[:, None]], [np.zeros((1, 3)), 1]])


@pytest.fixture
def study(tmp_path):
    """A stripped brain of a study, a box, with a bright lesion, and a T1 of it."""
    array = np.zeros(SHAPE, np.int16)
    array[2:-2, 2:-2, 1:-1] = np.random.default_rng(0).normal(100, 2, (16, 20, 10))
    array[8:12, 9:13, 5:7] = 180
    folder = tmp_path / "anna"
    for path in classic(folder / "s5"):
        k = int(path.name[2:6])
        edit(path, {"PixelData": np.ascontiguousarray(array[:, :, k].T).tobytes()})
    classic(folder / "s6", SeriesDescription="T1 mprage", SeriesNumber=6)
    return folder, array


def test_a_study_is_segmented_in_its_own_space(run, study, tmp_path, capsys):        # noqa: F811
    folder, array = study
    assert call(run, tmp_path / "out", folder) == 0
    shown = capsys.readouterr().out
    assert "flair: series 5 '3D FLAIR SAG' (12 slices)" in shown and "not taken: 6 'T1 mprage' (12 slices)" in shown
    mask = nib.load(tmp_path / "out" / "anna_mask.nii.gz")
    np.testing.assert_allclose(mask.affine, AFFINE, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(mask.dataobj), array > 150)


def test_a_zip_file_the_same_again_and_others_beside_it(run, study, tmp_path, capsys):        # noqa: F811
    packed = shutil.make_archive(str(tmp_path / "anna"), "zip", study[0])
    other = write_scan(tmp_path / "berta.nii.gz")
    given = (packed, other, "--series", "flair sag")
    assert call(run, tmp_path / "out", *given) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert {"anna_mask.nii.gz", "berta_mask.nii.gz"} <= set(before)
    capsys.readouterr()
    assert call(run, tmp_path / "out", *given, "--resume") == 0
    assert "lesion" not in capsys.readouterr().out
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}


def test_a_study_that_cannot_be_used_is_named_and_the_others_are_segmented(run, study, tmp_path, capsys):        # noqa: F811
    next((study[0] / "s5").glob("IM0005*")).unlink()
    assert call(run, tmp_path / "out", study[0], write_scan(tmp_path / "berta.nii.gz")) == 2
    shown = capsys.readouterr().err
    assert "anna" in shown and "1 slice is missing" in shown and "1 of 2 inputs could not be segmented: anna" in shown
    assert (tmp_path / "out" / "berta_mask.nii.gz").is_file()
    assert call(run, tmp_path / "alone", study[0]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_segmentation_for_the_pacs(run, study, tmp_path):        # noqa: F811
    hd = pytest.importorskip("highdicom")
    assert call(run, tmp_path / "out", study[0], "--dicom") == 0
    made = hd.seg.segread(tmp_path / "out" / "anna_seg.dcm")
    assert made.PatientID == "secret" and made.pixel_array.sum() == (study[1] > 150).sum()
    group, = hd.sr.srread(tmp_path / "out" / "anna_report.dcm").content.get_volumetric_roi_measurement_groups()
    volume, count = (each.value for each in group.get_measurements())
    assert count == 1 and np.isclose(volume, (study[1] > 150).sum() * np.prod(SPACING) / 1000, atol=1e-5)


def test_two_studies_of_one_name_are_not_mixed(run, study, tmp_path, capsys):        # noqa: F811
    other = shutil.copytree(study[0], tmp_path / "elsewhere" / "anna")
    assert call(run, tmp_path / "out", study[0], other) == 2
    assert "would be the case anna, as" in capsys.readouterr().err
    np.testing.assert_array_equal(np.asarray(nib.load(tmp_path / "out" / "anna_mask.nii.gz").dataobj), study[1] > 150)


def test_a_study_of_which_no_object_can_be_made_is_named(run, study, tmp_path, capsys):        # noqa: F811
    pytest.importorskip("highdicom")
    for path in (study[0] / "s5").iterdir():
        edit(path, {"FrameOfReferenceUID": None})
    assert call(run, tmp_path / "out", study[0], write_scan(tmp_path / "berta.nii.gz"), "--dicom") == 2
    assert "no DICOM object can be made of it" in capsys.readouterr().err
    assert (tmp_path / "out" / "anna_mask.nii.gz").is_file() and not (tmp_path / "out" / "anna_seg.dcm").exists()


def test_series_goes_with_dicom_alone(run, tmp_path, capsys):        # noqa: F811
    assert call(run, tmp_path / "out", write_scan(tmp_path / "berta.nii.gz"), "--series", "5") == 2
    assert "no DICOM study: leave it out" in capsys.readouterr().err
