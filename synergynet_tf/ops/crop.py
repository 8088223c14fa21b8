"""Crop boxes out of volumes and resample each to one grid: tf.image.crop_and_resize with one axis more.

A box's cells lie on a lattice, so its values are three small matrix products (one per axis) over the block of voxels that the
lattice touches. Nearly all boxes are sampled at a step of at most about one voxel, and c cells then touch at most c + 1 voxels
an axis; the others ("sparse") read the two neighbours of every cell, 2c an axis, and only they pay for it. Measured on a CPU
against reading eight corners for each cell, dense boxes take half to two thirds of the time forward and a quarter to two thirds
backward; sparse ones up to half as much again.

Letters in shapes: N boxes, n boxes of a chunk, c cells along an axis, K voxels read along an axis, V = B * X * Y * Z.
"""
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from synergynet_tf.errors import InputError
from synergynet_tf.ops.interpolation import along_axis, blank, hat, over_rows, shape_of

Tensor = tf.Tensor
DENSE_CHUNK, SPARSE_CHUNK = 128, 32     # boxes at a time: fewer cost more a box, more cost memory


class _Lattice(NamedTuple):
    """Where the cells of all boxes lie along one axis, in voxels."""

    position: Tensor    # float32 [N, c], in the volume: cells outside hold the box's smallest position inside, or the edge
    inside: Tensor      # bool [N, c]


class _Table(NamedTuple):
    """What the boxes of a chunk read along one axis."""

    index: Tensor       # int32 [n, K]
    weight: Tensor      # float32 [n, c, K], 0 for cells outside the volume
    slope: Tensor       # float32 [n, c, K], derivative of `weight` by the cell's position


def crop_and_resize_3d(volume: Tensor, boxes: Tensor, box_indices: Tensor, crop_size: Sequence[int], method: str = "trilinear",
                       extrapolation_value: float = 0.0) -> Tensor:
    """Resample boxes of `volume` to `crop_size` cells each, in the convention of tf.image.crop_and_resize.

    volume      [B, X, Y, Z, C], any real dtype, finite
    boxes       float32 [N, 6], [x1, y1, z1, x2, y2, z2], normalised: 0 is the centre of the first voxel of an axis, 1 that of the
                last. The first cell lies on x1 and the last on x2; a single cell lies midway. x1 > x2 flips the crop.
    box_indices int32 [N], the volume in 0..B-1 that each box is cut from
    method      "trilinear" (tf.image's "bilinear") or "nearest" (halves round up)
    Returns float32 [N, cx, cy, cz, C]; cells outside [0, size - 1] hold `extrapolation_value`.

    Differentiable in the volume and, for "trilinear", in the boxes; at a voxel's centre the boxes' gradient is 0, as in tf.image.
    Raises InputError for an unknown method or shapes that do not fit.
    """
    volume, boxes = tf.convert_to_tensor(volume), tf.cast(boxes, tf.float32)
    _check(volume, boxes, crop_size, method)
    batch, *size, channels = shape_of(volume)
    first = tf.cast(box_indices, tf.int32) * (size[0] * size[1] * size[2])
    flat = tf.reshape(volume, [batch * size[0] * size[1] * size[2], channels])
    lattices = [_lattice(boxes[:, axis], boxes[:, axis + 3], size[axis], int(crop_size[axis])) for axis in range(3)]
    sample = _trilinear if method == "trilinear" else _nearest
    crops = sample(flat, lattices, first, size)
    if extrapolation_value != 0.0:
        crops += extrapolation_value * (1.0 - _inside_all(lattices))
    return crops


def _check(volume: Tensor, boxes: Tensor, crop_size: Sequence[int], method: str) -> None:
    if method not in ("trilinear", "nearest"):
        raise InputError(f"method is {method!r}, but crop_and_resize_3d knows 'trilinear' and 'nearest'")
    if volume.shape.rank != 5:
        raise InputError(f"volume has shape {volume.shape}, but [B, X, Y, Z, C] is needed")
    if boxes.shape.rank != 2 or boxes.shape[1] != 6:
        raise InputError(f"boxes have shape {boxes.shape}, but [N, 6] is needed")
    if len(crop_size) != 3 or min(crop_size) < 1:
        raise InputError(f"crop_size is {tuple(crop_size)}, but three positive numbers are needed")


def _lattice(begin: Tensor, end: Tensor, size: int | Tensor, cells: int) -> _Lattice:
    """The operations and their order are those of tf.image, so that the last cell rounds to the same side of the edge."""
    last = tf.cast(size - 1, tf.float32)
    if cells > 1:
        step = (end - begin) * last / (cells - 1)
        position = (begin * last)[:, None] + step[:, None] * tf.range(cells, dtype=tf.float32)
    else:
        position = (0.5 * (begin + end) * last)[:, None]
    inside = (position >= 0.0) & (position <= last)
    smallest = tf.reduce_min(tf.where(inside, position, last), 1, keepdims=True)
    return _Lattice(tf.where(inside, position, tf.stop_gradient(smallest)), inside)


def _inside_all(lattices: list[_Lattice]) -> Tensor:
    x, y, z = (tf.cast(lattice.inside, tf.float32) for lattice in lattices)
    return (x[:, :, None, None] * y[:, None, :, None] * z[:, None, None, :])[..., None]


def _flat_index(indices: Sequence[Tensor], first: Tensor, size: list[int | Tensor]) -> Tensor:
    """int32 [n, Kx], [n, Ky], [n, Kz] and [n] -> rows of the flattened volume, int32 [n, Kx, Ky, Kz]."""
    x, y, z = indices
    x = first[:, None] + x * (size[1] * size[2])
    return (x[:, :, None] + (y * size[2])[:, None, :])[..., None] + z[:, None, None, :]


def _nearest(flat: Tensor, lattices: list[_Lattice], first: Tensor, size: list[int | Tensor]) -> Tensor:
    def index(position: Tensor) -> Tensor:
        low = tf.floor(position)
        return tf.cast(low + tf.cast(position - low >= 0.5, tf.float32), tf.int32)

    crops = tf.gather(flat, _flat_index([index(lattice.position) for lattice in lattices], first, size))
    return tf.cast(crops, tf.float32) * _inside_all(lattices)


def _trilinear(flat: Tensor, lattices: list[_Lattice], first: Tensor, size: list[int | Tensor]) -> Tensor:
    """The loops over chunks are linear maps of `flat`: their gradients are the transposed matrices, given here by hand."""
    shape = [shape_of(first)[0], *(lattice.position.shape[1] for lattice in lattices), shape_of(flat)[1]]
    sparse = _sparse(lattices)

    def fold(body: Callable, start: Callable[[], Tensor], positions: Sequence[Tensor]) -> Tensor:
        """Run body(rows, tables, flat index, state) over all boxes: first the dense ones, then the sparse.

        The state begins as `start()`, or where the first rows are all of them as None, which leaves it to the body.
        """
        def step(rows: Tensor | None, live: Tensor, state: Tensor | None, is_sparse: bool = False) -> Tensor:
            tables = [_table(_take(position, rows), _take(lattice.inside, rows) & live[:, None], n, is_sparse)
                      for position, lattice, n in zip(positions, lattices, size)]
            index = _flat_index([table.index for table in tables], _take(first, rows), size)
            return body(rows, tables, index, state)

        if (first.shape[0] or DENSE_CHUNK + 1) <= DENSE_CHUNK:
            state = step(None, ~sparse, None)
        else:
            state = over_rows(~sparse, DENSE_CHUNK, step, start())
        return over_rows(sparse, SPARSE_CHUNK, functools.partial(step, is_sparse=True), state)

    @tf.custom_gradient
    def sample(flat: Tensor, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Callable]:
        def crop(rows: Tensor | None, tables: list[_Table], index: Tensor, crops: Tensor | None) -> Tensor:
            block = tf.cast(tf.gather(flat, index), tf.float32)
            return _put(crops, rows, _resample(block, [table.weight for table in tables]))

        def gradient(upstream: Tensor) -> tuple[Tensor | None, Tensor, Tensor, Tensor]:
            by_flat = _flat_gradient(fold, flat, upstream, (x, y, z)) if flat.dtype.is_floating else None
            return by_flat, *_position_gradients(fold, flat, upstream, (x, y, z))

        return fold(crop, functools.partial(blank, shape, flat), (x, y, z)), gradient

    return sample(flat, *(lattice.position for lattice in lattices))


def _take(values: Tensor, rows: Tensor | None) -> Tensor:
    """Some rows, or where `rows` is None all of them, which then are not copied."""
    return values if rows is None else tf.gather(values, rows)


def _put(state: Tensor | None, rows: Tensor | None, values: Tensor) -> Tensor:
    """Add to some rows of the state, or where `rows` is None be all of it."""
    return values if rows is None else tf.tensor_scatter_nd_add(state, rows[:, None], values)


def _sparse(lattices: list[_Lattice]) -> Tensor:
    """bool [N]: the cells of some axis reach beyond the c + 1 voxels that begin at the lowest one."""
    beyond = [tf.reduce_max(lattice.position, 1) > tf.floor(tf.reduce_min(lattice.position, 1)) + lattice.position.shape[1]
              for lattice in lattices]
    return beyond[0] | beyond[1] | beyond[2]


def _table(position: Tensor, inside: Tensor, size: int | Tensor, is_sparse: bool) -> _Table:
    """position float32 [n, c], inside bool [n, c]. Indices past the edge are clipped: their weight is 0."""
    cells = position.shape[1]
    low = tf.floor(position)
    if is_sparse:       # each cell has its own two voxels
        voxel, reach = tf.concat([low, low + 1.0], 1), np.tile(np.eye(cells, dtype=np.float32), (1, 2))
    else:
        voxel, reach = tf.reduce_min(low, 1, keepdims=True) + tf.range(cells + 1, dtype=tf.float32), np.float32(1.0)
    distance = position[:, :, None] - voxel[:, None, :]
    reach = reach * tf.cast(inside, tf.float32)[:, :, None]
    slope = -tf.sign(distance) * tf.cast(tf.abs(distance) < 1.0, tf.float32)
    return _Table(tf.clip_by_value(tf.cast(voxel, tf.int32), 0, size - 1), reach * hat(distance), reach * slope)


def _resample(block: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    for axis, matrix in enumerate(matrices, start=1):
        block = along_axis(block, matrix, axis)
    return block


def _flat_gradient(fold: Callable, flat: Tensor, upstream: Tensor, positions: Sequence[Tensor]) -> Tensor:
    start = functools.partial(blank, tf.shape(flat), upstream)

    def spread(rows: Tensor | None, tables: list[_Table], index: Tensor, total: Tensor | None) -> Tensor:
        block = _resample(_take(upstream, rows), [tf.linalg.matrix_transpose(table.weight) for table in tables])
        return tf.tensor_scatter_nd_add(start() if total is None else total, index[..., None], block)

    return tf.cast(fold(spread, start, positions), flat.dtype)


def _position_gradients(fold: Callable, flat: Tensor, upstream: Tensor, positions: Sequence[Tensor]) -> list[Tensor]:
    """Apart from the volume's gradient: a graph in which the boxes need none drops this loop."""
    def project(rows: Tensor | None, tables: list[_Table], index: Tensor, total: Tensor | None) -> Tensor:
        block, above = tf.cast(tf.gather(flat, index), tf.float32), _take(upstream, rows)
        changes = []
        for axis in range(3):
            matrices = [table.slope if n == axis else table.weight for n, table in enumerate(tables)]
            others = [n for n in range(1, 5) if n != axis + 1]
            changes.append(tf.reduce_sum(_resample(block, matrices) * above, others))
        return _put(total, rows, tf.concat(changes, 1))

    total = fold(project, lambda: tf.zeros_like(tf.concat(positions, 1)), positions)
    return tf.split(total, [position.shape[1] for position in positions], 1)
