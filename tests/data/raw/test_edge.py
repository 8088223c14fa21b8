"""The brain's own edge: what the template misses is found, what is no brain is left out, whatever the slices."""
import numpy as np
import pytest

from synergynet_tf.data.raw import edge
from synergynet_tf.data.raw.grid import Grid, resample
from tests.data.raw import head

THICK = head.slices("LPS", (2.0, 2.0, 6.0), (100, 110, 28))


@pytest.mark.parametrize("grid", [THICK, head.slices("RAS", (2.0, 2.0, 2.0), (100, 110, 84))], ids=["thick", "cubes"])
def test_a_fit_that_is_off_is_mended_by_the_scan(grid):
    flair = head.view("flair", grid)
    known = head.view("brain", grid, seed=None) > 0.5
    off = head.FROM_MNI @ head.turn(2, 1, (1.0, 2.0, 3.0), 0.95)        # smaller, turned and shifted
    carried = resample(head.anatomy()["brain"], head.HALF, grid, np.linalg.inv(off)) > 0.5
    found = edge.brain(flair, grid, off)
    assert head.dice(carried, known) < 0.94 and head.dice(found, known) > 0.97
    bright = flair > 90
    assert not (found & bright & ~known)[:, :, :-1].sum() > 0.01 * known.sum()      # no scalp


def test_the_ends_of_the_field_of_view_are_no_edge():
    grid = head.slices("LPS", (2.0, 2.0, 6.0), (100, 110, 12))      # neither the vertex nor the base is seen
    known = head.view("brain", grid, seed=None) > 0.5
    found = edge.brain(head.view("flair", grid), grid, head.FROM_MNI)
    assert head.dice(found[:, :, 0], known[:, :, 0]) > 0.95 and head.dice(found[:, :, -1], known[:, :, -1]) > 0.95


def test_without_a_core_the_template_s_brain_is_taken():
    grid = Grid((8, 8, 8), np.diag([2.0, 2, 2, 1]))
    far = head.turn(0, 0, (500.0, 0, 0))
    assert not edge.brain(np.ones(grid.shape, np.float32), grid, far).any()
