"""The part of a grid that a mask takes."""
import numpy as np


def bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """The slices, with both ends, that hold all of a mask; all of the grid for an empty one."""
    box = [slice(0, n) for n in mask.shape]
    for axis in reversed(range(mask.ndim)):     # each axis within what the ones before have left
        others = tuple(other for other in range(mask.ndim) if other != axis)
        inside = np.flatnonzero(mask[tuple(box)].any(axis=others))
        if not len(inside):
            return tuple(slice(0, n) for n in mask.shape)
        box[axis] = slice(int(inside[0]), int(inside[-1]) + 1)
    return tuple(box)
