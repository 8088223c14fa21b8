"""The traced inner step: the losses of a stage, and one update."""
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.models.synergynet import SynergyNet
from synergynet_tf.models.unet import UNetSystem
from synergynet_tf.runtime.replicas import all_sum
from synergynet_tf.structures import Batch
from synergynet_tf.training.accumulate import accumulated
from synergynet_tf.training.determinism import gradients
from synergynet_tf.training.forward import Forward
from synergynet_tf.training.precision import scaled
from synergynet_tf.training.stages import Stage, trainable_variables
from synergynet_tf.training.terms import Counts, Parts, stage_counts, stage_losses, total_loss


def make_train_step(model: SynergyNet | UNetSystem, optimizer: Any, stage: Stage,
                    config: Config) -> Callable[[Batch], tuple[tf.Tensor, Parts]]:
    """One update of the parts that `stage` trains: Batch -> total loss and its weighted parts, as a tf.function.

    Made under the scope of a tf.distribute strategy it takes a batch for each replica: the losses, and the update, are those of
    all these batches as one.

    Args:
        model: to be trained.
        optimizer: of `make_optimizer`.
        stage: the parts that are trained, and with them the terms of the loss.
        config: of the run.
    """
    variables = trainable_variables(model, stage)
    strategy = tf.distribute.get_strategy()

    def losses(part: Batch, counts: Counts) -> tuple[tf.Tensor, Parts]:
        return total_loss(stage_losses(Forward(model, part, stage, config, training=True), counts), config.loss)

    def count(part: Batch) -> Counts:
        return stage_counts(Forward(model, part, stage, config, training=False))

    def update(batch: Batch) -> tuple[tf.Tensor, Parts]:
        if config.train.accumulate == 1:
            forward = Forward(model, batch, stage, config, training=True)
            total, parts = total_loss(stage_losses(forward, all_sum(stage_counts(forward))), config.loss)
            descent = gradients(scaled(total, optimizer), variables)
        else:
            total, parts, descent = accumulated(losses, count, batch, config.train.accumulate, variables, optimizer)
        total, parts, descent = all_sum((total, parts, descent))
        optimizer.apply_gradients(zip(descent, variables))
        return total, parts

    @tf.function(autograph=False, jit_compile=config.train.jit_compile or None)
    def train_step(batch: Batch) -> tuple[tf.Tensor, Parts]:
        return strategy.run(update, args=(batch,))

    return train_step


def make_loss_step(model: SynergyNet | UNetSystem, stage: Stage, config: Config) -> Callable[[Batch], tuple[tf.Tensor, Parts]]:
    """The losses of a stage without an update, for validation."""

    @tf.function(autograph=False, jit_compile=config.train.jit_compile or None)
    def loss_step(batch: Batch) -> tuple[tf.Tensor, Parts]:
        forward = Forward(model, batch, stage, config, training=False)
        return total_loss(stage_losses(forward, stage_counts(forward)), config.loss)

    return loss_step
