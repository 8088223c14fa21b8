"""Two raters' masks of one scan: which becomes the reference, through manifest, cache and evaluation."""
import dataclasses

import nibabel as nib
import numpy as np
import pytest

from synergynet_tf.config import Config, DataConfig
from synergynet_tf.data import cache, layouts, nifti, preprocess, splits
from synergynet_tf.errors import InputError
from synergynet_tf.metrics.scores import score_case
from synergynet_tf.workflows import scoring
from synergynet_tf.workflows.pairs import find_pairs

SHAPE = (12, 14, 10)
BRAIN = np.linalg.norm((np.indices(SHAPE).T - (5.5, 6.5, 4.5)) / (5, 6, 4), axis=-1).T <= 1


def store(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array.astype(np.uint8 if array.dtype == bool else np.float32), np.eye(4)), path)
    return path


@pytest.fixture
def masks():
    """The two raters' masks, alike in part."""
    first, second = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    first[4:7, 5:8, 4] = second[5:9, 6:9, 4] = second[3, 4, 5] = True
    return first, second


@pytest.fixture
def challenge(tmp_path, masks):
    """Three patients of the ISBI 2015 challenge, one scan each."""
    for patient in ("training01", "training02", "training03"):
        folder = tmp_path / "isbi" / patient
        store(folder / "preprocessed" / f"{patient}_01_flair_pp.nii",
              np.where(BRAIN, np.random.default_rng(3).normal(100, 5, SHAPE), 0))
        for rater, mask in enumerate(masks, start=1):
            store(folder / "masks" / f"{patient}_01_mask{rater}.nii", mask)
    return tmp_path / "isbi"


def reference(case):
    """The whole reference mask [X, Y, Z] of a case as it is loaded."""
    loaded = preprocess.load_case(case, ("flair",))
    whole = np.zeros(SHAPE, bool)
    whole[tuple(slice(low, high) for low, high in zip(loaded.box[:3], loaded.box[3:]))] = loaded.lesions
    return whole


@pytest.mark.parametrize("raters, expected", [
    ("first", lambda a, b: a), ("second", lambda a, b: b), ("union", np.logical_or), ("intersection", np.logical_and)])
def test_a_choice_of_raters_is_the_same_from_folder_to_scores(challenge, masks, tmp_path, raters, expected):
    cases = layouts.discover(challenge, require_lesions=True, raters=raters)
    assert [case.name for case in cases] == ["training01_01", "training02_01", "training03_01"]
    wanted = expected(*masks)
    np.testing.assert_array_equal(reference(cases[0]), wanted)

    splits.save(splits.split_cases(cases, (0.6, 0.2, 0.2), 0), tmp_path / "manifest.csv")
    again = layouts.discover(tmp_path / "manifest.csv", require_lesions=True)
    for case, read in zip(cases, again):
        assert dataclasses.replace(read, split=None, images=case.images) == case
    assert ("combine" in (tmp_path / "manifest.csv").read_text()) == (raters in layouts.COMBINATIONS)

    for case in cases:
        store(tmp_path / "out" / f"{case.name}_mask.nii.gz", masks[0])
    pairs = find_pairs(tmp_path / "manifest.csv", tmp_path / "out")
    found = scoring.score_pairs(pairs, workers=1)[0]
    again = score_case(wanted, masks[0], None, spacing=(1, 1, 1), case="training01_01", patient=pairs[0].patient)
    assert repr(found) == repr(again)       # nan is not itself


def test_both_gives_two_cases_of_one_patient(challenge, masks, tmp_path):
    cases = layouts.discover(challenge, raters="both", require_lesions=True)
    assert [case.name for case in cases][:2] == ["training01_01_r1", "training01_01_r2"]
    assert {case.patient for case in cases[:2]} == {"training01"}
    for case, mask in zip(cases, masks):
        np.testing.assert_array_equal(reference(case), mask)
    split = splits.split_cases(cases, (0.6, 0.2, 0.2), 0)
    assert [len(part) for part in (split.train, split.validation, split.test)] == [2, 2, 2]
    splits.save(split, tmp_path / "manifest.csv")
    assert [case.name for case in layouts.discover(tmp_path / "manifest.csv")] == [case.name for case in cases]


def test_each_choice_is_cached_by_itself(challenge, masks, tmp_path):
    config = Config(data=DataConfig(cache=str(tmp_path / "cache")))
    voxels = {}
    for raters in ("first", "second", "union", "intersection"):
        cached, *_ = cache.build_cache(layouts.discover(challenge, raters=raters), config, workers=1)
        voxels[raters] = int(cached.table.voxels.sum())
    both = int((masks[0] & masks[1]).sum())
    assert voxels == {"first": int(masks[0].sum()), "second": int(masks[1].sum()), "intersection": both,
                      "union": int(masks[0].sum() + masks[1].sum()) - both}
    store(challenge / "training01" / "masks" / "training01_01_mask2.nii", masks[0])
    changed, *_ = cache.build_cache(layouts.discover(challenge, raters="union"), config, workers=1)
    assert changed.table.voxels.sum() == masks[0].sum()


@pytest.mark.parametrize("absent, raters, fragment", [
    (2, "second", "only the first rater's mask"), (2, "union", "set data.raters to first"), (2, "both", "mask1.nii"),
    (1, "first", "only the second rater's mask"), (1, "intersection", "set data.raters to second")])
def test_a_mask_that_is_asked_for_must_be_there(challenge, absent, raters, fragment):
    (challenge / "training01" / "masks" / f"training01_01_mask{absent}.nii").unlink()
    with pytest.raises(InputError, match=f"case training01_01: .*{fragment}"):
        layouts.discover(challenge, raters=raters)


@pytest.mark.parametrize("row", ["A,f.nii,a.nii,b.nii,mean", "A,f.nii,a.nii,,union", "A,f.nii,,b.nii,union"])
def test_a_manifest_that_combines_nothing_is_refused(tmp_path, row):
    for name in "fab":
        (tmp_path / f"{name}.nii").touch()
    (tmp_path / "manifest.csv").write_text(f"patient,flair,lesions,lesions2,combine\n{row}\n")
    with pytest.raises(InputError, match="line 2: combine is '(mean|union)'.*but union and intersection combine two: correct it"):
        layouts.discover(tmp_path)


def test_scans_without_masks_need_no_choice(challenge):
    for mask in challenge.rglob("*mask*.nii"):
        mask.unlink()
    cases = layouts.discover(challenge, raters="both")
    assert [case.lesions for case in cases] == [None] * 3
    with pytest.raises(InputError, match="data.raters is 'either', but it must be one of first, second"):
        layouts.discover(challenge, raters="either")


def test_two_masks_on_two_grids_are_refused(challenge):
    store(challenge / "training02" / "masks" / "training02_01_mask2.nii", np.zeros((12, 14, 9), bool))
    case = layouts.discover(challenge, raters="union")[1]
    with pytest.raises(InputError, match=r"mask2\.nii: the grid is 12 x 14 x 9"):
        preprocess.load_case(case, ("flair",))
    with pytest.raises(ValueError, match="union or intersection"):
        nifti.read_reference(case.lesions, case.lesions)
