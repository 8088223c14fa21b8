"""The fit of a network on prepared cases, and what the checkpoints of a run hold. Imported when TensorFlow is there."""
import dataclasses
import pathlib

import tensorflow as tf
from rich.console import Console

from synergynet_tf.config import Config, DataConfig, PhantomConfig
from synergynet_tf.data.cache import CachedCase
from synergynet_tf.errors import InputError
from synergynet_tf.report.figures import loss_curves
from synergynet_tf.runtime.replicas import Replicas
from synergynet_tf.training import checkpoint
from synergynet_tf.training.checkpoint import Checkpoint
from synergynet_tf.training.history import LOG, read_log
from synergynet_tf.training.run_files import PICTURE, weights_file
from synergynet_tf.training.trainer import Cases, Trainer
from synergynet_tf.workflows.validation import make_scorer


def best_weights(run: pathlib.Path) -> Checkpoint:
    """The best checkpoint of a run, or a file of weights.

    Raises:
        InputError: there is none, or it is damaged.
    """
    return checkpoint.load(weights_file(run, "best"))


def settings_to_begin_with(run: pathlib.Path) -> Config:
    """The settings of a run, or of a file of weights, for a training that begins with its weights: all but its data and phantoms.

    Raises:
        InputError: as `best_weights`.
    """
    config = best_weights(run).config
    return dataclasses.replace(config, data=DataConfig(channels=config.data.channels), phantoms=PhantomConfig())


def configuration_of(run: pathlib.Path) -> Config:
    """The configuration that a run began with.

    Raises:
        InputError: it has no last checkpoint, or a damaged one.
    """
    return checkpoint.load(run / "last.npz").config


def fit(config: Config, cases: dict[str, list[CachedCase]], run: pathlib.Path, resume: bool, console: Console,
        replicas: Replicas, init: pathlib.Path | None) -> None:
    """Train a network on prepared cases, and draw how it went."""
    scorer = make_scorer(cases["validation"], config, replicas)
    try:
        trainer = Trainer(config, Cases(cases["training"], cases["validation"]), run, scorer, resume, console, replicas)
        if init:
            trainer.begin_with(best_weights(init))
        trainer.fit()
    except tf.errors.ResourceExhaustedError:
        raise InputError(f"a step with patch.size {config.patch.size} and train.batch {config.train.batch} does not fit into "
                         "memory; lower one of them, or set train.recompute or train.precision") from None
    except tf.errors.OpError as error:
        if replicas.workers > 1:
            raise InputError(f"{run}: another process of the run was lost ({error.message.splitlines()[0]}); start all of them "
                             "again with --resume") from None
        if not config.train.jit_compile:
            raise
        raise InputError("train.jit_compile is true, but XLA cannot compile or run the step here "
                         f"({error.message.splitlines()[0]}); set it to false") from None
    if replicas.chief:
        loss_curves(read_log(run / LOG), run / PICTURE)
        console.print(f"trained: {run} holds best.npz, last.npz, {LOG} and {PICTURE}", highlight=False, soft_wrap=True)
