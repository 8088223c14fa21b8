"""The exported graph covers a volume as `Predictor` does: whole up to the server's limit, in windows, the centre."""
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from export import signatures
from export.settings import Limits
from export.signatures import Member, Segmenter
from synergynet_tf.config import TrainConfig
from synergynet_tf.inference import coverage
from synergynet_tf.inference.predictor import Predictor
from synergynet_tf.training.systems import system_of
from tests.export.toy import Toy, toy_config

SHAPES = [(19, 33, 24), (40, 16, 50), (7, 5, 9)]
LIMIT = 24 * 40 * 24        # the server's, in voxels of a window: what the first shape takes whole; the second takes more


@pytest.fixture(autouse=True)
def one_signature(monkeypatch):
    """All signatures ask the networks by one function; only the one that is called here is traced."""
    monkeypatch.setattr(signatures, "SIGNATURES", {"serving_default": signatures.SIGNATURES["serving_default"]})


def served(config, network=None, **limits):
    """The signature for z-scored volumes of a network, a toy unless one is given, and what must live as long."""
    network = network or Toy()
    segmenter = Segmenter([Member(network, network.weights, config)], Limits(**limits))
    return segmenter.module, segmenter.signatures()["serving_default"]


@pytest.mark.parametrize("infer", [
    {"coverage": "whole", "window": (16, 24, 16)}, {"coverage": "windows", "window": (16, 24, 16)},
    {"coverage": "centre", "window": (16, 24, 16)}, {"coverage": "windows", "window": (24, 16, 16), "overlap": 0.0}],
    ids=["whole up to the limit", "windows", "centre", "abutting"])
def test_what_the_predictor_says(infer):
    config = toy_config(**infer)
    _, answer = held = served(config, max_window_voxels=LIMIT)
    asked, in_windows = (Predictor(Toy(), toy_config(**infer | change)) for change in ({}, {"coverage": "windows"}))
    for shape in SHAPES:
        above = infer["coverage"] == "whole" and np.prod(coverage.whole_size(shape)) > LIMIT
        predictor = in_windows if above else asked
        image = np.random.default_rng(shape[0]).normal(0.4, 1, (*shape, 1)).astype(np.float32)
        want, have = predictor.predict_volume(image, np.ones(shape, bool)), answer(tf.constant(image[None]))
        np.testing.assert_allclose(have["probability"][0], want.probability, atol=1e-6)
        assert len(np.unique(want.probability)) > 10
        kept = have["detection_valid"][0].numpy()
        np.testing.assert_allclose(have["detection_boxes"][0].numpy()[kept], want.detections.boxes, atol=1e-4)
        np.testing.assert_allclose(have["detection_scores"][0].numpy()[kept], want.detections.scores, atol=1e-6)
        assert not have["detection_boxes"][0].numpy()[~kept].any()
    assert held


def test_a_u_net_alone_has_no_patches_to_merge():
    config = dataclasses.replace(toy_config(coverage="windows", window=(16, 24, 16)), train=TrainConfig(system="unet"))
    network = system_of(config).build(config)
    image = np.random.default_rng(2).normal(0.4, 1, (20, 24, 16, 1)).astype(np.float32)
    _, answer = held = served(config, network)
    have = answer(tf.constant(image[None]))
    want = Predictor(network, config).predict_volume(image, np.ones(image.shape[:3], bool))
    np.testing.assert_allclose(have["probability"][0], want.probability, atol=1e-6)
    assert held and not have["detection_valid"].numpy().any() and len(np.unique(want.probability)) > 1
