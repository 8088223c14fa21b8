"""The baselines: what each trains, by which losses, and what it says. Whole runs of them are in tests/test_experiment.py."""
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.config import Config, command_line
from synergynet_tf.errors import InputError
from synergynet_tf.inference.merge import fused_probability
from synergynet_tf.inference.predictor import Predictor
from synergynet_tf.training.optimizer import make_optimizer
from synergynet_tf.training.stages import PARTS, trainable_variables
from synergynet_tf.training.steps import make_train_step
from synergynet_tf.training.systems import SYSTEMS, system_of
from tests.cohort import TINY, make_batch

# Section 3: the U-Net is the global network alone, the Mask R-CNN the local one with features of its own.
TRAINED = {"unet": {4: {"encoder", "decoder", "global_head"}},
           "mask_rcnn": {1: {"encoder", "decoder", "rpn"}, 2: {"encoder", "decoder", "rpn", "box_head"},
                         3: {"encoder", "decoder", "rpn", "box_head", "projections", "mask_head"}}}
LOSSES = {"unet": {"global"}, "mask_rcnn": {"rpn_objectness", "rpn_boxes", "rcnn_class", "rcnn_boxes", "mask"}}


def tiny(system: str, **more) -> dict:
    """TINY for a system, as its preset has it."""
    values = {group: dict(fields) for group, fields in (TINY | more).items()}
    values["train"] |= {"system": system}
    if system == "mask_rcnn":
        values |= {"fusion": {"gamma": 1.0}}
        values["lesions"] |= {"small_box_voxels": 10 ** 8}
        values["detector"] |= {"anchor_sizes": [7.0, 15.0]}
    return values


@pytest.mark.parametrize("system", ["unet", "mask_rcnn"])
def test_stages_and_parts(system):
    config = Config.from_dict(tiny(system))
    assert {stage.number: set(stage.parts) for stage in system_of(config).stages} == TRAINED[system]


@pytest.mark.parametrize("system", ["unet", pytest.param("mask_rcnn", marks=pytest.mark.slow)])
def test_a_step_of_the_last_stage_changes_its_parts_by_its_losses(system):
    config = Config.from_dict(tiny(system))
    keras.utils.set_random_seed(0)
    model, stage = SYSTEMS[system].build(config), SYSTEMS[system].stages[-1]
    present = [part for part in PARTS if hasattr(model, part)]
    before = {part: [np.asarray(v) for v in getattr(model, part).trainable_variables] for part in present}
    optimizer = make_optimizer(config.train, 10)
    optimizer.build(trainable_variables(model, stage))
    total, parts = make_train_step(model, optimizer, stage, config)(make_batch(1))
    assert set(parts) == LOSSES[system] and math.isfinite(float(total))
    changed = {part for part in present
               if any((a != np.asarray(b)).any() for a, b in zip(before[part], getattr(model, part).trainable_variables))}
    assert changed == TRAINED[system][stage.number]


def image_of(sides=(24, 32, 16)):
    return np.random.default_rng(0).normal(size=(*sides, 1)).astype(np.float32)


def test_the_u_net_s_word_is_its_logits():
    config = Config.from_dict(tiny("unet"))
    model = SYSTEMS["unet"].build(config)
    segmentation = Predictor(model, config).predict_volume(image_of())
    assert len(segmentation.detections.scores) == 0 and not segmentation.parts[0].merged.covered.any()
    expected = tf.sigmoid(model.logits(image_of()[None]))[0, ..., 0]
    np.testing.assert_allclose(segmentation.probability, expected, atol=1 / 4096)


def test_the_mask_r_cnn_speaks_only_where_a_patch_lies():
    values = tiny("mask_rcnn")
    values["detector"] |= {"score_threshold": 0.0}
    config = Config.from_dict(values)
    segmentation = Predictor(SYSTEMS["mask_rcnn"].build(config), config).predict_volume(image_of())
    merged = segmentation.parts[0].merged
    covered = merged.covered & merged.seen
    assert covered.any() and not covered.all()
    assert (segmentation.probability[~covered] == 0).all()
    alone = tf.sigmoid(merged.local_logits).numpy()
    np.testing.assert_allclose(fused_probability(merged, 1.0).numpy()[covered], alone[covered], atol=1 / 4096)


def test_a_mask_r_cnn_beside_another_gamma_is_refused():
    with pytest.raises(InputError, match="fusion.gamma is 0.3.*--preset mask_rcnn"):
        Config.from_dict({"train": {"system": "mask_rcnn"}})


def test_no_epoch_for_any_stage_is_refused():
    config = Config.from_dict(tiny("unet", train={"epochs": [1, 1, 1, 0]}))
    with pytest.raises(InputError, match="unet has only the stages 4"):
        system_of(config)


@pytest.mark.parametrize("system", ["unet", "mask_rcnn"])
def test_the_presets_make_these_systems_of_any_settings(system):
    config, _ = command_line.parse(["--preset", "quickstart", "--preset", system], "test")
    plain, _ = command_line.parse(["--preset", "quickstart"], "test")
    assert config.train.system == system and config.unet == plain.unet and config.train.epochs == plain.train.epochs
    assert (config.lesions.small_box_voxels == plain.lesions.small_box_voxels) == (system == "unet")
