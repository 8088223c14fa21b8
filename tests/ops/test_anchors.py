"""Anchors computed by hand, and the two ways to have them."""
import itertools

import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.ops.anchors import anchor_grid, anchors_at

TABLE = [
    # grid, stride, sizes, anchors
    ((1, 1, 1), 2, (7.0,), [[-2.5, -2.5, -2.5, 4.5, 4.5, 4.5]]),
    ((1, 1, 2), 4, (2.0, 6.0), [[1, 1, 1, 3, 3, 3], [-1, -1, -1, 5, 5, 5], [1, 1, 5, 3, 3, 7], [-1, -1, 3, 5, 5, 9]]),
    ((2, 2, 1), 2, (2.0,), [[0, 0, 0, 2, 2, 2], [0, 2, 0, 2, 4, 2], [2, 0, 0, 4, 2, 2], [2, 2, 0, 4, 4, 2]]),
]


@pytest.mark.parametrize("grid, stride, sizes, expected", TABLE)
def test_anchors_by_hand(grid, stride, sizes, expected):
    anchors = anchor_grid(grid, stride, sizes)
    assert anchors.dtype == tf.float32
    np.testing.assert_array_equal(anchors, expected)
    np.testing.assert_array_equal(anchor_grid(tf.constant(grid), stride, sizes), expected)


def test_row_order_is_x_y_z_size():
    grid, sizes = (3, 4, 2), (3.0, 5.0, 9.0)
    anchors = anchor_grid(grid, 2, sizes).numpy()
    for row, (x, y, z, a) in enumerate(itertools.product(*map(range, grid), range(3))):
        np.testing.assert_array_equal((anchors[row, :3] + anchors[row, 3:]) / 2, [2 * x + 1, 2 * y + 1, 2 * z + 1])
        np.testing.assert_array_equal(anchors[row, 3:] - anchors[row, :3], [sizes[a]] * 3)
    assert len(anchors) == 72


@pytest.mark.parametrize("compiled", [False, True])
def test_anchors_at_rows_are_rows_of_the_grid(compiled):
    grid, sizes = (5, 3, 4), (7.0, 9.0)
    rows = tf.constant([[0, 1, 119], [64, 7, 7]])
    whole = tf.function(lambda: anchor_grid(grid, 4, sizes), jit_compile=compiled)()
    chosen = tf.function(lambda i: anchors_at(i, grid, 4, sizes), jit_compile=compiled)(rows)
    np.testing.assert_array_equal(chosen, tf.gather(whole, rows))
    np.testing.assert_array_equal(anchors_at(rows, tf.constant(grid), 4, sizes), chosen)


def test_shape_is_static_where_the_grid_is():
    traced = tf.function(lambda: anchor_grid((4, 5, 6), 2, (7.0, 9.0))).get_concrete_function()
    assert traced.output_shapes.as_list() == [240, 6]
