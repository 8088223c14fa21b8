"""Paste patches back into volumes: the inverse of crop_and_resize_3d.

Each patch is interpolated to the voxels of its own window by three small matrix products, and added to the volume in short runs
of voxels along Z, which is many times faster than voxel by voxel. A channel of ones goes along and counts the boxes that cover a
voxel. Only valid rows are worked on, and those whose boxes are small, as nearly all are, in a window of their own: the time goes
with the runs of the window, not of the box.

Letters in shapes: N patches, n patches of a chunk, c cells of a patch along an axis, W voxels of a window along an axis,
R runs of voxels in one channel of all volumes.
"""
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from synergynet_tf.errors import InputError
from synergynet_tf.ops.interpolation import along_axis, blank, hat, over_rows, shape_of

Tensor = tf.Tensor
CHUNK = 32      # patches at a time
RUN = 8         # voxels along Z that are added together
SMALL = 24      # voxels a side: the window of boxes that fit into it


class _Grid(NamedTuple):
    """The volumes, as the runs that they are accumulated in."""

    batch: int | Tensor
    size: Sequence[int | Tensor]    # X, Y, Z
    runs: int | Tensor          # along Z, the last one perhaps partly beyond the volume

    @property
    def rows(self) -> int | Tensor:
        return self.batch * self.size[0] * self.size[1] * self.runs


def paste_3d(patches: Tensor, boxes: Tensor, box_indices: Tensor, valid: Tensor, volume_shape: Sequence[int | Tensor] | Tensor,
             window: int) -> tuple[Tensor, Tensor]:
    """Put patches where their boxes lie; where several lie, their mean.

    patches      [N, cx, cy, cz, C], any floating dtype
    boxes        float32 [N, 6], voxels; cell k of an axis of n cells is centred on b0 + (k + 0.5) (b1 - b0) / n
    box_indices  int32 [N], the volume in 0..B-1 that each patch belongs to
    valid        bool [N]; other rows are not read
    volume_shape (B, X, Y, Z), numbers or an int32 tensor [4]
    window       voxels: boxes longer than this along an axis are pasted only within window / 2 of their centre
    Returns mean float32 [B, X, Y, Z, C] and covered bool [B, X, Y, Z]. A voxel is covered by a box that holds its centre (half
    open: b0 <= voxel + 0.5 < b1) and takes the patch's trilinear sample there; beyond the outermost cell centres, theirs.
    The mean is 0 where nothing covers. It does not depend on the order of the patches. Differentiable in the patches only.

    Raises:
        InputError: shapes that do not fit.
    """
    patches, boxes = tf.cast(patches, tf.float32), tf.cast(boxes, tf.float32)
    box_indices, valid = tf.cast(box_indices, tf.int32), tf.cast(valid, tf.bool)
    if patches.shape.rank != 5 or None in patches.shape[1:] or window < 1:
        raise InputError(f"patches have shape {patches.shape} and window is {window}, but [N, cx, cy, cz, C], known but for N, "
                         f"and a window of 1 or more are needed")
    batch, *size = tf.unstack(volume_shape) if tf.is_tensor(volume_shape) else volume_shape
    grid = _Grid(batch, size, -(-size[2] // RUN))
    accumulated = _accumulate(tf.transpose(patches, [0, 4, 1, 2, 3]), boxes, box_indices, valid, grid, window)
    summed, count = (tf.reshape(runs, [-1, batch, size[0], size[1], grid.runs * RUN]) for runs in accumulated)
    if tf.is_tensor(size[2]) or size[2] % RUN:      # else there is nothing to cut, which has a slow gradient
        summed, count = summed[..., :size[2]], count[..., :size[2]]
    mean = tf.math.divide_no_nan(summed, tf.round(count))       # the ones were interpolated: 1 up to rounding
    return tf.transpose(mean, [1, 2, 3, 4, 0]), count[0] > 0.5


def _accumulate(patches: Tensor, boxes: Tensor, box_indices: Tensor, valid: Tensor, grid: _Grid,
                window: int) -> tuple[Tensor, Tensor]:
    """patches [N, C, cx, cy, cz] -> float32 [C * R, RUN] and [R, RUN]: the sums of every channel, and the counts of boxes."""
    channels, *cells = patches.shape[1:]
    small = tf.reduce_all(boxes[:, 3:] - boxes[:, :3] <= SMALL, 1)
    passes = [(valid, window)] if window <= SMALL else [(valid & small, SMALL), (valid & ~small, window)]

    def fold(body: Callable, state: Tensor) -> Tensor:
        """Run body(rows, live, matrices, runs, state) over all valid rows: first the small boxes, then the others."""
        for wanted, side in passes:
            def step(rows: Tensor, live: Tensor, state: Tensor, side: int = side) -> Tensor:
                live_boxes = tf.where(live[:, None], tf.gather(boxes, rows), 0.0)
                return body(rows, live, *_window(live_boxes, tf.gather(box_indices, rows), grid, cells, side), state)
            state = over_rows(wanted, CHUNK, step, state)
        return state

    @tf.custom_gradient
    def spread(patches: Tensor) -> tuple[tuple[Tensor, Tensor], Callable]:
        """What `paste_3d` divides by what, and the gradient of the former: the counts have none."""
        def forward(rows: Tensor, live: Tensor, matrices: list[Tensor], index: Tensor, total: Tensor) -> Tensor:
            live_patches = tf.where(live[:, None, None, None, None], tf.gather(patches, rows), 0.0)
            block = tf.concat([live_patches, tf.ones_like(live_patches[:, :1])], 1)
            for axis in (2, 0, 1):      # Z first, so that the largest product is the last and has long rows
                block = along_axis(block, matrices[axis], axis + 2)
            return tf.tensor_scatter_nd_add(total, _every_channel(index, channels + 1, grid), tf.reshape(block, [-1, RUN]))

        def gradient(upstream: Tensor, _: Tensor) -> Tensor:
            def backward(rows: Tensor, _: Tensor, matrices: list[Tensor], index: Tensor, total: Tensor) -> Tensor:
                block = tf.gather_nd(upstream, _every_channel(index, channels, grid))
                shape = [matrices[0].shape[0], channels, *(matrix.shape[1] for matrix in matrices)]
                block = tf.reshape(block, shape)
                for axis in (1, 0, 2):
                    block = along_axis(block, tf.linalg.matrix_transpose(matrices[axis]), axis + 2)
                return tf.tensor_scatter_nd_add(total, rows[:, None], block)

            return fold(backward, blank(shape_of(patches), upstream))

        total = fold(forward, blank([(channels + 1) * grid.rows, RUN], patches))
        return tuple(tf.split(total, [channels * grid.rows, grid.rows])), gradient

    return spread(patches)


def _every_channel(index: Tensor, channels: int, grid: _Grid) -> Tensor:
    """Runs int32 [n, ...] -> their rows in every channel, int32 [n * channels * ..., 1]."""
    offsets = tf.reshape(tf.range(channels) * grid.rows, [channels, 1, 1, 1])
    return tf.reshape(index[:, None] + offsets, [-1, 1])


def _window(boxes: Tensor, box_indices: Tensor, grid: _Grid, cells: Sequence[int], window: int) -> tuple[list[Tensor], Tensor]:
    """The voxels that each box is pasted to: matrices float32 [n, W, c] for X, Y, Z, and runs int32 [n, Wx, Wy, Wz / RUN].

    Rows of the matrices are 0 for voxels whose centre the box does not hold; along Z the window is widened to whole runs.
    """
    matrices, firsts = [], []
    for axis in range(3):
        begin, end, size = boxes[:, axis], boxes[:, axis + 3], grid.size[axis]
        middle = 0.5 * (begin + end)
        low, high = tf.maximum(begin, middle - 0.5 * window), tf.minimum(end, middle + 0.5 * window)
        bounds = 0.0, tf.cast(tf.maximum(size - window, 0), tf.float32)
        first = tf.cast(tf.clip_by_value(tf.math.ceil(low - 0.5), *bounds), tf.int32)
        length = window
        if axis == 2:
            first, length = first // RUN * RUN, -(-(window + RUN - 1) // RUN) * RUN
        voxel = first[:, None] + tf.range(length)
        centre = tf.cast(voxel, tf.float32) + 0.5
        inside = (centre >= low[:, None]) & (centre < high[:, None]) & (voxel < size)
        position = tf.math.divide_no_nan(centre - begin[:, None], (end - begin)[:, None]) * cells[axis] - 0.5
        distance = tf.clip_by_value(position, 0.0, cells[axis] - 1.0)[..., None] - tf.range(cells[axis], dtype=tf.float32)
        matrices.append(tf.where(inside[..., None], hat(distance), 0.0))
        firsts.append(first)
    return matrices, _runs(firsts, [matrix.shape[1] for matrix in matrices], box_indices, grid)


def _runs(firsts: list[Tensor], lengths: list[int], box_indices: Tensor, grid: _Grid) -> Tensor:
    """Runs of the windows; beyond the volume's end the last one stands in, and receives zeros."""
    sizes = [grid.size[0], grid.size[1], grid.runs]
    firsts, lengths = [*firsts[:2], firsts[2] // RUN], [*lengths[:2], lengths[2] // RUN]
    x, y, z = (tf.minimum(first[:, None] + tf.range(length), size - 1) for first, length, size in zip(firsts, lengths, sizes))
    x = (box_indices[:, None] * sizes[0] + x) * sizes[1]
    return ((x[:, :, None] + y[:, None, :]) * sizes[2])[..., None] + z[:, None, None, :]
