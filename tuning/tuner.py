"""One search: Keras Tuner hands out trials, each is trained, and its scores go back."""
import contextlib
import dataclasses
import functools
import math
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import keras_tuner
from keras_tuner.engine.trial import Trial

from synergynet_tf.config import Config
from synergynet_tf.errors import InputError
from synergynet_tf.runtime.processes import repeated
from synergynet_tf.storage.files import replace_file

from .objective import Objective
from .space import apply

TRACE = "error.txt"         # in the folder of a trial that failed
IDLE_S = 1.0                # between two questions to an oracle that has no trial yet
BEATS = 6                   # signs of life in the time after which a worker is taken for dead

Train = Callable[[Config, Path, Path | None], dict[str, float]]


class Watch(Protocol):
    """Is called when a trial begins and when it ends."""

    def began(self, trial: Trial) -> None:
        """A trial is about to be trained."""

    def ended(self, trial: Trial) -> None:
        """A trial has its status, its scores or its failure."""


class SynergyTuner(keras_tuner.Tuner):
    """Runs the trials of an oracle, and goes on where an earlier search in the same folder was stopped.

    Args:
        oracle: as `oracles.make_oracle` gives it; in a worker it is asked over gRPC.
        project: the search's folder; a trial's own is `trial_<number>` in it.
        config: what every trial's configuration starts from.
        objective: what is made as high as it can be; the oracle's objective has its name.
        train: trains one trial: its configuration, its folder, and the folder of the trial that it continues (Hyperband) or None
            -> mean validation scores by name. It goes on where a killed one stopped.
        watch: called when a trial begins and when it ends.
    """

    def __init__(self, oracle: keras_tuner.Oracle, project: Path, config: Config, objective: Objective, train: Train,
                 watch: Watch):
        self._config, self._objective, self._train, self._watch = config, objective, train, watch
        self._silence = oracle.silence
        self._asked = False
        super().__init__(oracle=oracle, directory=str(project.parent), project_name=project.name)

    def trial_folder(self, trial_id: str) -> Path:
        """Where a trial's checkpoints, log and configuration lie."""
        return Path(self.get_trial_dir(trial_id))

    def run_trial(self, trial: Trial) -> dict[str, float]:
        """Train a trial; its scores, and the objective under its name.

        Raises keras_tuner.errors.FailedTrialError for whatever fails: Keras Tuner records it and goes on. The whole trace is
        written to the trial's folder, where every process of a search can read it.
        """
        folder = self.trial_folder(trial.trial_id)
        try:
            with repeated(functools.partial(self._sign_of_life, trial.trial_id), self._silence / BEATS):
                scores = self._scores(trial, folder)
            value = self._objective.value(scores)
            if not math.isfinite(value):
                raise InputError(f"{self._objective.name} is {value}, not a finite number")
            return {**scores, self._objective.name: value}
        except Exception as error:
            replace_file(folder / TRACE, traceback.format_exc().encode())
            raise keras_tuner.errors.FailedTrialError(f"{type(error).__name__}: {error}") from error

    def _scores(self, trial: Trial, folder: Path) -> dict[str, float]:
        values = trial.hyperparameters.values
        config = apply(self._config, values)
        if "tuner/epochs" in values:        # Hyperband's, of the last stage
            epochs = (*config.train.epochs[:3], int(values["tuner/epochs"]))
            config = dataclasses.replace(config, train=dataclasses.replace(config.train, epochs=epochs))
        parent = self.trial_folder(values["tuner/trial_id"]) if values.get("tuner/trial_id") else None
        return self._train(config, folder, parent)

    def _sign_of_life(self, trial_id: str) -> None:
        """Ask for the trial, so that a chief elsewhere knows that its worker lives."""
        with contextlib.suppress(Exception):        # a chief that is gone is met by the next question of the search
            self.oracle.get_trial(trial_id)

    def pre_create_trial(self) -> None:
        """Wait a moment where the last answer was that there is no trial yet."""
        if self._asked:
            time.sleep(IDLE_S)
        self._asked = True

    def on_search_begin(self) -> None:
        """From here on the folder holds a search that can be taken up."""
        self.save()

    def on_trial_begin(self, trial: Trial) -> None:
        """Report that the trial begins."""
        self._asked = False
        self._watch.began(trial)

    def on_trial_end(self, trial: Trial) -> None:
        """Record the trial's end, and report it."""
        super().on_trial_end(trial)
        self._watch.ended(self.oracle.get_trial(trial.trial_id))

    def reload(self) -> None:
        """Take up the search that the folder holds; there is no state but the oracle's."""
        if isinstance(self.oracle, keras_tuner.Oracle) and not self._is_worker():
            self.oracle.reload()

    def save(self) -> None:
        """Write the state, whole or not at all."""
        if isinstance(self.oracle, keras_tuner.Oracle):     # else the chief's
            self.oracle.save()
        replace_file(Path(self._get_tuner_fname()), b"{}")


def failure(folder: Path) -> str:
    """Why a trial failed: the last line of its trace, or nothing where there is none."""
    trace = folder / TRACE
    lines = trace.read_text(encoding="utf-8", errors="replace").strip().splitlines() if trace.exists() else []
    return lines[-1].removeprefix(f"{InputError.__module__}.InputError: ") if lines else ""
