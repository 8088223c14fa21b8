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
    objectness, cells = head(d1)
    grid = tuple(n * 2 // stride for n in sides)
    rows = int(np.prod(grid)) * sizes
    assert objectness.shape == (batch, rows) and cells.shape == (batch, *grid, 7)
    deltas = head.deltas_at(cells, tf.tile(tf.range(rows)[None], [batch, 1]))
    assert deltas.shape == (batch, rows, 6)

    by_cell, deltas_by_cell = head.objectness(cells).numpy(), head.deltas(cells).numpy()
    assert by_cell.shape == (batch, *grid, sizes)
    for i, j, k, a in [(0, 0, 0, 0), (0, 0, 0, 2), (0, 0, 1, 0), (0, 1, 0, 1), (1, 0, 0, 0), (1, 3, 2, 2)]:
        row = ((i * grid[1] + j) * grid[2] + k) * sizes + a
        np.testing.assert_allclose(objectness[:, row], by_cell[:, i, j, k, a], atol=1e-6)
        np.testing.assert_allclose(deltas[:, row], deltas_by_cell[:, i, j, k, 6 * a:6 * a + 6], atol=1e-6)


def test_first_objectness_is_the_prior_and_first_boxes_the_anchors():
    head = RPNHead(32, 4, 2)
    objectness, cells = head(tf.random.stateless_normal([1, 8, 8, 8, 32], seed=[1, 2]))
    deltas = head.deltas_at(cells, tf.range(objectness.shape[1])[None])
    assert abs(np.mean(tf.sigmoid(objectness)) - 0.01) < 0.003
    assert np.max(np.abs(deltas)) < 0.5


def test_deltas_of_some_rows_and_their_gradients_are_those_of_all_rows_taken_from():
    """Each sample asks for rows of its own, some of one cell, and one row twice."""
    head, d1 = RPNHead(7, 3, 2), tf.random.stateless_normal([2, 4, 3, 2, 5], seed=[1, 2])
    head(d1)
    rows, weights = tf.constant([[0, 2, 70, 2], [71, 5, 4, 3]]), tf.random.stateless_normal([2, 4, 6], seed=[3, 4])

    def gradients(deltas_of):
        with tf.GradientTape() as tape:
            tape.watch(d1)
            deltas = deltas_of(head.shared(d1))
            loss = tf.reduce_sum(deltas * weights)
        return deltas, *tape.gradient(loss, [d1, *head.shared.trainable_variables, *head.deltas.trainable_variables])

    everywhere = gradients(lambda cells: tf.gather(tf.reshape(head.deltas(cells), [2, -1, 6]), rows, batch_dims=1))
    for found, expected in zip(gradients(lambda cells: head.deltas_at(cells, rows)), everywhere, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
