"""How many lesions a wide phantom has, and where its confluent load lies: all over white matter, not only at the ventricles."""
import numpy as np
from scipy import ndimage

from synergynet_tf.data.phantom.fields import enlarge, random_field
from synergynet_tf.data.phantom.lesions import Burden, LesionHistory, Sites, draw_focus, find_sites
from synergynet_tf.data.phantom.shapes import RealShapes, Shapes
from synergynet_tf.data.phantom.tissue import Brain
from synergynet_tf.data.phantom.variety import Variety, draw

_NATIVE = 1.2e6         # mm3 of the brain that the volumes below are of
_LARGE = 2000           # mm3: from here on a shape serves as confluent load


def draw_wide_burden(brain: float, variety: Variety, rng: np.random.Generator) -> Burden:
    """One patient's counts and volumes, from none over a few spots to 60 ml and more; brain: its mm3."""
    if rng.random() < variety.healthy:
        return Burden(0, 0.0, 10.0)
    size = brain / _NATIVE
    total = rng.uniform(np.cbrt(300), np.cbrt(60000)) ** 3      # half of them above 11 ml
    count = np.exp(2.9 + 0.43 * np.log(total / 300) + rng.normal(0, 0.6))
    median = np.exp(rng.uniform(np.log(8), np.log(40)))
    median = max(min(median, total / (2.2 * count)), 7)
    count = min(count, total / (1.8 * median))
    return Burden(int(np.clip(count, 1, 300)), float(total * size), float(median * size))


def wide_history(brain: Brain, volume: float, shapes: Shapes | None, variety: Variety, rng: np.random.Generator) -> LesionHistory:
    """The lesions of a wide phantom.

    Args:
        brain: the patient's, without lesions.
        volume: mm3 of the brain.
        shapes: real ones that a share of its lesions take; none: all are made up.
        variety: how far phantoms differ.
        rng: draws all of it.
    """
    burden = draw_wide_burden(volume, variety, rng)
    sites = find_sites(brain.anatomy, rng)
    real = None if shapes is None else RealShapes(shapes, brain.places, volume, draw(rng, variety.real_shapes))
    spread = None
    if real is not None and rng.random() < 0.6 and burden.total > _LARGE:
        spread = _real_spread(sites, real, burden.total, rng)
    if spread is None and rng.random() < 0.8:       # else about the ventricles, as in the narrow ones
        spread = _seeded_spread(sites, rng)
    sites = sites if spread is None else sites._replace(spread=spread)
    return LesionHistory(sites, burden, rng, draw_focus if real is None else real)


def _seeded_spread(sites: Sites, rng: np.random.Generator) -> np.ndarray:
    """Order in which white matter joins the confluent load: from several seeds, some of them at the ventricles, many in pairs."""
    white = np.flatnonzero(np.isfinite(sites.spread))
    if not white.size:
        return sites.spread
    shape = sites.spread.shape
    near = white[sites.from_ventricle.ravel()[white] < 6]
    axes = np.ogrid[tuple(slice(0, n, 2) for n in shape)]
    least = np.full(tuple(-(-n // 2) for n in shape), np.inf, np.float32)
    for _ in range(int(rng.integers(1, 9))):
        pool = near if near.size and rng.random() < 0.5 else white
        centre = np.array(np.unravel_index(rng.choice(pool), shape), float)
        stretch = np.exp(rng.normal(0, 0.35, 3)) / rng.uniform(0.6, 1.8)
        across = [centre] if rng.random() < 0.4 else [centre, centre * [-1, 1, 1] + [shape[0] - 1, 0, 0] + rng.normal(0, 4, 3)]
        for place in across:
            squared = sum(((axis - c) * s) ** 2 for axis, c, s in zip(axes, place, stretch))
            least = np.minimum(least, np.sqrt(squared).astype(np.float32))
    order = enlarge(least, 2, shape) * np.exp(np.float32(0.5) * random_field(rng, shape, rng.uniform(6, 14)))
    order -= np.float32(rng.uniform(0.6, 1.6)) * sites.roughness
    return np.where(np.isfinite(sites.spread), order, np.inf).astype(np.float32)


def _real_spread(sites: Sites, real: RealShapes, total: float, rng: np.random.Generator) -> np.ndarray | None:
    """The same order from large real lesions, the innermost voxels first; none where none could be placed."""
    order = np.full(sites.spread.shape, np.inf, np.float32)
    for _ in range(int(rng.integers(1, 4))):
        lesion = real.like(max(total * rng.uniform(0.2, 0.8), _LARGE), rng)
        if lesion is not None:
            window, order_of_lesion = lesion.order(sites, lesion.volume)
            order[window] = np.minimum(order[window], order_of_lesion)
    allowed = np.isfinite(order) & sites.allowed
    if np.count_nonzero(allowed) < _LARGE / 4:
        return None
    # The rest of the white matter follows from there, so that a load larger than the shapes finds room.
    outside = ndimage.distance_transform_edt(~allowed[::2, ::2, ::2], sampling=2).astype(np.float32)
    after = enlarge(outside, 2, order.shape) + np.float32(8)
    order = np.where(np.isfinite(order), order, after) + np.float32(0.5) * sites.roughness
    return np.where(np.isfinite(sites.spread) & sites.allowed, order, np.inf).astype(np.float32)
