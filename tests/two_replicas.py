"""Twenty steps of a stage on one device, on two of a process, or in two processes; in processes of their own, since devices and
strategies are set before all else.

`python -m tests.two_replicas MANIFEST CACHE STAGE STRATEGY FILE` writes the network's weights, all in a row: before the steps,
and after them for each of two orders of the patches, [1 + 2, weights]. One device takes both replicas' patches as a batch.
"""
import dataclasses
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.data import layouts, pipeline
from synergynet_tf.data.cache import build_cache
from synergynet_tf.runtime.replicas import Replicas, begin
from synergynet_tf.training.determinism import make_deterministic
from synergynet_tf.training.optimizer import make_optimizer
from synergynet_tf.training.stages import trainable_variables
from synergynet_tf.training.steps import make_train_step
from synergynet_tf.training.systems import system_of
from tests.cohort import TINY

# What is near a threshold may fall on either side of it by the last bit of a float. All proposals are taken and none is drawn, so
# that fewer things are.
DETECTOR = {"pre_nms": 64, "proposals": 64, "rois": 128, "train_nms_iou": 0.9}
SEEDS = (1, 2)


def main(manifest: str, cache: str, number: str, strategy: str, file: str) -> None:
    """See the module's docstring."""
    if strategy == "mirrored":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    replicas = begin(strategy)
    make_deterministic()
    settings = {**TINY, "data": {"path": manifest, "cache": cache}, "detector": {**TINY["detector"], **DETECTOR},
                "mask": {**TINY["mask"], "rois": 64}, "train": {"steps_per_epoch": 20, "clip_norm": 1.0, "learning_rate": 3e-4}}
    config = Config.from_dict(settings)
    cases = build_cache(layouts.discover(pathlib.Path(manifest), "manifest", config.data.channels, True), config)
    np.save(file, _weights(config, cases, int(number), replicas))
    replicas.wait()


def _weights(config: Config, cases: list, number: int, replicas: Replicas) -> np.ndarray:
    stage = next(stage for stage in system_of(config).stages if stage.number == number)
    keras.utils.set_random_seed(1)
    with replicas.scope():
        model = system_of(config).build(config)
        optimizer = make_optimizer(config.train, 20)
        optimizer.build(trainable_variables(model, stage))
        step = make_train_step(model, optimizer, stage, config)
    first, state = model.get_weights(), [np.asarray(variable) for variable in optimizer.variables]
    found = [first]
    for seed in SEEDS:
        model.set_weights(first)
        for variable, value in zip(optimizer.variables, state):
            variable.assign(value)
        chosen = dataclasses.replace(config, train=dataclasses.replace(config.train, seed=seed, batch=2 // replicas.count))
        for given in replicas.batches(lambda replica: pipeline.training_dataset(
                cases, chosen, 0, replicas=replicas.count, replica=replica)):       # noqa: B023 (called at once)
            step(given)
        found.append(model.get_weights())
    return np.stack([np.concatenate([np.ravel(value) for value in weights]) for weights in found])


if __name__ == "__main__":
    main(*sys.argv[1:])
