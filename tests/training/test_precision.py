"""16-bit convolutions beside float32 weights and losses; the loss scale of float16."""
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.errors import InputError
from synergynet_tf.models.synergynet import build_synergynet
from synergynet_tf.training import checkpoint, precision
from synergynet_tf.training.checkpoint import Progress
from synergynet_tf.training.optimizer import make_optimizer
from synergynet_tf.training.precision import FIRST_SCALE, ScaledOptimizer, layers_in
from synergynet_tf.training.stages import STAGES, trainable_variables
from synergynet_tf.training.steps import make_loss_step, make_train_step
from tests.cohort import TINY, make_batch


def config_in(kind):
    config = Config.from_dict(TINY)
    return dataclasses.replace(config, detector=dataclasses.replace(config.detector, score_threshold=0.0),
                               train=dataclasses.replace(config.train, precision=kind))


def network(kind):
    keras.utils.set_random_seed(2)
    with layers_in(kind):
        return build_synergynet(config_in(kind))


def optimizer_of(values, make=lambda: keras.optimizers.Adam(0.1)):
    """A weight, a scaled optimizer and a step from the true gradient of that weight."""
    weight = keras.Variable(values) if hasattr(keras, "Variable") else tf.Variable(values)
    optimizer = ScaledOptimizer(make())
    optimizer.build([weight])

    @tf.function(autograph=False)
    def step(gradient):
        optimizer.apply_gradients([(gradient * optimizer.scale, weight)])

    return weight, optimizer, step


def test_finite_gradients_give_the_steps_of_the_optimizer_itself():
    weight, _, step = optimizer_of([1.0, -2.0])
    plain = keras.Variable([1.0, -2.0]) if hasattr(keras, "Variable") else tf.Variable([1.0, -2.0])
    adam = keras.optimizers.Adam(0.1)
    adam.build([plain])
    for gradient in ([0.5, 3.0], [-1.0, 1e-6]):
        step(tf.constant(gradient))
        adam.apply_gradients([(tf.constant(gradient), plain)])
    np.testing.assert_allclose(weight, plain, rtol=1e-6)


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_skips_the_step_and_halves_the_scale(broken):
    weight, optimizer, step = optimizer_of([1.0, -2.0])
    step(tf.constant([1.0, 1.0]))
    before = [np.array(v) for v in (weight, *optimizer.variables[:-2])]
    step(tf.constant([1.0, broken], tf.float32))
    for a, b in zip(before, (weight, *optimizer.variables[:-2])):
        np.testing.assert_array_equal(a, b)
    assert float(optimizer.scale) == FIRST_SCALE / 2
    step(tf.constant([1.0, 1.0]))
    assert np.all(np.array(weight) != before[0]) and float(optimizer.scale) == FIRST_SCALE / 2


def test_the_scale_grows_after_as_many_finite_steps_in_a_row(monkeypatch):
    monkeypatch.setattr(precision, "GROW_AFTER", 3)
    _, optimizer, step = optimizer_of([1.0])
    scales = []
    for gradient in (1.0, 1.0, np.inf, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0):
        step(tf.constant([gradient], tf.float32))
        scales.append(float(optimizer.scale) / FIRST_SCALE)
    assert scales == [1, 1, 0.5, 0.5, 0.5, 1, 1, 1, 2]


def test_gradients_that_are_never_finite_end_the_training():
    _, optimizer, step = optimizer_of([1.0])
    for _ in range(15):
        step(tf.constant([np.nan], tf.float32))
        precision.require_scale(optimizer)
    step(tf.constant([np.nan], tf.float32))
    with pytest.raises(InputError, match="train.precision is float16"):
        precision.require_scale(optimizer)
    precision.require_scale(keras.optimizers.Adam())


def test_the_scale_comes_back_from_a_checkpoint(tmp_path):
    config = config_in("float16")
    model = build_synergynet(config)
    variables = trainable_variables(model, STAGES[0])
    optimizer, fresh = (make_optimizer(config.train, 10) for _ in range(2))
    for made in (optimizer, fresh):
        made.build(variables)
    optimizer.scale.assign(128.0)
    optimizer.variables[-1].assign(77)
    checkpoint.save(tmp_path / "last.npz", model, config, Progress(1, 1), optimizer)
    checkpoint.load(tmp_path / "last.npz").restore_optimizer(fresh)
    assert [float(v) for v in fresh.variables[-2:]] == [128, 77]


@pytest.fixture(scope="module")
def exact():
    """The last stage's losses in float32."""
    return make_loss_step(network("float32"), STAGES[3], config_in("float32"))(make_batch(1))[1]


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
@pytest.mark.slow
def test_a_step_of_the_last_stage(kind, exact):
    """Losses near float32's, weights that move and stay float32, maps in the type asked for."""
    config, model = config_in(kind), network(kind)
    assert keras.mixed_precision.global_policy().name == "float32"
    assert model.features(make_batch(1).image).d1.dtype == kind
    before = model.get_weights()
    optimizer = make_optimizer(config.train, 10)
    optimizer.build(trainable_variables(model, STAGES[3]))
    step = make_train_step(model, optimizer, STAGES[3], config)
    _, parts = step(make_batch(1))
    assert all(value.dtype == tf.float32 and np.isfinite(value) for value in parts.values())
    assert all(tf.as_dtype(weight.dtype) == tf.float32 for weight in model.weights)
    assert all(np.isfinite(a).all() for a in model.get_weights())
    assert np.mean([np.mean(a != b) for a, b in zip(model.get_weights(), before)]) > 0.5
    for name in ("rpn_objectness", "rpn_boxes", "global"):      # the others depend on which boxes are proposed
        assert float(parts[name]) == pytest.approx(float(exact[name]), rel=0.05), name


def test_a_network_trained_in_bfloat16_is_loaded_in_float32(tmp_path):
    trained = network("bfloat16")
    checkpoint.save(tmp_path / "best.npz", trained, config_in("bfloat16"), Progress(4, 1))
    loaded, config = checkpoint.load_run(tmp_path)
    assert config.train.precision == "bfloat16"
    image = make_batch(1).image
    expected = network("float32")(image).global_logits
    assert loaded.features(image).d1.dtype == tf.float32
    np.testing.assert_array_equal(loaded(image).global_logits, expected)
