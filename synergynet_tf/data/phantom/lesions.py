"""MS lesions: how many, how large, where, of what shape, and how they change from one time point to the next.

Counts and sizes follow the 29 patients of Lesjak et al. (Neuroinformatics 2018): 17-392 lesions of 0.3-52 ml together, of which
the median lesion has 6-37 mm3. Two kinds make up a patient: foci, ovoid and mostly small, each grown to a drawn volume; and a
confluent load around the ventricles, the part of a rough field about them that lies below a level. Both take the voxels that come
first in an order that never changes, so a lesion that grows or shrinks keeps its shape and place.
"""
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from scipy import ndimage

from synergynet_tf.data.phantom.anatomy import Anatomy
from synergynet_tf.data.phantom.atlas import BRAINSTEM, CEREBELLUM, CORTEX, VENTRICLE
from synergynet_tf.data.phantom.fields import enlarge, random_field

_SHARES = {"periventricular": 0.36, "deep": 0.30, "juxtacortical": 0.28, "infratentorial": 0.06}
_LARGEST_FOCUS = 2500       # mm3


class Lesion(Protocol):
    """What is placed, grows and shrinks."""

    @property
    def volume(self) -> float:
        """mm3 at the first time point."""

    def order(self, sites: "Sites", volume: float) -> tuple[tuple[slice, ...], np.ndarray]:
        """A part of the box and the order in which its voxels join the lesion, float [x, y, z]; infinite: never."""


class Burden(NamedTuple):
    """What a patient's lesions should come to, in mm3."""

    count: int          # type: ignore[assignment]  # lesions, at 26-connectivity; hides tuple.count
    total: float
    median: float       # of the foci


class Focus(NamedTuple):
    """One ovoid lesion, in voxels of the box."""

    centre: tuple[int, int, int]
    shape: np.ndarray       # float64 [3, 3], the quadratic form of its distance; determinant 1
    volume: float           # mm3 at the first time point

    def order(self, sites: "Sites", volume: float) -> tuple[tuple[slice, ...], np.ndarray]:
        """A part of the box and the order in which its voxels join the lesion, float [x, y, z]; infinite: never."""
        window = _window(self, volume, sites.allowed.shape)
        offsets = [np.arange(s.start, s.stop) - c for s, c in zip(window, self.centre)]
        points = np.stack(np.meshgrid(*offsets, indexing="ij"), axis=-1)
        distance = np.einsum("...a,ab,...b->...", points, self.shape, points) * np.exp(0.45 * sites.roughness[window])
        distance[~sites.allowed[window]] = np.inf
        distance[distance > 4 * np.cbrt(volume * 0.2387) ** 2 + 2] = np.inf
        return window, distance


class Sites(NamedTuple):
    """Where lesions may lie. Arrays are [x, y, z] of the anatomy's box."""

    allowed: np.ndarray     # bool
    from_ventricle: np.ndarray      # float32, mm to the lateral ventricles
    candidates: dict[str, np.ndarray]       # kind -> flat indices, int
    roughness: np.ndarray   # float32, about unit variance, 4 mm: makes outlines uneven
    spread: np.ndarray      # float32, the order in which white matter joins the confluent load


def draw_burden(rng: np.random.Generator) -> Burden:
    """One patient's counts and volumes, drawn as the real patients' are spread."""
    low, high = (400, 2600) if rng.random() < 0.35 else (5000, 48000)       # early and late disease; few lie in between
    total = np.exp(rng.uniform(np.log(low), np.log(high)))
    count = np.exp(3.2 + 0.42 * np.log(total / 400) + rng.normal(0, 0.5))
    drawn = np.exp(rng.uniform(np.log(9), np.log(30)))
    median = max(min(drawn, total / (2.2 * count)), 7)
    count = min(count, total / (1.8 * median))
    return Burden(int(np.clip(count, 20, 330)), float(total), float(median))


def ventricle_distance(anatomy: Anatomy) -> np.ndarray:
    """mm to the lateral ventricles, float32 [x, y, z]: an exact transform at every second voxel, interpolated."""
    ventricle = (anatomy.regions == VENTRICLE)[::2, ::2, ::2]
    if not ventricle.any():
        return np.full(anatomy.regions.shape, 99, np.float32)
    coarse = ndimage.distance_transform_edt(~ventricle, sampling=2).astype(np.float32)
    return enlarge(coarse, 2, anatomy.regions.shape)


def find_sites(anatomy: Anatomy, rng: np.random.Generator) -> Sites:
    """Where this brain may have lesions, and in which order the confluent load spreads."""
    infratentorial = np.isin(anatomy.regions, (CEREBELLUM, BRAINSTEM))
    tissue = np.where(infratentorial, anatomy.white + anatomy.grey > 0.8, anatomy.white > 0.35)
    allowed = tissue & anatomy.brain & (anatomy.regions != VENTRICLE)
    distance = ventricle_distance(anatomy)
    cortex = ndimage.gaussian_filter((anatomy.regions == CORTEX).astype(np.float32), 1.5, truncate=2)
    white = anatomy.is_white() & anatomy.brain
    near = white & (cortex > 0.2)
    places = {
        "periventricular": white & (distance > 0.5) & (distance < 7),
        "deep": white & (distance >= 7) & ~near,
        "juxtacortical": near & (distance >= 7),
        "infratentorial": infratentorial & allowed & (anatomy.white > 0.45),
    }
    candidates = {kind: np.flatnonzero(place) for kind, place in places.items()}
    shape = allowed.shape
    roughness = random_field(rng, shape, 4)
    patches = random_field(rng, shape, rng.uniform(9, 16))
    patches = (patches + np.float32(0.6) * patches[::-1]) / np.float32(1.17)       # both hemispheres are taken, not quite alike
    spread = distance * np.exp(np.float32(0.6) * patches) - np.float32(1.2) * roughness
    spread -= np.float32(rng.uniform(2.5, 8)) * patches
    spread[~(white | (allowed & ~infratentorial & (distance < 4)))] = np.inf
    return Sites(allowed, distance, {k: c for k, c in candidates.items() if c.size}, roughness, spread)


def _direction(sites: Sites, centre: tuple[int, ...], kind: str, rng: np.random.Generator) -> np.ndarray:
    """Unit vector of a focus' long axis: away from the ventricle near it (Dawson's fingers), else anywhere."""
    vector = rng.standard_normal(3)
    if kind == "periventricular":
        for axis in range(3):
            low, high = list(centre), list(centre)
            low[axis] = max(centre[axis] - 2, 0)
            high[axis] = min(centre[axis] + 2, sites.allowed.shape[axis] - 1)
            vector[axis] = 0.3 * vector[axis] + sites.from_ventricle[tuple(high)] - sites.from_ventricle[tuple(low)]
    return vector / max(float(np.linalg.norm(vector)), 1e-6)


def draw_focus(sites: Sites, volume: float, rng: np.random.Generator) -> Focus:
    """A focus of `volume` at a random site."""
    shares = np.array([_SHARES[kind] for kind in sites.candidates])
    kind = list(sites.candidates)[rng.choice(len(shares), p=shares / shares.sum())]
    flat = rng.choice(sites.candidates[kind])
    x, y, z = (int(i) for i in np.unravel_index(flat, sites.allowed.shape))
    centre = x, y, z
    along = _direction(sites, centre, kind, rng)
    ratio = rng.uniform(1.0, 2.4) if kind == "periventricular" else rng.uniform(1.0, 1.8)
    shape = np.eye(3) + (ratio ** -2 - 1) * np.outer(along, along)      # short along its long axis: far points count as near
    return Focus(centre, shape * ratio ** (2 / 3), volume)


def _first_voxels(order: np.ndarray, count: int) -> np.ndarray:
    """Flat indices of the `count` smallest finite values of `order`."""
    count = min(count, int(np.isfinite(order).sum()))
    return np.argpartition(order.ravel(), count - 1)[:count] if count else np.zeros(0, np.intp)


def _window(focus: Focus, volume: float, shape: tuple[int, ...]) -> tuple[slice, ...]:
    reach = int(np.ceil(1.9 * np.cbrt(volume * 0.2387) + 1))      # radius of the ball, times what elongation and roughness add
    return tuple(slice(max(c - reach, 0), min(c + reach + 1, n)) for c, n in zip(focus.centre, shape))


def _paint(mask: np.ndarray, sites: Sites, focus: Lesion, volume: float, alone: bool) -> bool:
    """Add a focus of `volume` mm3 to `mask`; with `alone`, only if it touches no other lesion. Returns whether it was added."""
    count = round(volume)
    if count < 1:
        return False
    window, distance = focus.order(sites, volume)
    added = np.zeros(distance.shape, bool)
    added.ravel()[_first_voxels(distance, count)] = True
    if alone and (mask[window] & ndimage.binary_dilation(added, np.ones((3, 3, 3)))).any():
        return False
    mask[window] |= added
    return bool(added.any())


Draw = Callable[[Sites, float, np.random.Generator], Lesion]


class LesionHistory:
    """A patient's lesions over time: `masks` gives one time point after another, each from its own generator.

    sites: where lesions may lie. burden: what they come to at the first time point. draw: gives a lesion of a volume at a site.
    """

    def __init__(self, sites: Sites, burden: Burden, rng: np.random.Generator, draw: Draw = draw_focus):
        self._sites, self._draw = sites, draw
        few = burden.median * max(burden.count, 1)
        excess = max(rng.uniform(0.15, 0.6) * burden.total / few, 1)       # mean over median focus
        sigma = np.clip(np.sqrt(2 * np.log(excess)), 1.1, 1.75)
        volumes = np.clip(burden.median * np.exp(rng.normal(0, sigma, burden.count)), 1, _LARGEST_FOCUS)
        self._confluent = burden.total - volumes.sum()
        if self._confluent < 60:
            volumes *= burden.total / max(volumes.sum(), 1)
            self._confluent = 0.0
        self._foci: list[Lesion] = []
        mask = self._confluent_mask()
        left = burden.count - ndimage.label(mask, np.ones((3, 3, 3)))[1]
        self._place(mask, volumes[:max(left, burden.count // 2)], rng)
        self._volumes = np.array([focus.volume for focus in self._foci])

    def _confluent_mask(self) -> np.ndarray:
        """Bool [x, y, z] of the confluent load; crumbs that its rough outline leaves are dropped."""
        mask = np.zeros(self._sites.allowed.shape, bool)
        mask.ravel()[_first_voxels(self._sites.spread, round(self._confluent))] = True
        labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
        keep = np.bincount(labels.ravel(), minlength=count + 1) >= 5
        keep[0] = False
        return keep[labels]

    def _place(self, mask: np.ndarray, volumes: np.ndarray, rng: np.random.Generator) -> None:
        """Put foci of the given volumes, largest first, where they touch nothing yet."""
        for volume in np.sort(volumes)[::-1]:
            for _ in range(8):
                focus = self._draw(self._sites, float(volume), rng)
                if _paint(mask, self._sites, focus, focus.volume, alone=True):
                    self._foci.append(focus)
                    break

    def mask(self) -> np.ndarray:
        """Bool [x, y, z]: all lesions of the present time point."""
        mask = self._confluent_mask()
        for focus, volume in zip(self._foci, self._volumes):
            _paint(mask, self._sites, focus, float(volume), alone=False)
        return mask

    def advance(self, rng: np.random.Generator) -> None:
        """Go to the next time point: most lesions stay, some grow, some shrink or vanish, some are new."""
        fate = rng.random(len(self._foci))
        grown, shrunk = rng.uniform(1.3, 2.4, fate.size), rng.uniform(0.2, 0.75, fate.size)
        factor = np.where(fate < 0.14, grown, np.where(fate > 0.86, shrunk, 1))
        self._volumes = np.minimum(self._volumes * factor, _LARGEST_FOCUS)
        self._confluent *= rng.uniform(0.97, 1.10)
        new = rng.poisson(1 + 0.05 * len(self._foci))
        known = len(self._foci)
        self._place(self.mask(), np.clip(20 * np.exp(rng.normal(0, 0.9, new)), 3, 400), rng)
        self._volumes = np.concatenate([self._volumes, [focus.volume for focus in self._foci[known:]]])
