"""The experiment command: its choices, its budgets, and one whole experiment on the tiny cohort, stopped and gone on with."""
import csv
import dataclasses
import functools
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest
from rich.console import Console

from synergynet_tf import experiment, train
from synergynet_tf.config import Config, command_line
from synergynet_tf.data import layouts
from synergynet_tf.errors import InputError
from synergynet_tf.experiment import chosen_systems, external_systems
from synergynet_tf.inference.predictor import Predictor
from synergynet_tf.training import checkpoint
from synergynet_tf.training.history import LOG, read_log
from synergynet_tf.workflows import fold
from synergynet_tf.workflows.comparing import find_results, make_folds
from tests.cohort import TINY
from tests.damage import damaged, mangled

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize("given, systems", [
    ("synergynet,unet", ["unet", "synergynet"]), (" lpa ,", ["lpa"]),
    ("ensemble,mask_rcnn,unet", ["unet", "mask_rcnn", "ensemble"])])
def test_systems_stand_in_the_order_of_the_paper_s_tables(given, systems):
    assert chosen_systems(given) == systems


@pytest.mark.parametrize("given, message", [("unet,vnet", "must be of"), ("", "must be of"),
                                            ("ensemble,unet", "the ensemble is of unet and mask_rcnn")])
def test_systems_that_cannot_be_compared(given, message):
    with pytest.raises(InputError, match=message):
        chosen_systems(given)


@pytest.mark.parametrize("given", ["LST", "LST=", "=x", "unet=.", "unet_seed1=.", "a/b=.", "..=.", "LST=absent"])
def test_other_tools_folders_that_cannot_be_used(given):
    with pytest.raises(InputError, match="--predictions is"):
        external_systems([given])


def prepared(tiny_cohort, folder, epochs):
    """Settings in a file; another tool's masks, those of the reference, so that its scores are known; the arguments."""
    values = TINY | {"data": {"path": str(tiny_cohort), "cache": str(folder / "cache")}}
    command_line.save(Config.from_dict(values | {"train": TINY["train"] | {"epochs": epochs}}), folder / "tiny.yaml")
    (folder / "tool").mkdir()
    for case in layouts.discover(tiny_cohort):
        nib.save(nib.load(case.lesions), folder / "tool" / f"{case.name}.nii.gz")
    return ["--config", str(folder / "tiny.yaml"), "--out", str(folder / "out"), "--predictions", f"tool={folder / 'tool'}"]


@pytest.fixture(scope="module")
def arguments(tiny_cohort, tmp_path_factory):
    """Without SynergyNet, whose trainings other tests pay for, and with one stage of each baseline."""
    given = prepared(tiny_cohort, tmp_path_factory.mktemp("experiment"), [0, 0, 1, 1])
    return [*given, "--systems", "unet,mask_rcnn,ensemble,lpa"]


class Stopped(BaseException):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def out(arguments, tmp_path_factory):
    """A finished experiment that was stopped after the first mask of the U-Net."""
    from synergynet_tf.inference import outputs

    folder, write = pathlib.Path(arguments[3]), outputs.write_case

    def write_one(*given):
        write(*given)
        raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outputs, "write_case", write_one)
        with pytest.raises(Stopped):
            experiment.main(arguments)
    begun = {path: path.stat().st_mtime_ns for path in folder.glob("fold0/unet/**/*.npz")}
    assert len(begun) == 2 and not (folder / "results.md").exists()
    assert experiment.main(arguments) == 0
    assert begun == {path: path.stat().st_mtime_ns for path in begun}       # what was trained is not trained again
    return folder


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_tables_figures_and_scores_of_every_system(out):
    names = ["unet", "mask_rcnn", "ensemble", "lpa", "tool"]
    rows = read(out / "tables" / "table.csv")
    assert [row["System"] for row in rows] == names
    assert all(0 < float(row["Time, s"]) < 60 and .1 < float(row["Memory, GB"]) < 20 for row in rows[1:-1])
    for row in (rows[0], rows[-1]):     # its one case was stopped before its time was noted; of another tool, which says nothing
        assert row["Time, s"] == row["Memory, GB"] == ""
    assert [rows[-1][name] for name in ("DSC", "LTPR", "LFPR", "Sn")] == ["1.0", "1.0", "0.0", "1.0"]
    assert float(rows[-2]["DSC"]) > .8       # the phantoms' lesions are bright: regression on brightness must find them
    stems = {path.stem for path in (out / "tables").iterdir()}
    assert stems == {"table", "statistics", "tests", "change", "strata", "sizes", "cohort"}
    assert len(list((out / "tables").iterdir())) == 3 * len(stems)
    figures = {path.name for path in (out / "figures").iterdir()}
    assert figures == {f"{name}.png" for name in ("dice_by_load", "slices", "precision_recall", "rate_by_size", "learning")}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in (out / "figures").iterdir())
    page = (out / "results.md").read_text(encoding="utf-8")
    assert all(f"figures/{name}" in page for name in figures) and "inferred" in page
    assert {path.stem for path in (out / "report/cases").glob("*.html")} == {case["patient"] + "_1" for case in rows_of(out)}
    assert (out / "report/index.html").is_file()
    for name in names:
        assert len(json.loads((out / "scores" / name / "scores.json").read_text())["cases"]) == len(rows_of(out))


def rows_of(out):
    return [row for row in read(out / "fold0" / "manifest.csv") if row["split"] == "test"]


def results(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.nii.gz")}


@pytest.mark.slow
@pytest.mark.parametrize("system, record", [("unet", "lesions"), ("lpa", "lpa")])
def test_what_is_damaged_or_of_another_network_is_made_again(out, tmp_path, system, record):
    own, = make_folds(Config.from_dict(TINY | {"data": {"path": str(out / "fold0/manifest.csv"),
                                                        "cache": str(out.parent / "cache")}}), tmp_path)
    own = own._replace(folder=tmp_path / "fold0")
    shutil.copytree(out / "fold0" / system, own.folder / system)
    folder, console = own.folder / system / "predictions", Console(quiet=True)
    again = functools.partial(fold._run_lpa, own, folder.parent) if system == "lpa" else functools.partial(
        fold._segment, system, own, folder)
    before, (case, *_) = results(folder), own.split.test
    again(console)                                          # in a copy: nothing is another
    assert results(folder) == before
    stamps = [path.stat().st_mtime_ns for path in folder.glob("*_mask.nii.gz")]
    probability = folder / f"{case.name}_probability.nii.gz"
    probability.write_bytes(probability.read_bytes()[:200])
    again(console)
    assert results(folder) == before
    about = folder / f"{case.name}_{record}.json"
    about.write_bytes(about.read_bytes().replace(b'"flair"', b'"other"'))
    again(console)
    assert json.loads(about.read_text())["inputs"].keys() == {"flair"}
    assert len(stamps) == len(own.split.test)


@pytest.mark.slow
def test_a_regression_of_other_cases_is_fitted_again(out, tmp_path):
    own, = make_folds(Config.from_dict(TINY | {"data": {"path": str(out / "fold0/manifest.csv"),
                                                        "cache": str(out.parent / "cache")}}), tmp_path)
    shutil.copytree(out / "fold0" / "lpa", tmp_path / "lpa")
    stamp = (tmp_path / "lpa/lpa.npz").stat().st_mtime_ns
    known = (tmp_path / "lpa/lpa.npz").read_bytes()
    fold._fitted(own, tmp_path / "lpa")
    assert (tmp_path / "lpa/lpa.npz").stat().st_mtime_ns == stamp
    (tmp_path / "lpa/lpa.npz").write_bytes(known[:-100])
    assert fold._fitted(own, tmp_path / "lpa").threshold > 0
    fewer = own._replace(split=dataclasses.replace(own.split, train=own.split.train[1:]))
    fold._fitted(fewer, tmp_path / "lpa")
    assert (tmp_path / "lpa/lpa.npz").read_bytes() != known


@pytest.mark.slow
def test_the_ensemble_is_eq_1_of_the_two_trained_models(out, tmp_path):
    own, = make_folds(Config.from_dict(TINY | {"data": {"path": str(out / "fold0/manifest.csv")}}), tmp_path)
    own = own._replace(folder=out / "fold0")
    parts = {name: Predictor(*checkpoint.load_run(out / "fold0" / name / "run")) for name in ("unet", "mask_rcnn")}
    found = Predictor(fold._network("ensemble", own), fold._job("ensemble", own, out).config)
    image = parts["unet"].load(own.split.test[0]).image
    unet, local, fused = (predictor.predict_volume(image).parts[0].merged for predictor in (*parts.values(), found))
    np.testing.assert_allclose(fused.global_logits, unet.global_logits, atol=1e-5)
    np.testing.assert_array_equal(fused.covered, local.covered)
    np.testing.assert_allclose(fused.local_logits, local.local_logits, atol=1e-5)
    assert found.config.fusion.gamma == 0.3


@pytest.mark.parametrize("system, stages", [("unet", [4]), ("mask_rcnn", [3])])
def test_a_baseline_s_run_scores_whole_scans_in_its_last_stage_and_picks_its_best(out, system, stages):
    run = out / "fold0" / system / "run"
    ends = [record for record in read_log(run / LOG) if "validation" in record]
    assert [record["stage"] for record in ends] == stages
    assert {"loss", "dsc"} <= set(ends[-1]["validation"])
    saved = checkpoint.load(run / "best.npz")
    assert saved.config.train.system == system
    wanted = -ends[-1]["validation"]["loss"] if system == "unet" else ends[-1]["validation"]["dsc"]     # its lowest loss
    assert saved.progress.best == pytest.approx(wanted)


def test_resuming_a_finished_baseline_changes_nothing(out):
    run = out / "fold0/unet/run"
    before = checkpoint.load(run / "last.npz").arrays
    assert train.main(["--run", str(run), "--resume"]) == 0
    after = checkpoint.load(run / "last.npz").arrays
    assert all((before[name] == after[name]).all() for name in before)


@pytest.mark.slow
def test_again_changes_nothing_and_trains_nothing(out, arguments, monkeypatch):
    before = {path: path.read_bytes() for path in out.glob("tables/*")}
    monkeypatch.setattr("synergynet_tf.workflows.fitting.train", lambda *_: pytest.fail("trained again"))
    assert experiment.main(arguments) == 0
    assert before == {path: path.read_bytes() for path in out.glob("tables/*")}


@pytest.mark.slow
def test_another_experiment_in_the_same_folder_is_refused(out, arguments, capsys):
    assert experiment.main([*arguments, "--train.learning_rate", "0.5"]) == 2
    assert "was begun with train.learning_rate 0.001, not 0.5" in capsys.readouterr().err
    assert experiment.main([*arguments, "--budget", "equal"]) == 2
    assert "was begun with --budget paper" in capsys.readouterr().err


@pytest.mark.slow
def test_a_tool_that_lacks_a_case_is_named(out, arguments, tmp_path, capsys):
    assert experiment.main([*arguments[:4], "--predictions", f"tool={tmp_path}", *arguments[6:]]) == 2
    assert f"{tmp_path} has no prediction for" in capsys.readouterr().err


@pytest.mark.parametrize(("wrong", "message"), [
    (["--overlap", "2"], "--overlap.*not a number, 0 to 1"), (["--overlap", "nan"], "--overlap"),
    (["--min_lesion", "-1"], "--min_lesion"),
    (["--folds", "1"], "--folds.*2 to 1000"), (["--folds", "7"], "7"), (["--systems", "vnet"], "must be of"),
    (["--data.split", "[0.8,0.2,0]"], "no test case"), (["--predictions", "tool={folder}"], "has no prediction for"),
    (["--predictions", "tool={other}"], "grid"), (["--out", "{file}"], "a file lies there"), (["--out", ""], "--out")])
def test_what_is_refused_is_refused_before_the_work_and_blocks_nothing(tiny_cohort, tmp_path, monkeypatch, capsys, wrong,
                                                                          message):
    folder, other, trained = tmp_path / "folder", tmp_path / "other", []
    for path in (folder, other):
        path.mkdir()
    (tmp_path / "file").touch()
    for case in layouts.discover(tiny_cohort):
        nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.uint8), np.eye(4)), other / f"{case.name}.nii.gz")
    monkeypatch.setattr("synergynet_tf.workflows.fold.run_system", lambda system, *_: trained.append(system))
    monkeypatch.setattr("synergynet_tf.workflows.comparing.report", lambda *_: None)
    given = ["--data", str(tiny_cohort), "--systems", "lpa", "--out", str(tmp_path / "out")]
    wrong = [word.format(folder=folder, other=other, file=tmp_path / "file") for word in wrong]
    assert experiment.main([*given, *wrong]) == 2
    told = capsys.readouterr().err
    assert re.search(message, told) and told.count("\n") == 1 and trained == []
    assert experiment.main([*given, "--data.split_seed", "3"]) == 0 and trained == ["lpa"]


def test_a_record_of_an_experiment_that_is_damaged_is_named(tiny_cohort, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("synergynet_tf.workflows.fold.run_system", lambda *_: None)
    monkeypatch.setattr("synergynet_tf.workflows.comparing.report", lambda *_: None)
    given = ["--data", str(tiny_cohort), "--systems", "lpa", "--out", str(tmp_path / "out")]
    assert experiment.main(given) == 0
    path, refused = tmp_path / "out" / "experiment.json", 0
    value = json.loads(path.read_text())
    for content in [*damaged(path.read_bytes(), 15), *(json.dumps(v).encode() for v in mangled(value, 15))]:
        path.write_bytes(content)
        status, told = experiment.main(given), capsys.readouterr().err
        refused += status == 2
        assert status in (0, 2) and told.count("\n") == (status == 2)
        assert status == 0 or str(tmp_path / "out") in told
    assert refused > 15


def test_results_are_those_of_all_folds_in_one_order(tiny_cohort, tmp_path):
    folds = make_folds(Config.from_dict({"data": {"path": str(tiny_cohort), "folds": 2}}), tmp_path)
    for case in layouts.discover(tiny_cohort):
        nib.save(nib.load(case.lesions), tmp_path / f"{case.name}.nii.gz")
    pairs = find_results(folds, [], {"tool": tmp_path})["tool"]
    assert [pair.case for pair in pairs] == [case.name for own in folds for case in own.split.test]


@pytest.mark.slow
def test_killed_in_the_middle_and_begun_again_it_ends_with_the_same_tables(tiny_cohort, tmp_path):
    """SIGKILL after an epoch of a training and between two segmentations; beside it one that was left alone."""
    tables = []
    for name, kills in (("whole", ()), ("killed", ("fold0/unet/run/last.npz", "fold0/unet/predictions/*_lesions.json"))):
        (tmp_path / name).mkdir()
        given = [*prepared(tiny_cohort, tmp_path / name, [0, 0, 0, 3]), "--systems", "unet,lpa", "--data.split", "[0.4,0.2,0.4]"]
        out = tmp_path / name / "out"
        for sign in kills:
            process = subprocess.Popen([sys.executable, "-m", "synergynet_tf.experiment", *given], cwd=ROOT,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while not list(out.glob(sign)):
                assert process.poll() is None, f"ended before {sign}"
                time.sleep(0.05)
            process.send_signal(signal.SIGKILL)
            process.wait()
            assert not (out / "results.md").exists()
        assert experiment.main(given) == 0
        tables.append({path.name: path.read_bytes() for path in (out / "tables").iterdir() if path.stem != "table"})
        tables[-1]["table"] = [[row[name] for name in ("System", "DSC", "LTPR")] for row in read(out / "tables/table.csv")]
    assert tables[0] == tables[1] and tables[0]["table"][1][0] == "lpa"
