"""Two replicas train as one with twice the batch: on two devices of a process, and in two processes on loopback."""
import functools
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from synergynet_tf import train
from synergynet_tf.config import Config
from synergynet_tf.data import layouts, pipeline
from synergynet_tf.data.cache import build_cache
from synergynet_tf.errors import InputError
from synergynet_tf.runtime.replicas import Replicas, require_possible
from synergynet_tf.runtime.startup import waits_for_chief
from synergynet_tf.training import checkpoint
from synergynet_tf.training.history import LOG, read_log
from tests.cohort import TINY

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def trained(tiny_cohort, tmp_path_factory):
    """(stage, strategy) -> what `tests.two_replicas` writes, for each process that takes part."""
    folder = tmp_path_factory.mktemp("trained")
    config = Config.from_dict({**TINY, "data": {"path": str(tiny_cohort), "cache": str(folder)}})
    build_cache(layouts.discover(tiny_cohort, "manifest", config.data.channels, True), config)      # once for all of them

    @functools.cache
    def train(stage, strategy):
        environments = [{"TF_CONFIG": task} for task in _tasks()] if strategy == "multiworker" else [{}]
        files = [folder / f"{strategy}_{stage}_{i}.npy" for i in range(len(environments))]
        command = [sys.executable, "-m", "tests.two_replicas", tiny_cohort, folder, str(stage), strategy]
        started = [subprocess.Popen([*command, file], cwd=ROOT, stderr=subprocess.PIPE, env=os.environ | extra)
                   for file, extra in zip(files, environments)]
        assert [process.wait(900) for process in started] == [0] * len(started), started[0].stderr.read().decode()
        return [np.load(file) for file in files]

    return train


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["mirrored", "multiworker"])
def test_two_replicas_take_the_steps_of_one_with_twice_the_batch(trained, strategy):
    """Two devices of a process, and two processes, in the last stage, which holds what those before it do."""
    stage = 4
    one, = trained(stage, "one")
    assert np.abs(one[1] - one[0]).max() > 3e-3
    for two in trained(stage, strategy):
        np.testing.assert_array_equal(two[0], one[0])
        # The best of two orders: in one a voxel or box may lie on a threshold, where the order of a sum decides.
        assert np.abs(two[1:] - one[1:]).max(1).min() <= 1e-5


def test_replicas_take_the_patches_of_one_in_turn(tiny_cohort, tmp_path):
    config = Config.from_dict({**TINY, "data": {"path": str(tiny_cohort), "cache": str(tmp_path)},
                               "train": {"batch": 2, "steps_per_epoch": 3}})
    cases = build_cache(layouts.discover(tiny_cohort, "manifest", config.data.channels, True), config)
    whole = Config.from_dict({**config.asdict(), "train": {**config.asdict()["train"], "batch": 6}})
    parts = [list(pipeline.training_dataset(cases, config, 4, replicas=3, replica=r)) for r in range(3)]
    for step, batch in enumerate(pipeline.training_dataset(cases, whole, 4)):
        for name, value in batch._asdict().items():
            found = np.concatenate([getattr(part[step], name) for part in parts])
            np.testing.assert_array_equal(found, value, err_msg=name)
    assert [len(part) for part in parts] == [3, 3, 3]


def test_processes_share_the_validation_cases(tiny_cohort, tmp_path):
    config = Config.from_dict({**TINY, "data": {"path": str(tiny_cohort), "cache": str(tmp_path)}})
    cases = build_cache(layouts.discover(tiny_cohort, "manifest", config.data.channels, True), config)
    shares = [[int(b.case[0]) for b in pipeline.validation_patches(cases[:3], config, 5, worker)] for worker in range(5)]
    assert shares == [[0], [1], [2], [], []]


@pytest.mark.slow
def test_two_processes_end_as_ever_though_one_was_killed(settings, tmp_path):
    """A pair whose second process is killed in the middle ends, started again, with the weights of a pair that was left alone.

    Of the U-Net, which is traced in a fifth of the time: how a pair begins, ends and goes on has nothing to do with its network.
    """
    arguments = ["--config", str(settings), "--train.system", "unet", "--train.epochs", "[0,0,0,5]", "--train.average", "0.9"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert [p.wait(900) for p in _pair(whole, arguments)] == [0, 0]

    chief, other = _pair(killed, arguments)
    while chief.poll() is None and len(_epochs(killed)) < 1:
        time.sleep(0.05)
    other.send_signal(signal.SIGKILL)
    assert chief.wait(900) == 2
    error = chief.stderr.read().decode().strip().splitlines()[-1]
    assert "another process of the run was lost" in error and "--resume" in error
    assert [p.wait(900) for p in _pair(killed, ["--resume"])] == [0, 0]

    found, expected = (checkpoint.load(folder / "last.npz") for folder in (killed, whole))
    assert found.progress == expected.progress and found.progress.replicas == 2
    for name, value in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], value, err_msg=name)


def test_what_replicas_cannot_do_is_refused():
    class Two:
        count = 2

    for setting, remedy in ({"precision": "float16"}, "bfloat16"), ({"jit_compile": True}, "false"):
        config = Config.from_dict({"train": setting})
        require_possible(config, Replicas())
        with pytest.raises(InputError, match=f"has 2 replicas.*{remedy}"):
            require_possible(config, Two())


def test_a_run_is_resumed_with_as_many_replicas_as_it_began_with(settings, tmp_path, capsys, monkeypatch):
    assert train.main(["--run", str(tmp_path), "--config", str(settings), "--train.epochs", "[1,0,0,0]"]) == 0
    saved = checkpoint.load(tmp_path / "last.npz")
    assert saved.progress.replicas == 1
    monkeypatch.setattr(checkpoint, "load", lambda path: checkpoint.Checkpoint(
        path, saved.keras, saved.config, checkpoint.Progress(**{**vars(saved.progress), "replicas": 3}), saved.arrays))
    assert train.main(["--run", str(tmp_path), "--resume"]) == 2
    assert "began with 3 replicas, but here are 1" in capsys.readouterr().err


@pytest.mark.parametrize(("variables", "message"), [
    ({}, "neither TF_CONFIG nor Slurm"), ({"TF_CONFIG": "{"}, "cannot be used"),
    ({"TF_CONFIG": '{"cluster": 3}'}, "cannot be used")])
def test_processes_that_nothing_names_are_one_line(settings, tmp_path, variables, message):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("TF_CONFIG", "SLURM_"))} | variables
    command = _command(tmp_path, ["--config", str(settings), "--strategy", "multiworker"])
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(errors) == 1 and message in errors[0]
    assert "Traceback" not in done.stderr


def test_the_first_process_prepares_the_cases_and_the_others_wait(monkeypatch):
    for variable in ("TF_CONFIG", "SLURM_PROCID"):
        monkeypatch.delenv(variable, raising=False)
    assert not waits_for_chief("multiworker")
    for task, waits in (({"type": "worker", "index": 0}, False), ({"type": "worker", "index": 1}, True),
                        ({"type": "chief", "index": 0}, False)):
        monkeypatch.setenv("TF_CONFIG", json.dumps({"task": task}))
        assert waits_for_chief("multiworker") is waits and not waits_for_chief("mirrored")
    monkeypatch.delenv("TF_CONFIG")
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert waits_for_chief("multiworker")


def _command(run, arguments):
    return [sys.executable, "-m", "synergynet_tf.train", "--run", str(run), *arguments]


def _pair(run, arguments):
    """Two processes of one run."""
    return [subprocess.Popen(_command(run, [*arguments, "--strategy", "multiworker"]), cwd=ROOT, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, env=os.environ | {"TF_CONFIG": task}) for task in _tasks()]


def _tasks():
    """TF_CONFIG of each of two processes on loopback."""
    workers = [f"127.0.0.1:{_free_port()}" for _ in range(2)]
    return [json.dumps({"cluster": {"worker": workers}, "task": {"type": "worker", "index": i}}) for i in range(2)]


def _free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def _epochs(run):
    """The records that end an epoch."""
    return [record for record in read_log(run / LOG) if "validation" in record]
