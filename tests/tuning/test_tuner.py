"""Searches with the training replaced by a formula: optima are found, failures recorded, kills survived."""
import dataclasses
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from synergynet_tf.config import Config
from synergynet_tf.errors import InputError
from tests.conftest import ROOT
from tests.tuning.planted import ALPHA6, GAMMA, LINES, height, planted, search
from tuning.report import best_trial, last_rungs
from tuning.settings import Settings
from tuning.space import apply
from tuning.tuner import TRACE, failure


def epochs(last: int) -> Config:
    return dataclasses.replace(Config(), train=dataclasses.replace(Config().train, epochs=(1, 1, 1, last)))


def found(tuner):
    return apply(Config(), best_trial(list(tuner.oracle.trials.values())).hyperparameters.values)


# Of 60 uniform draws in two dimensions, one lies within 0.13 of the range of the optimum in both with probability 0.98; the
# Gaussian process needs 12.
@pytest.mark.parametrize("kind, trials, last, tolerance", [("random", 60, 9, 0.13), ("bayesian", 12, 9, 0.1),
                                                           ("hyperband", 0, 27, 0.13)])
def test_each_oracle_finds_a_planted_optimum(tmp_path, kind, trials, last, tolerance):
    tuner = search(tmp_path / "search", Settings(kind, trials or 1), config=epochs(last))
    config = found(tuner)
    assert config.fusion.gamma == pytest.approx(GAMMA, abs=tolerance)
    assert abs(math.log(config.loss.alpha6 / ALPHA6)) < tolerance * math.log(20 / 1.25)
    assert height(config) > height(Config())        # better than where it began
    assert config.loss.alpha3 == Config().loss.alpha3       # not searched
    if trials:
        assert len(tuner.oracle.trials) == trials


def test_the_first_trial_is_the_configuration_as_it_was_given(tmp_path):
    for kind in ("random", "bayesian", "hyperband"):
        tuner = search(tmp_path / kind, Settings(kind, 2), config=epochs(2))
        first = tuner.oracle.trials[min(tuner.oracle.trials)].hyperparameters.values
        assert apply(epochs(2), first) == epochs(2)


def test_hyperband_continues_a_trials_own_checkpoint_with_its_own_values(tmp_path):
    calls = []

    def train(config, folder, parent):
        calls.append((folder, parent, config.train.epochs, config.fusion.gamma))
        return planted(config, folder, parent)

    tuner = search(tmp_path / "search", Settings("hyperband"), train, config=epochs(9))
    of_folder = {folder: (reached, gamma) for folder, _, reached, gamma in calls}
    continued = [call for call in calls if call[1]]
    assert continued
    for _, parent, reached, gamma in continued:
        before, same = of_folder[parent]
        assert reached[:3] == before[:3] == (1, 1, 1)
        assert reached[3] > before[3]
        assert gamma == same
    assert max(reached[3] for _, _, reached, _ in calls) == 9
    ends = last_rungs(list(tuner.oracle.trials.values()))
    assert len(ends) == len(calls) - len({parent for _, parent, _, _ in continued})


def test_a_failed_trial_is_recorded_with_its_trace_and_the_search_goes_on(tmp_path):
    def train(config, folder, parent):
        if folder.name == "trial_1":
            raise MemoryError("no room for it")
        return {"dsc": math.nan} if folder.name == "trial_2" else planted(config, folder, parent)

    tuner = search(tmp_path / "search", Settings("random", 5), train)
    states = {name: trial.status for name, trial in tuner.oracle.trials.items()}
    assert states == {"0": "COMPLETED", "1": "FAILED", "2": "FAILED", "3": "COMPLETED", "4": "COMPLETED"}
    folder = tuner.trial_folder("1")
    assert "in train\n    raise MemoryError" in (folder / TRACE).read_text()
    assert failure(folder) == "MemoryError: no room for it"
    assert "not a finite number" in failure(tuner.trial_folder("2"))
    assert json.loads((folder / "trial.json").read_text())["status"] == "FAILED"


def test_when_every_trial_fails_the_search_fails(tmp_path):
    def train(config, folder, parent):
        raise InputError("nothing fits")

    with pytest.raises(InputError, match="all 4 trials failed, the last with: nothing fits"):
        search(tmp_path / "search", Settings("random", 4), train)


def test_a_finished_search_is_not_repeated_and_can_be_made_longer(tmp_path):
    trained = []

    def train(config, folder, parent):
        trained.append(folder.name)
        return planted(config, folder, parent)

    for trials, expected in ((3, 3), (3, 3), (5, 5)):
        tuner = search(tmp_path / "search", Settings("random", trials), train)
        assert len(trained) == len(tuner.oracle.trials) == expected
    assert len(set(trained)) == 5


@pytest.mark.slow
def test_killed_in_the_third_of_six_trials_and_started_again(tmp_path):
    project = tmp_path / "search"
    process = start(project, 6, 0.5)
    wait_for(project / "trial_2" / LINES, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = {name: values(project, name) for name in "01"}
    tuner = search(project, Settings("bayesian", 6))
    assert sorted(tuner.oracle.trials) == list("012345")
    assert all(trial.status == "COMPLETED" for trial in tuner.oracle.trials.values())
    assert before == {name: values(project, name) for name in "01"}
    assert [lines(project, name) for name in "012"] == [["start", "end"], ["start", "end"], ["start"]]


@pytest.mark.slow
def test_a_chief_and_two_workers_share_six_trials_though_one_worker_is_killed(tmp_path):
    project, environment = tmp_path / "search", chief_environment()
    chief = start(project, 6, 1.5, {**environment, "KERASTUNER_TUNER_ID": "chief"})
    workers = [start(project, 6, 1.5, {**environment, "KERASTUNER_TUNER_ID": f"worker{i}"}) for i in (0, 1)]
    try:
        while not (killed := trial_of(project, workers[0].pid)):
            assert workers[0].poll() is None
            time.sleep(0.1)
        workers[0].send_signal(signal.SIGKILL)
        assert workers[1].wait(120) == 0
        assert chief.wait(60) == 0
    finally:
        for process in (chief, *workers):
            process.kill()
    assert sorted(folder.name for folder in project.glob("trial_*")) == [f"trial_{i}" for i in range(6)]
    for i in range(6):
        assert json.loads((project / f"trial_{i}" / "trial.json").read_text())["status"] == "COMPLETED"
        expected = ["start", "start", "end"] if f"trial_{i}" == killed else ["start", "end"]
        assert lines(project, str(i)) == expected
    oracle = json.loads((project / "oracle.json").read_text())
    assert sorted(oracle["end_order"]) == list("012345")


def start(project, trials, seconds, environment=None):
    return subprocess.Popen([sys.executable, "-m", "tests.tuning.planted", str(project), "bayesian", str(trials), str(seconds)],
                            cwd=ROOT, env={**os.environ, **(environment or {})})


def chief_environment():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    return {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}


def wait_for(path, process):
    while not path.exists():
        assert process.poll() is None, "the search ended by itself"
        time.sleep(0.02)


def trial_of(project, pid):
    """The trial that a process has begun to train."""
    for path in project.glob(f"trial_*/{LINES}"):
        if f"start {pid}" in path.read_text().splitlines():
            return path.parent.name
    return None


def values(project, name):
    return json.loads((project / f"trial_{name}" / "trial.json").read_text())


def lines(project, name):
    return [line.split()[0] for line in (project / f"trial_{name}" / LINES).read_text().splitlines()]


