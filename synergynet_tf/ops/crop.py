"""Crop boxes out of volumes and resample each to one grid: tf.image.crop_and_resize with one axis more.

A box's cells lie on a lattice, so its values are three small matrix products (one per axis) over the block of voxels that the
lattice touches. Nearly all boxes are sampled at a step of at most about one voxel, and c cells then touch at most c + 1 voxels
an axis; where it is known that most touch fewer (`reach`), most read fewer. The others ("sparse") read the two neighbours of
every cell, 2c an axis, and only they pay for it. Measured on a CPU against reading eight corners for each cell, dense boxes take
half to two thirds of the time forward and a quarter to two thirds backward; sparse ones up to half as much again.

Letters in shapes: N boxes, n boxes of a chunk, c cells along an axis, K voxels read along an axis, V = B * X * Y * Z.
"""
import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from synergynet_tf.errors import InputError
from synergynet_tf.ops.interpolation import along_axis, blank, hat, over_rows, shape_of

Tensor = tf.Tensor
Size = np.ndarray | tf.Tensor     # int32 [3]; in NumPy where it is known when the graph is built
AT_ONCE = 2 ** 25       # values that are read at a time, at most, by the first way to read boxes, if their number is known
MANY, FEW = 128, 8      # boxes at a time otherwise, by the first way and by the others: a chunk costs the same when half full


class _Lattice(NamedTuple):
    """Where the cells of all boxes lie, in voxels. Axes that have fewer cells than c are filled up with cells outside."""

    position: Tensor            # float32 [N, 3, c]: cells outside hold the box's smallest position inside, or the edge
    inside: Tensor              # bool [N, 3, c]
    cells: tuple[int, ...]      # of each axis


class _Tables(NamedTuple):
    """What the boxes of a chunk read along each of the axes, with its own K and c."""

    index: Tensor           # type: ignore[assignment]  # int32 [n, 3, K]; hides tuple.index
    weight: list[Tensor]    # float32 [n, c, K], 0 for cells outside the volume
    slope: list[Tensor]     # float32 [n, c, K], derivative of `weight` by the cell's position


def crop_and_resize_3d(volume: Tensor, boxes: Tensor, box_indices: Tensor, crop_size: Sequence[int], method: str = "trilinear",
                       extrapolation_value: float = 0.0, boxes_gradient: bool = True, reach: int | None = None) -> Tensor:
    """Resample boxes of `volume` to `crop_size` cells each, in the convention of tf.image.crop_and_resize.

    volume      [B, X, Y, Z, C], any real dtype, finite
    boxes       float32 [N, 6], [x1, y1, z1, x2, y2, z2], normalised: 0 is the centre of the first voxel of an axis, 1 that of the
                last. The first cell lies on x1 and the last on x2; a single cell lies midway. x1 > x2 flips the crop.
    box_indices int32 [N], the volume in 0..B-1 that each box is cut from
    method      "trilinear" (tf.image's "bilinear") or "nearest" (halves round up)
    boxes_gradient  whether boxes get a gradient; without it the graph of a training step is smaller
    reach       along no axis do the cells of most boxes touch more voxels than this; others take longer, and the crops are the
                same whatever it is. None: nothing is known
    Returns float32 [N, cx, cy, cz, C]; cells outside [0, size - 1] hold `extrapolation_value`.

    Differentiable in the volume and, for "trilinear", in the boxes; at a voxel's centre the boxes' gradient is 0, as in tf.image.

    Raises:
        InputError: an unknown method or shapes that do not fit.
    """
    volume, boxes = tf.convert_to_tensor(volume), tf.cast(boxes, tf.float32)
    _check(volume, boxes, crop_size, method)
    batch, *sides, channels = shape_of(volume)
    voxels, size = sides[0] * sides[1] * sides[2], _known_or_stacked(sides)
    first = tf.cast(box_indices, tf.int32) * voxels
    flat = tf.reshape(volume, [batch * voxels, channels])
    lattice = _lattice(boxes, size, tuple(int(n) for n in crop_size))
    if method == "nearest":
        crops = _nearest(flat, lattice, first, size)
    else:
        crops = _trilinear(flat, lattice, first, size, boxes_gradient, reach)
    if extrapolation_value != 0.0:
        crops += extrapolation_value * (1.0 - _inside_all(lattice))
    return crops


def _known_or_stacked(sides: list[int | Tensor]) -> Size:
    """int32 [3]; in NumPy where it is known when the graph is built, which then reckons with it while it is built."""
    return tf.stack(sides) if any(map(tf.is_tensor, sides)) else np.array(sides, np.int32)


def _check(volume: Tensor, boxes: Tensor, crop_size: Sequence[int], method: str) -> None:
    if method not in ("trilinear", "nearest"):
        raise InputError(f"method is {method!r}, but crop_and_resize_3d knows 'trilinear' and 'nearest'")
    if volume.shape.rank != 5:
        raise InputError(f"volume has shape {volume.shape}, but [B, X, Y, Z, C] is needed")
    if boxes.shape.rank != 2 or boxes.shape[1] != 6:
        raise InputError(f"boxes have shape {boxes.shape}, but [N, 6] is needed")
    if len(crop_size) != 3 or min(crop_size) < 1:
        raise InputError(f"crop_size is {tuple(crop_size)}, but three positive numbers are needed")


def _lattice(boxes: Tensor, size: Size, cells: tuple[int, ...]) -> _Lattice:
    """The operations and their order are those of tf.image, so that the last cell rounds to the same side of the edge."""
    begin, end, count = boxes[:, :3], boxes[:, 3:], np.array(cells)
    last = tf.cast(size - 1, tf.float32)
    edge = tf.expand_dims(last, 1)
    first = tf.where(count > 1, begin, 0.5 * (begin + end)) * last
    step = (end - begin) * last / np.maximum(count - 1, 1).astype(np.float32)
    number = np.arange(max(cells))
    position = tf.expand_dims(first, 2) + tf.expand_dims(step, 2) * number.astype(np.float32)
    inside = (position >= 0.0) & (position <= edge) & (number < count[:, None])
    smallest = tf.reduce_min(tf.where(inside, position, edge), 2, keepdims=True)
    return _Lattice(tf.where(inside, position, tf.stop_gradient(smallest)), inside, cells)


def _by_axis(table: Tensor, *lengths: Sequence[int]) -> list[Tensor]:
    """[n, 3, ...] -> one tensor for each axis, cut to that axis' lengths."""
    parts = tf.unstack(table, axis=1)
    for axis, wanted in enumerate(zip(*lengths)):
        if parts[axis].shape[1:] != wanted:
            parts[axis] = parts[axis][(slice(None), *(slice(n) for n in wanted))]
    return parts


def _inside_all(lattice: _Lattice) -> Tensor:
    x, y, z = _by_axis(tf.cast(lattice.inside, tf.float32), lattice.cells)
    return (x[:, :, None, None] * y[:, None, :, None] * z[:, None, None, :])[..., None]


def _flat_index(index: Tensor, lengths: Sequence[int], first: Tensor, size: Size) -> Tensor:
    """int32 [n, 3, K] and [n] -> rows of the flattened volume, int32 [n, Kx, Ky, Kz]."""
    x, y, z = _by_axis(index * _known_or_stacked([size[1] * size[2], size[2], 1])[:, None], lengths)
    # expand_dims is two operations of a graph, indexing with None four: with all chunks of all crops they are hundreds
    rows = tf.expand_dims(tf.expand_dims(first, 1) + x, 2) + tf.expand_dims(y, 1)
    return tf.expand_dims(rows, 3) + tf.reshape(z, [-1, 1, 1, z.shape[1]])


def _nearest(flat: Tensor, lattice: _Lattice, first: Tensor, size: Size) -> Tensor:
    low = tf.floor(lattice.position)
    index = tf.cast(low + tf.cast(lattice.position - low >= 0.5, tf.float32), tf.int32)
    return tf.cast(tf.gather(flat, _flat_index(index, lattice.cells, first, size)), tf.float32) * _inside_all(lattice)


def _trilinear(flat: Tensor, lattice: _Lattice, first: Tensor, size: Size, boxes_gradient: bool, reach: int | None) -> Tensor:
    """The loops over chunks are linear maps of `flat`: their gradients are the transposed matrices, given here by hand."""
    shape = [shape_of(first)[0], *lattice.cells, shape_of(flat)[1]]
    ways = _ways(lattice, reach)

    def fold(body: Callable, start: Callable[[], Tensor], position: Tensor) -> Tensor:
        """Run body(rows, tables, flat index, state) over all boxes, one way to read them after the other.

        The state begins as `start()`, or where the first rows are all of them as None, which leaves it to the body.
        """
        def step(rows: Tensor | None, live: Tensor, state: Tensor | None, lengths: tuple[int, ...] | None) -> Tensor:
            chunk = _Lattice(_take(position, rows), _take(lattice.inside, rows) & live[:, None, None], lattice.cells)
            tables = _tables(chunk, size, lengths)
            index = _flat_index(tables.index, [weight.shape[-1] for weight in tables.weight], _take(first, rows), size)
            return body(rows, tables, index, state)

        (wanted, lengths), *others = ways
        values = [first.shape[0], *(lengths or [None]), flat.shape[1]]
        if None not in values and math.prod(values) <= AT_ONCE:
            state = step(None, wanted, None, lengths)
        else:
            state = over_rows(wanted, MANY, functools.partial(step, lengths=lengths), start())
        for wanted, lengths in others:
            state = over_rows(wanted, FEW, functools.partial(step, lengths=lengths), state)
        return state

    @tf.custom_gradient
    def sample(flat: Tensor, position: Tensor) -> tuple[Tensor, Callable]:
        def crop(rows: Tensor | None, tables: _Tables, index: Tensor, crops: Tensor | None) -> Tensor:
            block = tf.cast(tf.gather(flat, index), tf.float32)
            return _put(crops, rows, _resample(block, tables.weight))

        def gradient(upstream: Tensor) -> tuple[Tensor | None, Tensor | None]:
            by_flat = _flat_gradient(fold, flat, upstream, position) if flat.dtype.is_floating else None
            return by_flat, _position_gradient(fold, flat, upstream, position) if boxes_gradient else None

        return fold(crop, functools.partial(blank, shape, flat), position), gradient

    return sample(flat, lattice.position)


def _take(values: Tensor, rows: Tensor | None) -> Tensor:
    """Some rows, or where `rows` is None all of them, which then are not copied."""
    return values if rows is None else tf.gather(values, rows)


def _put(state: Tensor | None, rows: Tensor | None, values: Tensor) -> Tensor:
    """Add to some rows of the state, or where `rows` is None be all of it."""
    return values if rows is None else tf.tensor_scatter_nd_add(state, rows[:, None], values)


def _ways(lattice: _Lattice, reach: int | None) -> list[tuple[Tensor, tuple[int, ...] | None]]:
    """Which boxes (bool [N], each box in one of them) read how many voxels along each axis from the lowest one; None: sparse."""
    lowest, highest = tf.floor(tf.reduce_min(lattice.position, 2)), tf.reduce_max(lattice.position, 2)
    dense = tuple(n + 1 for n in lattice.cells)
    left, ways = tf.ones_like(lowest[:, 0], tf.bool), []
    for lengths in dict.fromkeys([tuple(min(reach or n, n) for n in dense), dense]):
        fits = tf.reduce_all(highest <= lowest + np.array(lengths, np.float32) - 1.0, 1)
        ways.append((fits & left, lengths))
        left = ~fits
    return [*ways, (left, None)]


def _tables(lattice: _Lattice, size: Size, lengths: tuple[int, ...] | None) -> _Tables:
    """As many voxels as `lengths` say, or for sparse boxes two a cell. Indices past the edge are clipped: their weight is 0."""
    position, cells = lattice.position, lattice.position.shape[2]
    low = tf.floor(position)
    if lengths is None:
        voxel = tf.gather(low, np.repeat(np.arange(cells), 2), axis=2) + np.tile(np.array([0.0, 1.0], np.float32), cells)
        weight, lengths = np.repeat(np.eye(cells, dtype=np.float32), 2, axis=1), tuple(2 * n for n in lattice.cells)
    else:
        voxel = tf.reduce_min(low, 2, keepdims=True) + np.arange(max(lengths), dtype=np.float32)
        weight = np.ones((), np.float32)
    distance = tf.expand_dims(position, 3) - tf.expand_dims(voxel, 2)
    weight = weight * tf.expand_dims(tf.cast(lattice.inside, tf.float32), 3)
    slope = -tf.sign(distance) * tf.cast(tf.abs(distance) < 1.0, tf.float32)
    index = tf.maximum(tf.minimum(tf.cast(voxel, tf.int32), size[:, None] - 1), 0)
    return _Tables(index, *(_by_axis(weight * values, lattice.cells, lengths) for values in (hat(distance), slope)))


def _resample(block: Tensor, matrices: Sequence[Tensor]) -> Tensor:
    for axis, matrix in enumerate(matrices, start=1):
        block = along_axis(block, matrix, axis)
    return block


def _flat_gradient(fold: Callable, flat: Tensor, upstream: Tensor, position: Tensor) -> Tensor:
    start = functools.partial(blank, tf.shape(flat), upstream)

    def spread(rows: Tensor | None, tables: _Tables, index: Tensor, total: Tensor | None) -> Tensor:
        block = _resample(_take(upstream, rows), [tf.linalg.matrix_transpose(weight) for weight in tables.weight])
        return tf.tensor_scatter_nd_add(start() if total is None else total, index[..., None], block)

    return tf.cast(fold(spread, start, position), flat.dtype)


def _position_gradient(fold: Callable, flat: Tensor, upstream: Tensor, position: Tensor) -> Tensor:
    """Apart from the volume's gradient: a graph in which the boxes need none leaves this loop out."""
    def project(rows: Tensor | None, tables: _Tables, index: Tensor, total: Tensor | None) -> Tensor:
        block, above = tf.cast(tf.gather(flat, index), tf.float32), _take(upstream, rows)
        changes = []
        for axis in range(3):
            matrices = [tables.slope[n] if n == axis else tables.weight[n] for n in range(3)]
            others = [n for n in range(1, 5) if n != axis + 1]
            change = tf.reduce_sum(_resample(block, matrices) * above, others)
            changes.append(tf.pad(change, [[0, 0], [0, position.shape[2] - change.shape[1]]]))
        return _put(total, rows, tf.stack(changes, 1))

    return fold(project, lambda: tf.zeros_like(position), position)
