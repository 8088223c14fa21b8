"""Surface distances against MedPy, a brute force over all pairs of surface voxels, and hand-computed cases."""
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from medpy.metric import binary

from synergynet_tf.errors import InputError
from synergynet_tf.metrics.surface import surface, surface_distances
from synergynet_tf.metrics.voxel import dice, positive_predictive_value, sensitivity

masks = hnp.arrays(bool, (6, 5, 7), elements=st.integers(0, 2).map(lambda n: n == 0))
spacings = st.sampled_from([(1.0, 1.0, 1.0), (0.7, 1.3, 3.0)])


@given(masks, masks, spacings)
@settings(deadline=None, max_examples=100)
def test_distances_are_medpy_s(reference, prediction, spacing):
    found = surface_distances(reference, prediction, spacing)
    if reference.any() and prediction.any():
        assert found.hd95 == pytest.approx(binary.hd95(prediction, reference, spacing), abs=1e-9)
        assert found.assd == pytest.approx(binary.assd(prediction, reference, spacing), abs=1e-9)


@given(masks, masks)
@settings(deadline=None, max_examples=50)
def test_voxel_scores_are_medpy_s(reference, prediction):
    if reference.any() and prediction.any():
        assert dice(reference, prediction) == pytest.approx(binary.dc(prediction, reference))
        assert sensitivity(reference, prediction) == pytest.approx(binary.recall(prediction, reference))
        assert positive_predictive_value(reference, prediction) == pytest.approx(binary.precision(prediction, reference))


def test_scattered_lesions_in_a_large_grid_are_medpy_s():
    rng = np.random.default_rng(0)
    reference, prediction = np.zeros((60, 70, 50), bool), np.zeros((60, 70, 50), bool)
    for mask in (reference, prediction):
        for _ in range(12):
            low, size = rng.integers(0, 44, 3), rng.integers(1, 7, 3)
            mask[tuple(slice(a, a + n) for a, n in zip(low, size))] = True
    found = surface_distances(reference, prediction, (1, 1.2, 2))
    assert found.hd95 == pytest.approx(binary.hd95(prediction, reference, (1, 1.2, 2)), abs=1e-9)
    assert found.assd == pytest.approx(binary.assd(prediction, reference, (1, 1.2, 2)), abs=1e-9)


@given(masks)
@settings(deadline=None, max_examples=50)
def test_the_surface_is_what_has_a_face_on_the_background(mask):
    padded = np.pad(mask, 1)
    steps = [step for step in itertools.product((-1, 0, 1), repeat=3) if sum(map(abs, step)) == 1]
    expected = [v for v in np.argwhere(mask) if not all(padded[tuple(v + 1 + step)] for step in steps)]
    np.testing.assert_array_equal(surface(mask), np.array(expected, np.int64).reshape(-1, 3))


@given(masks, masks, spacings, st.permutations(range(3)))
@settings(deadline=None, max_examples=50)
def test_symmetry_identity_and_orientation(reference, prediction, spacing, axes):
    found = surface_distances(reference, prediction, spacing)
    np.testing.assert_allclose(surface_distances(prediction, reference, spacing), found)
    turned = surface_distances(reference.transpose(axes), prediction.transpose(axes), [spacing[axis] for axis in axes])
    np.testing.assert_allclose(turned, found)
    assert surface_distances(reference, reference, spacing) == (0, 0)


def test_by_hand():
    reference, prediction = np.zeros((20, 4, 4), bool), np.zeros((20, 4, 4), bool)
    reference[2, 1, 1] = prediction[5, 1, 1] = prediction[6, 1, 1] = True
    # reference to prediction: 3 voxels of 2 mm; back: 3 and 4. All of them: 6, 6, 8; its 95th percentile is 6 + 0.9 * 2.
    found = surface_distances(reference, prediction, (2, 1, 1))
    assert found == pytest.approx((7.8, (6 + 6 + 8) / 3))


@pytest.mark.parametrize("annotated, predicted, value", [(False, False, 0), (True, False, math.nan), (False, True, math.nan)])
def test_what_is_empty(annotated, predicted, value):
    full = np.ones((3, 3, 3), bool)
    np.testing.assert_equal(tuple(surface_distances(full & annotated, full & predicted, (1, 1, 1))), (value, value))


def test_other_shapes_and_no_masks_are_refused():
    with pytest.raises(InputError, match="shape"):
        surface_distances(np.ones((2, 2, 2)), np.ones((2, 2, 3)), (1, 1, 1))
    with pytest.raises(InputError, match="mask"):
        surface_distances(np.ones((2, 2, 2)), np.full((2, 2, 2), 0.5), (1, 1, 1))
