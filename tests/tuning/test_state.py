"""What a search keeps: whole, or one line that names the file."""
import json

import pytest

from synergynet_tf.config import Config
from synergynet_tf.errors import InputError
from tests.damage import damaged, mangled
from tests.tuning.planted import SPACE
from tuning import oracles
from tuning.space import hyperparameters

KINDS = ("random", "bayesian", "hyperband")


def made(kind, folder):
    oracle = oracles.make_oracle(kind, "dsc", hyperparameters(SPACE, Config()), 9, 9, 1)
    oracle._set_project_dir(str(folder), "search")
    return oracle


@pytest.fixture(scope="module", params=KINDS)
def search(request, tmp_path_factory):
    """The kind of an oracle, and the folder of a search of it: five trials have ended, one has failed, one was killed."""
    folder = tmp_path_factory.mktemp(request.param)
    oracle = made(request.param, folder)
    for number in range(6):
        trial = oracle.create_trial("tuner0")
        if number < 5:
            oracle.update_trial(trial.trial_id, {"dsc": 0.1 * number, "sn": 0.5})
        trial.status, trial.message = ("COMPLETED", None) if number < 5 else ("FAILED", "no memory")
        oracle.end_trial(trial)
    oracle.create_trial("tuner0")
    return request.param, folder


def test_a_search_is_taken_up(search):
    kind, folder = search
    oracle = made(kind, folder)
    oracle.reload()
    assert sum(trial.status == "COMPLETED" for trial in oracle.trials.values()) == 5
    assert oracle.create_trial("tuner0").trial_id == oracle.trials[max(oracle.trials)].trial_id


def taken_up(kind, folder, path, contents):
    """How many of these contents of a file are refused; of the others a search goes on."""
    whole, refused = path.read_bytes(), 0
    try:
        for content in contents:
            path.write_bytes(content)
            try:
                oracle = made(kind, folder)
                oracle.reload()
                oracle.create_trial("tuner0")
                oracle.get_best_trials()
            except InputError as error:
                refused += 1
                assert str(error).startswith(f"{path}: not a readable") and "\n" not in str(error)
            _put_back(folder)
    finally:
        path.write_bytes(whole)
    return refused


_kept: dict = {}


def _put_back(folder):
    """The files as they were when a folder was first seen: to take a search up changes them."""
    for path, content in _kept.setdefault(folder, {path: path.read_bytes() for path in folder.rglob("*.json")}).items():
        path.write_bytes(content)
    for path in folder.rglob("*.json"):
        if path not in _kept[folder]:
            path.unlink()


def _contents(path, count):
    whole = path.read_bytes()
    return [*damaged(whole, count), *(json.dumps(value).encode() for value in mangled(json.loads(whole), count))]


def _check(search, count):
    kind, folder = search
    _put_back(folder)
    for path in (folder / "search" / "oracle.json", min((folder / "search").glob("trial_*/trial.json"))):
        assert taken_up(kind, folder, path, _contents(path, count)) > count


@pytest.mark.few
def test_a_damaged_state_is_named(search):
    _check(search, 12)


@pytest.mark.slow
def test_a_damaged_state_is_named_100_times(search):
    _check(search, 100)


def test_a_trial_without_its_file_is_named(search):
    kind, folder = search
    _put_back(folder)
    path = next((folder / "search").glob("trial_*/trial.json"))
    path.unlink()
    oracle = made(kind, folder)
    with pytest.raises(InputError, match=r"oracle\.json.*of which there is no file"):
        oracle.reload()
    _put_back(folder)


def test_a_trial_of_another_search_is_named(search):
    kind, folder = search
    _put_back(folder)
    path = next((folder / "search").glob("trial_*/trial.json"))
    value = json.loads(path.read_text())
    value["hyperparameters"]["values"]["fusion.gamma"] = 1.5
    path.write_text(json.dumps(value))
    with pytest.raises(InputError, match=r"trial\.json.*fusion\.gamma is 1\.5"):
        made(kind, folder).reload()
    _put_back(folder)
