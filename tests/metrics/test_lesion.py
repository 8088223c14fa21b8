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
from synergynet_tf.metrics.lesion import CONNECTIVITIES, LesionCounts, LesionRule, count_lesions, label_lesions, match_lesions

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


rules = st.builds(LesionRule, connectivities, st.sampled_from([0, .2, .5, 1]), st.sampled_from([0.0, 3.0, 6.0]))


def brute_side(mask: np.ndarray, other: np.ndarray, rule: LesionRule, voxel_mm3: float) -> list[tuple]:
    """(mm3, voxels, hit, met) of each lesion, found by walking from voxel to voxel."""
    left, rows = set(map(tuple, np.argwhere(mask))), []
    reach = {6: 1, 18: 2, 26: 3}[rule.connectivity]
    while left:
        lesion, front = set(), [left.pop()]
        while front:
            x, y, z = voxel = front.pop()
            lesion.add(voxel)
            near = [(x + i, y + j, z + k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)
                    if 0 < abs(i) + abs(j) + abs(k) <= reach]
            front += [v for v in near if v in left]
            left -= set(near)
        hit = sum(bool(other[v]) for v in lesion)
        if len(lesion) * voxel_mm3 >= rule.min_mm3:
            rows.append((len(lesion) * voxel_mm3, len(lesion), hit, hit > 0 and hit / len(lesion) >= rule.overlap))
    return sorted(rows)


@given(masks, masks, rules, st.sampled_from([(1, 1, 1), (.5, 2, 3)]))
@settings(deadline=None, max_examples=100)
def test_every_lesion_is_that_of_a_brute_force_matcher(reference, prediction, rule, spacing):
    match = match_lesions(reference, prediction, spacing, rule)
    for side, mask, other in ((match.reference, reference, prediction), (match.predicted, prediction, reference)):
        assert sorted(zip(side.mm3, side.voxels, side.hit, side.met)) == brute_side(mask, other, rule, np.prod(spacing))


@given(masks, masks, connectivities)
@settings(deadline=None, max_examples=40)
def test_places_are_the_voxels_nearest_scipy_s_centres(reference, prediction, connectivity):
    match = match_lesions(reference, prediction, rule=LesionRule(connectivity))
    for side, mask in ((match.reference, reference), (match.predicted, prediction)):
        labels, n = scipy_labels(mask, connectivity)
        centres = ndimage.center_of_mass(mask, labels, range(1, n + 1))
        found = {labels[tuple(place)]: place for place in side.place}
        assert sorted(found) == list(range(1, n + 1))       # one voxel in each lesion
        for lesion, centre in enumerate(centres, start=1):
            distances = np.linalg.norm(np.argwhere(labels == lesion) - centre, axis=1)
            assert np.linalg.norm(found[lesion] - centre) == pytest.approx(distances.min())


def test_sizes_and_overlap_by_hand():
    reference, prediction = np.zeros((30, 6, 6), bool), np.zeros((30, 6, 6), bool)
    reference[0:3, 0, 0] = True             # 3 voxels, all predicted
    reference[5:10, 0:2, 0] = True          # 10 voxels, 2 of them predicted, by a lesion of 6
    prediction[0:3, 0, 0] = prediction[8:14, 0, 0] = True
    prediction[20, 3, 3] = True             # a false one of 1 voxel
    counts = {share: match_lesions(reference, prediction, rule=LesionRule(overlap=share)).counts for share in (0, .2, .21, .34)}
    assert counts == {0: (2, 2, 3, 1), .2: (2, 2, 3, 1), .21: (2, 1, 3, 1), .34: (2, 1, 3, 2)}
    assert match_lesions(reference, prediction, rule=LesionRule(min_mm3=2)).counts == (2, 2, 2, 0)
    assert match_lesions(reference, prediction, (1, 1, .25), LesionRule(min_mm3=2)).counts == (1, 1, 0, 0)
    whole = match_lesions(reference, prediction)
    assert [whole.of_size(*size).counts for size in ((0, 3), (3, 10), (10, 50))] == [(0, 0, 1, 1), (1, 1, 2, 0), (1, 1, 0, 0)]


@pytest.mark.parametrize("counts, f1", [((0, 0, 0, 0), 1), ((3, 0, 0, 0), 0), ((0, 0, 4, 4), 0), ((3, 0, 4, 4), 0),
                                        ((4, 3, 4, 2), .6), ((2, 2, 5, 0), 1)])
def test_f1_by_hand(counts, f1):
    assert LesionCounts(*counts).f1 == pytest.approx(f1)


@pytest.mark.parametrize("wrong", [{"connectivity": 8}, {"overlap": -.1}, {"overlap": 1.1}, {"min_mm3": -1},
                                   {"min_mm3": float("inf")}, {"overlap": float("nan")}])
def test_rules_that_make_no_sense(wrong):
    with pytest.raises(InputError):
        LesionRule(**wrong)
