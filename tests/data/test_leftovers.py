"""Nothing of a data set is passed over without a word: it is taken, or named in one line; and nothing unused stops a set."""
import os
import unicodedata

import pytest

from synergynet_tf.data import layouts
from synergynet_tf.errors import InputError


def make(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def said(caplog):
    """The one line that was logged, or nothing."""
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    assert len(lines) <= 1 and "\n" not in "".join(lines)
    return "".join(lines)


def names(cases):
    return [case.name for case in cases]


def link(path, target):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


PLAIN = {   # layout: a sound case's FLAIR, its folder, what the case is called
    "case": ("anna/flair.nii.gz", "anna"), "open_ms": ("set/patient01/flair.nii.gz", "patient01"),
    "mslesseg": ("set/P1_T1/flair.nii.gz", "P1_T1"), "folders": ("set/Anna-1/flair.nii.gz", "Anna-1"),
    "bids": ("set/sub-MS_01/anat/sub-MS_01_FLAIR.nii.gz", "sub-MS_01"),
    "msseg2016": ("set/Center_01/Patient_01/Preprocessed_Data/FLAIR_preprocessed.nii.gz", "Center_01_Patient_01"),
    "isbi2015": ("set/training01/preprocessed/training01_01_flair_pp.nii.gz", "training01_01"),
    "nnunet": ("set/imagesTr/MS_001_0000.nii.gz", "MS_001")}


@pytest.fixture(params=PLAIN)
def sound(request, tmp_path):
    """A data set of one case: its folder, the FLAIR, the case's name."""
    flair, name = PLAIN[request.param]
    make(tmp_path, flair)
    if request.param == "nnunet":
        (tmp_path / "set/dataset.json").write_text('{"channel_names": {"0": "FLAIR", "1": "T1"}}')
    return tmp_path / flair.split("/")[0], tmp_path / flair, name


def test_a_sound_set_says_nothing(sound, caplog):
    folder, flair, name = sound
    make(folder, "README", "participants.tsv", ".DS_Store", "Thumbs.db", "dataset_description.json")
    assert names(layouts.discover(folder)) == [name]
    assert said(caplog) == ""


def test_what_systems_and_editors_leave_is_no_scan_and_is_named(sound, caplog):
    folder, flair, name = sound
    make(flair.parent, f"._{flair.name}", f"{flair.name}.part", f"{flair.name}~", f".{flair.name}.swp")
    case, = layouts.discover(folder)
    assert (case.name, case.images["flair"].name) == (name, flair.name)
    line = said(caplog)
    assert line.startswith(f"{folder}: 4 files were not taken: 4 hidden or unfinished (") and f"._{flair.name}" in line


def test_two_files_of_one_name_are_refused_with_both(sound):
    folder, flair, name = sound
    for other in (flair.name.removesuffix(".gz"), flair.name.upper()):
        make(flair.parent, other)
        with pytest.raises(InputError, match=f"case {name}: 2 files could be flair") as caught:
            layouts.discover(folder)
        assert flair.name in str(caught.value) and other in str(caught.value)
        (flair.parent / other).unlink()


def test_a_name_in_capitals_is_taken(sound):
    folder, flair, name = sound
    flair.rename(flair.with_name(flair.name.upper()))
    case, = layouts.discover(folder)
    assert case.name.lower() == name.lower() and case.images["flair"].name == flair.name.upper()


def test_what_is_unused_stops_nothing(sound, caplog):
    folder, flair, name = sound
    other = {"_FLAIR": "_T1w", "flair": "t1", "FLAIR": "T1", "_0000": "_0001"}
    old, new = next(pair for pair in other.items() if pair[0] in flair.name)
    t1 = flair.name.replace(old, new).replace("t1_pp", "mprage_pp")
    make(flair.parent, t1, t1.removesuffix(".gz"))
    case, = layouts.discover(folder)
    assert (case.name, set(case.images)) == (name, {"flair"})
    assert "2 files were not taken: 2 rivals for one channel" in said(caplog)
    with pytest.raises(InputError, match="2 files could be t1"):
        layouts.discover(folder, channels=("flair", "t1"))
    for path in flair.parent.glob(t1.removesuffix(".gz") + "*"):
        path.unlink()
    link(flair.parent / t1, "../.git/annex/objects/gone")
    assert names(layouts.discover(folder)) == [name]
    with pytest.raises(InputError, match="the t1 file .* is a link to ../.git/annex/objects/gone, .*git annex get"):
        layouts.discover(folder, channels=("flair", "t1"))


def test_folders_of_a_set_are_cases_or_named(sound, caplog):
    folder, flair, name = sound
    if folder.name == "anna":
        return
    make(folder, "mystery one/scan.nii.gz", "mystery one/other.nii.gz", "pilot.mgz")
    (folder / "sub-09x").mkdir()
    link(folder / "loop", folder)
    assert names(layouts.discover(folder)) == [name]
    line = said(caplog)
    assert "3 files were not taken: 2 without a FLAIR beside them (mystery one: 2), 1 of another format (pilot.mgz)" in line
    assert "; without any scan: sub-09x" in line


def test_results_of_predict_are_no_channels(tmp_path, caplog):
    make(tmp_path / "anna", "flair.nii.gz", "anna_mask.nii.gz", "anna_probability.nii.gz", "anna_mask_native.nii.gz")
    case, = layouts.discover(tmp_path / "anna")
    assert set(case.images) == {"flair"}
    assert "3 files were not taken: 3 masks or maps (anna_mask.nii.gz, anna_mask_native.nii.gz, anna_pro" in said(caplog)


def test_a_bids_set_as_they_come(tmp_path, caplog):
    """A session without FLAIR, T1w with and without contrast agent, an acquisition that is not meant, labels of all kinds."""
    make(tmp_path, "sub-01_a/ses-1/anat/sub-01_a_ses-1_FLAIR.nii.gz", "sub-01_a/ses-1/anat/sub-01_a_ses-1_T1w.nii.gz",
         "sub-01_a/ses-1/anat/sub-01_a_ses-1_ce-gadolinium_T1w.nii.gz", "sub-01_a/ses-2/anat/sub-01_a_ses-2_T1w.nii.gz",
         "sub-MS-01/anat/sub-MS-01_FLAIR.nii.gz", "sub-MS-01/anat/sub-MS-01_run-1_T2w.nii.gz",
         "sub-MS-01/anat/sub-MS-01_run-2_T2w.nii.gz", "derivatives/manual/sub-MS-01/anat/sub-MS-01_label-lesion_mask.nii.gz")
    first, second = layouts.discover(tmp_path)
    assert (first.name, set(first.images)) == ("sub-01_a_ses-1", {"flair", "t1", "t1gd"})
    assert (second.name, set(second.images)) == ("sub-MS-01", {"flair"}) and second.lesions is not None
    line = said(caplog)
    assert "2 rivals for one channel" in line and "1 without a FLAIR beside them (sub-01_a/ses-2)" in line


def test_all_cases_that_a_training_cannot_use_are_named_at_once(tmp_path):
    make(tmp_path, *(f"patient0{i}/flair.nii.gz" for i in range(1, 7)), *(f"patient0{i}/lesions.nii.gz" for i in (1, 2)),
         "patient02/lesions.nii", "patient03/flair.nii")
    with pytest.raises(InputError) as caught:
        layouts.discover(tmp_path, require_lesions=True)
    assert "5 of 6 cases cannot be used (patient03, patient02, patient04, patient05, patient06)" in str(caught.value)
    assert "the first: case patient03: 2 files could be flair" in str(caught.value)
    good, wrong = layouts.usable(layouts.find(tmp_path), ("flair",), raters=None)
    assert names(good) == ["patient01", "patient02", "patient04", "patient05", "patient06"]
    assert [fault.case.name for fault in wrong] == ["patient03"]


@pytest.mark.parametrize("first, second", [("P1", "p1"), [unicodedata.normalize(form, "ré") for form in ("NFC", "NFD")]])
def test_names_that_are_one_on_other_disks_are_refused(tmp_path, first, second):
    make(tmp_path, f"{first}/flair.nii.gz", f"{second}/flair.nii.gz")
    with pytest.raises(InputError, match="are the same to disks that"):
        layouts.discover(tmp_path)
    assert names(layouts.discover(tmp_path / second)) == [second]


@pytest.mark.parametrize("name", ["a b", "a'b", "[red]x", "x\ny", "\U0001f9e0", "$x_1$"])
def test_names_that_cannot_name_files_are_errors_of_their_cases(tmp_path, name):
    make(tmp_path, f"{name}/flair.nii.gz", "sound/flair.nii.gz")
    good, wrong = layouts.usable(layouts.find(tmp_path), ("flair",))
    assert names(good) == ["sound"] and "cannot name a file" in wrong[0].message and "\n" not in wrong[0].message


def test_columns_of_a_manifest_are_channels_or_named(tmp_path, caplog):
    make(tmp_path, "a.nii", "a1.nii.gz", "m.nii")
    (tmp_path / "m.csv").write_text(",patient,flair,Age,swi,T2,sex,notes\n0,A,a.nii,34,a1.nii.gz,n/a,f,\n1,B,a.nii,n/a,,NaN,m,\n")
    a, b = layouts.discover(tmp_path / "m.csv")
    assert set(a.images) == {"flair", "swi"} and set(b.images) == {"flair"}
    assert said(caplog).endswith("m.csv: columns without NIfTI files are ignored: number 1, age, sex")
    (tmp_path / "m.csv").write_text("patient,flair,mask\nA,a.nii,m.nii\n")
    with pytest.raises(InputError, match="no lesion mask, but one is needed here; is mask the reference[?] then call it lesions"):
        layouts.discover(tmp_path / "m.csv", require_lesions=True)
    assert "the column mask is read as a channel; if it holds the reference masks, call it lesions" in said(caplog)


def test_scans_beside_a_manifest_are_named_where_its_folder_was_given(tmp_path, caplog):
    make(tmp_path, "a.nii", "forgotten.nii.gz")
    (tmp_path / "manifest.csv").write_text("patient,flair\nA,a.nii\n")
    assert names(layouts.discover(tmp_path / "manifest.csv")) == ["A"] and said(caplog) == ""
    assert names(layouts.discover(tmp_path)) == ["A"]
    assert said(caplog) == f"{tmp_path}: 1 file was not taken: 1 of names that no case has (forgotten.nii.gz)"


def test_files_whose_names_are_no_text_can_be_named_in_a_manifest(tmp_path):
    flair = os.path.join(os.fsencode(tmp_path), b"caf\xe9.nii")
    with open(flair, "wb"):
        pass
    (tmp_path / "m.csv").write_bytes(b"patient,flair\nA,caf\xe9.nii\n")
    case, = layouts.discover(tmp_path / "m.csv")
    assert os.fsencode(case.images["flair"]) == flair
    (tmp_path / "m.csv").write_bytes(b"patient,flair\nA,th\xe9.nii\n")
    with pytest.raises(InputError, match=r"line 2: .*th\\udce9.nii is not UTF-8; save the table as CSV UTF-8"):
        layouts.discover(tmp_path / "m.csv")


@pytest.mark.parametrize("there, words", [
    ([], "the folder is empty"), (["a.nii.gz", "b.nii"], "2 NIfTI files lie side by side (a.nii.gz, b.nii): `predict` takes"),
    (["x/scan.nii.gz", "README"], "there are README, x;"), ([f"{'long' * 50}{i}/x.txt" for i in range(9)], "and 6 more")])
def test_a_wrong_path_is_told_what_lies_there_and_what_to_type(tmp_path, there, words):
    folder = make(tmp_path, *there)
    with pytest.raises(InputError) as caught:
        layouts.discover(folder)
    message = str(caught.value).removeprefix(str(folder))
    assert words in message and "manifest" in message and len(message) <= 300
    for layout in layouts.describe().split("; "):
        with pytest.raises(InputError) as caught:
            layouts.discover(folder, layout.split(":")[0])
        assert len(str(caught.value).removeprefix(str(folder))) <= 300
