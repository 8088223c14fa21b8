"""What a search shows while it runs: a live table of its trials, a line for each, and TensorBoard's HParams."""
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras_tuner
import tensorflow as tf
from keras_tuner.engine.trial import Trial
from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from tensorboard.plugins.hparams import api

from synergynet_tf.metrics import PAPER_METRICS

from .tuner import failure

ROWS = 24       # of the live table: as many trials as a small terminal shows


class Board:
    """Tells of the trials of a search, on a console and in `project/tensorboard`.

    Args:
        project: the search's folder.
        objective: the name under which trials have their value.
        console: where it is shown. A terminal gets a table that is kept up to date, anything else a line a trial.
    """

    def __init__(self, project: Path, objective: str, console: Console):
        self._project, self._objective, self._console = project, objective, console
        self._began: dict[str, float] = {}

    def began(self, trial: Trial) -> None:
        """Note the time, and write a line."""
        self._began[trial.trial_id] = time.monotonic()
        self._say(f"trial {trial.trial_id}: {', '.join(_shown_values(trial))}")

    def ended(self, trial: Trial) -> None:
        """Write a line, and what TensorBoard shows of the trial."""
        seconds = time.monotonic() - self._began.get(trial.trial_id, time.monotonic())
        if trial.status == "COMPLETED":
            write_hparams(self._project / "tensorboard" / trial.trial_id, trial, self._objective)
            outcome = f"{self._objective} {trial.score:.4f}"
        else:
            outcome = f"failed: {failure(self._project / f'trial_{trial.trial_id}')}"
        self._say(f"trial {trial.trial_id}: {outcome}  ({seconds:.0f} s)")

    @contextlib.contextmanager
    def live(self, oracle: keras_tuner.Oracle) -> Iterator[None]:
        """Show the table of an oracle's trials for the length of a `with`, where the console is a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(get_renderable=lambda: self.table(oracle.trials.copy()), console=self._console, refresh_per_second=1):
            yield

    def table(self, trials: dict[str, Trial]) -> Table:
        """The last trials, one a row; the best is set off."""
        completed = [trial for trial in trials.values() if trial.status == "COMPLETED"]
        best = max(completed, key=lambda trial: trial.score, default=None)
        shown = Table(box=box.SIMPLE_HEAD, title=f"{len(completed)} of {len(trials)} trials completed")
        names = [hp.name for hp in next(iter(trials.values())).hyperparameters.space] if trials else []
        for title in ("trial", "", self._objective, *(name.split(".")[-1] for name in names)):
            shown.add_column(title, justify="right", no_wrap=True)
        for name in sorted(trials)[-ROWS:]:
            trial = trials[name]
            values = [_text(trial.hyperparameters.values.get(key, "-")) for key in names]
            score = f"{trial.score:.4f}" if trial.score is not None else "-"
            shown.add_row(name, trial.status.lower(), score, *values, style="bold" if trial is best else None)
        return shown

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def write_hparams(folder: Path, trial: Trial, objective: str) -> None:
    """What the HParams tab of TensorBoard shows: a trial's values, its objective and its five metrics."""
    values = {hp.name: trial.hyperparameters.values[hp.name] for hp in trial.hyperparameters.space}
    with contextlib.closing(tf.summary.create_file_writer(str(folder))) as writer, writer.as_default(step=0):
        api.hparams(values, trial_id=trial.trial_id)
        for name in dict.fromkeys((objective, *PAPER_METRICS)):
            if trial.metrics.exists(name):
                tf.summary.scalar(name, trial.metrics.get_best_value(name))


def _shown_values(trial: Trial) -> list[str]:
    return [f"{name.split('/')[-1]} {_text(value)}" for name, value in trial.hyperparameters.values.items()]


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
