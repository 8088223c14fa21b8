"""Which files score which case: names, splits, layouts. No file is opened for it."""
import pathlib

import pytest

from synergynet_tf.errors import InputError
from synergynet_tf.pairs import find_pairs


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
