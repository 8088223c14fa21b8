"""What train divides and writes down before it trains: folds, the choice of raters, and both again when a run goes on."""
import dataclasses

import nibabel as nib
import numpy as np

from synergynet_tf import train
from synergynet_tf.config import Config, DataConfig


def names(split):
    return [[case.name for case in part] for part in (split.train, split.validation, split.test)]


def test_each_fold_tests_other_patients(tiny_cohort, tmp_path):
    tested = []
    for fold in range(3):
        config, run = Config(data=DataConfig(path=str(tiny_cohort), folds=3, fold=fold)), tmp_path / str(fold)
        run.mkdir()
        split = train.divide(config, run, resume=False)
        assert [len(part) for part in names(split)] == [3, 1, 2]
        assert names(train.divide(config, run, resume=True)) == names(split)
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
        split = train.divide(config, run, resume=False)
        again = train.divide(config, run, resume=True)
        assert sum(map(len, names(split))) == cases
        for part in ("train", "validation", "test"):
            for case, read in zip(getattr(split, part), getattr(again, part), strict=True):
                assert dataclasses.replace(case, split=part) == read
