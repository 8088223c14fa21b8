"""Eq. 2: the weights of the paper, stage by stage."""
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.config import LossConfig
from synergynet_tf.training.terms import TERMS, total_loss

PARTS = {"rpn_objectness": 2.0, "rpn_boxes": 3.0, "rcnn_class": 10.0, "rcnn_boxes": 7.0, "mask": 0.5, "global": 0.25}


def scalars(names):
    return {name: tf.constant(PARTS[name]) for name in names}


def test_all_six_parts_with_the_papers_weights():
    total, weighted = total_loss(scalars(PARTS), LossConfig())
    assert list(weighted) == list(PARTS)
    np.testing.assert_allclose(list(weighted.values()), [2, 3, 13, 7, 0.5, 1.25], rtol=1e-6)
    np.testing.assert_allclose(total, 26.75, rtol=1e-6)


@pytest.mark.parametrize("names,expected", [
    (["rpn_objectness", "rpn_boxes"], 5), (["rpn_objectness", "rpn_boxes", "rcnn_class", "rcnn_boxes"], 25), (["global"], 1.25)])
def test_a_stage_adds_only_its_own_parts(names, expected):
    total, weighted = total_loss(scalars(names), LossConfig())
    assert list(weighted) == names
    np.testing.assert_allclose(total, expected, rtol=1e-6)


@pytest.mark.parametrize("number,name", enumerate(PARTS, start=1))
def test_alpha_n_weights_part_n(number, name):
    config = LossConfig(**{f"alpha{i}": float(i == number) for i in range(1, 7)})
    np.testing.assert_allclose(total_loss(scalars(PARTS), config)[0], PARTS[name], rtol=1e-6)


def test_gradient_of_a_part_is_its_weight():
    parts = scalars(TERMS)
    with tf.GradientTape() as tape:
        tape.watch(parts)
        total, _ = total_loss(parts, LossConfig())
    np.testing.assert_allclose(list(tape.gradient(total, parts).values()), [1, 1, 1.3, 1, 1, 5], rtol=1e-6)


@pytest.mark.parametrize("parts", [{}, {"dice": tf.constant(1.0)}])
def test_no_part_or_an_unknown_one_is_refused(parts):
    with pytest.raises(ValueError, match="rpn_objectness"):
        total_loss(parts, LossConfig())
