"""The network over a volume in the graph against `Predictor`: whole, in windows, the centre, and above the limit."""
import numpy as np
import pytest
import tensorflow as tf

from export import windows
from synergynet_tf.inference import coverage
from synergynet_tf.inference.predictor import Predictor
from tests.export.toy import Toy, toy_config

SHAPES = [(19, 33, 24), (40, 16, 50), (7, 5, 9)]


@pytest.mark.parametrize("infer", [
    {"coverage": "whole"}, {"coverage": "windows", "window": (16, 24, 16)}, {"coverage": "centre", "window": (16, 24, 16)},
    {"coverage": "windows", "window": (24, 16, 16), "overlap": 0.0}], ids=["whole", "windows", "centre", "abutting"])
def test_what_the_predictor_says(infer):
    toy, config = Toy(), toy_config(**infer)
    graph = tf.function(lambda image: windows.segment(toy, config, image, 10 ** 7),
                        [tf.TensorSpec([None, None, None, 1], tf.float32)], autograph=False)
    predictor = Predictor(toy, config)
    for shape in SHAPES:
        image = np.random.default_rng(shape[0]).normal(0.4, 1, (*shape, 1)).astype(np.float32)
        want, have = predictor.predict_volume(image, np.ones(shape, bool)), graph(image)
        np.testing.assert_allclose(have.probability, want.probability, atol=1e-6)
        assert len(np.unique(want.probability)) > 10
        kept = have.found.valid.numpy()
        np.testing.assert_allclose(have.found.boxes.numpy()[kept], want.detections.boxes, atol=1e-4)
        np.testing.assert_allclose(have.found.scores.numpy()[kept], want.detections.scores, atol=1e-6)
        assert have.finite


@pytest.mark.parametrize("infer", [{}, {"window": (16, 24, 16)}, {"coverage": "windows", "window": (16, 24, 16)},
                                   {"coverage": "centre", "window": (16, 24, 16)}])
@pytest.mark.parametrize("limit", [1, 10 ** 9])
def test_windows_lie_where_the_predictor_puts_them(infer, limit):
    config = toy_config(**infer)
    for shape in [*SHAPES, (128, 200, 129)]:
        above = np.prod(coverage.whole(shape).size) > limit and config.infer.coverage == "whole"
        want = Predictor(Toy(), toy_config(**infer | ({"coverage": "windows"} if above else {}))).windows(shape)
        plan = windows._plan(tf.constant(shape), config, limit)
        assert [tuple(start) for start in plan.starts.numpy()] == [window.start for window in want]
        assert {window.size for window in want} == {tuple(plan.size.numpy())}


def test_weights_are_the_predictors():
    for size in ((16, 24, 8), (40, 8, 16)):
        np.testing.assert_allclose(windows._gaussian_weights(tf.constant(size)), coverage.gaussian_weights(size), rtol=1e-6)
