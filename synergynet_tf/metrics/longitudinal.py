"""What became of a patient's lesions from one scan to the next: new, enlarged, shrunk, resolved or stable.

The lesions of both scans are the nodes of a graph, and two that share a voxel are joined. Each connected part of that graph is
one `Change`: a lesion that splits is one old and several new components, lesions that merge are the reverse, a chain of both is
one part too. The volumes of a part are compared as a whole, so that a split does not read as a resolved lesion beside a new one.
A part with nothing before is new, with nothing after resolved. A new lesion that touches an old one counts as its growth.

There is no agreed threshold for the growth of a single lesion's volume; `CHANGED` and `CHANGED_MM3` are this project's, and
docs/decisions.md says what they were measured by.
"""
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from synergynet_tf.metrics.lesion import central_voxels, label_lesions
from synergynet_tf.metrics.voxel import as_mask, check_same_shape
from synergynet_tf.structures import Connectivity

CHANGED = 0.5           # enlarged or shrunk: the volume grows or falls by more than this share of the earlier one
CHANGED_MM3 = 5.0       # and by more than this volume: a few voxels at the border of a small lesion are no change
KINDS = ("new", "enlarged", "shrunk", "resolved", "stable")


class Change(NamedTuple):
    """Lesions of two scans that touch one another, directly or through others."""

    kind: str                       # one of KINDS
    before_mm3: float
    after_mm3: float
    n_before: int                   # lesions of the earlier scan; with more than one, they have merged if n_after is smaller
    n_after: int                    # lesions of the later scan; with more than n_before, a lesion has split
    place: tuple[int, int, int]     # the voxel nearest the centroid of the later lesions, or of the earlier where none is left


class Comparison(NamedTuple):
    """Two scans' lesions, matched."""

    changes: list[Change]           # largest first
    before: np.ndarray              # int32 [X, Y, Z], the earlier lesions: 1 + the index of their change, 0 outside
    after: np.ndarray               # the later ones

    def masks(self, kind: str) -> tuple[np.ndarray, np.ndarray]:
        """Where the changes of a kind lie in the earlier and in the later scan, bool [X, Y, Z] each."""
        chosen = np.array([False, *(change.kind == kind for change in self.changes)])
        return chosen[self.before], chosen[self.after]


def compare_scans(before: np.ndarray, after: np.ndarray, spacing: Sequence[float], connectivity: Connectivity = 18,
                  scales: tuple[float, float] = (1.0, 1.0)) -> Comparison:
    """Match the lesions of two masks [X, Y, Z] on one grid by overlap, and say of each group what it did.

    Args:
        before: mask of the earlier scan, [X, Y, Z].
        after: mask of the later scan, registered to it.
        spacing: voxel sides, mm.
        connectivity: 6, 18 or 26; what one lesion is.
        scales: of each scan, a volume in the space that it was taken in over the same on this grid.

    Raises:
        InputError: shapes differ, one is no mask of three axes, or another connectivity.
    """
    check_same_shape(before, after, "later mask")
    before, after = as_mask(before, "earlier mask"), as_mask(after, "later mask")
    (old, n_old), (new, n_new) = (label_lesions(mask, connectivity) for mask in (before, after))
    old_part, new_part = _parts(old, n_old, new, n_new, before & after)
    n = max([*old_part, *new_part], default=-1) + 1
    before_voxel, after_voxel = np.multiply(scales, np.prod(np.asarray(spacing, np.float64)))     # mm3
    sides = [_side(mask, labels, part, n) for mask, labels, part in ((before, old, old_part), (after, new, new_part))]
    (owner_before, n_before, count_before, place_before), (owner_after, n_after, count_after, place_after) = sides
    volumes = np.stack([count_before * before_voxel, count_after * after_voxel], -1)
    order = np.lexsort((np.arange(n), -volumes.max(-1)))
    changes = []
    for i in order:
        x, y, z = map(int, place_after[i] if count_after[i] else place_before[i])
        earlier, later = map(float, volumes[i])
        changes.append(Change(change_kind(earlier, later), earlier, later, int(n_before[i]), int(n_after[i]), (x, y, z)))
    number = np.empty(n, np.int32)
    number[order] = np.arange(1, n + 1)
    maps = np.zeros((2, *before.shape), np.int32)
    for side, mask, owner in ((0, before, owner_before), (1, after, owner_after)):
        maps[side][mask] = number[owner]
    return Comparison(changes, *maps)


def change_kind(before_mm3: float, after_mm3: float) -> str:
    """One of `KINDS`, by the volumes before and after; at least one is more than 0."""
    if not before_mm3:
        return "new"
    if not after_mm3:
        return "resolved"
    difference = after_mm3 - before_mm3
    if abs(difference) <= max(CHANGED * before_mm3, CHANGED_MM3):
        return "stable"
    return "enlarged" if difference > 0 else "shrunk"


def _parts(old: np.ndarray, n_old: int, new: np.ndarray, n_new: int, both: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of the graph, 0, 1, ..., that each earlier and each later lesion belongs to."""
    links = old[both].astype(np.int64) - 1, new[both].astype(np.int64) - 1 + n_old
    graph = coo_matrix((np.ones(len(links[0]), bool), links), shape=(n_old + n_new, n_old + n_new))
    _, part = connected_components(graph, directed=False)
    return part[:n_old].astype(np.int64), part[n_old:].astype(np.int64)


def _side(mask: np.ndarray, labels: np.ndarray, part: np.ndarray, n: int) -> tuple[np.ndarray, ...]:
    """Of one scan: each lesion voxel's part of the graph; and of each part its lesions, its voxels and its central voxel."""
    owner = part[labels[mask].astype(np.int64) - 1]
    places = central_voxels(np.argwhere(mask), owner, n)
    return owner, np.bincount(part, minlength=n), np.bincount(owner, minlength=n), places
