"""Mirroring and averaging: what a mirrored network says is in the image's own voxels, and a mean of several is a mean."""
import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from synergynet_tf.config import InferConfig
from synergynet_tf.inference.ensemble import mirrored
from synergynet_tf.inference.lesions import LesionLimits, least_voxels, lesion_mask
from synergynet_tf.inference.predictor import Predictor
from tests.export.toy import Toy, toy_config


@pytest.fixture
def image():
    """A volume whose sides along X are multiples of 8 and not alike."""
    return np.random.default_rng(1).normal(0, 1, (16, 24, 16, 1)).astype(np.float32)


def test_a_mirrored_network_is_the_network_between_two_mirrors(image):
    toy = Toy()
    plain, turned = toy(tf.constant(image[None, ::-1])), mirrored(toy)(tf.constant(image[None]))
    np.testing.assert_array_equal(turned.global_logits[0], plain.global_logits[0][::-1])
    np.testing.assert_array_equal(turned.mask_logits, plain.mask_logits.numpy()[:, :, ::-1])
    for own, other in ((turned.detections.boxes, plain.detections.boxes), (turned.mask_boxes, plain.mask_boxes)):
        own, other = own.numpy()[0], other.numpy()[0]
        np.testing.assert_allclose(own[:, [0, 3]], 16 - other[:, [3, 0]])
        np.testing.assert_array_equal(own[:, [1, 2, 4, 5]], other[:, [1, 2, 4, 5]])
    twice = mirrored(mirrored(toy))(tf.constant(image[None]))
    for once, again in zip(tf.nest.flatten(toy(tf.constant(image[None]))), tf.nest.flatten(twice)):
        np.testing.assert_allclose(once, again, atol=1e-5)


@pytest.mark.parametrize("coverage", ["whole", "windows"])
def test_with_a_mirror_the_mirrored_scan_gives_the_mirrored_mask(image, coverage):
    config = toy_config(coverage=coverage, window=(8, 16, 8), mirror=True)
    predictor = Predictor(Toy(), config)
    here, there = predictor.predict_volume(image), predictor.predict_volume(image[::-1])
    np.testing.assert_allclose(here.probability, there.probability[::-1], atol=1e-6)
    np.testing.assert_array_equal(here.mask, there.mask[::-1])
    alone = Predictor(Toy(), toy_config(coverage=coverage, window=(8, 16, 8))).predict_volume(image)
    assert np.abs(here.probability - alone.probability).max() > 0.02
    assert len(here.detections.scores) >= len(alone.detections.scores)
    assert (np.diff(here.detections.scores) <= 0).all()


def test_several_networks_are_averaged_each_with_its_gamma(image):
    configs = [toy_config(), dataclasses.replace(toy_config(), fusion=dataclasses.replace(toy_config().fusion, gamma=0.9))]
    first, second = (Predictor(Toy(gain), config).predict_volume(image) for gain, config in zip((3.0, 1.5), configs))
    both = Predictor(Toy(3.0), configs[0], others=[(Toy(1.5), configs[1])]).predict_volume(image)
    np.testing.assert_allclose(both.probability, (first.probability + second.probability) / 2, atol=1e-7)
    np.testing.assert_array_equal(both.mask, both.probability > 0.5)
    again = both.fuse_at(0.2)
    expected = (first.fuse_at(0.2).probability + second.fuse_at(0.2).probability) / 2
    np.testing.assert_allclose(again.probability, expected, atol=1e-7)
    local, unet = both.branch_masks()
    np.testing.assert_array_equal(unet, first.branch_masks()[1] | second.branch_masks()[1])
    np.testing.assert_array_equal(local, first.branch_masks()[0] | second.branch_masks()[0])


def test_small_lesions_are_dropped_by_volume_not_by_voxels(image):
    image = np.where(image > 2.2, 3.0, -1.0).astype(np.float32)
    image[4:7, 4:7, 4:6] = 3.0                                          # 18 voxels
    every = Predictor(Toy(), toy_config()).predict_volume(image, np.ones(image.shape[:3], bool))
    config = toy_config(min_lesion=9.0)
    kept = Predictor(Toy(), config).predict_volume(image, np.ones(image.shape[:3], bool), voxel_mm3=0.5)
    assert kept.mask[5, 5, 5] and kept.mask.sum() < every.mask.sum()
    np.testing.assert_array_equal(kept.probability, every.probability)
    labels, _ = ndimage.label(every.mask, ndimage.generate_binary_structure(3, 2))
    np.testing.assert_array_equal(kept.mask, every.mask & (np.bincount(labels.ravel())[labels] >= 18))


def test_lesions_without_a_peak_are_dropped(image):
    image = np.where(image > 2.2, 1.4, -1.0).astype(np.float32)
    image[4:7, 4:7, 4:6] = 3.0
    brain = np.ones(image.shape[:3], bool)
    every, kept = (Predictor(Toy(), toy_config(min_peak=peak)).predict_volume(image, brain) for peak in (0.0, 0.9))
    assert kept.mask[5, 5, 5] and kept.mask.sum() < every.mask.sum()
    labels, count = ndimage.label(every.mask, ndimage.generate_binary_structure(3, 2))
    highest = ndimage.maximum(every.probability, labels, range(count + 1))
    np.testing.assert_array_equal(kept.mask, every.mask & (highest[labels] >= 0.9))


@pytest.mark.parametrize("mm3, voxel, least", [(0, 1, 0), (5, 1, 5), (5, 0.3, 17), (0.3, 0.1, 3), (10, 6.5, 2)])
def test_the_least_volume_in_voxels(mm3, voxel, least):
    assert least_voxels(mm3, voxel) == least


def test_a_mask_without_lesions_stays_one():
    assert not lesion_mask(np.zeros((4, 4, 4), np.float32), 0.5, LesionLimits(5, 0.9)).any()
    assert InferConfig().min_lesion == InferConfig().min_peak == 0 and InferConfig().mirror is False
