"""Components and holes in the graph against scipy."""
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from synergynet_tf.inference.lesions import LesionLimits, lesion_mask
from synergynet_tf.ops import components

COUNT = {c: tf.function(lambda mask, c=c: components.count_components(mask, c),
                        [tf.TensorSpec([None] * 3, tf.bool)], autograph=False) for c in (6, 18, 26)}


GIVEN = [tf.TensorSpec([None] * 3, tf.bool), tf.TensorSpec([], tf.int32), tf.TensorSpec([None] * 3, tf.bool)]
KEPT = {c: tf.function(lambda mask, least, peaks, c=c: components.keep_lesions(mask, least, peaks, c), GIVEN, autograph=False)
        for c in (6, 18, 26)}


@st.composite
def masks(draw) -> np.ndarray:
    shape = draw(st.tuples(*[st.integers(1, 14)] * 3))
    share = draw(st.sampled_from([0.03, 0.2, 0.4, 0.6, 0.95]))
    return np.random.default_rng(draw(st.integers(0, 2 ** 32))).random(shape) < share


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@settings(max_examples=60, deadline=None)
@given(mask=masks())
def test_as_many_as_scipy_counts(connectivity, mask):
    near = ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])
    assert COUNT[connectivity](mask) == ndimage.label(mask, near)[1]


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@settings(max_examples=40, deadline=None)
@given(mask=masks(), least=st.integers(0, 12), peak=st.sampled_from([0.0, 0.6, 0.9, 0.99]), number=st.integers(0, 2 ** 32))
def test_components_that_are_no_lesions_go_as_predict_drops_them(connectivity, mask, least, peak, number):
    probability = np.where(mask, 0.5, 0) + np.random.default_rng(number).random(mask.shape) * 0.499
    probability = probability.astype(np.float32)
    mask = probability > 0.5
    found = KEPT[connectivity](mask, least, probability >= np.float32(peak)).numpy()
    np.testing.assert_array_equal(found, lesion_mask(probability, 0.5, LesionLimits(least, peak, connectivity)))
    near = ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])
    labels, count = ndimage.label(mask, near)
    for label in range(1, count + 1):
        part = labels == label
        stays = part.sum() >= least and probability[part].max() >= np.float32(peak)
        assert found[part].all() if stays else not found[part].any()
    assert not (found & ~mask).any()


@pytest.mark.parametrize("connectivity", [6, 18, 26])
@pytest.mark.parametrize("offset", [(1, 0, 0), (1, 1, 0), (0, 1, 1), (1, -1, 0), (0, -1, 1), (1, 1, 1), (1, -1, 1), (1, 1, -1),
                                    (2, 0, 0)])
def test_two_voxels(connectivity, offset):
    mask = np.zeros((7, 7, 7), bool)
    mask[3, 3, 3] = mask[tuple(3 + np.array(offset))] = True
    near = max(np.abs(offset)) == 1 and np.abs(offset).sum() <= {6: 1, 18: 2, 26: 3}[connectivity]
    assert COUNT[connectivity](mask) == (1 if near else 2)


def test_empty_full_and_a_spiral():
    assert COUNT[18](np.zeros((4, 5, 6), bool)) == 0
    assert COUNT[18](np.ones((4, 5, 6), bool)) == 1
    snake = np.zeros((41, 40, 3), bool)      # one long way there and back: labels have far to go
    snake[::2, :, 1] = True
    snake[1::4, -1, 1] = snake[3::4, 0, 1] = True
    assert COUNT[6](snake) == 1


@settings(max_examples=60, deadline=None)
@given(mask=masks())
def test_holes_are_those_that_scipy_fills(mask):
    np.testing.assert_array_equal(components.without_holes(tf.constant(mask)), ndimage.binary_fill_holes(mask))
