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
from synergynet_tf.data.dicom.segmentation import SITES, segmentation  # noqa: E402

REGIONS = ["infratentorial", "periventricular"]


@pytest.fixture(params=["classic", "enhanced"])
def series(request, tmp_path):
    if request.param == "classic":
        classic(tmp_path / "study")
    else:
        enhanced(tmp_path / "study" / "one")
    return find_scans(tmp_path / "study", ("flair",)).series["flair"]


@pytest.fixture
def lesions():
    """Two of one region, one of another."""
    numbers = np.zeros(SHAPE, np.uint8)
    numbers[3:6, 10:14, 2:5] = numbers[15, 20, 9] = 1
    numbers[10:12, 3:5, 4] = 2
    return numbers


def places(volume, to_ras):
    """The voxels of a mask in mm, RAS+, sorted."""
    voxels = np.argwhere(volume)
    return np.array(sorted(map(tuple, np.round(voxels @ to_ras[:3, :3].T + to_ras[:3, 3], 2))))


def test_highdicom_reads_it_where_it_was(series, lesions):
    made = hd.seg.segread(io.BytesIO(segmentation(images_of(series), lesions, REGIONS, "abc")))
    volume = made.get_volume(combine_segments=True)
    for number in (1, 2):
        found = places(volume.array == number, np.diag([-1.0, -1, 1, 1]) @ volume.affine)
        np.testing.assert_allclose(found, places(lesions == number, read_scan(series).affine), atol=0.02)


def test_it_belongs_to_the_patient_the_study_and_the_series(series, lesions):
    made = pydicom.dcmread(io.BytesIO(segmentation(images_of(series), lesions, REGIONS, "abc")))
    assert (made.PatientID, made.StudyInstanceUID, made.FrameOfReferenceUID, made.Modality) == ("secret", STUDY, FRAME, "SEG")
    assert made.ReferencedSeriesSequence[0].SeriesInstanceUID == series.header.SeriesInstanceUID
    assert [each.SegmentLabel for each in made.SegmentSequence] == ["MS lesion, infratentorial", "MS lesion, periventricular"]
    codes = [[site.CodeValue for site in each.AnatomicRegionSequence] for each in made.SegmentSequence]
    assert codes == [["119238007", "113305005"], ["66720007"]]
    again, other = (pydicom.dcmread(io.BytesIO(segmentation(images_of(series), numbers, REGIONS, "abc"))).SOPInstanceUID
                    for numbers in (lesions, np.where(lesions > 0, 3 - lesions, 0)))
    assert again == made.SOPInstanceUID != other


def test_a_scan_without_lesions_has_an_empty_one(series, lesions):
    made = hd.seg.segread(io.BytesIO(segmentation(images_of(series), np.zeros_like(lesions), [""], "abc")))
    assert not made.pixel_array.any()


def test_another_grid_is_refused(series, lesions):
    with pytest.raises(InputError, match="segment it again"):
        segmentation(images_of(series), lesions[:, :, 1:], REGIONS, "abc")


def test_dcmqi_and_dciodvfy_agree(series, lesions, tmp_path):
    (tmp_path / "seg.dcm").write_bytes(segmentation(images_of(series), lesions, REGIONS, "abc"))
    tools = [name for name in ("segimage2itkimage", "dciodvfy") if shutil.which(name)]
    if not tools:
        pytest.skip("neither dcmqi nor dicom3tools is installed")
    if "dciodvfy" in tools:
        said = subprocess.run(["dciodvfy", tmp_path / "seg.dcm"], capture_output=True, text=True).stderr
        assert [line for line in said.splitlines() if line.startswith("Error")] == []
    if "segimage2itkimage" in tools:
        subprocess.run(["segimage2itkimage", "--inputDICOM", tmp_path / "seg.dcm", "--outputDirectory", tmp_path, "-t", "nii"],
                       check=True, capture_output=True)
        for number in (1, 2):
            image = nib.load(tmp_path / f"{number}.nii.gz")
            found = places(np.asarray(image.dataobj) > 0, image.affine)
            np.testing.assert_allclose(found, places(lesions == number, read_scan(series).affine), atol=0.02)


def test_every_region_of_a_lesion_has_its_codes(series):
    numbers = np.zeros(SHAPE, np.uint8)
    numbers[2:2 + len(SITES), 5, 3] = range(1, 1 + len(SITES))
    made = hd.seg.segread(io.BytesIO(segmentation(images_of(series), numbers, list(SITES), "abc")))
    assert made.number_of_segments == len(SITES) and made.get_volume(combine_segments=True).array.max() == len(SITES)
