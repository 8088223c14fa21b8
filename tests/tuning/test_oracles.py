"""What the oracles add to Keras Tuner's: no trial lost, none doubled, whatever dies when."""
import json

import keras_tuner
import pytest

from synergynet_tf.config import Config
from tests.tuning.planted import SPACE
from tuning import oracles
from tuning.space import hyperparameters


def oracle(folder, trials=3, silence=60.0):
    made = oracles.make_oracle("random", "dsc", hyperparameters(SPACE, Config()), trials, 9, 1, silence)
    made._set_project_dir(str(folder), "search")
    return made


def finish(made, trial, score=0.5):
    made.update_trial(trial.trial_id, {"dsc": score})
    trial.status = "COMPLETED"
    made.end_trial(trial)


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test sets."""
    now = [1000.0]
    monkeypatch.setattr(oracles.time, "monotonic", lambda: now[0])
    return now


def test_a_silent_workers_trial_goes_to_the_next_that_asks(tmp_path, clock):
    made = oracle(tmp_path, trials=2)
    lost, kept = made.create_trial("a"), made.create_trial("b")
    clock[0] += 50
    made.get_trial(kept.trial_id)       # b is heard, a is not
    clock[0] += 50
    again = made.create_trial("c")
    assert again.trial_id == lost.trial_id
    assert set(made.ongoing_trials) == {"b", "c"}
    assert made.tuner_ids == {"b", "c"}
    finish(made, again)
    finish(made, kept)
    assert made.create_trial("b").status == made.create_trial("c").status == "STOPPED"
    assert made.tuner_ids == set()      # the chief may end


def test_while_others_run_one_without_work_waits_and_then_takes_over(tmp_path, clock):
    made = oracle(tmp_path, trials=1)
    lost = made.create_trial("a")
    assert made.create_trial("b").status == "IDLE"
    assert made.tuner_ids == {"a", "b"}
    clock[0] += 61
    assert made.create_trial("b").trial_id == lost.trial_id


def test_a_worker_that_dies_between_trials_is_not_waited_for(tmp_path, clock):
    made = oracle(tmp_path, trials=1)
    finish(made, made.create_trial("a"))
    assert made.tuner_ids == {"a"}
    clock[0] += 61
    made.forget_silent()
    assert made.tuner_ids == set()


def test_a_worker_restarted_under_its_name_gets_its_trial_back(tmp_path):
    made = oracle(tmp_path)
    assert made.create_trial("a").trial_id == made.create_trial("a").trial_id


def test_a_kill_between_a_trials_file_and_the_oracles_neither_repeats_nor_loses_it(tmp_path):
    """A trial is written before the oracle: one has ended that the oracle calls running, and of one it does not know."""
    made = oracle(tmp_path)
    first = made.create_trial("a")
    state = made.get_state()
    finish(made, first)
    made.create_trial("a")
    (tmp_path / "search" / "oracle.json").write_text(json.dumps(state))

    again = oracle(tmp_path)
    again.reload()
    assert sorted(again.trials) == ["0", "1"]
    assert again.end_order == ["0"]
    assert [again.create_trial("a").trial_id, again.create_trial("b").trial_id] == ["1", "2"]
    assert again.create_trial("c").status == "IDLE"


def test_saving_is_whole_or_not_at_all(tmp_path, monkeypatch):
    made = oracle(tmp_path)
    made.save()
    before = (tmp_path / "search" / "oracle.json").read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "no space left")))
    with pytest.raises(ValueError, match="cannot be written"):
        made.save()
    assert (tmp_path / "search" / "oracle.json").read_bytes() == before


def test_the_oracles_are_keras_tuners_own():
    for kind, parent in (("random", keras_tuner.oracles.RandomSearchOracle), ("hyperband", keras_tuner.oracles.HyperbandOracle),
                         ("bayesian", keras_tuner.oracles.BayesianOptimizationOracle)):
        made = oracles.make_oracle(kind, "dsc", hyperparameters(SPACE, Config()), 5, 9, 1)
        assert isinstance(made, parent)
        assert made.objective.direction == "max"
