"""Cohorts as their publishers name the files: found alone and by name, prepared, and refused where something is amiss."""
import os

import pytest

from synergynet_tf import prepare
from synergynet_tf.data import layouts
from synergynet_tf.errors import InputError
from tests.trees import TREES, plant, write


@pytest.mark.parametrize("layout", TREES)
def test_a_tree_is_found_alone_and_by_name(tmp_path, layout):
    tree = plant(tmp_path / "cohort", layout)
    _, expected, channels = TREES[layout]
    cases = layouts.discover(tree, channels=("flair",))
    assert [(case.patient, case.session, case.lesions is not None) for case in cases] == expected
    assert set(cases[0].images) == channels
    assert layouts.discover(tree, layout) == cases
    assert all(case.split is None and case.lesions2 is None for case in cases)
    for other in set(TREES) - {layout}:
        with pytest.raises(InputError, match=f"no case in the layout {other}"):
            layouts.discover(tree, other)


@pytest.mark.parametrize("layout", TREES)
def test_a_tree_is_prepared(tmp_path, layout, capfd):
    tree = plant(tmp_path / "cohort", layout)
    assert prepare.main(["--data.path", str(tree), "--data.cache", str(tmp_path / "cache"), "--data.channels", "[flair,t2]",
                         "--lesions.max_lesions", "300", "--workers", "1"]) == 0
    shown = capfd.readouterr().out
    assert f"{len(TREES[layout][1])} cases are prepared" in shown


@pytest.mark.parametrize("layout, below, expected", [
    ("isbi2015", "training", ["training01_01", "training01_02"]), ("msseg2016", "Training/Center_01", ["Patient_01"]),
    ("msseg2016", "Training", ["Center_01_Patient_01", "Center_07_Patient_01"]),
    ("msseg2016", "Testing/Center_01/Patient_01", ["Patient_01"]), ("mslesseg", "train", ["P1_T1", "P1_T2"]),
    ("nnunet", "imagesTs", ["MS_009"]),
])
def test_a_part_of_a_tree_may_be_named(tmp_path, layout, below, expected):
    cases = layouts.discover(plant(tmp_path / "cohort", layout) / below)
    assert [case.name for case in cases] == expected


def test_the_right_files_are_taken(tmp_path):
    root = plant(tmp_path / "cohort", "msseg2016")
    case, = layouts.discover(root / "Training" / "Center_01")
    patient = root / "Training" / "Center_01" / "Patient_01"
    assert case.images["flair"] == patient / "Preprocessed_Data" / "FLAIR_preprocessed.nii.gz"
    assert case.lesions == patient / "Masks" / "Consensus.nii.gz"
    raw = tmp_path / "raw"
    for name in ("3DFLAIR", "3DT1", "T2", "Consensus"):
        write(raw / "Patient_02" / f"{name}.nii.gz")
    case, = layouts.discover(raw)
    assert set(case.images) == {"flair", "t1", "t2"} and case.lesions.name == "Consensus.nii.gz"
    for path in (root / "Training" / "Center_01").rglob("Preprocessed_Data/*"):
        path.unlink()
    case, = layouts.discover(root / "Training" / "Center_01")
    assert case.images == {"flair": patient / "Raw_Data" / "FLAIR.nii.gz"}
    bids = layouts.discover(plant(tmp_path / "bids" / "cohort", "bids"))[0]
    assert bids.lesions.name == "sub-01_ses-a_space-orig_label-lesion_mask.nii.gz"


def second_run(tree):
    write(tree / "sub-02/anat/sub-02_run-2_FLAIR.nii.gz")


def second_mask(tree):
    write(tree / "derivatives/other/sub-02/anat/sub-02_mask.nii.gz")


def without(name):
    def remove(tree):
        (tree / name).unlink()
    return remove


def dataset(text):
    def replace(tree):
        (tree / "dataset.json").write_text(text)
    return replace


def empty(tree):
    for path in tree.rglob("*.nii*"):
        path.unlink()


@pytest.mark.parametrize("layout, damage, fragments", [
    ("bids", second_run, ["sub-02: 2 files could be flair", "sub-02_FLAIR.nii.gz", "sub-02_run-2_FLAIR.nii.gz", "manifest"]),
    ("bids", second_mask, ["sub-02: 2 files could be lesions", "derivatives/manual", "derivatives/other", "keep one"]),
    ("nnunet", dataset('{"channel_names": {"0": "T1", "1": "T2"}}'), ["dataset.json", "t1, t2, but flair is needed"]),
    ("nnunet", dataset("{}"), ["dataset.json", "names no channels", "channel_names"]),
    ("nnunet", dataset("{"), ["dataset.json", "not a readable table"]),
    ("nnunet", dataset('{"channel_names": ["FLAIR"]}'), ["dataset.json", "names no channels"]),
    ("nnunet", without("imagesTr/P7_T2_0000.nii.gz"), ["case P7_T2: the channel flair is missing (in 1 of 3 cases)"]),
    ("isbi2015", without("test/test03/preprocessed/test03_01_flair_pp.nii"), ["case test03_01: the channel flair is missing"]),
    ("mslesseg", without("test/P54/P54_FLAIR.nii.gz"), ["case P54: the channel flair is missing", "only t1, t2 is there"]),
    ("open_ms", without("patient01/FLAIR.nii.gz"), ["case patient01: the channel flair is missing"]),
    ("msseg2016", without("Testing/Center_01/Patient_01/Preprocessed_Data/FLAIR_preprocessed.nii.gz"),
     ["case Testing_Center_01_Patient_01: the channel flair is missing"]),
    *((layout, empty, ["no case found"]) for layout in TREES if layout != "open_ms"),
])
def test_a_tree_that_cannot_be_used_is_refused_in_one_line(tmp_path, layout, damage, fragments):
    tree = plant(tmp_path / "cohort", layout)
    damage(tree)
    with pytest.raises(InputError) as caught:
        layouts.discover(tree)
    assert "\n" not in str(caught.value)
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_manifest_goes_before_a_tree_that_cannot_be_used(tmp_path):
    tree = plant(tmp_path / "cohort", "bids")
    second_run(tree)
    (tree / "manifest.csv").write_text("patient,flair\nA,sub-02/anat/sub-02_FLAIR.nii.gz\n")
    assert [case.name for case in layouts.discover(tree)] == ["A"]


@pytest.mark.parametrize("layout, folder", [("isbi2015", "lost+found/training09"), ("msseg2016", "lost+found"),
                                            ("bids", "derivatives/lost+found/sub-02/anat")])
def test_what_may_not_be_read_is_passed_over(tmp_path, monkeypatch, layout, folder):
    tree, access = plant(tmp_path / "cohort", layout), os.access
    expected = layouts.discover(tree)
    for name in ("preprocessed/training09_01_flair_pp.nii", "FLAIR_preprocessed.nii.gz", "sub-02_mask.nii.gz"):
        write(tree / folder / name)
    monkeypatch.setattr(os, "access", lambda path, mode: path.name != "lost+found" and access(path, mode))
    assert layouts.discover(tree, layout) == expected


def test_version_1_of_nnunet_says_modality(tmp_path):
    tree = plant(tmp_path / "cohort", "nnunet")
    dataset('{"modality": {"0": "T2w", "1": "flair"}}')(tree)
    case = layouts.discover(tree, channels=("flair", "t2"))[0]
    assert case.images["flair"].name == "MS_001_0001.nii.gz"


def test_every_layout_describes_itself():
    text = layouts.describe()
    for name in ("manifest", *TREES, "case", "folders"):
        assert f"{name}: " in text
