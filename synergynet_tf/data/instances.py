"""From a lesion mask to labelled lesions and the table of their boxes."""
from dataclasses import dataclass

import cc3d
import numpy as np
from scipy import ndimage

from synergynet_tf.config import LesionConfig
from synergynet_tf.errors import InputError


@dataclass(frozen=True, eq=False)
class LesionTable:
    """The n lesions of a case; row l belongs to label l + 1."""

    boxes: np.ndarray       # int32 [n, 6], half-open, voxels of the labelled array
    voxels: np.ndarray      # int32 [n]
    is_small: np.ndarray    # bool [n], the box's volume is below lesions.small_box_voxels (paper, 2.1)


def label_lesions(mask: np.ndarray, config: LesionConfig, case: str) -> tuple[np.ndarray, LesionTable]:
    """Label the connected components of a mask, bool [X, Y, Z]: instances int16 [X, Y, Z] (0 background) and their table.

    Labels 1..n follow each lesion's first voxel in C order, whatever the memory order of the mask.

    Raises:
        InputError: there are more than `lesions.max_lesions`; the case is named.
    """
    labels, n = cc3d.connected_components(np.ascontiguousarray(mask), connectivity=config.connectivity, return_N=True)
    check_room(n, config, case)
    if n == 0:
        return np.zeros(mask.shape, np.int16), lesion_table(np.zeros((0, 6)), np.zeros(0), config)
    foreground = labels.ravel()[np.flatnonzero(mask.ravel())]
    present, first = np.unique(foreground, return_index=True)
    order = np.zeros(n + 1, np.int16)
    order[present[np.argsort(first)]] = np.arange(1, n + 1)
    instances = order[labels]
    boxes = [[s.start for s in box] + [s.stop for s in box] for box in ndimage.find_objects(instances)]
    return instances, lesion_table(boxes, np.bincount(order[foreground])[1:], config)


def lesion_table(boxes: np.ndarray | list, voxels: np.ndarray | list, config: LesionConfig) -> LesionTable:
    """A table from boxes [n, 6] and voxel counts [n]; which are small is the configuration's to say."""
    boxes = np.asarray(boxes, np.int32).reshape(-1, 6)
    volumes = np.prod(boxes[:, 3:] - boxes[:, :3], axis=1, dtype=np.int64)
    return LesionTable(boxes, np.asarray(voxels, np.int32), volumes < config.small_box_voxels)


def check_room(lesions: int, config: LesionConfig, case: str) -> None:
    """See that a case has no more lesions than there are label slots.

    Raises:
        InputError: it has.
    """
    if lesions > config.max_lesions:
        raise InputError(f"case {case}: {lesions} lesions ({config.connectivity}-connected), but lesions.max_lesions is "
                         f"{config.max_lesions}; raise it to {lesions} or more")
