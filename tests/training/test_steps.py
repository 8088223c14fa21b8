"""A step of the last stage at the quickstart's size: the same weights and batch give the same bits, every time."""
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.config import Config, UNetConfig
from synergynet_tf.models.synergynet import build_synergynet
from synergynet_tf.structures import Batch
from synergynet_tf.training.determinism import make_deterministic
from synergynet_tf.training.stages import STAGES
from synergynet_tf.training.steps import make_train_step
from tests.cohort import TINY, make_batch

SIDE = 64
REPEATS = 12


@pytest.fixture(scope="module")
def batch() -> Batch:
    """One noisy patch with six cubes in it; at this size the kernels work in several threads, branches at the same time."""
    rng = np.random.default_rng(3)
    instances = np.zeros((1, SIDE, SIDE, SIDE), np.int32)
    boxes = np.zeros((1, 16, 6), np.float32)
    for slot in range(6):
        low = rng.integers(4, SIDE - 12, 3)
        high = low + rng.integers(3, 8, 3)
        instances[0, low[0]:high[0], low[1]:high[1], low[2]:high[2]] = slot + 1
        boxes[0, slot] = (*low, *high)
    image = rng.normal(size=instances.shape) + 3 * (instances > 0)
    valid = np.arange(16)[None] < 6
    return Batch(tf.constant(image[..., None], tf.float32), tf.constant(instances), tf.constant(boxes), tf.constant(valid),
                 tf.zeros((1, 16), tf.bool), tf.constant([[7, 11]]), tf.constant([0]))


@pytest.mark.slow
def test_a_step_of_the_last_stage_gives_the_same_bits_each_time(batch):
    make_deterministic()
    keras.utils.set_random_seed(0)
    config = Config(unet=UNetConfig(widths=(16, 16, 32, 64)))
    model = build_synergynet(config)
    start = model.get_weights()
    step = make_train_step(model, keras.optimizers.SGD(1.0), STAGES[-1], config)
    reached = []
    for _ in range(REPEATS):
        model.set_weights(start)
        step(batch)
        reached.append(model.get_weights())
    names = [weight.path if hasattr(weight, "path") else weight.name for weight in model.weights]
    differing = {name for weights in reached[1:] for name, a, b in zip(names, reached[0], weights) if not np.array_equal(a, b)}
    assert not differing
    assert any(np.any(a != b) for a, b in zip(start, reached[0]))       # the step did move them


@pytest.mark.slow
def test_recomputed_levels_and_patches_give_the_gradients_of_kept_ones():
    moved = []
    for recompute in (0, 4):
        config = Config.from_dict(TINY | {"train": {"recompute": recompute}})
        config = dataclasses.replace(config, detector=dataclasses.replace(config.detector, score_threshold=0.0))
        keras.utils.set_random_seed(0)
        model = build_synergynet(config)
        before = model.get_weights()
        total, _ = make_train_step(model, keras.optimizers.SGD(1.0), STAGES[-1], config)(make_batch(1))
        moved.append((float(total), np.concatenate([np.ravel(a - b) for a, b in zip(model.get_weights(), before)])))
    (kept_loss, kept), (anew_loss, anew) = moved
    assert anew_loss == pytest.approx(kept_loss, rel=1e-6)
    assert np.linalg.norm(anew - kept) <= 1e-5 * np.linalg.norm(kept) > 0
