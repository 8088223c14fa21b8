"""The stage schedule and what each stage trains, against section 2.3 of the paper."""
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.models.synergynet import build_synergynet
from synergynet_tf.training.forward import Forward
from synergynet_tf.training.optimizer import make_optimizer
from synergynet_tf.training.stages import PARTS, STAGES, trainable_variables
from synergynet_tf.training.steps import make_loss_step, make_train_step
from synergynet_tf.training.terms import stage_counts, stage_losses
from tests.cohort import TINY, make_batch

# Section 2.3: the RPN with the features; then the R-CNN; then Mask; then the remaining decoder layers.
TRAINED = {
    1: {"encoder", "decoder", "rpn"},
    2: {"encoder", "decoder", "rpn", "box_head"},
    3: {"encoder", "decoder", "rpn", "box_head", "projections", "mask_head"},
    4: {"encoder", "decoder", "rpn", "box_head", "projections", "mask_head", "global_head"},
}
LOSSES = {
    1: {"rpn_objectness", "rpn_boxes"},
    2: {"rpn_objectness", "rpn_boxes", "rcnn_class", "rcnn_boxes"},
    3: {"rpn_objectness", "rpn_boxes", "rcnn_class", "rcnn_boxes", "mask"},
    4: {"rpn_objectness", "rpn_boxes", "rcnn_class", "rcnn_boxes", "mask", "global"},
}


@pytest.fixture(scope="module")
def config():
    # Every box is a detection: the fused loss then depends on the mask head from the first step on.
    config = Config.from_dict(TINY)
    return dataclasses.replace(config, detector=dataclasses.replace(config.detector, score_threshold=0.0))


@pytest.fixture(scope="module")
def model(config):
    keras.utils.set_random_seed(0)
    return build_synergynet(config)


@pytest.fixture(scope="module")
def last_losses(model, config):
    """The losses of the last stage, traced once for each size of a batch."""
    return make_loss_step(model, STAGES[-1], config)


def weights(model):
    return {part: [np.asarray(v) for v in getattr(model, part).trainable_variables] for part in PARTS}


@pytest.mark.parametrize("stage", STAGES, ids=lambda s: s.name)
def test_a_step_changes_exactly_the_stage_s_parts(config, model, stage):
    before = weights(model)
    optimizer = make_optimizer(config.train, 10)
    optimizer.build(trainable_variables(model, stage))
    total, parts = make_train_step(model, optimizer, stage, config)(make_batch(1))
    after = weights(model)
    changed = {part for part in PARTS if any((a != b).any() for a, b in zip(before[part], after[part]))}
    assert changed == TRAINED[stage.number]
    assert set(parts) == LOSSES[stage.number]
    assert float(total) == pytest.approx(sum(map(float, parts.values())), rel=1e-6)


@pytest.mark.slow       # XLA takes a minute
def test_the_compiled_step_gives_the_uncompiled_losses_and_weights(config):
    results, stage = [], STAGES[-1]         # which holds what those before it do
    for compiled in (False, True):
        keras.utils.set_random_seed(3)
        chosen = dataclasses.replace(config, train=dataclasses.replace(config.train, jit_compile=compiled))
        model = build_synergynet(chosen)
        optimizer = make_optimizer(chosen.train, 10)
        optimizer.build(trainable_variables(model, stage))
        _, parts = make_train_step(model, optimizer, stage, chosen)(make_batch(1))
        results.append((parts, weights(model)))
    (plain, plain_weights), (compiled, compiled_weights) = results
    for name in plain:
        np.testing.assert_allclose(plain[name], compiled[name], atol=1e-4, rtol=1e-4, err_msg=name)
    rate = config.train.learning_rate
    for part in PARTS:      # Adam's first step is the sign of a gradient: where that is zero but for rounding, either is right
        for a, b in zip(plain_weights[part], compiled_weights[part]):
            assert np.mean(np.abs(a - b) > 1e-4) < 0.02, part
            assert np.max(np.abs(a - b), initial=0) <= 2.1 * rate, part


def test_no_lesion_at_all_is_fine(last_losses):
    total, parts = last_losses(make_batch(2, lesions=False))
    assert np.isfinite(float(total))
    for name in ("rpn_boxes", "rcnn_boxes", "mask"):
        assert float(parts[name]) == 0.0


def test_early_stages_compute_neither_mask_nor_full_resolution_decoder(config, model):
    def operations(stage):
        def losses(batch):
            forward = Forward(model, batch, stage, config, training=True)
            return stage_losses(forward, stage_counts(forward))

        return tf.function(losses, autograph=False).get_concrete_function(make_batch(1)).graph.get_operations()

    made = {stage.number: operations(stage) for stage in STAGES}
    used = {number: {op.inputs[0].op.name for op in there if op.type == "ReadVariableOp"} for number, there in made.items()}
    assert len(used[1]) < len(used[2]) < len(used[3]) < len(used[4])
    full = [op for op in made[1] if op.type == "Conv3D" and op.outputs[0].shape[1] == 32]
    encoder_only = config.unet.convolutions + 1         # the first block's convolutions and its shortcut
    assert len(full) == encoder_only


def test_a_batch_of_two_equal_samples_has_the_loss_of_one(last_losses):
    (_, one), (_, two) = last_losses(make_batch(1)), last_losses(_twice(make_batch(1)))
    for name in one:
        assert float(two[name]) == pytest.approx(float(one[name]), rel=1e-3), name


def _twice(batch):
    return type(batch)(*(tf.concat([tensor, tensor], 0) for tensor in batch))
