"""Connected components inside a graph, by runs.

A volume is padded with one layer of zeros and laid out flat. Its true voxels then form runs, none of which leaves its column
along Z, and a neighbouring column lies a fixed number of places away: runs touch where one, moved by that number, overlaps the
other. All that follows works on some 10^5 runs in place of 10^7 voxels.

Letters in shapes: R runs, E pairs of runs that touch, X, Y, Z voxels (padded: X + 2, ...).
"""
from typing import NamedTuple

import tensorflow as tf

Tensor = tf.Tensor
ACROSS = {6: ((0, 1, 0), (1, 0, 0)),
          18: ((0, 1, 1), (1, 0, 1), (1, 1, 0), (1, -1, 0)),
          26: ((0, 1, 1), (1, 0, 1), (1, 1, 1), (1, -1, 1))}     # neighbouring columns (x, y), and how far along Z they touch


class Runs(NamedTuple):
    """Runs of one value in a padded, flat volume, in their order."""

    begin: Tensor       # int32 [R]
    end: Tensor         # int32 [R], exclusive


class Components(NamedTuple):
    """The connected components of a mask."""

    volume: Tensor      # bool [X, Y, Z], the mask, padded
    runs: Runs          # of True in it
    root: Tensor        # int32 [R], the least run of each run's component
    sizes: Tensor       # int32 [R], voxels of the component whose least run it is, else 0


def padded(mask: Tensor) -> Tensor:
    """Bool [X, Y, Z] with a layer of False around it."""
    return tf.pad(mask, [[1, 1]] * 3)


def true_runs(volume: Tensor) -> Runs:
    """The runs of True in a padded volume."""
    flat = tf.reshape(volume, [-1])
    edges = tf.cast(tf.where(flat[1:] != flat[:-1])[:, 0], tf.int32) + 1
    edges = tf.reshape(edges, [-1, 2])
    return Runs(edges[:, 0], edges[:, 1])


def gaps(runs: Runs, size: Tensor) -> Runs:
    """The runs of False between and around those of True, in a flat volume of `size` places. The first one is outside all."""
    return Runs(tf.concat([[0], runs.end], 0), tf.concat([runs.begin, [size]], 0))


def labels(runs: Runs, shape: Tensor, connectivity: int) -> Tensor:
    """The least run of each run's component: int32 [R]. `shape` is that of the padded volume."""
    pairs = [_touching(runs, (dx * shape[1] + dy) * shape[2], reach) for dx, dy, reach in ACROSS[connectivity]]
    first, second = (tf.concat(side, 0) for side in zip(*pairs))
    count = tf.shape(runs.begin)[0]

    def settle(parent: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        a, b = tf.gather(parent, first), tf.gather(parent, second)
        least = tf.minimum(a, b)
        hooked = tf.math.unsorted_segment_min(tf.concat([least, least], 0), tf.concat([a, b], 0), count)
        after = tf.minimum(parent, hooked)      # a segment of nothing has the largest number there is
        for _shortcut in range(2):
            after = tf.gather(after, after)
        return after, tf.reduce_any(after != parent)

    return tf.while_loop(lambda _, changed: changed, settle, (tf.range(count), tf.constant(True)))[0]


def find(mask: Tensor, connectivity: int) -> Components:
    """The connected components of a bool mask [X, Y, Z]."""
    volume = padded(mask)
    runs = true_runs(volume)
    root = labels(runs, tf.shape(volume), connectivity)
    return Components(volume, runs, root, tf.math.unsorted_segment_sum(runs.end - runs.begin, root, tf.shape(root)[0]))


def count_components(mask: Tensor, connectivity: int) -> Tensor:
    """How many connected components a bool mask [X, Y, Z] has: int32."""
    return tf.math.count_nonzero(find(mask, connectivity).sizes, dtype=tf.int32)


def keep_lesions(mask: Tensor, least: Tensor, peaks: Tensor, connectivity: int) -> Tensor:
    """A bool mask [X, Y, Z] without its components of fewer than `least` voxels (int32), or with no peak (bool [X, Y, Z])."""
    found = find(mask, connectivity)
    before = tf.cumsum(tf.cast(tf.reshape(padded(peaks), [-1]), tf.int32), exclusive=True)
    of_run = tf.gather(before, found.runs.end) - tf.gather(before, found.runs.begin)
    of_component = tf.math.unsorted_segment_sum(of_run, found.root, tf.shape(found.root)[0])
    return without(found, (found.sizes < least) | (of_component == 0))


def without(found: Components, dropped: Tensor) -> Tensor:
    """The mask, bool [X, Y, Z], without the components whose least run is in `dropped`, bool [R]."""
    return painted(found.volume, found.runs, tf.gather(dropped, found.root), False)


def without_holes(mask: Tensor) -> Tensor:
    """A bool mask [X, Y, Z] with its holes (6-connected) filled."""
    volume = padded(mask)
    outside = gaps(true_runs(volume), tf.size(volume))
    return painted(volume, outside, labels(outside, tf.shape(volume), 6) != 0, True)


def painted(volume: Tensor, runs: Runs, chosen: Tensor, value: bool) -> Tensor:
    """What a padded volume holds, [X, Y, Z], with the chosen runs (bool [R]) set to `value`."""
    begin, end = tf.boolean_mask(runs.begin, chosen), tf.boolean_mask(runs.end, chosen)
    run, step = _counted(end - begin)
    place = tf.gather(begin, run) + step
    flat = tf.reshape(volume, [-1])
    flat = tf.tensor_scatter_nd_update(flat, place[:, None], tf.fill(tf.shape(place), value))
    return tf.reshape(flat, tf.shape(volume))[1:-1, 1:-1, 1:-1]


def _touching(runs: Runs, shift: Tensor, reach: int) -> tuple[Tensor, Tensor]:
    """Pairs of runs, int32 [E] twice: the first, moved by `shift` and longer by `reach` at both ends, overlaps the second."""
    first = tf.searchsorted(runs.end, runs.begin + (shift - reach), side="right")
    last = tf.searchsorted(runs.begin, runs.end + (shift + reach), side="left")
    row, step = _counted(tf.maximum(last - first, 0))
    return row, tf.gather(first, row) + step


def _counted(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """[3, 0, 2] -> rows [0, 0, 0, 2, 2] and steps [0, 1, 2, 0, 1]."""
    ends = tf.cumsum(lengths)
    total = tf.reduce_sum(lengths)
    place = tf.range(total)
    row = tf.searchsorted(ends, place, side="right")
    return row, place - tf.gather(ends - lengths, row)
