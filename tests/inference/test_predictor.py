"""Whole volumes through a network that can be reckoned by hand, and through the real one with few weights."""
import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.config import Config, DataConfig, DetectorConfig, InferConfig, MaskConfig, UNetConfig
from synergynet_tf.errors import InputError
from synergynet_tf.inference.predictor import Predictor
from synergynet_tf.structures import Detections, Prediction

TINY = Config(data=DataConfig(channels=("flair", "t2")), unet=UNetConfig(widths=(2, 2, 4, 4), convolutions=1),
              mask=MaskConfig(size=4, width=2, window=16),
              detector=DetectorConfig(rpn_width=2, pre_nms=32, proposals=8, max_detections=4, train_detections=4, roi_size=3,
                                      box_width=4, score_threshold=0.0))


class Fake:
    """Global logits 8 * FLAIR - 4; one detection of 4 voxels a side at the brightest voxel, if above 1; its patch says 2."""

    def __init__(self):
        self.traces, self.shapes = 0, []

    def __call__(self, image):
        self.traces += 1
        flair = image[..., 0]
        shape = tf.cast(tf.shape(flair), tf.int64)
        best = tf.argmax(tf.reshape(flair, [-1]))
        place = tf.stack([best // (shape[2] * shape[3]), best // shape[3] % shape[2], best % shape[3]])
        middle = tf.cast(place, tf.float32)
        box = tf.concat([middle - 2, middle + 2], 0)[None, None]
        found = Detections(box, tf.constant([[0.75]]), tf.reduce_max(flair)[None, None] > 1)
        return Prediction(8 * flair[..., None] - 4, found, tf.fill([1, 1, 4, 4, 4, 1], 2.0), box)


def scan(shape=(20, 18, 12), channels=1, bright=True):
    image = np.random.default_rng(3).uniform(-0.9, 0.9, (*shape, channels)).astype(np.float32)
    image[:2] = 0
    if bright:
        image[9, 8, 6, 0] = 2
    return image


def config_with(coverage="whole", **changes):
    return dataclasses.replace(Config(), infer=InferConfig(coverage=coverage, window=(16, 16, 16), **changes))


@pytest.mark.parametrize("coverage", ["whole", "windows"])
@pytest.mark.parametrize("gamma", [0.0, 0.3])
def test_probability_and_mask_are_those_reckoned_by_hand(coverage, gamma):
    image = scan()
    found = Predictor(Fake(), config_with(coverage)).predict_volume(image).fuse_at(gamma)
    logits = 8 * image[..., 0] - 4
    cube = tuple(slice(c - 2, c + 2) for c in (9, 8, 6))
    np.testing.assert_array_equal(np.argwhere(found.parts[0].merged.covered).min(0), [s.start for s in cube])
    np.testing.assert_array_equal(np.argwhere(found.parts[0].merged.covered).max(0), [s.stop - 1 for s in cube])
    logits[cube] = gamma * 2 + (1 - gamma) * logits[cube]
    expected = np.where(image[..., 0] != 0, 1 / (1 + np.exp(-logits)), 0)
    np.testing.assert_allclose(found.probability, expected, atol=2e-4)
    certain = abs(expected - 0.5) > 1e-3
    np.testing.assert_array_equal(found.mask[certain], (expected > 0.5)[certain])
    assert found.probability.dtype == np.float32 and found.mask.dtype == bool and found.mask.any()


def test_gamma_0_is_the_global_branch_alone_and_costs_no_second_pass():
    fake = Fake()
    found = Predictor(fake, config_with()).predict_volume(scan())
    alone = found.fuse_at(0.0)
    assert fake.traces == 1 and alone.parts[0].merged is found.parts[0].merged
    np.testing.assert_array_equal(alone.mask, found.branch_masks()[1])
    assert (found.probability != alone.probability).any()
    np.testing.assert_array_equal(found.fuse_at(0.3).probability, found.probability)
    assert found.fuse_at(0.3, 0.9).mask.sum() < found.mask.sum()
    with pytest.raises(InputError, match="gamma"):
        found.fuse_at(1.5)


def test_one_trace_serves_every_shape():
    fake = Fake()
    predictor = Predictor(fake, config_with())
    for shape in ((9, 17, 8), (16, 16, 16), (30, 11, 25)):
        assert predictor.predict_volume(scan(shape, bright=False)).mask.shape == shape
    assert fake.traces == 1


def test_nothing_outside_the_brain_is_lesion():
    image = scan()
    brain = np.zeros(image.shape[:3], bool)
    brain[10:, 5:, :] = True
    found = Predictor(Fake(), config_with()).predict_volume(image, brain)
    free = Predictor(Fake(), config_with()).predict_volume(image)
    assert found.probability[~brain].max() == 0 and free.probability[~brain].max() > 0.5
    np.testing.assert_array_equal(found.probability[brain], free.probability[brain])
    assert not any((branch & ~brain).any() for branch in found.branch_masks())


def test_the_centre_alone_is_seen():
    image = scan((40, 20, 16))
    found = Predictor(Fake(), config_with("centre")).predict_volume(image + 1)
    assert found.probability[12:28, 2:18].min() > 0
    assert found.probability[:12].max() == found.probability[28:].max() == found.probability[:, :2].max() == 0


@pytest.mark.parametrize("coverage", ["whole", "windows", "centre"])
def test_no_detection_and_no_brain_are_ordinary(coverage):
    predictor = Predictor(Fake(), config_with(coverage))
    found = predictor.predict_volume(scan(bright=False))
    assert len(found.detections.scores) == 0 and not found.parts[0].merged.covered.any()
    np.testing.assert_array_equal(found.probability, found.fuse_at(1.0).probability)
    assert not predictor.predict_volume(np.zeros((10, 10, 10, 1), np.float32)).mask.any()


def test_other_channels_and_answers_that_are_not_finite_are_refused():
    predictor = Predictor(Fake(), config_with())
    with pytest.raises(InputError, match="flair"):
        predictor.predict_volume(scan(channels=2))
    image = scan()
    image[5, 5, 5] = np.nan
    with pytest.raises(InputError, match="not finite"):
        predictor.predict_volume(image)


def test_the_real_network_runs_on_any_shape():
    from synergynet_tf.models.synergynet import build_synergynet, fused_logits

    tf.random.set_seed(0)
    model = build_synergynet(TINY)
    predictor = Predictor(model, TINY)
    image = scan((32, 24, 16), 2)
    found = predictor.predict_volume(image)
    assert len(found.detections.scores) > 0 and found.parts[0].merged.covered.any()
    fused = fused_logits(model(tf.constant(image[None])), 0.3, 16).numpy()[0, ..., 0]
    expected = np.where((image != 0).any(-1), 1 / (1 + np.exp(-fused)), 0)
    np.testing.assert_allclose(found.probability, expected, atol=5e-4)
    assert predictor.predict_volume(scan((19, 22, 13), 2)).mask.shape == (19, 22, 13)
