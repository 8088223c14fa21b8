import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from synergynet_tf.config import LesionConfig
from synergynet_tf.data.instances import label_lesions
from synergynet_tf.errors import InputError

RANK = {6: 1, 18: 2, 26: 3}     # scipy's name for the connectivities


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), density=st.sampled_from([0.02, 0.1, 0.3]), connectivity=st.sampled_from([6, 18, 26]),
       fortran=st.booleans())
def test_labels_and_table_agree_with_scipy(seed, density, connectivity, fortran):
    mask = np.random.default_rng(seed).random((9, 8, 7)) < density
    reference, n = ndimage.label(mask, ndimage.generate_binary_structure(3, RANK[connectivity]))
    given_mask = np.asfortranarray(mask) if fortran else mask
    instances, table = label_lesions(given_mask, LesionConfig(connectivity=connectivity, small_box_voxels=20), "P01")

    assert instances.dtype == np.int16
    pairs = set(zip(reference[mask].tolist(), instances[mask].tolist()))
    assert len(pairs) == n == len(table.boxes)      # one label here for each one there
    assert not instances[~mask].any()
    firsts = [np.flatnonzero(instances.ravel() == label)[0] for label in range(1, n + 1)]
    assert firsts == sorted(firsts)
    for label in range(1, n + 1):
        where = np.argwhere(instances == label)
        np.testing.assert_array_equal(table.boxes[label - 1], [*where.min(axis=0), *where.max(axis=0) + 1])
        assert table.voxels[label - 1] == len(where)
        assert table.is_small[label - 1] == (np.prod(where.max(axis=0) + 1 - where.min(axis=0)) < 20)


def test_connectivity_decides_what_touches():
    mask = np.zeros((6, 6, 6), bool)
    mask[1, 1, 1] = mask[2, 2, 1] = mask[3, 3, 2] = True     # an edge, then a corner
    for connectivity, n in ((6, 3), (18, 2), (26, 1)):
        assert len(label_lesions(mask, LesionConfig(connectivity=connectivity), "P01")[1].voxels) == n


def test_the_limit_of_small_is_the_box_not_the_voxels():
    mask = np.zeros((20, 20, 20), bool)
    mask[0, 0, 0:10] = mask[0, 0:10, 0] = mask[0:10, 0, 0] = True        # 28 voxels in a box of 1000
    for limit, small in ((1000, False), (1001, True)):
        assert label_lesions(mask, LesionConfig(small_box_voxels=limit), "P01")[1].is_small.tolist() == [small]


def test_no_lesion_is_an_ordinary_case():
    instances, table = label_lesions(np.zeros((4, 5, 6), bool), LesionConfig(), "P01")
    assert instances.shape == (4, 5, 6)
    assert not instances.any()
    assert table.boxes.shape == (0, 6)
    assert table.boxes.dtype == np.int32
    assert table.voxels.shape == table.is_small.shape == (0,)


def test_too_many_lesions_names_case_counts_and_field():
    mask = np.zeros((12, 12, 12), bool)
    mask[::2, ::2, ::2] = True
    assert len(label_lesions(mask, LesionConfig(max_lesions=216), "P01")[1].voxels) == 216
    with pytest.raises(InputError, match=r"case P01: 216 lesions .* lesions\.max_lesions is 215; raise it to 216"):
        label_lesions(mask, LesionConfig(max_lesions=215), "P01")
