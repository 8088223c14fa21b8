"""What is bright on FLAIR and no lesion: each painter changes the image of a brain in place, and never its lesions.

What a network trained without them takes for lesions: the lining of the ventricles and its caps, choroid plexus, septum and
fornix, optic tract, brainstem and corticospinal tract, moving CSF, vessels and dura. Where they lie is said in MNI mm; how wide
and bright the linings are was read off masks that experts drew of them (MS3SEG: 1.3 to 1.7 of white matter, 2 to 4 mm wide).
"""
import numpy as np
from scipy import ndimage

from synergynet_tf.data.phantom.atlas import OTHER_VENTRICLE
from synergynet_tf.data.phantom.fields import enlarge, random_field
from synergynet_tf.data.phantom.tissue import Brain
from synergynet_tf.data.phantom.variety import Variety, draw

# Along the choroid plexus, from the foramen of Monro over the trigone to the inferior horn: means of five labelled brains.
_CHOROID = ((1.5, 4, 13), (2.6, -5, 18), (7.6, -14, 18.6), (10.4, -20, 19.6), (13, -26, 18.3), (16.3, -32, 16), (21.8, -38, 12),
            (27, -40, 6), (31, -38, -0.7), (33, -33, -5.3), (33, -28, -7.5), (32, -22, -9.5))
_GLOMUS = ((19, -36, 14), (25, -41, 8), (29, -40, 1))
_FORNIX = ((2, 1, -6), (2, 2, 4), (2.5, -4, 12), (3, -16, 16), (5, -27, 15), (11, -34, 12), (20, -37, 5), (28, -34, -3))
_OPTIC = ((16, 34, -24), (7, 14, -22), (2, 3, -18), (6, -4, -17), (13, -10, -13), (20, -19, -9))
_STALK = ((0, 1, -14), (0, 2, -25))
_TRACT = ((32, -24, 58), (28, -23, 40), (25, -21, 26), (22, -16, 8), (17, -18, -8), (10, -22, -22), (5, -26, -36), (3, -34, -54))
_AQUEDUCT = ((0, -30, -2), (0, -33, -9), (0, -38, -18), (0, -44, -30))


def paint_mimics(image: np.ndarray, brain: Brain, variety: Variety, rng: np.random.Generator) -> None:
    """Add all that is bright and no lesion to a FLAIR without lesions, float32 [x, y, z], in place."""
    _lining(image, brain, variety, rng)
    _caps(image, brain, variety, rng)
    _choroid(image, brain, variety, rng)
    _septum_and_fornix(image, brain, variety, rng)
    _optic(image, brain, variety, rng)
    _stem_and_tract(image, brain, variety, rng)
    _flow(image, brain, variety, rng)
    _vessels(image, brain, variety, rng)
    _dura(image, brain, variety, rng)


def _tissue(brain: Brain) -> np.ndarray:
    return np.clip(brain.anatomy.white + brain.anatomy.grey, 0, 1)


def _uneven(rng: np.random.Generator, shape: tuple[int, ...], spacing: float, amount: float) -> np.ndarray:
    """A factor about 1 that varies from place to place, never below 0."""
    return np.maximum(1 + np.float32(amount) * random_field(rng, shape, spacing), 0)


def _towards(image: np.ndarray, share: np.ndarray, level: np.ndarray | np.float32 | float) -> None:
    """Bring an image a share (0..1) of the way to a level."""
    image += np.clip(share, 0, 1) * (np.float32(level) - image)


def _lining(image: np.ndarray, brain: Brain, variety: Variety, rng: np.random.Generator) -> None:
    """The rim of the ventricles, thin and everywhere, and dirty white matter in a wide band about them."""
    width, depth = draw(rng, variety.rim_width), np.maximum(brain.from_ventricle - np.float32(0.5), 0)
    rim = np.exp(-(depth / np.float32(width)) ** 2) * _uneven(rng, image.shape, 10, rng.uniform(0.2, 0.7))
    band = np.exp(-depth / np.float32(rng.uniform(4, 10))) * _uneven(rng, image.shape, 14, 0.4)
    strength = draw(rng, variety.rim) * min(1.0, 2.2 / width)      # wide rims are fainter
    bright = np.float32(strength) * rim + np.float32(draw(rng, variety.dirty)) * band
    image += bright * _tissue(brain) * ~brain.ventricle


def _caps(image: np.ndarray, brain: Brain, variety: Variety, rng: np.random.Generator) -> None:
    """The caps of the ventricles' front and back horns, as far as those reach in this brain."""
    at = np.flatnonzero(brain.ventricle.any(axis=(0, 2)))
    if not at.size:
        return
    y = np.arange(image.shape[1], dtype=np.float32)
    total = np.zeros(image.shape, np.float32)
    for end, inward in ((at[-1], -1), (at[0], 1)):
        width = draw(rng, variety.cap_width)
        near = np.exp(-((y - (end + inward * rng.uniform(0, 4))) / np.float32(rng.uniform(4, 9))) ** 2)[None, :, None]
        close = np.exp(-(np.maximum(brain.from_ventricle - np.float32(0.5), 0) / np.float32(width)) ** 2)
        total += np.float32(draw(rng, variety.cap) * rng.uniform(0.4, 1)) * near * close
    image += total * _uneven(rng, image.shape, 8, 0.3) * _tissue(brain) * ~brain.ventricle


def _choroid(image: np.ndarray, brain: Brain, variety: Variety, rng: np.random.Generator) -> None:
    """The choroid plexus: a knotty cord inside the ventricles, thickest at the trigone."""
    level, knots = draw(rng, variety.choroid), 1 + np.float32(0.35) * random_field(rng, image.shape, 2.2)
    inside = (brain.ventricle | (brain.anatomy.regions == OTHER_VENTRICLE)) & (_tissue(brain) < 0.9)
    soft = ndimage.gaussian_filter(inside.astype(np.float32), 0.7, truncate=2)
    for points, radius in ((_CHOROID, rng.uniform(1.8, 3.4)), (_GLOMUS, rng.uniform(2.5, 6))):
        for window, near in brain.places.tubes(points, radius):
            _towards(image[window], 1.7 * near * soft[window] * np.clip(knots[window], 0, 1.6) - 0.25, level * knots[window])


def _septum_and_fornix(image: np.ndarray, brain: Brain, variety: Variety, rng: np.random.Generator) -> None:
    """The septum is a sheet on the midline between the ventricles; the fornix hangs from it and runs to the hippocampus."""
    window = brain.places.window((-4, -24, 0), (4, 26, 26))
    if window is not None:
        x = brain.places.mm[(0, *window)]
        side = brain.ventricle[window]
        touching = [ndimage.binary_dilation(side & half, iterations=3) for half in (x > 0, x < 0)]
        sheet = ndimage.gaussian_filter((touching[0] & touching[1] & (np.abs(x) < 1.2)).astype(np.float32), 0.5)
        _towards(image[window], rng.uniform(0.4, 1.1) * sheet, draw(rng, variety.septum))
    strength, level = rng.uniform(0.2, 0.9), draw(rng, variety.septum)
    for part, near in brain.places.tubes(_FORNIX, rng.uniform(1.3, 2.6)):
        _towards(image[part], strength * near, np.maximum(image[part], np.float32(level)))


def _optic(image: np.ndarray, brain: Brain, variety: Variety, rng: np.random.Generator) -> None:
    """Optic nerves, chiasm and tracts in the cistern, and the pituitary stalk behind them."""
    level = draw(rng, variety.optic)
    for points, radius, both in ((_OPTIC, rng.uniform(1.6, 2.8), True), (_STALK, rng.uniform(1.0, 1.8), False)):
        for window, near in brain.places.tubes(points, radius, both):
            _towards(image[window], 1.3 * near - 0.15, np.maximum(image[window], np.float32(level)))


def _stem_and_tract(image: np.ndarray, brain: Brain, variety: Variety, rng: np.random.Generator) -> None:
    """A bright brainstem, patchy and soft, the grey about the aqueduct, and the corticospinal tracts on both sides."""
    stem = np.isin(brain.labels, (16, 28)).astype(np.float32)
    soft = ndimage.gaussian_filter(stem, 1.5, truncate=2.5)
    image += np.float32(draw(rng, variety.stem)) * soft * _uneven(rng, image.shape, 9, 0.6)
    for points, radius, amount, both in ((_TRACT, rng.uniform(2.5, 5), draw(rng, variety.tract), True),
                                         (_AQUEDUCT, rng.uniform(2.5, 4.5), rng.uniform(0, 0.35), False)):
        for window, near in brain.places.tubes(points, radius, both):
            image[window] += np.float32(amount) * near * _tissue(brain)[window]


def _flow(image: np.ndarray, brain: Brain, variety: Variety, rng: np.random.Generator) -> None:
    """CSF that moves is not dark: clouds in the third and fourth ventricle, about the foramina, in the basal cisterns."""
    if rng.random() > variety.flowing:
        return
    where = brain.fluid * np.where(brain.anatomy.regions == OTHER_VENTRICLE, 1.0, np.where(brain.ventricle, 0.5, 0.8))
    low = 1 / (1 + np.exp((brain.places.mm[2] - np.float32(rng.uniform(-15, 25))) / np.float32(4)))      # mostly at the base
    clouds = np.clip(random_field(rng, image.shape, rng.uniform(3, 9)) - np.float32(rng.uniform(0.3, 1.3)), 0, 1)
    _towards(image, (1.5 * where * low * clouds).astype(np.float32), draw(rng, variety.flow))


def _vessels(image: np.ndarray, brain: Brain, variety: Variety, rng: np.random.Generator) -> None:
    """Vessels in the sulci and on the surface: short bright threads."""
    if rng.random() > variety.veined:
        return
    sulci = np.flatnonzero((brain.fluid > 0.4) & brain.anatomy.brain & ~brain.ventricle)
    if not sulci.size:
        return
    threads = np.zeros(image.shape, np.float32)
    starts = np.stack(np.unravel_index(rng.choice(sulci, int(rng.integers(30, 260))), image.shape), -1).astype(np.float32)
    way = rng.standard_normal(starts.shape).astype(np.float32)
    for _ in range(int(rng.integers(3, 14))):
        way = 0.85 * way / np.linalg.norm(way, axis=1, keepdims=True) + 0.35 * rng.standard_normal(way.shape).astype(np.float32)
        starts += way
        voxels = np.clip(np.rint(starts), 0, np.array(image.shape) - 1).astype(np.intp)
        threads[tuple(voxels.T)] = 1
    soft = ndimage.gaussian_filter(threads, rng.uniform(0.5, 1.0), truncate=3)
    _towards(image, soft * brain.fluid * np.float32(rng.uniform(2.5, 6)), draw(rng, variety.veins))


def _dura(image: np.ndarray, brain: Brain, variety: Variety, rng: np.random.Generator) -> None:
    """Dura about the brain where the mask leaves it, the falx between the hemispheres."""
    if rng.random() > variety.with_dura:
        return
    level, fluid = draw(rng, variety.dura), brain.fluid
    inner = ndimage.gaussian_filter(_tissue(brain)[::2, ::2, ::2], 1.5)
    beyond = enlarge(inner, 2, image.shape) < rng.uniform(0.1, 0.3)
    patchy = np.clip(_uneven(rng, image.shape, 12, 0.9) - 0.4, 0, 1)
    _towards(image, (beyond * fluid * patchy).astype(np.float32), level)
    x, _, z = brain.places.mm
    falx = np.exp(-(x / np.float32(rng.uniform(0.8, 1.6))) ** 2) * (z > 28) * fluid * patchy
    _towards(image, falx.astype(np.float32) * np.float32(rng.uniform(0.3, 1)), level)

