"""Which series of a study is taken, and what is said of the others."""
import zipfile

import pytest
from pydicom.uid import EnhancedSRStorage

from synergynet_tf.data.dicom.files import is_dicom
from synergynet_tf.data.dicom.study import find_scans
from synergynet_tf.errors import InputError
from tests.data.dicom.write import classic, edit


def flair_of(path, channels=("flair",), wanted=None):
    found = find_scans(path, channels, wanted)
    return {channel: series.header.SeriesDescription for channel, series in found.series.items()}, found.lines


def test_the_flair_is_found_among_a_localiser_a_t1_and_a_reformat(tmp_path):
    classic(tmp_path / "a" / "b", SeriesDescription="t1_mprage_sag", SeriesNumber=2)
    classic(tmp_path / "a" / "c", SeriesDescription="t2_space DARK-FLUID", SeriesNumber=7)
    classic(tmp_path / "a" / "d", SeriesDescription="t2_space dark-fluid MPR", SeriesNumber=8,
            ImageType=["DERIVED", "SECONDARY", "MPR"])
    classic(tmp_path / "a", SeriesDescription="localizer FLAIR", SeriesNumber=1)
    classic(tmp_path / "a", SeriesDescription="T2 TSE ax", SeriesNumber=4)
    (tmp_path / "a" / "notes.txt").write_text("no image")
    taken, lines = flair_of(tmp_path / "a", ("flair", "t2"))
    assert taken == {"flair": "t2_space DARK-FLUID", "t2": "T2 TSE ax"}
    assert lines[0] == "flair: series 7 't2_space DARK-FLUID' (12 slices)" and "1 'localizer FLAIR'" in lines[-1]
    assert flair_of(tmp_path / "a", wanted="8")[0] == {"flair": "t2_space dark-fluid MPR"}
    assert flair_of(tmp_path / "a", wanted="mprage")[0] == {"flair": "t1_mprage_sag"}


def test_without_a_word_its_times_tell(tmp_path):
    classic(tmp_path, SeriesDescription="sag 3d", SeriesNumber=3, InversionTime=1650.0, EchoTime=390.0)
    classic(tmp_path, SeriesDescription="sag 3d", SeriesNumber=4, InversionTime=900.0, EchoTime=3.0)
    assert "series 3 " in flair_of(tmp_path)[1][0]


def test_two_flairs_and_none_are_asked_about(tmp_path):
    classic(tmp_path / "two", SeriesDescription="FLAIR ax", SeriesNumber=3)
    classic(tmp_path / "two", SeriesDescription="FLAIR sag", SeriesNumber=4)
    with pytest.raises(InputError, match="2 series may be the FLAIR: 3 'FLAIR ax' .12 slices.; 4 'FLAIR sag' .12 slices.; name"):
        flair_of(tmp_path / "two")
    classic(tmp_path / "none", SeriesDescription="T1", SeriesNumber=3)
    with pytest.raises(InputError, match="is a FLAIR by its header; there are 3 'T1'"):
        flair_of(tmp_path / "none")
    with pytest.raises(InputError, match="no series is 'swan'"):
        flair_of(tmp_path / "none", wanted="swan")


def test_two_studies_are_not_mixed(tmp_path):
    for path in classic(tmp_path, SeriesNumber=3):
        edit(path, {"StudyInstanceUID": "1.2.3", "StudyDate": "20250101"})
    classic(tmp_path, SeriesNumber=4)
    with pytest.raises(InputError, match="holds 2 studies .of 20250101, 20260102."):
        flair_of(tmp_path)


def test_what_is_dicom(tmp_path):
    classic(tmp_path / "study")
    assert is_dicom(tmp_path / "study") and is_dicom(next((tmp_path / "study").iterdir()))
    (tmp_path / "empty").mkdir()
    assert not is_dicom(tmp_path / "empty") and not is_dicom(tmp_path / "absent")
    (tmp_path / "study" / "scan.nii.gz").touch()
    assert not is_dicom(tmp_path / "study")
    with pytest.raises(InputError, match="holds no DICOM image"):
        flair_of(tmp_path / "empty")


def test_zip_files_that_harm(tmp_path):
    (tmp_path / "damaged.zip").write_bytes(b"PK\3\4 nothing")
    with pytest.raises(InputError, match="damaged.zip: cannot be unpacked"):
        flair_of(tmp_path / "damaged.zip")
    classic(tmp_path / "study")
    with zipfile.ZipFile(tmp_path / "flipped.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((tmp_path / "study").iterdir()):
            archive.write(path, path.name)
    content = bytearray((tmp_path / "flipped.zip").read_bytes())
    content[60:400] = bytes(340)
    (tmp_path / "flipped.zip").write_bytes(content)
    with pytest.raises(InputError, match="flipped.zip.* cannot be unpacked"):
        flair_of(tmp_path / "flipped.zip")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(2 ** 24))
    with pytest.raises(InputError, match="bomb would take 16777216 bytes"):
        flair_of(tmp_path / "bomb.zip")


def test_a_report_is_no_image(tmp_path):
    classic(tmp_path, SeriesNumber=4)
    report = classic(tmp_path, SeriesNumber=9, Modality="SR", SeriesDescription="FLAIR findings")
    for path in report:
        edit(path, {"Rows": None, "SOPClassUID": EnhancedSRStorage})
    taken, lines = flair_of(tmp_path)
    assert lines == ("flair: series 4 '3D FLAIR SAG' (12 slices)",)
