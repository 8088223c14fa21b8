"""`predict` takes raw scans among prepared ones: each is seen for what it is, and prepared before it is segmented."""
import csv
import dataclasses
import json
import shutil
from concurrent.futures.process import BrokenProcessPool

import nibabel as nib
import numpy as np
import pytest

from synergynet_tf.data.layouts import Case
from synergynet_tf.errors import InputError
from synergynet_tf.workflows import raw_inputs
from tests.data.raw import head
from tests.test_predict import call, run, write_scan  # noqa: F401 - run is a fixture

pytest.importorskip("SimpleITK")
LUMP = (slice(50, 58), slice(20, 24), slice(40, 48))


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A head with its skull on, on slices of 4 mm, with a bright lump in its brain."""
    grid = head.slices()
    array = head.view("flair", grid)
    array[LUMP] = 400
    return head.save(tmp_path_factory.mktemp("raw") / "head.nii.gz", array, grid)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Results whose preparation the tests share: it takes half a minute."""
    return tmp_path_factory.mktemp("results")


def test_a_raw_scan_among_others_is_prepared_and_segmented(run, raw, folder, tmp_path, capsys):        # noqa: F811
    other = write_scan(tmp_path / "other.nii.gz")
    assert call(run, folder, raw, other) == 0
    shown = capsys.readouterr().out
    assert "head: a raw scan, prepared in" in shown and shown.index("other:") < shown.index("head:")
    assert (folder / "prepared" / "head" / "qc.png").is_file()
    native, given = nib.load(folder / "head_mask_native.nii.gz"), nib.load(raw)
    assert native.shape == given.shape and np.allclose(native.affine, given.affine)
    mask = np.asarray(native.dataobj)
    assert mask[LUMP].mean() > 0.5 and mask.sum() < 4 * mask[LUMP].sum()
    with open(folder / "cases.csv", encoding="utf-8", newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["head", "other"]
    ml = mask.sum() * abs(np.linalg.det(given.affine)) / 1000       # of the raw scan, whose head is smaller than the template
    assert float(rows["head"]["volume_ml"]) == pytest.approx(ml, rel=0.3)
    prepared = json.loads((folder / "head_lesions.json").read_text())
    assert float(rows["head"]["brain_ml"]) == pytest.approx(prepared["brain_ml"] * 0.92 ** 3, rel=0.05)


def test_the_same_call_again_finds_all_done(run, raw, folder, capsys):        # noqa: F811
    before = (folder / "cases.csv").read_bytes()
    assert call(run, folder, raw, "--resume") == 0
    assert "lesion" not in capsys.readouterr().out
    assert (folder / "cases.csv").read_bytes() == before


def test_what_it_is_may_be_said(run, raw, folder, tmp_path, capsys):        # noqa: F811
    assert call(run, tmp_path / "out", raw, "--as", "prepared") == 2
    assert "the voxels are 4 x 2 x 2 mm" in capsys.readouterr().err
    shutil.copytree(folder / "prepared", tmp_path / "said" / "prepared")        # finished steps are taken from there
    assert call(run, tmp_path / "said", raw, "--as", "raw") == 0
    assert np.array_equal(*(np.asarray(nib.load(out / "head_mask.nii.gz").dataobj) for out in (folder, tmp_path / "said")))


def test_a_raw_scan_that_cannot_be_prepared_is_named_and_the_others_are_segmented(run, raw, tmp_path, capsys):    # noqa: F811
    other, place = write_scan(tmp_path / "other.nii.gz"), tmp_path / "out" / raw_inputs.FOLDER / "head"
    place.mkdir(parents=True)
    (place / "flair.nii.gz").write_bytes(b"of another hand")
    assert call(run, tmp_path / "out", raw, other) == 2
    shown = capsys.readouterr().err
    assert "was not written by this program" in shown and "with --out" in shown and "1 of 2 inputs" in shown
    assert (place / "flair.nii.gz").read_bytes() == b"of another hand"
    assert (tmp_path / "out" / "other_mask.nii.gz").is_file() and not (tmp_path / "out" / "head_mask.nii.gz").exists()


class Ended:
    """Processes that were ended from outside."""

    def submit(self, call):
        raise BrokenProcessPool


def test_what_a_process_was_ended_at_is_done_here(raw, folder, tmp_path, capsys):
    shutil.copytree(folder / "prepared", tmp_path / "prepared")        # finished steps are taken from there
    preparer = raw_inputs.Preparer(Ended(), ["flair"], tmp_path / "prepared")
    good, absent = (Case(name, name, "", {"flair": file, "t1": file}, None, None) for name, file in
                    (("head", raw), ("absent", tmp_path / "absent.nii.gz")))
    for case in (good, absent):
        preparer.begin(case)
    with pytest.raises(InputError, match=r"absent\.nii\.gz"):
        preparer.result(absent)
    made = preparer.result(dataclasses.replace(good, images={"flair": raw}))
    assert made.images == {"flair": tmp_path / "prepared" / "head" / "flair.nii.gz"} and made.name == "head"
    assert list(preparer.finish()) == [] and "head: a raw scan, prepared in" in capsys.readouterr().out
