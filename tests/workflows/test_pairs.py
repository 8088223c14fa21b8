"""Which files score which case: names, splits, layouts. No file is opened for it."""
import pathlib

import pytest

from synergynet_tf.data.layouts import Case
from synergynet_tf.errors import InputError
from synergynet_tf.workflows.pairs import find_pairs, pairs_of_sources


@pytest.fixture
def folders(tmp_path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Masks of cases a and b, and their predictions."""
    for name in "ab":
        for file in (tmp_path / f"reference/{name}.nii.gz", tmp_path / f"prediction/{name}_mask.nii.gz"):
            file.parent.mkdir(exist_ok=True)
            file.touch()
    return tmp_path / "reference", tmp_path / "prediction"


def manifest(folder: pathlib.Path, *rows: str, head: str = "patient,session,flair,t2,lesions,split") -> pathlib.Path:
    path = folder / "manifest.csv"
    path.write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return path


def test_manifest_names_and_split(folders):
    path = manifest(folders[0].parent, "a,1,x.nii,,reference/a.nii.gz,train", "b,,x.nii,,reference/b.nii.gz,test")
    (folders[1] / "a_mask.nii.gz").rename(folders[1] / "a_1_mask.nii.gz")
    assert [pair.case for pair in find_pairs(path, folders[1])] == ["a_1", "b"]
    only, = find_pairs(path, folders[1], "test")
    assert find_pairs(path.parent, folders[1], "test") == [only]        # the folder stands for its manifest.csv
    assert only.case == "b" and only.reference.samefile(folders[0] / "b.nii.gz")


def test_our_masks_go_before_plain_ones(folders):
    (folders[1] / "a.nii.gz").touch()
    assert find_pairs(*folders)[0].prediction.name == "a_mask.nii.gz"


def test_a_tool_has_all_cases_of_a_source_or_none(folders):
    cases = [Case(name, name, "", {}, folders[0] / f"{name}.nii.gz", "test", source=source)
             for name, source in (("a", "near"), ("b", "near"), ("c", "far"), ("d", "far"))]
    assert [(pair.case, pair.source) for pair in pairs_of_sources(cases, folders[1])] == [("a", "near"), ("b", "near")]
    (folders[1] / "c_probability.nii.gz").touch()
    with pytest.raises(InputError, match="has no prediction for 1 of 4 cases: d;"):
        pairs_of_sources(cases, folders[1])
    with pytest.raises(InputError, match="has no prediction for 4 of 4 cases: a, b, c, d;"):
        pairs_of_sources(cases, folders[0].parent)


@pytest.mark.parametrize("rows, head, split, parts", [
    (["a,f,reference/a.nii.gz,train"], "patient,flair,lesions,split", "test", ["'test'", "nothing to score"]),
    (["a,f,reference/a.nii.gz"], "patient,flair,lesions", "test", ["'test'", "nothing to score"]),
    (["a,f,", "b,f,reference/b.nii.gz"], "patient,flair,lesions", None, ["for a:"]),
    (["a,f"], "patient,flair", None, ["for a:"]),
    (["a,f,gone.nii.gz"], "patient,flair,lesions", None, ["gone.nii.gz"]),
    (["a,f,reference/a.nii.gz", "a,g,reference/b.nii.gz"], "patient,flair,lesions", None, ["named a"]),
    (["a"], "subject", None, ["subject", "patient"]),
])
def test_manifests_that_cannot_be_used(folders, rows, head, split, parts):
    path = manifest(folders[0].parent, *rows, head=head)
    with pytest.raises(InputError) as caught:
        find_pairs(path, folders[1], split)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_split_is_for_manifests(folders):
    with pytest.raises(InputError, match="--split is 'test'"):
        find_pairs(*folders, "test")


def test_two_files_that_could_be_one_are_refused_with_both(folders):
    for folder, name in ((folders[1], "a_mask"), (folders[1], "b_probability"), (folders[0], "a")):
        (folder / f"{name}.nii.gz").touch()
        for other in (f"{name}.nii", f"{name}.NII.GZ"):
            (folder / other).touch()
            with pytest.raises(InputError) as caught:
                find_pairs(*folders)
            assert other in str(caught.value) and f"{name}.nii.gz" in str(caught.value)
            (folder / other).unlink()
    case = folders[0].parent / "cases" / "a"
    case.mkdir(parents=True)
    for name in ("lesions.nii", "lesions.nii.gz"):
        (case / name).touch()
    with pytest.raises(InputError, match=r"2 files could be lesions .*lesions.nii, .*lesions.nii.gz"):
        find_pairs(case.parent, folders[1])


def test_what_belongs_to_no_case_is_named(folders, caplog):
    for name in ("._a_mask.nii.gz", "a_mask_native.nii.gz", "c_mask.nii.gz", "d.nii", "notes.txt", "a.nii.gz"):
        (folders[1] / name).touch()
    (folders[0] / "._b.nii.gz").touch()
    assert [pair.case for pair in find_pairs(*folders)] == ["a", "b"]
    reference, predictions = (record.getMessage() for record in caplog.records)
    assert reference == f"{folders[0]}: 1 file was not taken: 1 hidden or unfinished (._b.nii.gz)"
    assert predictions == f"{folders[1]}: 2 files belong to no case of the reference: c_mask.nii.gz, d.nii"


def test_predictions_of_other_splits_are_no_strangers(folders, caplog):
    path = manifest(folders[0].parent, "a,,x.nii,,,train", "b,,x.nii,,reference/b.nii.gz,test")
    assert [pair.case for pair in find_pairs(path, folders[1], "test")] == ["b"]
    assert not caplog.records


def test_case_folders_without_a_mask_are_named(folders, caplog):
    for name in ("a/lesions.nii.gz", "b/flair.nii.gz"):
        (folders[0].parent / "cases" / name).parent.mkdir(parents=True)
        (folders[0].parent / "cases" / name).touch()
    assert [pair.case for pair in find_pairs(folders[0].parent / "cases", folders[1])] == ["a"]
    assert "cases: 1 folder without lesions.nii.gz: b" in caplog.text and "1 file belong" in caplog.text
