"""The brain in the graph against cc3d."""
import cc3d
import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from export import brain


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2 ** 32))
def test_specks_go_by_their_share_of_the_largest(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((24, 24, 24), bool)
    mask[2:12, 2:12, 2:12] = True                   # 1000 voxels: a speck has fewer than 10
    mask[15, 15, 2:2 + rng.integers(8, 12)] = True
    mask[20:22, 20:22, 20:22] = True
    labels = cc3d.connected_components(mask, connectivity=26)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    np.testing.assert_array_equal(brain._without_specks(tf.constant(mask)), (sizes >= 10)[labels])
