"""A whole run: what it leaves, how it resumes, how it stops when a loss is not finite."""
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from synergynet_tf import train
from synergynet_tf.config import TrainConfig, command_line
from synergynet_tf.training import checkpoint, trainer
from synergynet_tf.training.history import LOG, read_log

ROOT = pathlib.Path(__file__).parents[2]
LENGTH = ["--train.epochs", "[1,1,0,2]", "--train.average", "0.9"]     # tests/tuning/test_search.py goes from stage 3 to 4


@pytest.fixture(scope="module")
def steps():
    """The tf.functions that `run` was trained and validated with."""
    return []


@pytest.fixture(scope="module")
def run(settings, tmp_path_factory, steps):
    """A finished run, which nothing stopped."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("make_train_step", "make_loss_step"):
            patch.setattr(trainer, name, _kept(getattr(trainer, name), steps))
        assert train.main(["--run", str(folder), "--config", str(settings), *LENGTH]) == 0
    return folder


def _kept(make, made):
    def make_and_keep(*arguments):
        made.append(make(*arguments))
        return made[-1]

    return make_and_keep


def test_a_run_leaves_checkpoints_configuration_split_log_and_picture(run, settings):
    files = {"best.npz", "last.npz", "config.yaml", "manifest.csv", "data.json", "quality.json", LOG, "losses.png", "tensorboard"}
    assert {path.name for path in run.iterdir() if not path.name.startswith(".")} == files
    config, _ = command_line.parse(["--config", str(run / "config.yaml")], "test")
    given = command_line.parse(["--config", str(settings), *LENGTH], "test")[0]
    assert config == given == checkpoint.load(run / "best.npz").config
    ends = [record for record in read_log(run / LOG) if "validation" in record]
    assert [(record["stage"], record["epoch"]) for record in ends] == [(1, 0), (2, 0), (4, 0), (4, 1)]
    assert set(ends[0]["validation"]) == {"loss"}
    assert {"loss", "dsc", "ap"} <= set(ends[-1]["validation"])
    assert (run / "losses.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_run_does_not_mix_with_a_first(run, settings, capsys):
    before = (run / "last.npz").read_bytes()
    assert train.main(["--run", str(run), "--config", str(settings)]) == 2
    assert "holds a run already; add --resume" in capsys.readouterr().err
    assert (run / "last.npz").read_bytes() == before


def test_resuming_a_finished_run_changes_nothing(run):
    before = checkpoint.load(run / "last.npz").arrays
    assert train.main(["--run", str(run), "--resume"]) == 0
    after = checkpoint.load(run / "last.npz").arrays
    assert all((before[name] == after[name]).all() for name in before)
    assert len([record for record in read_log(run / LOG) if "validation" in record]) == 4


def test_a_step_is_traced_once(run, steps):
    assert [step.experimental_get_tracing_count() for step in steps] == [1] * 6, f"of {run}"


def test_resuming_what_was_never_begun_is_refused(tmp_path, capsys):
    assert train.main(["--run", str(tmp_path), "--resume"]) == 2
    assert "last.npz: no such checkpoint" in capsys.readouterr().err


def test_a_loss_that_is_not_finite_stops_the_run_with_the_case_named(settings, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(TrainConfig.LIMITS, "learning_rate", (0, 1e38))
    arguments = ["--run", str(tmp_path), "--config", str(settings), "--train.learning_rate", "1e38"]
    assert train.main(arguments) == 2
    error = capsys.readouterr().err
    assert "in stage 1, epoch 1, step 2" in error
    assert any(f"P{patient}_1: " in error for patient in range(6))
    assert not (tmp_path / "last.npz").exists()


@pytest.mark.parametrize("compiled", [True, False])
def test_where_xla_cannot_compile_the_step_one_line_says_so(settings, tmp_path, monkeypatch, capsys, compiled):
    import tensorflow as tf

    def refuse(self):
        raise tf.errors.UnimplementedError(None, None, "no kernel for this device\nand where it was made")

    monkeypatch.setattr("synergynet_tf.training.trainer.Trainer.fit", refuse)
    arguments = ["--run", str(tmp_path), "--config", str(settings), "--train.jit_compile", str(compiled).lower()]
    if compiled:
        assert train.main(arguments) == 2
        assert "train.jit_compile is true, but XLA cannot" in (error := capsys.readouterr().err)
        assert error.count("\n") == 1 and "no kernel for this device" in error
    else:
        with pytest.raises(tf.errors.UnimplementedError):
            train.main(arguments)


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed_ends_with_the_same_weights(run, settings, tmp_path):
    """SIGKILL, just after a new epoch and anywhere from start-up on; then the weights, bit for bit, of the run not stopped."""
    arguments, killed = ["--config", str(settings), *LENGTH], tmp_path / "killed"
    for kill in range(2):
        process = subprocess.Popen(_command(killed, _resume(killed) or arguments), cwd=ROOT, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        before = _epochs(killed)
        while kill % 2 == 0 and process.poll() is None and _epochs(killed) <= before:
            time.sleep(0.02)
        time.sleep(random.uniform(0, 8 if kill % 2 else 0.3))
        assert process.poll() is None, f"the run ended by itself before kill {kill + 1}"
        process.send_signal(signal.SIGKILL)
        process.wait()
    ended = subprocess.run(_command(killed, _resume(killed) or arguments), cwd=ROOT, stdout=subprocess.DEVNULL,
                           stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    expected, found = (checkpoint.load(folder / "last.npz") for folder in (run, killed))
    assert found.progress == expected.progress
    assert set(found.arrays) == set(expected.arrays)
    for name, value in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], value, err_msg=name)
    assert [_without_seconds(r) for r in read_log(killed / LOG)] == [_without_seconds(r) for r in read_log(run / LOG)]


def _resume(run):
    """What goes on with a killed run; none where it died before its first checkpoint, which is begun again as a user would."""
    return ["--resume"] if (run / "last.npz").exists() else None


def _command(run, arguments):
    return [sys.executable, "-m", "synergynet_tf.train", "--run", str(run), *arguments]


def _epochs(run):
    return sum("validation" in record for record in read_log(run / LOG))


def _without_seconds(record):
    return {key: value for key, value in record.items() if key != "seconds"}
