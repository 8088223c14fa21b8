"""The RPN head's row order, prior and strides."""
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.models.rpn import RPNHead


@pytest.mark.parametrize("stride", [2, 4])
def test_rows_run_x_y_z_size(stride):
    sizes, sides, batch = 3, (4, 8, 6), 2
    d1 = tf.random.stateless_normal([batch, *sides, 5], seed=[1, 2])
    head = RPNHead(7, sizes, stride)
    objectness, deltas = head(d1)
    grid = tuple(n * 2 // stride for n in sides)
    rows = int(np.prod(grid)) * sizes
    assert objectness.shape == (batch, rows) and deltas.shape == (batch, rows, 6)

    x = head.shared(d1)
    by_cell, deltas_by_cell = head.objectness(x).numpy(), head.deltas(x).numpy()
    assert by_cell.shape == (batch, *grid, sizes)
    for i, j, k, a in [(0, 0, 0, 0), (0, 0, 0, 2), (0, 0, 1, 0), (0, 1, 0, 1), (1, 0, 0, 0), (1, 3, 2, 2)]:
        row = ((i * grid[1] + j) * grid[2] + k) * sizes + a
        np.testing.assert_allclose(objectness[:, row], by_cell[:, i, j, k, a], atol=1e-6)
        np.testing.assert_allclose(deltas[:, row], deltas_by_cell[:, i, j, k, 6 * a:6 * a + 6], atol=1e-6)


def test_first_objectness_is_the_prior_and_first_boxes_the_anchors():
    objectness, deltas = RPNHead(32, 4, 2)(tf.random.stateless_normal([1, 8, 8, 8, 32], seed=[1, 2]))
    assert abs(np.mean(tf.sigmoid(objectness)) - 0.01) < 0.003
    assert np.max(np.abs(deltas)) < 0.5
