"""A mask as a DICOM Segmentation: other programs find each voxel where the mask has it."""
import io
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pydicom
import pytest

from synergynet_tf.data.dicom.study import find_scans
from synergynet_tf.data.dicom.volume import images_of, read_scan
from synergynet_tf.errors import InputError
from tests.data.dicom.write import FRAME, SHAPE, STUDY, classic, enhanced

hd = pytest.importorskip("highdicom")
from synergynet_tf.data.dicom.segmentation import segmentation  # noqa: E402


@pytest.fixture(params=["classic", "enhanced"])
def series(request, tmp_path):
    if request.param == "classic":
        classic(tmp_path / "study")
    else:
        enhanced(tmp_path / "study" / "one")
    return find_scans(tmp_path / "study", ("flair",)).series["flair"]


@pytest.fixture
def mask():
    lesions = np.zeros(SHAPE, bool)
    lesions[3:6, 10:14, 2:5] = lesions[15, 20, 9] = True
    return lesions


def places(volume, to_ras):
    """The voxels of a mask in mm, RAS+, sorted."""
    voxels = np.argwhere(volume)
    return np.array(sorted(map(tuple, np.round(voxels @ to_ras[:3, :3].T + to_ras[:3, 3], 2))))


def test_highdicom_reads_it_where_it_was(series, mask):
    made = hd.seg.segread(io.BytesIO(segmentation(images_of(series), mask, "abc")))
    volume = made.get_volume(combine_segments=True)
    found = places(volume.array > 0, np.diag([-1.0, -1, 1, 1]) @ volume.affine)
    np.testing.assert_allclose(found, places(mask, read_scan(series).affine), atol=0.02)


def test_it_belongs_to_the_patient_the_study_and_the_series(series, mask):
    made = pydicom.dcmread(io.BytesIO(segmentation(images_of(series), mask, "abc")))
    assert (made.PatientID, made.StudyInstanceUID, made.FrameOfReferenceUID, made.Modality) == ("secret", STUDY, FRAME, "SEG")
    assert made.ReferencedSeriesSequence[0].SeriesInstanceUID == series.header.SeriesInstanceUID
    assert len(made.SegmentSequence) == 1 and made.SegmentSequence[0].SegmentLabel == "MS lesion"
    assert pydicom.dcmread(io.BytesIO(segmentation(images_of(series), mask, "abc"))).SOPInstanceUID == made.SOPInstanceUID
    assert pydicom.dcmread(io.BytesIO(segmentation(images_of(series), ~mask, "abc"))).SOPInstanceUID != made.SOPInstanceUID


def test_a_scan_without_lesions_has_an_empty_one(series, mask):
    made = hd.seg.segread(io.BytesIO(segmentation(images_of(series), np.zeros_like(mask), "abc")))
    assert not made.pixel_array.any()


def test_another_grid_is_refused(series, mask):
    with pytest.raises(InputError, match="segment it again"):
        segmentation(images_of(series), mask[:, :, 1:], "abc")


def test_dcmqi_and_dciodvfy_agree(series, mask, tmp_path):
    (tmp_path / "seg.dcm").write_bytes(segmentation(images_of(series), mask, "abc"))
    tools = [name for name in ("segimage2itkimage", "dciodvfy") if shutil.which(name)]
    if not tools:
        pytest.skip("neither dcmqi nor dicom3tools is installed")
    if "dciodvfy" in tools:
        said = subprocess.run(["dciodvfy", tmp_path / "seg.dcm"], capture_output=True, text=True).stderr
        assert [line for line in said.splitlines() if line.startswith("Error")] == []
    if "segimage2itkimage" in tools:
        subprocess.run(["segimage2itkimage", "--inputDICOM", tmp_path / "seg.dcm", "--outputDirectory", tmp_path, "-t", "nii"],
                       check=True, capture_output=True)
        image = nib.load(tmp_path / "1.nii.gz")
        found = places(np.asarray(image.dataobj) > 0, image.affine)
        np.testing.assert_allclose(found, places(mask, read_scan(series).affine), atol=0.02)
