"""The exported graph covers a volume as `Predictor` does: whole, in windows, the centre, and above the server's limit."""
import numpy as np
import pytest
import tensorflow as tf

from export.settings import Limits
from export.signatures import Member, Segmenter
from synergynet_tf.inference.predictor import Predictor
from tests.export.toy import Toy, toy_config

SHAPES = [(19, 33, 24), (40, 16, 50), (7, 5, 9)]


def served(config, **limits):
    """The signature for z-scored volumes of a toy network."""
    toy = Toy()
    segmenter = Segmenter([Member(toy, toy.weights, config)], Limits(**limits))
    return segmenter.module, segmenter.signatures()["serving_default"]


@pytest.mark.parametrize("infer", [
    {"coverage": "whole"}, {"coverage": "windows", "window": (16, 24, 16)}, {"coverage": "centre", "window": (16, 24, 16)},
    {"coverage": "windows", "window": (24, 16, 16), "overlap": 0.0}], ids=["whole", "windows", "centre", "abutting"])
def test_what_the_predictor_says(infer):
    config = toy_config(**infer)
    _, answer = held = served(config)
    predictor = Predictor(Toy(), config)
    for shape in SHAPES:
        image = np.random.default_rng(shape[0]).normal(0.4, 1, (*shape, 1)).astype(np.float32)
        want, have = predictor.predict_volume(image, np.ones(shape, bool)), answer(tf.constant(image[None]))
        np.testing.assert_allclose(have["probability"][0], want.probability, atol=1e-6)
        assert len(np.unique(want.probability)) > 10
        kept = have["detection_valid"][0].numpy()
        np.testing.assert_allclose(have["detection_boxes"][0].numpy()[kept], want.detections.boxes, atol=1e-4)
        np.testing.assert_allclose(have["detection_scores"][0].numpy()[kept], want.detections.scores, atol=1e-6)
        assert not have["detection_boxes"][0].numpy()[~kept].any()
    assert held


def test_above_the_servers_limit_a_volume_is_seen_in_windows():
    infer = {"window": (16, 24, 16)}
    image = np.random.default_rng(1).normal(0.4, 1, (40, 32, 24, 1)).astype(np.float32)
    for limit, coverage in ((40 * 32 * 24, "whole"), (40 * 32 * 24 - 1, "windows")):
        _, answer = held = served(toy_config(**infer), max_window_voxels=limit)
        want = Predictor(Toy(), toy_config(coverage=coverage, **infer)).predict_volume(image, np.ones(image.shape[:3], bool))
        np.testing.assert_allclose(answer(tf.constant(image[None]))["probability"][0], want.probability, atol=1e-6)
        assert held
