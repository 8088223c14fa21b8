"""Cohorts as their publishers name the files: found alone and by name, prepared, and refused where something is amiss."""
import json
import os

import nibabel as nib
import numpy as np
import pytest

from synergynet_tf import prepare
from synergynet_tf.data import layouts
from synergynet_tf.errors import InputError

SHAPE = (12, 14, 10)
AFFINE = np.diag([-1.0, 1.0, 1.0, 1.0])
MASK_NAMES = ("mask", "consensus", "lesions", "labels")

# Of each layout: its files, the cases (patient, session, whether there is a mask), and the channels of the first.
TREES = {
    "isbi2015": (
        [f"{part}/{name}/preprocessed/{name}_{session}_{scan}_pp.nii{gz}"
         for part, name, session, gz in (("training", "training01", "01", ""), ("training", "training01", "02", ".gz"),
                                         ("test", "test03", "01", ""))
         for scan in ("flair", "t2", "pd", "mprage")]
        + [f"training/training01/masks/training01_{session}_mask{rater}.nii" for session in ("01", "02") for rater in (1, 2)],
        [("test03", "01", False), ("training01", "01", True), ("training01", "02", True)], {"flair", "t2", "pd", "t1"}),
    "msseg2016": (
        [f"{patient}/Preprocessed_Data/{scan}_preprocessed.nii.gz" for scan in ("FLAIR", "T2", "T1", "DP", "GADO")
         for patient in ("Training/Center_01/Patient_01", "Training/Center_07/Patient_01", "Testing/Center_01/Patient_01")]
        + [f"Training/Center_01/Patient_01/{name}.nii.gz" for name in ("Raw_Data/FLAIR", "Masks/ManualSegmentation_1")]
        + [f"{patient}/Masks/Consensus.nii.gz" for patient in ("Training/Center_01/Patient_01", "Training/Center_07/Patient_01")],
        [("Testing_Center_01_Patient_01", "", False), ("Training_Center_01_Patient_01", "", True),
         ("Training_Center_07_Patient_01", "", True)], {"flair", "t2", "t1", "pd", "t1gd"}),
    "mslesseg": (
        [f"train/P1/T{session}/P1_T{session}_{scan}.nii.gz" for session in (1, 2) for scan in ("FLAIR", "T1", "T2", "MASK")]
        + [f"test/P54/P54_{scan}.nii.gz" for scan in ("FLAIR", "T1", "T2", "MASK")],
        [("P1", "T1", True), ("P1", "T2", True), ("P54", "", True)], {"flair", "t1", "t2"}),
    "open_ms": (
        ["patient01/FLAIR.nii.gz", "patient01/T1W.nii.gz", "patient01/T1WKS.nii.gz", "patient01/T2W.nii.gz",
         "patient01/consensus_gt.nii.gz", "patient02/patient02_FLAIR.nii.gz", "patient02/patient02_T2W.nii.gz",
         "patient02/patient02_consensus_gt.nii.gz", "patient02/patient02_brainmask.nii.gz"],
        [("patient01", "", True), ("patient02", "", True)], {"flair", "t1", "t1gd", "t2"}),
    "nnunet": (
        [f"imagesTr/{name}_{channel}.nii.gz" for name in ("MS_001", "P7_T1", "P7_T2") for channel in ("0000", "0001")]
        + [f"labelsTr/{name}.nii.gz" for name in ("MS_001", "P7_T1", "P7_T2")] + ["imagesTs/MS_009_0000.nii.gz"],
        [("MS_001", "", True), ("P7", "T1", True), ("P7", "T2", True)], {"flair", "t2"}),
    "bids": (
        [f"sub-01/ses-{session}/anat/sub-01_ses-{session}_{scan}.nii.gz" for session in ("a", "b") for scan in ("FLAIR", "T2w")]
        + ["sub-02/anat/sub-02_FLAIR.nii.gz", "sub-02/anat/sub-02_T2w.nii.gz",
           "derivatives/manual/sub-01/ses-a/anat/sub-01_ses-a_space-orig_label-lesion_mask.nii.gz",
           "derivatives/bet/sub-01/ses-a/anat/sub-01_ses-a_desc-brain_mask.nii.gz",
           "derivatives/manual/sub-02/anat/sub-02_mask.nii.gz"],
        [("sub-01", "ses-a", True), ("sub-01", "ses-b", False), ("sub-02", "", True)], {"flair", "t2"}),
}


def write(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    inside = np.linalg.norm((np.indices(SHAPE).T - (5.5, 6.5, 4.5)) / (5, 6, 4), axis=-1).T <= 1
    rng = np.random.default_rng(seed)
    if any(word in path.as_posix().split("cohort/")[-1].lower() for word in MASK_NAMES):
        array = (inside & (rng.random(SHAPE) < 0.1)).astype(np.uint8)
    else:
        array = np.where(inside, rng.normal(100, 9, SHAPE), 0).astype(np.float32)
    nib.save(nib.Nifti1Image(array, AFFINE), path)
    return path


def plant(folder, layout):
    """The tree of a layout."""
    for seed, name in enumerate(TREES[layout][0]):
        write(folder / name, seed)
    if layout == "nnunet":
        (folder / "dataset.json").write_text(json.dumps({"channel_names": {"0": "FLAIR", "1": "T2"}, "file_ending": ".nii.gz"}))
    return folder


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
    ("nnunet", dataset("{"), ["dataset.json", "names no channels"]),
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
    for name in ("manifest", *TREES, "case"):
        assert f"{name}: " in text
