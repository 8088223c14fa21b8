"""The list of predicted lesions that stands beside a mask: place, size, score, and which branch found each."""
import math
from typing import Any, NamedTuple

import cc3d
import numpy as np

from synergynet_tf.metrics.lesion import central_voxels, lesion_voxels
from synergynet_tf.structures import Connectivity


class Evidence(NamedTuple):
    """What speaks for a lesion at each voxel of the grid that the mask lies on."""

    probability: np.ndarray         # float [X, Y, Z], after fusion
    detection_score: np.ndarray     # float [X, Y, Z], best score of the detections whose box holds the voxel, 0: none does
    local: np.ndarray               # bool [X, Y, Z], the local branch alone is above the threshold
    unet: np.ndarray                # bool [X, Y, Z], the global branch alone is above the threshold


def score_map(boxes: np.ndarray, scores: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Best score of the boxes [K, 6] that hold each voxel's centre: float32 [X, Y, Z], 0 where none does."""
    best = np.zeros(shape, np.float32)
    for box, score in zip(boxes, scores):
        low, high = np.maximum(np.ceil(box[:3] - 0.5), 0).astype(int), np.maximum(np.ceil(box[3:] - 0.5), 0).astype(int)
        part = best[tuple(slice(a, b) for a, b in zip(low, high))]
        np.maximum(part, score, out=part)
    return best


def least_voxels(min_mm3: float, voxel_mm3: float) -> int:
    """The fewest voxels that a predicted lesion of at least `min_mm3` has."""
    return math.ceil(min_mm3 / voxel_mm3 - 1e-6)


class LesionLimits(NamedTuple):
    """What a connected component above the threshold needs to be a predicted lesion."""

    voxels: int = 0             # at least
    peak: float = 0.0           # and a voxel of at least this probability: hysteresis thresholding (Canny 1986)
    connectivity: Connectivity = 18


def lesion_mask(probability: np.ndarray, threshold: float, limits: LesionLimits) -> np.ndarray:
    """Where a probability [X, Y, Z] is above the threshold, in components that are lesions: bool [X, Y, Z]."""
    mask = probability > threshold
    if limits.voxels <= 1 and limits.peak <= threshold:
        return mask
    labels = cc3d.connected_components(np.ascontiguousarray(mask, np.uint8), connectivity=limits.connectivity)
    kept = np.bincount(labels.ravel()) >= limits.voxels
    kept &= np.bincount(labels[probability >= np.float32(limits.peak)], minlength=len(kept)) > 0
    kept[0] = False
    return kept[labels]


def lesion_table(mask: np.ndarray, evidence: Evidence, affine: np.ndarray, connectivity: Connectivity) -> list[dict[str, Any]]:
    """One row for each connected component of a mask, in the order of their first voxels, X slowest and Z fastest.

    Args:
        mask: bool [X, Y, Z], on the grid of the file that it is written to, as stored.
        evidence: on the same grid.
        affine: [4, 4], from that grid's voxels to world mm (a voxel's index names its centre).
        connectivity: 6, 18 or 26.

    Returns:
        Rows of plain numbers: `label`, 1, 2, ...; `voxels`; `volume_mm3`; `box_voxels` half-open
        [x0, y0, z0, x1, y1, z1]; `box_mm`, the least box along the world's axes that holds it; `centroid_mm`; `inside_mm`, its
        voxel nearest the centroid, which itself may lie beside a bent lesion;
        `mean_probability` and `max_probability`; `detection_score`, the best of the detections whose box reaches the lesion,
        or None; `found_by_local`, there is such a detection; `local_alone` and `global_alone`, that branch without the other
        is above the threshold somewhere in the lesion.
    """
    places, label, count = lesion_voxels(mask, connectivity)
    values = {name: getattr(evidence, name)[tuple(places.T)] for name in Evidence._fields}
    voxels = np.bincount(label, minlength=count)
    first, last = np.full((count, 3), np.iinfo(np.int64).max), np.full((count, 3), -1)
    np.minimum.at(first, label, places)
    np.maximum.at(last, label, places)
    inside = central_voxels(places, label, count)
    centroids = np.stack([np.bincount(label, places[:, axis], count) for axis in range(3)], -1) / voxels[:, None]
    mean = np.bincount(label, values["probability"], count) / voxels
    highest = {name: _highest(label, value, count) for name, value in values.items()}
    voxel_mm3 = abs(float(np.linalg.det(affine[:3, :3])))
    rows = []
    for i in range(count):
        box = np.concatenate([first[i], last[i] + 1])
        score = float(highest["detection_score"][i])
        rows.append({
            "label": i + 1, "voxels": int(voxels[i]), "volume_mm3": round(int(voxels[i]) * voxel_mm3, 4),
            "box_voxels": [int(edge) for edge in box], "box_mm": _rounded(box_to_world(box, affine)),
            "centroid_mm": _rounded(affine[:3, :3] @ centroids[i] + affine[:3, 3]),
            "inside_mm": _rounded(affine[:3, :3] @ inside[i] + affine[:3, 3]),
            "mean_probability": round(float(mean[i]), 6), "max_probability": round(float(highest["probability"][i]), 6),
            "detection_score": round(score, 6) if score > 0 else None, "found_by_local": score > 0,
            "local_alone": bool(highest["local"][i]), "global_alone": bool(highest["unet"][i])})
    return rows


def box_to_world(box: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """The least box along the world's axes, [x0, y0, z0, x1, y1, z1] in mm, around a half-open voxel box [6]."""
    edges = np.stack([box[:3], box[3:]]) - 0.5      # an edge of voxel i lies half a voxel before its centre i
    corners = np.array([[edges[a, 0], edges[b, 1], edges[c, 2]] for a in (0, 1) for b in (0, 1) for c in (0, 1)])
    world = corners @ affine[:3, :3].T + affine[:3, 3]
    return np.concatenate([world.min(axis=0), world.max(axis=0)])


def _highest(label: np.ndarray, value: np.ndarray, count: int) -> np.ndarray:
    out = np.zeros(count, np.float64)
    np.maximum.at(out, label, value.astype(np.float64))
    return out


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in values]
