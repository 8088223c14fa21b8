"""The grid of anchor cubes that the RPN starts from (paper, 2.1: proposals over d1).

Each cell of the grid carries one cube of each of the A sizes, centred on the cell: cell i's centre is (i + 0.5) * stride, in
voxels of the full-resolution grid. Rows run over x, y, z and size, size fastest: row ((x * gy + y) * gz + z) * A + size. Anchors
at the edge reach beyond the grid.

Worked example: the grid (1, 1, 2) at stride 4 with the sizes (2, 6) has the centres (2, 2, 2) and (2, 2, 6), and the rows
[1, 1, 1, 3, 3, 3], [-1, -1, -1, 5, 5, 5], [1, 1, 5, 3, 3, 7], [-1, -1, 3, 5, 5, 9].
"""
from collections.abc import Sequence

import tensorflow as tf


def anchor_grid(grid_shape: Sequence[int] | tf.Tensor, stride: int, sizes: Sequence[float]) -> tf.Tensor:
    """All anchors, float32 [gx * gy * gz * A, 6] in voxels.

    Args:
        grid_shape: cells along x, y, z: three integers, or an int tensor [3] where the volume's size is not known before the run.
        stride: voxels from cell to cell.
        sizes: sides of the cubes, voxels.
    """
    axes = [(tf.range(grid_shape[axis], dtype=tf.float32) + 0.5) * stride for axis in range(3)]
    centre = tf.stack(tf.meshgrid(*axes, indexing="ij"), axis=-1)[..., None, :]
    half = tf.constant(sizes, tf.float32)[:, None] / 2
    return tf.reshape(tf.concat([centre - half, centre + half], axis=-1), [-1, 6])


def anchors_at(indices: tf.Tensor, grid_shape: Sequence[int | tf.Tensor] | tf.Tensor, stride: int,
               sizes: Sequence[float]) -> tf.Tensor:
    """The anchors of the rows `indices` (int32 [...]) alone, float32 [..., 6]: `tf.gather(anchor_grid(...), indices)`.

    The grid of a whole brain is some 50 MB, of which a step needs a few thousand rows. Other arguments as in `anchor_grid`.
    """
    cell, size = indices // len(sizes), indices % len(sizes)
    column, z = cell // grid_shape[2], cell % grid_shape[2]
    x, y = column // grid_shape[1], column % grid_shape[1]
    centre = (tf.cast(tf.stack([x, y, z], axis=-1), tf.float32) + 0.5) * stride
    half = tf.gather(tf.constant(sizes, tf.float32) / 2, size)[..., None]
    return tf.concat([centre - half, centre + half], axis=-1)
