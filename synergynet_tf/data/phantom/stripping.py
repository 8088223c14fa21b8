"""What skull stripping leaves of a wide phantom: masks that cut or leave too much, and remnants of what lies outside a brain."""
import numpy as np
from scipy import ndimage

from synergynet_tf.data.phantom.fields import enlarge, random_field
from synergynet_tf.data.phantom.tissue import Brain
from synergynet_tf.data.phantom.variety import Variety, draw

# Where remnants are left, in MNI mm: eyes and optic nerves, temples, nose, the base of the skull, neck, crown.
_REMNANTS = ((30, 58, -38), (26, 48, -32), (60, 10, -40), (8, 68, -34), (20, -20, -62), (4, -50, -72), (30, -75, -55),
             (25, -50, 78), (45, 35, -45), (10, 10, -45))


def strip(brain: Brain, variety: Variety, rng: np.random.Generator) -> np.ndarray:
    """Bool [x, y, z]: the mask, uneven, perhaps with pieces of brain cut away."""
    inside = _filled(brain.anatomy.brain[::2, ::2, ::2], rng.uniform(2, 8))
    distance = ndimage.distance_transform_edt(inside, sampling=2) - ndimage.distance_transform_edt(~inside, sampling=2)
    distance = enlarge(distance.astype(np.float32), 2, brain.labels.shape)      # mm, above 0 inside
    margin = draw(rng, variety.margin) + draw(rng, variety.uneven) * random_field(rng, distance.shape, rng.uniform(8, 25))
    mask = distance > -margin
    if rng.random() < variety.bites:
        surface = np.flatnonzero(np.abs(distance) < 2)
        for centre in rng.choice(surface, int(rng.integers(1, 4))):
            _ball(mask, np.unravel_index(centre, mask.shape), rng.uniform(4, 13, 3), rng, False)
    labels, count = ndimage.label(mask)
    return labels == np.argmax(np.bincount(labels.ravel())[1:]) + 1 if count > 1 else mask


def _filled(inside: np.ndarray, reach: float) -> np.ndarray:
    """A mask at every second voxel whose clefts up to twice `reach` mm wide are closed, and whose holes are filled."""
    padded = np.pad(inside, 5)
    grown = ndimage.distance_transform_edt(~padded, sampling=2) <= reach
    closed = ndimage.distance_transform_edt(grown, sampling=2) > reach
    return ndimage.binary_fill_holes(closed | padded)[5:-5, 5:-5, 5:-5]


def leave_remnants(image: np.ndarray, mask: np.ndarray, brain: Brain, variety: Variety, rng: np.random.Generator) -> None:
    """Paint pieces of eye, fat, muscle and marrow outside the brain and take them into the mask, both in place."""
    if rng.random() > variety.with_remnants:
        return
    outside = ~ndimage.binary_dilation(mask)
    for chosen in rng.choice(len(_REMNANTS), int(rng.integers(1, 6)), replace=False):
        place = np.array(_REMNANTS[chosen], float) + rng.normal(0, 5, 3)
        for sign in (1, -1) if rng.random() < 0.6 else (1,):
            piece = np.zeros(mask.shape, bool)
            nearest = _voxel_at(brain, place * [sign, 1, 1])
            _ball(piece, nearest, rng.uniform(3, 14, 3), rng, True)
            piece &= outside
            # Eyes are dark with a bright rim, fat is bright, muscle in between.
            level, texture = draw(rng, variety.remnants), 1 + np.float32(0.3) * random_field(rng, mask.shape, 3)
            image[piece] = (np.float32(level) * texture)[piece]
            if rng.random() < 0.3:
                image[ndimage.binary_erosion(piece, iterations=2)] = np.float32(0.3)
            mask |= piece


def _voxel_at(brain: Brain, place: np.ndarray) -> tuple[int, ...]:
    """The voxel of the box nearest a place in MNI mm."""
    coarse = brain.places.mm[:, ::4, ::4, ::4]
    squared = sum((coarse[i] - np.float32(place[i])) ** 2 for i in range(3))
    return tuple(int(4 * i) for i in np.unravel_index(np.argmin(squared), squared.shape))


def _ball(mask: np.ndarray, centre: tuple[int, ...], radii: np.ndarray, rng: np.random.Generator, value: bool) -> None:
    """Set an uneven ellipsoid of a mask, radii in voxels, to a value."""
    window = tuple(slice(max(int(c - 1.5 * r), 0), min(int(c + 1.5 * r) + 2, n)) for c, r, n in zip(centre, radii, mask.shape))
    axes = np.ogrid[window]
    squared = sum(((axis - c) / r) ** 2 for axis, c, r in zip(axes, centre, radii))
    mask[window][squared * np.exp(0.5 * random_field(rng, squared.shape, 4)) < 1] = value
