import csv
import os
import subprocess
import sys
import time

import nibabel
import numpy as np
import pytest

from synergynet_tf import phantoms
from synergynet_tf.config import PhantomConfig
from synergynet_tf.data.phantom import AFFINE, GRID, Session, cohort, generate_cohort, lesion_map
from synergynet_tf.errors import InputError


@pytest.fixture
def quick(monkeypatch):
    """Sessions of nothing but random numbers, in place of patients."""

    def made(seed, index, sessions, anatomy=None, variety="narrow", shapes=None):
        rng = np.random.default_rng([seed, index])
        scan = np.zeros(GRID, np.float32)
        scan[80:90, 80:90, 80:90] = rng.integers(1, 100, (10, 10, 10))
        return [Session(scan + n, scan, (scan > 50).astype(np.uint8), AFFINE) for n in range(sessions)]

    monkeypatch.setattr(cohort, "make_patient", made)


def test_a_cohort_is_written_as_its_manifest_says(tmp_path, quick):
    finished = []
    path = generate_cohort(tmp_path / "a" / "b", PhantomConfig(patients=4, sessions=3, seed=1), 1, finished.append)
    rows = list(csv.DictReader(path.open(newline="")))
    assert path == tmp_path / "a" / "b" / "manifest.csv"
    assert list(rows[0]) == ["patient", "session", "flair", "t2", "lesions", "split"]
    assert {row["patient"] for row in rows} == {"P001", "P002", "P003", "P004"}
    assert sum(finished) == len(rows)
    assert len(finished) == 4
    assert all(row["split"] == "" and row["flair"] == f"{row['patient']}_{row['session']}/flair.nii.gz" for row in rows)
    for row in rows:
        image = nibabel.load(path.parent / row["flair"])
        assert (image.shape, image.get_data_dtype()) == (GRID, np.int16)
        np.testing.assert_array_equal(image.affine, AFFINE)
        assert nibabel.aff2axcodes(image.affine) == ("L", "A", "S")
        assert nibabel.load(path.parent / row["lesions"]).get_data_dtype() == np.uint8
    assert not list(path.parent.rglob("*.tmp"))


def test_sessions_vary_from_one_to_the_most():
    counts = cohort.session_counts(PhantomConfig(patients=60, sessions=3, seed=5))
    assert set(counts) == {1, 2, 3}
    assert counts[:10] == cohort.session_counts(PhantomConfig(patients=10, sessions=3, seed=5))


def test_files_of_one_seed_are_identical(tmp_path, quick):
    config = PhantomConfig(patients=1, seed=2)
    one, other = (generate_cohort(tmp_path / name, config, 1).parent for name in ("one", "other"))
    os.utime(one / "P001_T1" / "t2.nii.gz", (0, 0))
    for name in ("flair", "t2", "lesions"):
        file = f"P001_T1/{name}.nii.gz"
        assert (one / file).read_bytes() == (other / file).read_bytes()


def test_two_processes_write_what_the_command_promises(tmp_path, capsys):
    assert phantoms.main(["--out", str(tmp_path / "cohort"), "--patients", "2", "--seed", "4", "--workers", "2"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "cohort" / "manifest.csv")
    brains = []
    for patient in ("P001", "P002"):
        folder = tmp_path / "cohort" / f"{patient}_T1"
        flair, lesions = (np.asarray(nibabel.load(folder / f"{name}.nii.gz").dataobj) for name in ("flair", "lesions"))
        assert (flair[lesions > 0] > 0).all()
        brains.append(int((flair != 0).sum()))
    assert brains[0] != brains[1]
    np.testing.assert_array_equal(lesions, lesion_map(4, 1))       # a process of its own makes the same patient


def test_a_folder_that_is_not_empty_is_refused(tmp_path, capsys):
    (tmp_path / "scan.nii").touch()
    assert phantoms.main(["--out", str(tmp_path), "--patients", "1"]) == 2
    assert "not empty" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["scan.nii"]


def test_a_file_in_the_folders_place_is_refused(tmp_path, capsys):
    (tmp_path / "out").touch()
    assert phantoms.main(["--out", str(tmp_path / "out")]) == 2
    assert "cannot be used as a folder" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    def deny(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.touch", deny)
    with pytest.raises(InputError, match="not writable"):
        generate_cohort(tmp_path / "out", PhantomConfig(patients=1), 1)


@pytest.mark.parametrize("arguments, word", [
    (["--patients", "0"], "--patients"), (["--sessions", "0"], "--sessions"), (["--workers", "0"], "--workers"),
    (["--seed", "-1"], "--seed"), (["--anatomy", "nowhere"], "nowhere"),
    (["--shapes", "a.npz"], "phantoms.variety is narrow"), (["--variety", "wide", "--shapes", "nowhere.npz"], "nowhere.npz")])
def test_settings_that_cannot_be_are_refused(tmp_path, capsys, arguments, word):
    assert phantoms.main(["--out", str(tmp_path / "out"), *arguments]) == 2
    error = capsys.readouterr().err
    assert word in error
    assert "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_label_maps_without_a_brain_are_refused(tmp_path, capsys):
    (tmp_path / "maps").mkdir()
    nibabel.save(nibabel.Nifti1Image(np.ones((8, 8, 8), np.uint8), np.eye(4)), tmp_path / "maps" / "a.nii.gz")
    assert phantoms.main(["--out", str(tmp_path / "out"), "--anatomy", str(tmp_path / "maps"), "--workers", "1"]) == 2
    assert "lacks one of the labels" in capsys.readouterr().err


def test_help_answers_at_once():
    start = time.perf_counter()
    call = [sys.executable, "-X", "importtime", "-m", "synergynet_tf.phantoms", "--help"]
    shown = subprocess.run(call, capture_output=True, text=True)
    assert shown.returncode == 0
    assert "--anatomy" in shown.stdout
    assert not any(name in shown.stderr for name in ("numpy", "scipy", "nibabel", "tensorflow"))
    assert time.perf_counter() - start < 10      # generous: shared machines; what is imported is the test
