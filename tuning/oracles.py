"""Keras Tuner's oracles, made to survive kills: of this process, and of a worker elsewhere.

What is added to each oracle: the first trial is the configuration as it was given, so that a search is never worse than it; files
are written whole; a reload takes every trial as it stands in its own file; and a trial whose worker has fallen silent is given
to another worker.
"""
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import keras_tuner
from keras_tuner.engine.trial import Trial

from synergynet_tf.storage.files import replace_file
from synergynet_tf.storage.readers import reading

from .state import REMEDY, check_oracle, read_trial

Kind = Literal["random", "bayesian", "hyperband"]
ENDED = ("COMPLETED", "FAILED")


if TYPE_CHECKING:
    from keras_tuner import Oracle as _MixedInto
else:
    _MixedInto = object


class _Steady(_MixedInto):
    """Mixed into an oracle, in front of it. `silence`: seconds after which a worker that has not been heard is taken for dead."""

    silence = 60.0

    def __init__(self, **settings: Any):
        super().__init__(**settings)
        self.verbose = 0            # the search has a table of its own
        self._heard: dict[str, float] = {}      # by tuner and by trial

    def _random_values(self) -> dict[str, Any] | None:
        if not self.trials:
            return {hp.name: hp.default for hp in self.hyperparameters.space}
        return super()._random_values()

    @keras_tuner.synchronized
    def create_trial(self, tuner_id: str) -> Trial:
        """A trial to run; while others run and none is left, an idle one: one of theirs may yet have to be taken over."""
        self._heard[tuner_id] = time.monotonic()
        self.forget_silent()
        trial = super().create_trial(tuner_id)
        self._heard[trial.trial_id] = time.monotonic()
        if trial.status == "STOPPED" and self.ongoing_trials:
            self.tuner_ids.add(tuner_id)
            trial.status = "IDLE"
        return trial

    def get_trial(self, trial_id: str) -> Trial:
        """The trial; a worker asks for its own now and then, and so is known to live."""
        self._heard[trial_id] = time.monotonic()
        return super().get_trial(trial_id)

    @keras_tuner.synchronized
    def end_trial(self, trial: Trial) -> None:
        """Record how a trial ended, on disk too."""
        super().end_trial(trial)
        self.save()

    @keras_tuner.synchronized
    def forget_silent(self) -> None:
        """Put the trials of silent workers into the queue, and no longer wait for these workers."""
        late = time.monotonic() - self.silence
        for tuner_id, trial in list(self.ongoing_trials.items()):
            if self._heard.get(trial.trial_id, late) <= late:
                del self.ongoing_trials[tuner_id]
                self._retry_queue.append(trial.trial_id)
                self.tuner_ids.discard(tuner_id)
        for tuner_id in self.tuner_ids - set(self.ongoing_trials):
            if self._heard.get(tuner_id, late) <= late:
                self.tuner_ids.discard(tuner_id)

    def save(self) -> None:
        """Write the oracle's state, whole or not at all."""
        replace_file(Path(self._get_oracle_fname()), json.dumps(self.get_state()).encode())

    def _save_trial(self, trial: Trial) -> None:
        replace_file(Path(self._get_trial_dir(trial.trial_id)) / "trial.json", json.dumps(trial.get_state()).encode())

    def reload(self) -> None:
        """Take up an interrupted search: each trial's own file says whether it has ended; those that have not are run first.

        Raises:
            InputError: a file is damaged, or of another search.
        """
        state = Path(self._get_oracle_fname())
        self.trials = {trial.trial_id: trial for trial in (
            read_trial(path, self) for path in sorted(state.parent.glob("trial_*/trial.json")))}
        check_oracle(state, self)
        with reading(state, "state of a search", REMEDY):
            super().reload()
        self.ongoing_trials: dict[str, Trial] = {}
        self._retry_queue = sorted((name for name, trial in self.trials.items() if trial.status not in ENDED), reverse=True)
        self.end_order += sorted(name for name, trial in self.trials.items()
                                 if trial.status in ENDED and name not in self.end_order)


class RandomOracle(_Steady, keras_tuner.oracles.RandomSearchOracle):
    """Random search."""


class BayesianOracle(_Steady, keras_tuner.oracles.BayesianOptimizationOracle):
    """Bayesian optimisation by a Gaussian process."""


class HyperbandOracle(_Steady, keras_tuner.oracles.HyperbandOracle):
    """Hyperband: many trials of few epochs, of which the best go on (Li et al., JMLR 18 (2018), 1-52)."""


def make_oracle(kind: Kind, objective: str, space: keras_tuner.HyperParameters, max_trials: int, max_epochs: int, seed: int,
                silence: float = _Steady.silence) -> keras_tuner.Oracle:
    """An oracle that makes `objective` as high as it can.

    Args:
        kind: random, bayesian or hyperband.
        objective: what is made high.
        space: what is searched.
        max_trials: of random and bayesian; Hyperband makes as many as one sweep of its brackets has.
        max_epochs: the most that Hyperband gives a trial.
        seed: of the draws, above 0 (Keras Tuner takes 0 for none).
        silence: seconds after which a worker that has not been heard is taken for dead.
    """
    shared = {"objective": keras_tuner.Objective(objective, direction="max"), "hyperparameters": space, "seed": seed,
              "tune_new_entries": False, "allow_new_entries": False,
              "max_consecutive_failed_trials": None}    # the search goes on; that all have failed is found at its end
    if kind == "hyperband":
        oracle = HyperbandOracle(max_epochs=max_epochs, **shared)
    elif kind == "bayesian":
        # Keras Tuner's own 3 draws a dimension would leave a search of 20 trials wholly random.
        oracle = BayesianOracle(max_trials=max_trials, num_initial_points=max(3, max_trials // 3), **shared)
    else:
        oracle = RandomOracle(max_trials=max_trials, **shared)
    oracle.silence = silence
    return oracle
