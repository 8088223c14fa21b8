"""`predict --resume`: what is done is known by the content of scan, network, reference and results."""
import os

import nibabel as nib
import numpy as np
import pytest

from synergynet_tf.workflows import segmenting
from tests.test_predict import call, names, run, write_scan  # noqa: F401 - run is a fixture


@pytest.fixture
def segmented(run, tmp_path, capsys):        # noqa: F811
    """Two scans with their pictures, segmented; the same call again, which gives the names that it segments."""
    scans = [write_scan(tmp_path / f"{name}.nii.gz", seed=seed) for seed, name in enumerate("ab")]
    out = tmp_path / "out"

    def again(*arguments, status=0):
        assert call(run, out, "--resume", "--picture", *scans, *arguments) == status
        return [line.split(":")[0] for line in capsys.readouterr().out.splitlines() if " lesion" in line and line[0] != " "]

    assert again() == ["a", "b"]
    return scans, out, again


def test_what_is_done_is_known_by_content(run, segmented):        # noqa: F811
    """A scan that was replaced by one with an older time, and one that was only touched."""
    scans, out, again = segmented
    assert again() == []
    before = (out / "a_probability.nii.gz").read_bytes()
    scans[1].touch()
    write_scan(scans[0], seed=9)
    os.utime(scans[0], (10 ** 9, 10 ** 9))
    assert again() == ["a"]
    assert (out / "a_probability.nii.gz").read_bytes() != before
    (run[0] / "best.npz").write_bytes(b"other weights")
    assert again() == ["a", "b"]
    assert again("--gamma", "0.1") == ["a", "b"]


@pytest.mark.parametrize("name", ["a_mask.nii.gz", "a_probability.nii.gz", "a_lesions.json", "a.png"])
def test_a_damaged_result_is_not_taken_for_done(segmented, name):
    _, out, again = segmented
    whole = (out / name).read_bytes()
    middle = len(whole) // 2
    wrong = 1 if whole[middle] == 0 else 0      # in a JSON file neither stands: another letter could be somebody's edit
    for damaged in (whole[:middle], whole[:middle] + bytes([wrong]) + whole[middle + 1:]):
        (out / name).write_bytes(damaged)
        assert again() == ["a"]
        assert (out / name).read_bytes() == whole
    assert again() == []


def test_a_picture_of_another_reference_is_drawn_again(run, tmp_path, capsys):        # noqa: F811
    write_scan(tmp_path / "data" / "P1" / "flair.nii.gz", tmp_path / "data" / "P1" / "lesions.nii.gz")
    (tmp_path / "m.csv").write_text("patient,flair,lesions\nP1,data/P1/flair.nii.gz,data/P1/lesions.nii.gz\n")
    given = ("--resume", "--picture", tmp_path / "m.csv")
    assert call(run, tmp_path / "out", *given) == 0
    assert "lesion" in capsys.readouterr().out
    assert call(run, tmp_path / "out", *given) == 0 and call(run, tmp_path / "out", "--resume", tmp_path / "m.csv") == 0
    assert capsys.readouterr().out == ""
    nib.save(nib.Nifti1Image(np.zeros((18, 20, 16), np.uint8), np.diag([-1.0, 1, 1, 1])), tmp_path / "data/P1/lesions.nii.gz")
    assert call(run, tmp_path / "out", *given) == 0
    assert "P1: " in capsys.readouterr().out


def test_a_call_that_was_stopped_ends_with_the_same_tables(run, tmp_path, monkeypatch):        # noqa: F811
    """Byte for byte, with two scans of seven broken."""
    scans = [write_scan(tmp_path / f"{name}.nii.gz", seed=seed) for seed, name in enumerate("abcdefg")]
    scans[1].write_bytes(b"no scan")
    scans[4].write_bytes(scans[4].read_bytes()[:200])
    assert call(run, tmp_path / "whole", *scans) == 2
    whole, done = segmenting.segment_read, []

    def stopped(*given):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(given)
        return whole(*given)

    monkeypatch.setattr(segmenting, "segment_read", stopped)
    assert call(run, tmp_path / "again", *scans) == 130 and len(done) == 3
    monkeypatch.setattr(segmenting, "segment_read", whole)
    assert call(run, tmp_path / "again", *scans, "--resume") == 2
    for table in ("cases.csv", "lesions.csv"):
        assert (tmp_path / "whole" / table).read_bytes() == (tmp_path / "again" / table).read_bytes()
    assert (tmp_path / "whole" / "cases.csv").read_text().count("\n") == 6
