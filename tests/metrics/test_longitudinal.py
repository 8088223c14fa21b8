"""Changes of lesions between two scans, by hand and by the symmetry of time."""
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from synergynet_tf.errors import InputError
from synergynet_tf.metrics.longitudinal import KINDS, change_kind, compare_scans

masks = hnp.arrays(bool, (6, 5, 6), elements=st.integers(0, 3).map(lambda n: n == 0))
OPPOSITE = {"new": "resolved", "resolved": "new"}


def boxes(*spans):
    mask = np.zeros((50, 8, 8), bool)
    for x0, x1, side in spans:
        mask[x0:x1, :side, :side] = True
    return mask


def test_by_hand():
    before = boxes((0, 2, 2), (5, 7, 2), (10, 15, 2), (20, 22, 2), (25, 26, 2), (30, 34, 2), (40, 48, 2))
    after = boxes((0, 2, 2), (5, 9, 2), (10, 12, 2), (20, 26, 2), (36, 38, 2), (40, 43, 2), (45, 48, 2))
    found = compare_scans(before, after, (1, 1, 2)).changes
    assert sorted(change[:5] for change in found) == sorted([
        ("stable", 16, 16, 1, 1), ("enlarged", 16, 32, 1, 1), ("shrunk", 40, 16, 1, 1),
        ("enlarged", 24, 48, 2, 1),                 # two have merged: the gap between them is growth
        ("stable", 64, 48, 1, 2),                   # one has split, and has not lost more than half
        ("resolved", 32, 0, 1, 0), ("new", 0, 16, 0, 1)])
    assert [max(c.before_mm3, c.after_mm3) for c in found] == [64, 48, 40, 32, 32, 16, 16]
    places = {c.kind: c.place for c in found}
    assert before[places["resolved"]] and not after[places["resolved"]]
    assert after[places["new"]] and not before[places["new"]]


def test_volumes_are_those_of_each_scans_own_space():
    """The same voxels of two scans that were scaled to one grid: 10 mm3 and 30 mm3 are a lesion that has grown."""
    mask = boxes((0, 5, 2))
    change, = compare_scans(mask, mask, (1, 1, 1), 18, (0.5, 1.5)).changes
    assert change[:3] == ("enlarged", 10, 30)
    small, large = boxes((0, 4, 2), (10, 13, 2)), boxes((0, 1, 2), (10, 15, 2))
    assert [round(c.after_mm3, 6) for c in compare_scans(small, large, (1, 1, 1), 18, (1, 0.1)).changes] == [0.4, 2]


def test_a_chain_of_merging_and_splitting_is_one_change():
    """Two lesions merge into one while a third gives a part to it and keeps another."""
    before = boxes((0, 4, 2), (6, 10, 2), (12, 20, 2))
    after = boxes((2, 13, 2), (15, 20, 2))
    change, = compare_scans(before, after, (1, 1, 1)).changes
    assert change[:5] == ("stable", 64, 64, 3, 2)


def test_what_only_touches_is_another_lesion():
    """Lesions are matched by common voxels: a new one that touches the old one's face, and nothing of it, is new."""
    found = compare_scans(boxes((0, 4, 2)), boxes((4, 8, 2)), (1, 1, 1)).changes
    assert sorted(change.kind for change in found) == ["new", "resolved"]


@pytest.mark.parametrize("before, after, kind", [
    (0, 1, "new"), (1, 0, "resolved"), (4, 9, "stable"), (4, 10, "enlarged"), (6, 1, "stable"), (7, 1, "shrunk"),
    (100, 150, "stable"), (100, 151, "enlarged"), (100, 50, "stable"), (100, 49, "shrunk")])
def test_half_and_five_cubic_millimetres(before, after, kind):
    assert change_kind(before, after) == kind


@given(masks, masks, st.sampled_from([6, 18, 26]))
@settings(deadline=None, max_examples=60)
def test_volumes_are_kept_and_time_may_run_backwards(before, after, connectivity):
    found, back = (compare_scans(*pair, (1, 1, 1), connectivity).changes for pair in ((before, after), (after, before)))
    assert sum(c.before_mm3 for c in found) == before.sum() and sum(c.after_mm3 for c in found) == after.sum()
    assert sorted(c[1:5] for c in found) == sorted((c.after_mm3, c.before_mm3, c.n_after, c.n_before) for c in back)
    ends = {kind: sum(c.kind == kind for c in found) for kind in OPPOSITE}
    assert {OPPOSITE[kind]: n for kind, n in ends.items()} == {kind: sum(c.kind == kind for c in back) for kind in OPPOSITE}
    structure = ndimage.generate_binary_structure(3, {6: 1, 18: 2, 26: 3}[connectivity])
    labels, n = ndimage.label(after, structure)
    assert ends["new"] == sum(not before[labels == lesion].any() for lesion in range(1, n + 1))
    assert sum(c.n_after for c in found) == n


@given(masks, masks)
@settings(deadline=None, max_examples=60)
def test_every_lesion_voxel_belongs_to_one_change_and_places_lie_in_theirs(before, after):
    found = compare_scans(before, after, (1, 2, 3))
    assert ((found.before > 0) == before).all() and ((found.after > 0) == after).all()
    assert (found.before[before & after] == found.after[before & after]).all()
    for number, change in enumerate(found.changes, start=1):
        assert (found.before == number).sum() * 6 == change.before_mm3
        assert (found.after if change.n_after else found.before)[change.place] == number
    for side, mask in enumerate((before, after)):
        np.testing.assert_array_equal(sum(found.masks(kind)[side].astype(int) for kind in KINDS), mask)


def test_no_lesion_at_all_and_other_shapes():
    assert compare_scans(np.zeros((3, 3, 3)), np.zeros((3, 3, 3)), (1, 1, 1)).changes == []
    with pytest.raises(InputError, match="shape"):
        compare_scans(np.zeros((3, 3, 3)), np.zeros((3, 3, 4)), (1, 1, 1))
