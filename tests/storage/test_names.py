"""Names that become names of files."""
import pytest

from synergynet_tf.data.layouts import discover
from synergynet_tf.data.layouts.case import Case
from synergynet_tf.data.raw import preparation
from synergynet_tf.data.raw.config import RawConfig
from synergynet_tf.errors import InputError
from synergynet_tf.storage.names import is_nifti, name_fault, require_name, stem


@pytest.mark.parametrize(("path", "name"), [("a/P1.nii.gz", "P1"), ("P1.nii", "P1"), ("P1.NII.GZ", "P1"), ("P1.v2.Nii", "P1.v2")])
def test_a_stem_is_the_name_without_the_nifti_ending(path, name):
    assert is_nifti(path) and stem(path) == name


@pytest.mark.parametrize("path", ["P1.gz", "P1.nii.gz.part", "nii", "P1.nii/notes.txt"])
def test_other_files_keep_their_name(path):
    assert not is_nifti(path) and stem(path) == path.split("/")[-1]


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", "/etc", ".a", "-a", "a b", "a\n", "a\0", "~", "a" * 201,
                                  "ä" * 101])
def test_what_can_name_no_file_is_refused(name):
    with pytest.raises(InputError, match="the case name"):
        require_name("the case name", name)


@pytest.mark.parametrize("name", ["P01", "P01_T1", "sub-01", "1.2", "Müller", "患者", "a" * 200])
def test_what_can(name):
    assert name_fault("it", name) is None


def test_a_channel_that_would_be_written_elsewhere_is_refused(tmp_path):
    scan = tmp_path / "in" / "flair.nii.gz"
    scan.parent.mkdir()
    scan.touch()
    case = Case("A", "A", "", {"flair": scan, "../../x": scan}, None, None)
    with pytest.raises(InputError, match=r"case A: the channel '\.\./\.\./x' cannot name a file"):
        preparation.prepare_case(case, tmp_path / "out" / "A", RawConfig())
    assert not list(tmp_path.glob("x*")) and not (tmp_path / "out").exists()


def test_a_patient_whose_results_could_not_be_written_is_refused(tmp_path):
    (tmp_path / "a.nii").touch()
    (tmp_path / "manifest.csv").write_text("patient,session,flair\n" + "P" * 190 + ",2019-01-01-10-30,a.nii\n")
    with pytest.raises(InputError, match="the case name PPP.* takes 207 bytes"):
        discover(tmp_path)
