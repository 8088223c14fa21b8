"""The command: what it refuses, and a whole search on a tiny cohort whose best settings `train` can read."""
import dataclasses
import json
import socket
import subprocess
import sys

import numpy as np
import pytest

from synergynet_tf.config import command_line
from synergynet_tf.models.synergynet import build_synergynet
from synergynet_tf.training import checkpoint
from synergynet_tf.training.history import LOG, read_log
from tests.conftest import ROOT
from tuning import parallel, project, search
from tuning.objective import Weights
from tuning.space import Space


@pytest.fixture
def refused(settings, tmp_path, capsys):
    """Run the command with arguments that it refuses; its message. Nothing but the project folder may be made."""

    def run(*arguments):
        assert search.main(["--config", str(settings), "--project", str(tmp_path / "project"), *arguments]) == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1
        return error

    return run


@pytest.mark.parametrize("arguments, told", [
    (["--objective", "dice"], "--objective is 'dice', but the objectives are dsc, ltpr-lfpr, weighted"),
    (["--oracle", "grid"], "grid"),
    (["--max-trials", "0"], "--max-trials: '0' is not a whole number"),
    (["--silence", "0"], "--silence: '0' is not a number"),
    (["--space.gamma", "[0.5,0.2]"], "space.gamma is [0.5, 0.2]"),
    (["--train.system", "unet"], "a search is of synergynet"),
    (["--train.epochs", "[1,1,1,0]"], "a search trains stage 4"),
    (["--train.epochs", "[1,1,0,1]", "--warm-start"], "--warm-start begins where stage 3 ends"),
    (["--warm-start", "--space.anchor_sets", "[[7,9],[5,7]]"], "a network learns its anchors from stage 1 on"),
    (["--warm-start", "absent"], "no such checkpoint"),
    (["--data.split", "[0.8,0.0,0.2]"], "no case is left for validation"),
])
def test_what_cannot_be_searched_is_refused(refused, arguments, told):
    assert told in refused(*arguments)


def test_a_folder_of_another_search_is_refused_with_what_differs(refused, tmp_path, settings):
    config, _ = command_line.parse(["--config", str(settings)], "test")
    (tmp_path / "project").mkdir()
    project.claim(tmp_path / "project", {"space": Space(gamma=(0.1, 1.0)).asdict(), "oracle": "bayesian", "warm_start": None,
                                         "objective": {"name": "dsc", "weights": dataclasses.asdict(Weights())},
                                         "config": config.asdict()})
    before = (tmp_path / "project" / "search.json").read_bytes()
    own = ["--space.gamma", "[0.1,1.0]"]
    assert "holds a search with space.gamma [0.1, 1.0], but now it is [0.0, 1.0]" in refused()
    assert 'oracle "bayesian", but now it is "random"' in refused(*own, "--oracle", "random")
    assert 'objective.name "dsc", but now it is "weighted"' in refused(*own, "--objective", "weighted")
    assert "train.batch 1, but now it is 2" in refused(*own, "--train.batch", "2")
    assert {path.name for path in (tmp_path / "project").iterdir()} == {"search.json"}
    assert (tmp_path / "project" / "search.json").read_bytes() == before


def test_what_came_to_nothing_can_be_begun_otherwise(refused, tmp_path):
    assert "no case is left for validation" in refused("--data.split", "[0.8,0.0,0.2]")
    assert "no such checkpoint" in refused("--warm-start", "absent")    # not: holds another search


def test_a_port_in_use_is_refused(refused, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for name, value in ((parallel.NAME, "chief"), (parallel.ADDRESS, "127.0.0.1"), (parallel.PORT, port)):
            monkeypatch.setenv(name, value)
        assert f"127.0.0.1:{port}, but the chief cannot listen there" in refused()


@pytest.mark.parametrize("environment, role", [
    ({}, "alone"), ({"KERASTUNER_TUNER_ID": "x"}, "alone"),
    ({"KERASTUNER_TUNER_ID": "chief", "KERASTUNER_ORACLE_IP": "a", "KERASTUNER_ORACLE_PORT": "1"}, "chief"),
    ({"KERASTUNER_TUNER_ID": "worker3", "KERASTUNER_ORACLE_IP": "a", "KERASTUNER_ORACLE_PORT": "1"}, "worker"),
])
def test_roles(environment, role):
    assert parallel.process_role(environment) == role


def test_a_part_of_the_three_variables_is_refused():
    with pytest.raises(ValueError, match="KERASTUNER_ORACLE_IP is set, but KERASTUNER_ORACLE_PORT is not"):
        parallel.process_role({"KERASTUNER_TUNER_ID": "chief", "KERASTUNER_ORACLE_IP": "a"})


def test_help_imports_nothing_heavy():
    code = "import sys, tuning.search as s; s.main(['--help'])"
    shown = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert shown.returncode == 0
    assert "--space.gamma" in shown.stdout
    loaded = {line.split("|")[-1].strip() for line in shown.stderr.splitlines()}
    assert not loaded & {"tensorflow", "keras", "keras_tuner", "sklearn", "matplotlib", "nibabel"}


@pytest.mark.slow
def test_a_search_with_a_warm_start_and_what_train_reads_of_it(settings, tmp_path, capsys):
    folder = tmp_path / "project"
    trial = folder / "trial_0"
    arguments = ["--config", str(settings), "--project", str(folder), "--fusion.gamma", "0.4", "--max-trials", "1",
                 "--train.epochs", "[0,0,1,1]", "--warm-start"]
    assert search.main(arguments) == 0
    shared = checkpoint.load(folder / "shared" / "last.npz")
    assert (shared.progress.stage, shared.progress.epochs) == (3, 1)
    assert {record["stage"] for record in read_log(trial / LOG)} == {4}
    own = json.loads((trial / "trial.json").read_text())
    assert own["status"] == "COMPLETED"
    assert own["hyperparameters"]["values"]["fusion.gamma"] == checkpoint.load(trial / "best.npz").config.fusion.gamma == 0.4
    trained = checkpoint.load(trial / "last.npz").arrays
    assert any(np.any(value != trained[name]) for name, value in shared.arrays.items() if name.startswith("weights/global_head"))

    written = {path.name for path in folder.iterdir()}
    assert {"best.yaml", "summary.md", "scan.csv", "gamma.png", "parallel.png", "tensorboard"} <= written
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/*.npz")}
    assert search.main(arguments) == 0      # finished: reported again, nothing trained
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/*.npz")} == before

    chosen, _ = command_line.parse(["--config", str(folder / "best.yaml")], "test")
    assert chosen == checkpoint.load(trial / "best.npz").config
    (tmp_path / "run").mkdir()
    checkpoint.save(tmp_path / "run" / "last.npz", build_synergynet(chosen), chosen, checkpoint.Progress(1, 1))
    other = ["--config", str(settings), "--project", str(tmp_path / "other"), "--warm-start", str(tmp_path / "run")]
    assert search.main(other) == 2
    assert "trials start from the end of stage 3" in capsys.readouterr().err
