"""A batch in parts gives the gradients of the whole batch, however unlike the parts are."""
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.structures import Batch
from synergynet_tf.training.accumulate import accumulated
from synergynet_tf.training.forward import Forward
from synergynet_tf.training.precision import ScaledOptimizer
from synergynet_tf.training.stages import STAGES
from synergynet_tf.training.steps import make_train_step
from synergynet_tf.training.systems import SYSTEMS
from synergynet_tf.training.terms import stage_counts
from tests.cohort import TINY, make_batch


def config_of(system, accumulate):
    config = Config.from_dict(TINY)
    train = dataclasses.replace(config.train, system=system, batch=2 // accumulate, accumulate=accumulate)
    return dataclasses.replace(config, detector=dataclasses.replace(config.detector, score_threshold=0.0), train=train)


def unlike_patches():
    """Two patches: one with lesions, one without any."""
    return Batch(*(tf.concat(pair, 0) for pair in zip(make_batch(1), make_batch(1, lesions=False))))


def moved(system, stage, accumulate, batch):
    """By how much a step of plain descent moves each weight, and the losses."""
    config = config_of(system, accumulate)
    keras.utils.set_random_seed(5)
    model = SYSTEMS[system].build(config)
    before = model.get_weights()
    total, parts = make_train_step(model, keras.optimizers.SGD(1.0), stage, config)(batch)
    return [a - b for a, b in zip(model.get_weights(), before)], {"total": total, **parts}


@pytest.mark.parametrize(("system", "stage"), [
    ("unet", SYSTEMS["unet"].stages[0]),
    pytest.param("synergynet", STAGES[3], marks=pytest.mark.slow),      # which has every loss
], ids=lambda value: getattr(value, "name", value))
def test_parts_give_the_gradients_and_losses_of_the_whole(system, stage):
    batch = unlike_patches()
    (whole, losses), (parts, summed) = (moved(system, stage, n, batch) for n in (1, 2))
    for name, value in losses.items():
        np.testing.assert_allclose(summed[name], value, rtol=1e-5, atol=1e-6, err_msg=name)
    whole, parts = (np.concatenate([np.ravel(a) for a in gradients]) for gradients in (whole, parts))
    assert np.linalg.norm(whole - parts) <= 1e-6 * np.linalg.norm(whole) > 0


def test_counts_of_parts_add_up_to_those_of_the_whole():
    config, batch = config_of("synergynet", 1), unlike_patches()
    keras.utils.set_random_seed(4)
    model = SYSTEMS["synergynet"].build(config)
    whole, first, second = (stage_counts(Forward(model, part, STAGES[3], config, False)) for part in (
        batch, Batch(*(value[:1] for value in batch)), Batch(*(value[1:] for value in batch))))
    assert set(whole) == {"rpn_objectness", "rpn_boxes", "rcnn_class", "rcnn_boxes", "mask", "global"}
    for name, value in whole.items():
        assert float(value) == float(first[name]) + float(second[name])
    assert (whole["global"], second["mask"]) == (2, 0) and first["mask"] > 0


def test_the_sum_is_divided_by_what_all_parts_count_together():
    """A loss that can be reckoned by hand: the mean of w times the marked voxels, 3 in the first patch and 1 in the second."""
    weight, optimizer = tf.Variable(2.0), ScaledOptimizer(keras.optimizers.SGD())
    image = np.zeros((2, 1, 1, 4, 1), np.float32)
    image[0, 0, 0, :3, 0], image[1, 0, 0, 0, 0] = (1, 2, 3), 10
    batch = make_batch(2)._replace(image=tf.constant(image))

    @tf.function(autograph=False)
    def run():
        def losses(part, counts):
            total = weight * tf.reduce_sum(part.image) / counts["marked"]
            return total, {"one": total}
        return accumulated(losses, lambda part: {"marked": tf.reduce_sum(tf.cast(part.image > 0, tf.float32))}, batch, 2,
                           [weight], optimizer)

    total, parts, (gradient,) = run()
    assert total == parts["one"] == 2 * 16 / 4
    assert gradient == 2 ** 15 * 16 / 4
