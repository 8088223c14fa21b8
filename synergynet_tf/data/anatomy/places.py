"""Where the lesions of a segmented case lie: region, side, distances, and the regions that are met."""
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from synergynet_tf.data.anatomy.regions import COUNTED, DEFINITION, Distances, Place, measure, place_of
from synergynet_tf.data.anatomy.scan import Anatomy
from synergynet_tf.data.anatomy.splitting import basins

Row = dict[str, Any]
UNKNOWN: Row = dict.fromkeys(("region", "side", "ventricle_mm", "cortex_mm", "mni_mm"))


class Frame(NamedTuple):
    """What lies where in a scan."""

    anatomy: Anatomy | str      # or why it is unknown
    to_own: np.ndarray          # float64 [4, 4], from mm of the scan's world to mm of the space that it was taken in


def place_rows(rows: Sequence[Row], lesions: tuple[np.ndarray, np.ndarray], affine: np.ndarray, frame: Frame,
               split: bool) -> Row:
    """Add to the row of each lesion where it lies, and say what is so of all of them.

    Args:
        rows: a lesion each, with `inside_mm`, `voxels` and `volume_mm3`; each gets `own_mm`, its inner voxel in the scan's own
            space, `region`, `side`, `ventricle_mm` and `cortex_mm` (the least distance, in mm of the own space), `mni_mm`, its
            inner voxel in MNI space, and `parts`.
        lesions: int [n, 3], all their voxels; int [n], the row of each.
        affine: [4, 4], from voxels to mm.
        frame: of the scan, in the same mm; where its anatomy is unknown, what depends on it is None.
        split: divide the lesions that reach several regions. `parts` then lists what such a lesion is divided into, each with its
            `region`, `voxels` and `volume_mm3`; it is None for all others.

    Returns:
        `count_split`, the number of lesions with such parts counted one by one, None where none were looked for; `ventricle_ml`;
        `regions_met` with `count`, `names` and `definition`; `places_note`, why places are unknown, or None.
    """
    anatomy, to_own = frame
    for row in rows:
        row |= UNKNOWN | {"own_mm": _moved(to_own, row["inside_mm"]), "parts": None}
    if isinstance(anatomy, str):
        return {"count_split": None, "ventricle_ml": None, "regions_met": None, "places_note": anatomy}
    scale = float(np.cbrt(abs(np.linalg.det(to_own[:3, :3]))))
    voxels, label = lesions
    order = np.argsort(label, kind="stable")
    distances = measure(voxels[order] @ affine[:3, :3].T + affine[:3, 3], anatomy, scale)
    ends = np.searchsorted(label[order], np.arange(len(rows) + 1))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    for row, start, stop in zip(rows, ends[:-1], ends[1:]):
        own = Distances(*(values[start:stop] for values in distances))
        place = place_of(own)
        row |= {"region": place.region, "side": place.side, "ventricle_mm": round(place.ventricle_mm, 2),
                "cortex_mm": round(place.cortex_mm, 2), "mni_mm": _moved(anatomy.to_mni, row["inside_mm"])}
        if split and len(place.reached) > 1:
            row["parts"] = _parts(voxels[order][start:stop], own, spacing, row)
    regions = {region for row in rows for region in regions_of(row)}
    met = [name for name in COUNTED if name in regions]
    return {"count_split": sum(len(regions_of(row)) for row in rows) if split else None,
            "ventricle_ml": round(anatomy.ventricle_ml, 3),
            "regions_met": {"count": len(met), "names": met, "definition": DEFINITION}, "places_note": None}


def regions_of(row: Row) -> list[str]:
    """The region of a row's lesion, or of each of its parts."""
    return [part["region"] for part in row["parts"] or [row]]


def _parts(voxels: np.ndarray, own: Distances, spacing: np.ndarray, row: Row) -> list[Row] | None:
    """What a lesion that reaches several regions is divided into; None where it is one."""
    basin = basins(voxels, tuple(spacing))
    counts = np.bincount(basin)
    if len(counts) == 1:
        return None
    places: list[Place] = [place_of(Distances(*(values[basin == i] for values in own))) for i in range(len(counts))]
    return [{"region": place.region, "voxels": int(n), "volume_mm3": round(row["volume_mm3"] * int(n) / row["voxels"], 4)}
            for place, n in zip(places, counts)]


def _moved(matrix: np.ndarray, place: Sequence[float]) -> list[float]:
    return [round(float(value), 3) for value in matrix[:3, :3] @ np.asarray(place) + matrix[:3, 3]]
