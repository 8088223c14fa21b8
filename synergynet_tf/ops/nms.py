"""Non-maximum suppression of boxes in three dimensions, exactly greedy, with static shapes, and the choice of the best before it.

Greedy suppression takes the boxes from the best score down and keeps each one that overlaps no box kept before it. Here the
sorted boxes are taken in tiles: a tile is first held against all that is kept already, then solved in itself. Within a tile

    kept[j] = free[j] and not any(kept[i] and overlaps[i, j] for i < j)

has one solution, the greedy one, since kept[j] depends on earlier boxes only; repeating the assignment reaches it in as many
rounds as the longest chain of boxes that free one another, a few in practice. Memory is linear in the number of boxes, and the
work ends as soon as the output is full.
"""
import tensorflow as tf

from synergynet_tf.ops.boxes import pairwise_iou

TILE = 256          # boxes: a tile's IoU matrix stays in the processor's cache
ONE_SORT = 2731     # XLA finds 1000 to 2730 of many values by hundreds of sorts, one after the other, and more by one of all


def best(scores: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The `count` highest of scores [B, N], or all N where these are fewer: tf.math.top_k, and fast under XLA too.

    Returns:
        scores [B, K], highest first, of equal ones the lower index first; indices int32 [B, K].
    """
    every, asked = scores.shape[-1], max(count, ONE_SORT)
    highest = tf.math.top_k(scores, min(asked, every) if every is not None else tf.minimum(asked, tf.shape(scores)[-1]))
    return highest.values[:, :count], highest.indices[:, :count]


def nms_3d(boxes: tf.Tensor, scores: tf.Tensor, valid: tf.Tensor, iou_threshold: float,
           max_output: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Greedy non-maximum suppression: a box is dropped where its IoU with a better kept one is above `iou_threshold`.

    Args:
        boxes: [N, 6] in voxels. Degenerate boxes overlap nothing, so they are never dropped and drop none.
        scores: [N], finite; of equal scores the lower index is the better.
        valid: bool [N]; other rows are neither kept nor do they suppress.
        iou_threshold: 0 to 1.
        max_output: the most boxes to keep.

    Returns:
        indices int32 [max_output] of the kept boxes, best first, 0 where there is none; bool [max_output], whether there is one.
    """
    order, ordered, eligible = _sorted_tiles(boxes, scores, valid)

    def unfinished(tile: tf.Tensor, n_kept: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        return (tile < tf.shape(order)[0]) & (n_kept < max_output)

    def take(tile: tf.Tensor, n_kept: tf.Tensor, kept: tf.Tensor, rows: tf.Tensor) -> tuple[tf.Tensor, ...]:
        candidates = ordered[tile]
        # rows of `kept` that are not filled yet are boxes of zeros, which overlap nothing
        overlapped = tf.reduce_any(pairwise_iou(kept[:max_output], candidates) > iou_threshold, axis=0)
        keep = _greedy(candidates, eligible[tile] & ~overlapped, iou_threshold)
        slot = tf.where(keep, n_kept + tf.cumsum(tf.cast(keep, tf.int32), exclusive=True), max_output)
        slot = tf.minimum(slot, max_output)[:, None]
        return (tile + 1, n_kept + tf.reduce_sum(tf.cast(keep, tf.int32)),
                tf.tensor_scatter_nd_update(kept, slot, candidates), tf.tensor_scatter_nd_update(rows, slot, order[tile]))

    # one row more than the output has: what is not kept, or no longer fits, is written there and never read
    start = (0, 0, tf.zeros([max_output + 1, 6]), tf.zeros([max_output + 1], tf.int32))
    _, n_kept, _, rows = tf.while_loop(unfinished, take, start)
    valid = tf.range(max_output) < n_kept
    return tf.where(valid, rows[:max_output], 0), valid


def _sorted_tiles(boxes: tf.Tensor, scores: tf.Tensor, valid: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Indices [tiles, TILE], boxes [tiles, TILE, 6] and validity [tiles, TILE], best score first, padded to whole tiles."""
    scores = tf.where(valid, tf.cast(scores, tf.float32), tf.float32.min)
    order = tf.argsort(scores, direction="DESCENDING", stable=True)
    padding = -tf.shape(order)[0] % TILE
    order, eligible = tf.pad(order, [[0, padding]]), tf.pad(tf.gather(valid, order), [[0, padding]])
    ordered = tf.gather(tf.cast(boxes, tf.float32), order)
    return tf.reshape(order, [-1, TILE]), tf.reshape(ordered, [-1, TILE, 6]), tf.reshape(eligible, [-1, TILE])


def _greedy(boxes: tf.Tensor, free: tf.Tensor, iou_threshold: float) -> tf.Tensor:
    """Which of a tile's sorted boxes [TILE, 6] are kept, bool [TILE], `free` marks those that may be."""
    earlier = tf.range(TILE)[:, None] < tf.range(TILE)[None, :]
    suppresses = (pairwise_iou(boxes, boxes) > iou_threshold) & earlier

    def settle(keep: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        after = free & ~tf.reduce_any(suppresses & keep[:, None], axis=0)
        return after, tf.reduce_any(after != keep)

    keep, _ = tf.while_loop(lambda keep, changed: changed, settle, (free, tf.constant(True)))
    return keep
