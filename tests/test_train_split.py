"""What train divides and writes down before it trains: folds, the choice of raters, and both again when a run goes on."""
import dataclasses
import os
import shutil

import nibabel as nib
import numpy as np
import pytest

from synergynet_tf import train
from synergynet_tf.config import Config, DataConfig
from synergynet_tf.data import identity, splits
from synergynet_tf.errors import InputError
from synergynet_tf.storage import locks
from synergynet_tf.workflows import fitting
from tests.cohort import write_tiny_cohort


def names(split):
    return [[case.name for case in part] for part in (split.train, split.validation, split.test)]


def test_each_fold_tests_other_patients(tiny_cohort, tmp_path):
    tested = []
    for fold in range(3):
        config, run = Config(data=DataConfig(path=str(tiny_cohort), folds=3, fold=fold)), tmp_path / str(fold)
        run.mkdir()
        split = fitting.divide(config, run, resume=False)
        assert [len(part) for part in names(split)] == [3, 1, 2]
        assert names(fitting.divide(config, run, resume=True)) == names(split)
        tested += names(split)[2]
    assert sorted(tested) == [f"P{patient}_1" for patient in range(6)]


def test_a_run_that_goes_on_keeps_its_reference(tiny_cohort, tmp_path):
    second = tmp_path / "second.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((40, 44, 36), np.uint8), np.eye(4)), second)
    table = [line.split(",") for line in tiny_cohort.read_text().splitlines()]
    rows = [["patient", "session", "flair", "lesions", "lesions2"]]
    rows += [[*row[:2], *(str(tiny_cohort.parent / row[column]) for column in (2, 4)), str(second)] for row in table[1:]]
    (tmp_path / "two.csv").write_text("\n".join(map(",".join, rows)) + "\n")
    for raters, cases in (("second", 6), ("union", 6), ("both", 12)):
        config, run = Config(data=DataConfig(path=str(tmp_path / "two.csv"), raters=raters)), tmp_path / raters
        run.mkdir()
        split = fitting.divide(config, run, resume=False)
        again = fitting.divide(config, run, resume=True)
        assert sum(map(len, names(split))) == cases
        for part in ("train", "validation", "test"):
            for case, read in zip(getattr(split, part), getattr(again, part), strict=True):
                assert dataclasses.replace(case, split=part) == read


@pytest.fixture
def begun(tmp_path):
    """A cohort of its own, a run on it, and its configuration."""
    manifest, run = write_tiny_cohort(tmp_path / "cohort", 5), tmp_path / "run"
    run.mkdir()
    config = Config(data=DataConfig(path=str(manifest), cache=str(tmp_path / "cache")))
    fitting.divide(config, run, resume=False)
    return manifest, run, config


def edit(table, old, new):
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new))


def part_of(run, part):
    """The first case of a part of the run's split."""
    return getattr(splits.load(run / "manifest.csv"), part)[0]


def test_a_run_goes_on_with_the_data_that_it_began_with(begun):
    _, run, config = begun
    before = (run / "manifest.csv").read_bytes(), (run / identity.FILE).read_bytes()
    assert names(fitting.divide(config, run, resume=True)) == names(fitting.divide(config, run, resume=False))
    assert before == ((run / "manifest.csv").read_bytes(), (run / identity.FILE).read_bytes())


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("file", ["flair", "lesions"])
def test_a_file_replaced_between_is_named(begun, part, file):
    """By one with an older time too: what lies there counts."""
    _, run, config = begun
    case, other = part_of(run, part), part_of(run, "test")
    paths = [found.lesions if file == "lesions" else found.images[file] for found in (case, other)]
    shutil.copy(paths[1], paths[0])
    os.utime(paths[0], (10 ** 9, 10 ** 9))
    with pytest.raises(InputError, match=f"the data changed since the run began: {case.name}: {file} has another content"):
        fitting.divide(config, run, resume=True)


def test_a_scan_that_no_network_has_seen_may_be_mended(begun):
    _, run, config = begun
    shutil.copy(part_of(run, "train").images["t2"], part_of(run, "test").images["flair"])
    fitting.divide(config, run, resume=True)


def test_cases_that_join_leave_or_move_are_named(begun):
    manifest, run, config = begun
    whole = manifest.read_text()
    for change, said in ((lambda: edit(manifest, "P3,1,", "P3,2,"), "P3_2 is new; P3_1 is gone"),
                         (lambda: manifest.write_text("".join(whole.splitlines(True)[:-1])), "P4_1 is gone"),
                         (lambda: manifest.write_text(whole + whole.splitlines()[1].replace("P0,1", "P9,1")), "P9_1 is new")):
        change()
        with pytest.raises(InputError, match=f"{run}: the data changed since the run began: {said}"):
            fitting.divide(config, run, resume=True)
        manifest.write_text(whole)
    own, moved = run / "manifest.csv", part_of(run, "test")
    edit(own, ",test", ",train")
    with pytest.raises(InputError, match=f"{moved.name}: split is train, but was test"):
        fitting.divide(config, run, resume=True)


def test_a_case_moved_in_the_data_s_own_manifest_is_named(begun, tmp_path):
    manifest, _, config = begun
    rows = manifest.read_text().splitlines()
    parts = ("train", "train", "validation", "test", "test")
    manifest.write_text("\n".join([rows[0], *(row + part for row, part in zip(rows[1:], parts))]))
    run = tmp_path / "other"
    run.mkdir()
    fitting.divide(config, run, resume=False)
    edit(manifest, "P3_lesions.nii.gz,test", "P3_lesions.nii.gz,train")
    with pytest.raises(InputError, match="P3_1: split is train, but was test"):
        fitting.divide(config, run, resume=True)


def test_a_run_from_before_is_recorded_and_one_whose_source_is_gone_goes_on(begun, caplog):
    manifest, run, config = begun
    (run / identity.FILE).unlink()
    first = fitting.divide(config, run, resume=True)
    assert "was begun before runs kept a record of their data; what is there now is recorded" in caplog.text
    manifest.unlink()
    assert names(fitting.divide(config, run, resume=True)) == names(first)
    assert len(caplog.records) == 1


def test_a_finished_run_of_other_data_is_not_taken_for_ours(begun):
    _, run, config = begun
    (run / fitting.PICTURE).touch()
    fitting.train_run(config, run, None)
    shutil.copy(part_of(run, "test").lesions, part_of(run, "train").lesions)
    with pytest.raises(InputError, match="has another content"):
        fitting.train_run(config, run, None)


def test_one_scan_in_two_parts_is_refused_before_anything_is_written(begun, tmp_path):
    manifest, run, config = begun
    shutil.copy(part_of(run, "test").images["flair"], part_of(run, "train").images["flair"])
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(InputError, match="their FLAIR scans are the same, voxel by voxel"):
        fitting.divide(config, other, resume=False)
    assert not list(other.iterdir())


def test_two_trainings_in_one_folder_are_refused(begun, settings, capsys, monkeypatch):
    _, run, config = begun
    with locks.held(run, ""):
        assert train.main(["--run", str(run), "--config", str(settings)]) == 2
        said = f"error: {run}: another command works there (process {os.getpid()} on "
        assert said in capsys.readouterr().err
        (run / "last.npz").touch()
        monkeypatch.setattr("synergynet_tf.workflows.network_fit.configuration_of", lambda _: config)
        assert train.main(["--run", str(run), "--resume"]) == 2
        shown = capsys.readouterr().err
        assert said in shown and "or name another folder with --run" in shown
        with pytest.raises(InputError, match="another command works there"):
            fitting.train_run(config, run, None)
    assert train.main(["--run", str(run), "--config", str(settings)]) == 2
    assert "holds a run already; add --resume" in capsys.readouterr().err
