"""The region of each lesion, as the criteria for MS name them, by its distance to this brain's ventricles and cortex.

McDonald criteria (Thompson et al., Lancet Neurology 17 (2018), 162-173, and the revision of 2024, Montalban et al., Lancet
Neurology 24 (2025), 850-865); what the regions are: MAGNIMS consensus (Filippi et al., Lancet Neurology 15 (2016), 292-303;
Brain 142 (2019), 1858-1875).

- infratentorial: in the brainstem, the cerebellar peduncles or the cerebellum; half of its voxels at least.
- periventricular: touches a lateral ventricle, with no white matter between, in practice within `PERIVENTRICULAR_MM` of it.
- juxtacortical: touches or lies in the cortex, in practice within `JUXTACORTICAL_MM` of it.
- deep: in the white matter or deep grey matter away from all of these.

The first that holds, in this order, is the lesion's region: one that reaches from a ventricle to the cortex is periventricular.
"""
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from synergynet_tf.data.anatomy.scan import Anatomy
from synergynet_tf.data.anatomy.template import infratentorial

INFRATENTORIAL, PERIVENTRICULAR, JUXTACORTICAL, DEEP = REGIONS = ("infratentorial", "periventricular", "juxtacortical", "deep")
PERIVENTRICULAR_MM = 3.0
JUXTACORTICAL_MM = 3.0
CORTEX_MM = 2.5         # thick, on average (Fischl and Dale, PNAS 97 (2000), 11050-11055)
TOO_FAR_MM = 2.0        # by which phantoms' cortex is nearer than found: what lies beside a lesion is not taken for grey matter
WALL_MM = 0.25          # by which their ventricles' walls are: lesions brighten the fluid beside them
MIDLINE_MM = 1.0        # |x| of a lesion's middle that lies on neither side
FAR_MM = 60.0           # distances are not looked for beyond
COUNTED = (PERIVENTRICULAR, JUXTACORTICAL, INFRATENTORIAL)      # regions of the criteria that a scan of the brain shows
DEFINITION = ("regions with one lesion or more, of the three regions of the McDonald criteria that a scan of the brain shows: "
              "periventricular, cortical or juxtacortical, infratentorial; not seen are the spinal cord and the optic nerves. "
              "Two or more are one of the ways in which the criteria define dissemination in space. This counts what was "
              "segmented; it is no diagnosis")


class Distances(NamedTuple):
    """Where voxels lie, one an entry. mm are those of the scan's own space."""

    ventricle_mm: np.ndarray        # float64 [N]
    cortex_mm: np.ndarray           # float64 [N]
    infratentorial: np.ndarray      # bool [N]
    mni: np.ndarray                 # float64 [N, 3], MNI mm


class Place(NamedTuple):
    """Where a lesion lies."""

    region: str                 # one of REGIONS
    side: str                   # left, right or midline
    ventricle_mm: float         # the least of its voxels
    cortex_mm: float
    reached: tuple[str, ...]    # of COUNTED: more than one is a confluent lesion's


def measure(points: np.ndarray, anatomy: Anatomy, scale: float = 1.0) -> Distances:
    """Measure where points [N, 3], in mm of the scan's world, lie; `scale`: mm of the scan's own space over those."""
    ventricle, surface, grey = (_nearest(points, of) * scale for of in (anatomy.ventricles, anatomy.surface, anatomy.cortex))
    cortex = (grey + np.maximum(surface - CORTEX_MM, 0)) / 2 - TOO_FAR_MM       # two estimates, and neither is sure
    mni = points @ anatomy.to_mni[:3, :3].T + anatomy.to_mni[:3, 3]
    return Distances(np.maximum(ventricle - WALL_MM, 0), np.maximum(cortex, 0), infratentorial(mni), mni)


def place_of(voxels: Distances) -> Place:
    """Where a lesion of these voxels lies."""
    ventricle, cortex, below = voxels.ventricle_mm.min(), voxels.cortex_mm.min(), voxels.infratentorial
    holds = {INFRATENTORIAL: below.mean() >= 0.5, PERIVENTRICULAR: ventricle <= PERIVENTRICULAR_MM,
             JUXTACORTICAL: cortex <= JUXTACORTICAL_MM, DEEP: True}
    region = next(name for name in REGIONS if holds[name])
    above = voxels.cortex_mm[~below]        # the cerebellum's cortex counts with the rest of it
    touched = {INFRATENTORIAL: below.any(), PERIVENTRICULAR: holds[PERIVENTRICULAR],
               JUXTACORTICAL: above.size > 0 and above.min() <= JUXTACORTICAL_MM}
    x = voxels.mni[:, 0].mean()
    side = "midline" if abs(x) < MIDLINE_MM else "left" if x < 0 else "right"
    return Place(region, side, float(ventricle), float(cortex), tuple(name for name in COUNTED if touched[name]))


def _nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    if not len(others):
        return np.full(len(points), FAR_MM)
    distance, _ = cKDTree(others, balanced_tree=False, compact_nodes=False).query(points, distance_upper_bound=FAR_MM)
    return np.minimum(distance, FAR_MM)
