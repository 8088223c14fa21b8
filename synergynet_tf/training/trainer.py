"""The outer loop: stages, epochs, validation, checkpoints."""
import contextlib
import functools
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from rich.console import Console

from synergynet_tf.config import Config
from synergynet_tf.data import crops, pipeline
from synergynet_tf.data.cache import CachedCase
from synergynet_tf.errors import InputError
from synergynet_tf.runtime import progress
from synergynet_tf.runtime.processes import giving_back
from synergynet_tf.runtime.replicas import Replicas, require_possible
from synergynet_tf.storage.files import replace_file
from synergynet_tf.training import checkpoint, graphs
from synergynet_tf.training.average import WeightAverage
from synergynet_tf.training.checkpoint import Checkpoint, Progress
from synergynet_tf.training.determinism import make_deterministic
from synergynet_tf.training.history import History
from synergynet_tf.training.optimizer import make_optimizer
from synergynet_tf.training.precision import layers_in, require_scale
from synergynet_tf.training.stages import Stage, trainable_variables
from synergynet_tf.training.steps import make_loss_step, make_train_step
from synergynet_tf.training.systems import epochs_of, system_of

Scorer = Callable[[keras.Model], dict[str, float]]
RECORDS_AN_EPOCH = 10       # points of a learning curve between two validations


class Cases(NamedTuple):
    """The cached cases of a run."""

    train: list[CachedCase]
    validation: list[CachedCase]        # may be empty, then the last checkpoint is the best


class Trainer:
    """Trains a network stage by stage and leaves `last.npz` and `best.npz` in the run folder.

    Args:
        config: the run's configuration.
        run: an existing folder.
        score: given the network, returns validation scores by name; called in the last stage. "dsc" picks the best, unless the
            system's best is that of the lowest loss.
        resume: go on from `last.npz`.
        console: where the lines and the bar go.
        replicas: what the steps run on; none: one device.

    Raises:
        InputError: the replicas cannot do what the configuration asks for, or the run was begun with another number of them.
    """

    def __init__(self, config: Config, cases: Cases, run: pathlib.Path, score: Scorer, resume: bool, console: Console,
                 replicas: Replicas | None = None):
        self._config, self._run, self._score = config, run, score
        self._train, self._validation = cases
        self._console, self._replicas = console, replicas or Replicas()
        require_possible(config, self._replicas)
        keras.utils.set_random_seed(config.train.seed)
        if config.train.deterministic:
            make_deterministic()
        self._system = system_of(config)
        with layers_in(config.train.precision), self._replicas.scope():
            self.model = self._system.build(config)
        self._saved = checkpoint.load(run / "last.npz") if resume else None
        self._steps = crops.steps_of_epoch(len(cases.train), config, self._replicas.count)
        self._progress = Progress(replicas=self._replicas.count)
        if self._saved:
            self._saved.restore_weights(self.model)
            self._require_same_replicas(self._saved)
            self._progress = self._saved.progress
        self._average = self._start_average()
        self._history = History(run if self._replicas.chief else None, (self._progress.stage, self._progress.epochs), console)

    def begin_with(self, start: Checkpoint) -> None:
        """Take over the weights of another run before the first step.

        Raises:
            InputError: as `Checkpoint.begin`.
        """
        parts = start.begin(self.model)
        self._average = self._start_average()
        if self._replicas.chief:
            self._console.print(f"begins with the weights of {start.path}: {', '.join(parts)}", highlight=False, soft_wrap=True)

    def _require_same_replicas(self, saved: Checkpoint) -> None:
        begun, here = saved.progress.replicas, self._replicas.count
        if begun != here:
            raise InputError(f"{saved.path}: the run began with {begun} replicas, but here are {here}, to which an epoch "
                             "has other steps; resume it with as many devices and the same --strategy")

    def _epochs_before(self, number: int) -> int:
        """Epochs of the stages before the one of this number."""
        return sum(epochs_of(self._config, stage) for stage in self._system.stages if stage.number < number)

    def _start_average(self) -> WeightAverage | None:
        if not self._config.train.average:
            return None
        steps = (self._epochs_before(self._progress.stage) + self._progress.epochs) * self._steps
        variables = list(checkpoint.named_weights(self.model).values())
        values = self._saved.average(self.model) if self._saved else None
        return WeightAverage(variables, self._config.train.average, values, steps)

    def fit(self) -> None:
        """Run what is left of the stages.

        Raises:
            InputError: a loss that is not finite; the message names the stage, the step and the cases of the batch.
        """
        done = (self._epochs_before(self._progress.stage) + self._progress.epochs) * self._steps
        total = sum(epochs_of(self._config, stage) for stage in self._system.stages) * self._steps
        with contextlib.closing(self._history), progress.bar("training", total, done, self._console) as advance:
            for stage in self._system.stages:
                if stage.number >= self._progress.stage:
                    with graphs.released():
                        self._run_stage(stage, advance)
        if self._replicas.chief and not (self._run / "best.npz").exists():       # the last stage had no epoch
            replace_file(self._run / "best.npz", (self._run / "last.npz").read_bytes())
        self._replicas.wait()       # a process that ends takes the others with it

    def _run_stage(self, stage: Stage, advance: progress.Advance) -> None:
        epochs = epochs_of(self._config, stage)
        first = self._progress.epochs if self._progress.stage == stage.number else 0
        if first >= epochs:
            return
        with self._replicas.scope():
            optimizer = make_optimizer(self._config.train, epochs * self._steps)
            optimizer.build(trainable_variables(self.model, stage))
            train_step = make_train_step(self.model, optimizer, stage, self._config)
        if first and self._saved:
            self._saved.restore_optimizer(optimizer)
        loss_step = make_loss_step(self.model, stage, self._config)
        for epoch in range(first, epochs):
            start = time.perf_counter()
            loss, parts = self._run_epoch(stage, epoch, optimizer, train_step, advance)
            last = epoch == epochs - 1
            validation = self._validate(stage, loss_step, last or (epoch + 1) % self._config.train.validate_every == 0)
            step = (self._epochs_before(stage.number) + epoch + 1) * self._steps
            # First the record, then the checkpoint: resuming drops a record beyond the checkpoint, but cannot restore a lost one.
            self._history.record(stage, epoch, step, loss, parts, validation, time.perf_counter() - start)
            self._save(stage, epoch + 1, optimizer, validation)

    def _run_epoch(self, stage: Stage, epoch: int, optimizer: Any, train_step: Callable,
                   advance: progress.Advance) -> tuple[float, dict[str, float]]:
        """One pass; returns the epoch's mean loss and its mean weighted parts."""
        run_epoch = self._epochs_before(stage.number) + epoch
        every = max(1, self._steps // RECORDS_AN_EPOCH)
        values: list[dict[str, float]] = []
        for step, batch in enumerate(self._replicas.batches(functools.partial(self._dataset, run_epoch))):
            # Tracing, or segmenting scans, has taken memory before the first step.
            with giving_back() if step == 0 else contextlib.nullcontext():
                total, parts = train_step(batch)
            values.append({name: float(self._replicas.first(value)) for name, value in {"loss": total, **parts}.items()})
            self._require_finite(values[-1], stage, epoch, step)
            require_scale(optimizer)
            if self._average:
                self._average.update()
            advance(what=f"stage {stage.number} ({stage.name}) loss {values[-1]['loss']:.3f}")
            if (step + 1) % every == 0 and step + 1 < self._steps:
                recent = _mean(values[-every:])
                self._history.record(stage, epoch, run_epoch * self._steps + step + 1, recent.pop("loss"), recent)
        mean = _mean(values)
        return mean.pop("loss"), mean

    def _dataset(self, run_epoch: int, replica: int) -> Any:
        return pipeline.training_dataset(self._train, self._config, run_epoch, replicas=self._replicas.count, replica=replica)

    def _require_finite(self, values: dict[str, float], stage: Stage, epoch: int, step: int) -> None:
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            run_epoch = self._epochs_before(stage.number) + epoch
            visits = crops.plan_training(self._train, self._config, run_epoch, self._replicas.count)
            cases = ", ".join(self._train[i].name for i in np.array_split(visits.case, self._steps)[step])
            raise InputError(f"{cases}: {', '.join(broken)} became {values[broken[-1]]} in stage {stage.number}, "
                             f"epoch {epoch + 1}, step {step + 1}; checkpoints hold whole epochs before: look at "
                             f"these scans, or train anew with a lower train.learning_rate ({self._config.train.learning_rate})")

    def _validate(self, stage: Stage, loss_step: Callable, scored: bool) -> dict[str, float]:
        """Mean loss of the validation patches; in the system's last stage the five metrics of whole scans too."""
        if not self._validation:
            return {}
        with self._average.in_place() if self._average else contextlib.nullcontext():
            patches = pipeline.validation_patches(self._validation, self._config, self._replicas.workers, self._replicas.worker)
            losses = np.array([float(loss_step(batch)[0]) for batch in patches])
            result = {"loss": float(np.mean(self._replicas.gather(losses, len(self._validation))))}
            if stage is self._system.stages[-1] and scored:
                result |= self._score(self.model)
        return result

    def _save(self, stage: Stage, epochs: int, optimizer: Any, validation: dict[str, float]) -> None:
        best, score = self._progress.best, -validation["loss"] if self._system.by_loss and validation else validation.get("dsc")
        better = stage is self._system.stages[-1] and (
            score is not None and (best is None or score > best) or not self._validation)
        self._progress = Progress(stage.number, epochs, score if better else best, self._replicas.count)
        if not self._replicas.chief:
            return
        average = self._average.values() if self._average else None
        for name in ("best.npz", "last.npz") if better else ("last.npz",):
            checkpoint.save(self._run / name, self.model, self._config, self._progress, optimizer, average)


def _mean(values: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([value[name] for value in values])) for name in values[0]}
