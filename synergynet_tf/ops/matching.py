"""Which lesion an anchor or a RoI stands for.

A dense IoU matrix of a million anchors by a few hundred lesions would take 1 GB. Since anchors are cubes on a regular grid, the
IoU of a lesion with all anchors of a box of cells is the product of three short vectors of overlaps, and only anchors near the
lesion can reach the IoU that matters:

- IoU in three dimensions is at most the IoU of the projections on any axis. Two intervals of lengths a and s whose centres are d
  apart have IoU >= t only if d <= (a + s) / 2 * (1 - t) / (1 + t), and only if s <= a / t.
- These bounds, at the lower threshold, give each lesion a box of cells outside of which all is background. It is cut into blocks
  of a fixed number of cells; a lesion no longer than the largest anchor has one block, an elongated one several. There is no
  largest extent: the work is a loop over the blocks that the valid lesions need, and follows their number.
- For every size, the anchor that overlaps a lesion most lies, on each axis, in the cell whose centre is nearest to the lesion's.
  So each lesion's best anchor is found without any search.
"""
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from synergynet_tf.errors import InputError
from synergynet_tf.ops.anchors import anchors_at
from synergynet_tf.ops.boxes import pairwise_iou, volumes
from synergynet_tf.ops.interpolation import blank

BLOCKS_AT_ONCE = 8      # enough to fill vector units, few enough that a patch with few lesions wastes little work
SLOT_BITS = 15          # lesion slots fit int16 labels (config.LesionConfig)
CLAIM = 1 << (SLOT_BITS + 32)


class AnchorMatch(NamedTuple):
    """What each of the N anchors is; one that is neither positive nor background is undecided."""

    positive: tf.Tensor     # bool [N]
    background: tf.Tensor   # bool [N], IoU below the negative threshold with every lesion, and not positive
    lesion: tf.Tensor       # int32 [N], slot of the lesion where positive, 0 elsewhere


class _Blocks(NamedTuple):
    """The boxes of cells that the lesions need, cut into blocks."""

    first: tf.Tensor        # int32 [L, 3], first cell of each lesion's box
    tiles: tf.Tensor        # int32 [L, 3], blocks along each axis
    ends: tf.Tensor         # int32 [L], running number of blocks up to and with each lesion


def match_anchors(grid_shape: tuple[int, int, int], stride: int, sizes: Sequence[float], gt_boxes: tf.Tensor, gt_valid: tf.Tensor,
                  positive_iou: float, negative_iou: float) -> AnchorMatch:
    """Match the anchors of `anchor_grid(grid_shape, stride, sizes)` with lesions: exactly what the dense IoU matrix would give.

    A valid lesion claims every anchor of IoU >= `positive_iou` with it, and its one best anchor whatever its IoU above 0: of
    several with the same IoU the one nearest to the lesion's centre, of these the first row. A claimed anchor is positive; of
    several claims the higher IoU wins, of equal ones the lower slot.

    Args:
        grid_shape: cells along x, y, z, static.
        stride: voxels from cell to cell.
        sizes: sides of the anchor cubes, voxels.
        gt_boxes: [L, 6], L <= 32768. They may reach beyond the grid.
        gt_valid: bool [L]; other lesions play no part.
        positive_iou: least IoU of a positive anchor, at most 1.
        negative_iou: IoU below which an anchor is background, above 0 and at most `positive_iou`.

    Raises:
        InputError: when the thresholds are not in that order.
    """
    if not 0 < negative_iou <= positive_iou <= 1:
        raise InputError(f"negative_iou is {negative_iou} and positive_iou is {positive_iou}, "
                         "but 0 < negative_iou <= positive_iou <= 1 must hold")
    gt_boxes = tf.cast(gt_boxes, tf.float32)
    block = _block_shape(grid_shape, stride, sizes, negative_iou)
    blocks = _plan(grid_shape, stride, sizes, gt_boxes, gt_valid, negative_iou, block)

    def add(done: tf.Tensor, ranks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        slot, begin, live = _take(blocks, done, block, grid_shape)
        rows, iou = _block_iou(begin, block, grid_shape, stride, sizes, tf.gather(gt_boxes, slot))
        near = live[:, None] & (iou >= negative_iou)
        rank = tf.where(near, _rank(iou, slot[:, None], iou >= positive_iou), 0)
        return done + BLOCKS_AT_ONCE, tf.tensor_scatter_nd_max(ranks, rows[..., None], rank)

    ranks = blank([math.prod(grid_shape) * len(sizes)], gt_boxes, tf.int64)
    _, ranks = tf.while_loop(lambda done, _: done < blocks.ends[-1], add, (0, ranks))
    rows, iou = _best_anchors(grid_shape, stride, sizes, gt_boxes)
    rank = _rank(iou, tf.range(tf.shape(iou)[0]), tf.ones_like(gt_valid))
    ranks = tf.tensor_scatter_nd_max(ranks, rows[:, None], tf.where(gt_valid & (iou > 0), rank, 0))
    positive = ranks >= CLAIM
    slot = (1 << SLOT_BITS) - 1 - tf.cast(ranks % (1 << SLOT_BITS), tf.int32)
    return AnchorMatch(positive, ranks == 0, tf.where(positive, slot, 0))


def match_rois(rois: tf.Tensor, roi_valid: tf.Tensor, gt_boxes: tf.Tensor, gt_valid: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The lesion that each RoI overlaps most: IoU float32 [R] and slot int32 [R] (the lower of equals).

    Args:
        rois: float32 [R, 6].
        roi_valid: bool [R].
        gt_boxes: float32 [L, 6].
        gt_valid: bool [L].

    Both results are 0 where the RoI is not valid, or overlaps no valid lesion.
    """
    iou = tf.where(roi_valid[:, None] & gt_valid[None, :], pairwise_iou(rois, gt_boxes), 0.0)
    return tf.reduce_max(iou, axis=1), tf.argmax(iou, axis=1, output_type=tf.int32)


def touches(mask: tf.Tensor, stride: int, sizes: Sequence[float]) -> tf.Tensor:
    """Which anchors' cubes share volume with a voxel of `mask`: bool [N], in anchor_grid's row order.

    `mask` is bool [X, Y, Z], of static shape. Its voxels are counted in each cube, axis by axis, by products with 0/1 matrices
    that say which voxels an anchor covers.

    Raises:
        InputError: when a side of the mask is not a multiple of `stride`, so that the grid's shape is not clear.
    """
    shape = tuple(mask.shape)
    if any(n % stride for n in shape):
        raise InputError(f"the mask's shape is {shape}, but each side must be a multiple of the stride {stride}: pad it")
    x, y, z = (_coverage(n, stride, sizes) for n in shape)
    counts = tf.einsum("axi,ijk->axjk", x, tf.cast(mask, tf.float32))
    counts = tf.einsum("azk,axjk->axjz", z, counts)
    return tf.reshape(tf.einsum("ayj,axjz->xyza", y, counts) > 0, [-1])


def _coverage(length: int, stride: int, sizes: Sequence[float]) -> np.ndarray:
    """float32 [A, cells, voxels] along one axis: 1 where the anchor of a cell covers a part of a voxel."""
    centre = (np.arange(length // stride) + 0.5) * stride
    half = np.array(sizes)[:, None, None] / 2
    voxel = np.arange(length)
    return ((voxel < centre[:, None] + half) & (voxel + 1 > centre[:, None] - half)).astype(np.float32)


def _reach(threshold: float) -> float:
    """Largest distance of two intervals' centres, over half the sum of their lengths, at which their IoU reaches `threshold`."""
    return (1 - threshold) / (1 + threshold)


def _block_shape(grid_shape: tuple[int, int, int], stride: int, sizes: Sequence[float], threshold: float) -> tuple[int, ...]:
    """Cells of a block: what a lesion of the largest anchor's side needs."""
    side = int(2 * max(sizes) * _reach(threshold) / stride) + 1
    return tuple(min(side, n) for n in grid_shape)


def _plan(grid_shape: tuple[int, int, int], stride: int, sizes: Sequence[float], gt_boxes: tf.Tensor, gt_valid: tf.Tensor,
          threshold: float, block: tuple[int, ...]) -> _Blocks:
    """The blocks that hold every anchor whose IoU with a valid lesion may reach `threshold`."""
    centre, side = (gt_boxes[:, :3] + gt_boxes[:, 3:]) / 2, gt_boxes[:, 3:] - gt_boxes[:, :3]
    reach = (side + max(sizes)) / 2 * _reach(threshold) + 1e-3     # against rounding; one cell too many does no harm
    limit = tf.constant(grid_shape, tf.float32)
    first = tf.clip_by_value(tf.math.ceil((centre - reach) / stride - 0.5), 0.0, limit)
    last = tf.clip_by_value(tf.math.floor((centre + reach) / stride - 0.5), -1.0, limit - 1)
    cells = tf.cast(tf.maximum(last - first + 1, 0.0), tf.int32)
    matchable = gt_valid & tf.reduce_all(side <= max(sizes) / threshold + 1e-3, axis=1)
    tiles = tf.where(matchable[:, None], -(-cells // tf.constant(block)), 0)
    return _Blocks(tf.cast(first, tf.int32), tiles, tf.cumsum(tf.reduce_prod(tiles, axis=1)))


def _take(blocks: _Blocks, done: tf.Tensor, block: tuple[int, ...],
          grid_shape: tuple[int, int, int]) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The next blocks: lesion slot int32 [K], first cell int32 [K, 3], and bool [K], whether there are so many."""
    number = done + tf.range(BLOCKS_AT_ONCE)
    slot = tf.reduce_sum(tf.cast(blocks.ends[None, :] <= number[:, None], tf.int32), axis=1)
    live = number < blocks.ends[-1]
    slot = tf.where(live, slot, 0)
    tiles = tf.maximum(tf.gather(blocks.tiles, slot), 1)
    within = number - tf.gather(blocks.ends, slot) + tf.reduce_prod(tiles, axis=1)
    column = within // tiles[:, 2]
    tile = tf.stack([column // tiles[:, 1], column % tiles[:, 1], within % tiles[:, 2]], axis=1)
    # a block at the far edge is moved inwards; anchors that come twice are counted once, since only their maximum is kept
    begin = tf.minimum(tf.gather(blocks.first, slot) + tile * tf.constant(block), tf.constant(grid_shape) - tf.constant(block))
    return slot, tf.maximum(begin, 0), live


def _block_iou(begin: tf.Tensor, block: tuple[int, ...], grid_shape: tuple[int, int, int], stride: int, sizes: Sequence[float],
               lesions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Rows int32 and IoU float32, [K, anchors of a block], of blocks that begin at cells [K, 3], with a lesion [K, 6] each."""
    half = tf.constant(sizes, tf.float32) / 2
    cells, overlaps = [], []
    for axis in range(3):
        cell = begin[:, axis, None] + tf.range(block[axis])
        centre = ((tf.cast(cell, tf.float32) + 0.5) * stride)[..., None]
        low = tf.maximum(centre - half, lesions[:, axis, None, None])
        high = tf.minimum(centre + half, lesions[:, axis + 3, None, None])
        cells.append(cell)
        overlaps.append(tf.maximum(high - low, 0.0))
    x, y, z = overlaps
    intersection = x[:, :, None, None] * y[:, None, :, None] * z[:, None, None, :]
    union = (half * 2) ** 3 + volumes(lesions)[:, None, None, None, None] - intersection
    x, y, z = cells
    cell = (x[:, :, None, None] * grid_shape[1] + y[:, None, :, None]) * grid_shape[2] + z[:, None, None, :]
    rows = cell[..., None] * len(sizes) + tf.range(len(sizes))
    flat = [tf.shape(begin)[0], math.prod(block) * len(sizes)]
    return tf.reshape(rows, flat), tf.reshape(intersection / union, flat)


def _best_anchors(grid_shape: tuple[int, int, int], stride: int, sizes: Sequence[float],
                  gt_boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Row int32 [L] and IoU float32 [L] of each lesion's best anchor."""
    centre = (gt_boxes[:, :3] + gt_boxes[:, 3:]) / 2
    # the nearest cell; a centre between two cells goes to the lower one, as the first row must
    cell = tf.clip_by_value(tf.math.ceil(centre / stride) - 1, 0.0, tf.constant(grid_shape, tf.float32) - 1)
    cell = tf.cast(cell, tf.int32)
    rows = ((cell[:, 0] * grid_shape[1] + cell[:, 1]) * grid_shape[2] + cell[:, 2])[:, None] * len(sizes) + tf.range(len(sizes))
    candidates = anchors_at(rows, grid_shape, stride, sizes)
    low = tf.maximum(candidates[..., :3], gt_boxes[:, None, :3])
    high = tf.minimum(candidates[..., 3:], gt_boxes[:, None, 3:])
    intersection = volumes(tf.concat([low, high], axis=-1))
    iou = intersection / (volumes(candidates) + volumes(gt_boxes)[:, None] - intersection)
    best = tf.argmax(iou, axis=1, output_type=tf.int32)
    return tf.gather(rows, best, batch_dims=1), tf.reduce_max(iou, axis=1)


def _rank(iou: tf.Tensor, slot: tf.Tensor, claim: tf.Tensor) -> tf.Tensor:
    """An int64 whose order is: claims first, then the higher IoU, then the lower slot; above 0.

    The bits of a float that is not negative are ordered as the float is. A maximum of such ranks needs no order of evaluation, so
    the result is the same on every device.
    """
    bits = tf.cast(tf.bitcast(iou, tf.int32), tf.int64) * (1 << SLOT_BITS)
    return tf.where(claim, CLAIM, 0) + bits + tf.cast((1 << SLOT_BITS) - 1 - slot, tf.int64)
