"""Lesion scores against scipy.ndimage.label, hand-computed volumes, properties and the statistics of public masks."""
import csv
import os
import pathlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from synergynet_tf.errors import InputError
from synergynet_tf.metrics.lesion import CONNECTIVITIES, LesionCounts, count_lesions, label_lesions

DATA = pathlib.Path(os.environ.get("SYNERGYNET_DATA", pathlib.Path(__file__).parents[3] / "shared/data"))
STRUCTURES = {6: 1, 18: 2, 26: 3}       # connectivity: rank of scipy's structuring element
masks = hnp.arrays(bool, (5, 4, 6), elements=st.integers(0, 3).map(lambda n: n == 0))
connectivities = st.sampled_from(CONNECTIVITIES)


def scipy_labels(mask: np.ndarray, connectivity: int) -> tuple[np.ndarray, int]:
    return ndimage.label(mask, ndimage.generate_binary_structure(3, STRUCTURES[connectivity]))


def scipy_counts(reference: np.ndarray, prediction: np.ndarray, connectivity: int) -> LesionCounts:
    """One lesion at a time, on the whole grid."""
    labels, n = scipy_labels(reference, connectivity)
    detected = sum(prediction[labels == lesion].any() for lesion in range(1, n + 1))
    predicted, m = scipy_labels(prediction, connectivity)
    false = sum(not reference[predicted == lesion].any() for lesion in range(1, m + 1))
    return LesionCounts(n, detected, m, false)


@given(masks, connectivities)
@settings(deadline=None, max_examples=60)
def test_labels_are_scipy_s(mask, connectivity):
    labels, n = label_lesions(mask, connectivity)
    expected, expected_n = scipy_labels(mask, connectivity)
    assert n == expected_n
    assert np.array_equal(labels > 0, mask)
    assert len(set(zip(labels.flat, expected.flat))) == len(set(expected.flat))     # the same parts, whatever their numbers


@given(masks, masks, connectivities)
@settings(deadline=None, max_examples=100)
def test_counts_are_those_of_one_lesion_at_a_time(reference, prediction, connectivity):
    assert count_lesions(reference, prediction, connectivity) == scipy_counts(reference, prediction, connectivity)


@given(masks, masks, connectivities, st.permutations(range(3)), st.lists(st.booleans(), min_size=3, max_size=3))
@settings(deadline=None, max_examples=60)
def test_symmetry_bounds_and_orientation(reference, prediction, connectivity, axes, flips):
    counts = count_lesions(reference, prediction, connectivity)
    swapped = count_lesions(prediction, reference, connectivity)
    assert (swapped.reference, swapped.predicted) == (counts.predicted, counts.reference)
    assert swapped.detected == counts.predicted - counts.false
    assert 0 <= counts.detected <= counts.reference and 0 <= counts.false <= counts.predicted
    turned = [np.flip(mask.transpose(axes), [axis for axis in range(3) if flips[axis]]) for mask in (reference, prediction)]
    assert count_lesions(*turned, connectivity) == counts


@given(masks, connectivities)
@settings(deadline=None, max_examples=30)
def test_a_mask_finds_all_of_itself(mask, connectivity):
    counts = count_lesions(mask, mask, connectivity)
    assert counts.detected == counts.reference == counts.predicted and counts.false == 0


def test_connectivity_by_hand():
    mask = np.zeros((4, 4, 4), bool)
    mask[0, 0, 0] = mask[1, 1, 0] = mask[2, 2, 1] = True       # the first two share an edge, the last two a corner
    assert [label_lesions(mask, connectivity)[1] for connectivity in (6, 18, 26)] == [3, 2, 1]
    assert label_lesions(mask)[1] == 2


def test_rates_by_hand():
    reference, prediction = np.zeros((20, 5, 5), bool), np.zeros((20, 5, 5), bool)
    reference[0:3, 0, 0] = True         # touched by one voxel
    reference[5:7] = True               # touched twice: found once
    reference[9, 2, 2] = True           # missed, though a prediction lies beside it
    prediction[2:5, 0, 0] = True        # touches two reference lesions? only the first: x = 5 is not in it
    prediction[5, 0, 0] = prediction[6, 4, 4] = True    # the first of them joins the lesion above to the second reference lesion
    prediction[10, 2, 2] = True         # false
    prediction[15, 0, 0] = True         # false
    counts = count_lesions(reference, prediction)
    assert counts == LesionCounts(reference=3, detected=2, predicted=4, false=2)
    assert counts.ltpr == 2 / 3 and counts.lfpr == 2 / 4


@pytest.mark.parametrize("annotated, predicted, ltpr, lfpr", [
    (False, False, np.nan, np.nan), (True, False, 0.0, np.nan), (False, True, np.nan, 1.0), (True, True, 1.0, 0.0)])
def test_what_is_empty(annotated, predicted, ltpr, lfpr):
    counts = count_lesions(np.full((3, 3, 3), annotated), np.full((3, 3, 3), predicted))
    np.testing.assert_equal((counts.ltpr, counts.lfpr), (ltpr, lfpr))
    assert (counts.reference, counts.predicted) == (int(annotated), int(predicted))


def test_no_voxel_at_all():
    assert count_lesions(np.zeros((0, 3, 3), bool), np.zeros((0, 3, 3), bool)) == LesionCounts(0, 0, 0, 0)


def test_more_lesions_than_sixteen_bits_count():
    mask = np.zeros((90, 90, 90), bool)
    mask[::2, ::2, ::2] = True
    assert label_lesions(mask, 26)[1] == 45 ** 3
    assert count_lesions(mask, mask, 26) == LesionCounts(45 ** 3, 45 ** 3, 45 ** 3, 0)


@pytest.mark.parametrize("connectivity", [4, 8, 27, None])
def test_other_connectivities(connectivity):
    with pytest.raises(InputError, match="6, 18 or 26"):
        count_lesions(np.ones((2, 2, 2)), np.ones((2, 2, 2)), connectivity)


def test_three_axes_are_needed():
    with pytest.raises(InputError, match=r"\(2, 2\)"):
        label_lesions(np.ones((2, 2)))


def test_shapes_must_agree():
    with pytest.raises(InputError, match=r"\(2, 2, 2\).*\(2, 2, 3\)"):
        count_lesions(np.ones((2, 2, 2)), np.ones((2, 2, 3)))


@pytest.mark.skipif(not (DATA / "open_ms/lesions.csv").is_file(), reason=f"no public masks in {DATA} (SYNERGYNET_DATA)")
def test_counts_of_public_masks():
    nibabel = pytest.importorskip("nibabel")
    with (DATA / "open_ms/lesions.csv").open(newline="") as file:
        published = {row["patient"]: int(row["n_lesions"]) for row in csv.DictReader(file)}     # 26-connected
    counted = {}
    for path in sorted((DATA / "open_ms/lesion_masks").glob("patient*.nii.gz")):
        patient = path.name.removeprefix("patient").removesuffix(".nii.gz")
        counted[patient] = label_lesions(np.asarray(nibabel.load(path).dataobj), 26)[1]
    assert counted and counted == {patient: published[patient] for patient in counted}
