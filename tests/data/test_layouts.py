import pytest

from synergynet_tf.data import layouts
from synergynet_tf.errors import InputError


def make(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def manifest(folder, text, *files):
    make(folder, *files)
    (folder / "manifest.csv").write_bytes(text.encode() if isinstance(text, str) else text)
    return folder / "manifest.csv"


def names(cases):
    return [case.name for case in cases]


def test_open_ms_ignores_what_is_no_case(tmp_path):
    for number in (12, 2):
        make(tmp_path / f"patient{number:02d}", "flair.nii.gz", "t2.nii.gz", "t1.nii", "lesions.nii.gz")
    make(tmp_path / "lesion_masks", "patient01.nii.gz")
    make(tmp_path / "raw" / "long_patient01_study2", "flair.nii.gz")
    cases = layouts.discover(tmp_path, channels=("flair", "t2"), require_lesions=True)
    assert names(cases) == ["patient02", "patient12"]
    assert set(cases[0].images) == {"flair", "t2", "t1"}
    assert cases[0].lesions == tmp_path / "patient02" / "lesions.nii.gz"
    assert (cases[0].patient, cases[0].session, cases[0].split) == ("patient02", "", None)


def test_mslesseg_sessions_share_a_patient(tmp_path):
    for name in ("P14_T2", "P14_T1", "P3_T1"):
        make(tmp_path / name, "flair.nii.gz", "lesions.nii.gz")
    cases = layouts.discover(tmp_path)
    assert [(c.name, c.patient, c.session) for c in cases] == [
        ("P14_T1", "P14", "T1"), ("P14_T2", "P14", "T2"), ("P3_T1", "P3", "T1")]


def test_one_case_folder(tmp_path, monkeypatch):
    folder = make(tmp_path / "somebody", "flair.nii", "t2.nii.gz")
    case, = layouts.discover(folder, channels=("flair", "t2"))
    assert (case.name, case.patient, case.lesions) == ("somebody", "somebody", None)
    monkeypatch.chdir(folder)
    assert names(layouts.discover(".")) == ["somebody"]


@pytest.mark.parametrize("given", ["file", "folder"])
def test_manifest(tmp_path, given):
    path = manifest(tmp_path / "cohort", "Patient,session,flair,t2,swi,lesions,split\nB,,b.nii,b2.nii,,,test\n"
                    "A,2, a.nii ,a2.nii,s.nii,l.nii,train\n\n,,,,,,\n", "b.nii", "b2.nii", "a.nii", "a2.nii", "l.nii")
    cases = layouts.discover(path if given == "file" else path.parent, channels=("flair", "t2"))
    assert names(cases) == ["A_2", "B"]
    a, b = cases
    assert (a.patient, a.session, a.split, b.session, b.split) == ("A", "2", "train", "", "test")
    assert a.images == {"flair": path.parent / "a.nii", "t2": path.parent / "a2.nii", "swi": path.parent / "s.nii"}
    assert a.lesions == path.parent / "l.nii"
    assert b.lesions is None
    assert "swi" not in b.images


@pytest.mark.parametrize("text", [
    "patient;flair\nA;a.nii\n", "patient\tflair\nA\ta.nii\n", b"\xef\xbb\xbfpatient,flair\r\nA,a.nii\r\n",
    "patient,flair,,\nA,a.nii,,\n", 'patient,flair\n"A","a.nii"\n',
])
def test_manifests_of_spreadsheets(tmp_path, text):
    case, = layouts.discover(manifest(tmp_path, text, "a.nii"))
    assert (case.name, case.images) == ("A", {"flair": tmp_path / "a.nii"})


def test_a_manifest_goes_before_the_folders_beside_it(tmp_path):
    make(tmp_path / "patient01", "flair.nii.gz")
    manifest(tmp_path, "patient,flair\nA,patient01/flair.nii.gz\n")
    assert names(layouts.discover(tmp_path)) == ["A"]
    assert names(layouts.discover(tmp_path, layout="open_ms")) == ["patient01"]


@pytest.mark.parametrize("text, fragment", [
    ("", "columns are none"),
    ("flair,t2\na.nii,b.nii\n", "columns are flair, t2"),
    ("patient,flair,flair\nA,a.nii,a.nii\n", "each name only once"),
    ("patient,flair\n,a.nii\n", "line 2: the patient is empty"),
    ("patient,flair\nA,a.nii,extra\n", "line 2: 3 cells, but 2 columns"),
    ("patient,flair,split\nA,a.nii,dev\n", "case A: the split is 'dev', but it must be train, validation, test"),
    ("patient,session,flair,split\nA,1,a.nii,train\nA,2,a.nii,test\n", "patient A: A_1 is in train but A_2 in test"),
    ("patient,session,flair\nA,1,a.nii\nA,1,b.nii\n", "two cases are named A_1"),
    ("patient,flair\n../A,a.nii\n", "cannot name a file"),
    ("patient,flair\nA,gone.nii\n", "does not exist"),
    ("patient,flair,lesions\nA,a.nii,gone.nii\n", "the lesions file"),
    ("patient,flair,t2\nA,a.nii,\n", "case A: the channel t2 is missing"),
    ("patient,flair\n", "no case found"),
    (b"patient,flair\nA\xff,a.nii\n", "UTF-8"),
])
def test_what_a_manifest_can_get_wrong(tmp_path, text, fragment):
    path = manifest(tmp_path, text, "a.nii", "b.nii")
    with pytest.raises(InputError) as caught:
        layouts.discover(path, channels=("flair", "t2") if "t2" in fragment else ("flair",))
    assert fragment in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_folder_can_get_wrong(tmp_path):
    with pytest.raises(InputError, match="absent: no such file or folder; check data.path"):
        layouts.discover(tmp_path / "absent")
    with pytest.raises(InputError, match="no case found; the folder is empty; needed is PATIENT/flair.nii.gz, or manifest.csv"):
        layouts.discover(tmp_path)
    with pytest.raises(InputError, match="'dicom', but the layouts are auto, manifest"):
        layouts.discover(tmp_path, layout="dicom")
    make(tmp_path / "patient01", "flair.nii.gz")
    with pytest.raises(InputError, match="case patient01: no lesion mask"):
        layouts.discover(tmp_path, require_lesions=True)
    with pytest.raises(InputError, match=r"case patient01: the channel t2 is missing \(in 1 of 1 cases\), only flair is there"):
        layouts.discover(tmp_path, channels=("flair", "t2"))
    make(tmp_path / "P1_T1", "flair.nii.gz")
    with pytest.raises(InputError, match="more than one layout applies"):
        layouts.discover(tmp_path)
    assert names(layouts.discover(tmp_path, layout="mslesseg")) == ["P1_T1"]


def test_the_real_folders(real_data):
    cases = layouts.discover(real_data / "open_ms", channels=("flair", "t2"), require_lesions=True)
    assert names(cases) == ["patient07", "patient19"]
    assert names(layouts.discover(real_data / "mslesseg", require_lesions=True)) == ["P14_T1", "P14_T2", "P14_T3"]
    with pytest.raises(InputError, match="case P14_T1: the channel t2 is missing"):
        layouts.discover(real_data / "mslesseg", channels=("flair", "t2"))


@pytest.fixture
def two_cohorts(tmp_path):
    """A folder of open_ms scans and a manifest whose patient is drawn twice as often."""
    for number in (1, 2):
        make(tmp_path / "hospital" / f"patient{number:02d}", "flair.nii.gz", "lesions.nii.gz")
    manifest(tmp_path / "phantoms", "patient,flair,split,weight\npatient01,a.nii,validation,2\n", "a.nii")
    return tmp_path


def test_a_manifest_takes_in_other_cohorts(two_cohorts):
    path = manifest(two_cohorts, "path,patient,flair,split,weight\nhospital,H,,train,\"1,5\"\nphantoms,,,,3\n,own,o.nii,test,\n",
                    "o.nii")
    cases = {case.name: case for case in layouts.discover(path)}
    assert {name: (case.patient, case.split, case.weight) for name, case in cases.items()} == {
        "H-patient01": ("H-patient01", "train", 1.5), "H-patient02": ("H-patient02", "train", 1.5),
        "patient01": ("patient01", "validation", 6.0), "own": ("own", "test", 1.0)}
    assert cases["H-patient02"].lesions == two_cohorts / "hospital" / "patient02" / "lesions.nii.gz"
    assert cases["patient01"].images == {"flair": two_cohorts / "phantoms" / "a.nii"}


def test_a_source_is_that_of_the_row_or_else_the_case_s_own(two_cohorts):
    manifest(two_cohorts / "phantoms", "patient,flair,source\nX,a.nii,made up\nY,a.nii,\n", "a.nii")
    path = manifest(two_cohorts, "path,patient,flair,source\nhospital,H,,Ljubljana\nphantoms,,,\n,own,o.nii,here\n", "o.nii")
    assert {case.name: case.source for case in layouts.discover(path)} == {
        "H-patient01": "Ljubljana", "H-patient02": "Ljubljana", "X": "made up", "Y": "", "own": "here"}


@pytest.mark.parametrize("rows, words", [
    ("path\nhospital\nhospital", "two cases are named patient01"),
    ("path\nnowhere", "nowhere: no such file or folder"),
    ("path\nmanifest.csv", "line 2: .*manifest.csv is a manifest with a column path itself"),
    ("path,flair\nhospital,a.nii", "line 2: the path is 'hospital', but scans"),
    ("path,weight\nhospital,0", "line 2: the weight is '0', but it must be a number above 0"),
    ("path,weight\nhospital,often", "the weight is 'often'"), ("path,weight\nhospital,inf", "the weight is 'inf'")])
def test_cohorts_that_cannot_be_taken_in_are_refused(two_cohorts, rows, words):
    path = manifest(two_cohorts, rows + "\n")
    with pytest.raises(InputError, match=words):
        layouts.discover(path)
