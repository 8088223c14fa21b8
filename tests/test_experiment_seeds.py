"""The experiment command with several seeds: other trainings, whose scores a patient's mean is of."""
import dataclasses
import json

import numpy as np
import pytest

from synergynet_tf import experiment
from synergynet_tf.baselines import lpa
from synergynet_tf.config import Config
from synergynet_tf.workflows.comparing import make_folds
from tests.cohort import write_tiny_cohort
from tests.test_experiment import read


def test_each_seed_has_all_folds_with_the_same_patients(tiny_cohort, tmp_path):
    config = Config.from_dict({"data": {"path": str(tiny_cohort), "folds": 2}, "train": {"seed": 3}})
    folds = make_folds(config, tmp_path, seeds=2)
    assert [(own.folder.name, own.config.train.seed) for own in folds] == [
        ("fold0", 3), ("fold1", 3), ("fold0_seed4", 4), ("fold1_seed4", 4)]
    tested = [[case.name for case in own.split.test] for own in folds]
    assert tested[:2] == tested[2:] and tested[0] != tested[1]


def test_an_experiment_is_gone_on_with_by_another_seed(tmp_path, monkeypatch):
    """Of the system fitted here the seed draws voxels, too few of the tiny scans to see; so each seed is given a threshold."""
    fit = lpa.fit

    def with_threshold(cases, seed):
        return dataclasses.replace(fit(cases, seed), threshold=(0.3, 0.97)[seed])

    monkeypatch.setattr(lpa, "fit", with_threshold)
    manifest, out = write_tiny_cohort(tmp_path / "cohort", 6), tmp_path / "out"
    given = ["--data", str(manifest), "--out", str(out), "--systems", "lpa", "--data.cache", str(tmp_path / "cache")]
    assert experiment.main(given) == 0
    first, fitted = (out / "scores/lpa/scores.csv").read_bytes(), (out / "fold0/lpa/lpa.npz").stat().st_mtime_ns
    one_seed = (out / "tables/table.md").read_text()
    assert experiment.main([*given, "--seeds", "2"]) == 0
    assert (out / "fold0/lpa/lpa.npz").stat().st_mtime_ns == fitted and (out / "scores/lpa/scores.csv").read_bytes() == first
    cases = [json.loads((out / "scores" / name / "scores.json").read_text())["cases"] for name in ("lpa", "lpa_seed1")]
    assert [case["case"] for case in cases[0]] == [case["case"] for case in cases[1]]
    dice = np.array([[case["dsc"] for case in of_seed] for of_seed in cases])
    assert (dice[0] != dice[1]).any()
    row, = read(out / "tables/table.csv")
    assert float(row["DSC"]) == pytest.approx(dice.mean())
    assert {row["Patients"] for row in read(out / "tables/tests.csv")} <= {str(dice.shape[1])}
    page = (out / "results.md").read_text()
    assert "each system trained with the seeds 0, 1; figures and pages are of seed 0" in page
    assert page.count("Each scan counts 2 times") == 6 and "counts" not in one_seed
    assert experiment.main(given) == 0
    assert (out / "tables/table.md").read_text() == one_seed
