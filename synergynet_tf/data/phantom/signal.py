"""What lesions look like on a wide phantom's scans: contrast, soft edges, fading, dark cores, haloes."""
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from synergynet_tf.data.phantom.fields import random_field
from synergynet_tf.data.phantom.scanner import Sampling
from synergynet_tf.data.phantom.variety import Variety, draw

_LARGE = 150        # voxels from which a lesion may have a dark core


class Look(NamedTuple):
    """Of all lesions of a patient on one scanner."""

    contrast: float     # of a large lesion, added to white matter
    spread: float       # of the logarithm of a lesion's own contrast
    edge: float         # voxels, sigma
    blur: float         # voxels, sigma, that the scanner adds
    least: float        # contrast of the faintest
    generous: float     # share of the edge that the mask holds though it is not bright
    fade: float
    halo: float         # share of the contrast
    t2_ratio: float     # contrast on T2 over that on FLAIR


def draw_look(sampling: Sampling, variety: Variety, rng: np.random.Generator) -> Look:
    """How a patient's lesions look, when the FLAIR is sampled like this."""
    least = max(variety.contrast[0], variety.above_noise * sampling.noise)
    return Look(draw(rng, variety.mean_contrast), rng.uniform(0.1, 0.4), draw(rng, variety.edge), sampling.spread, least,
                draw(rng, variety.generous), draw(rng, variety.fade), draw(rng, variety.halo), rng.uniform(0.8, 2.2))


def lesion_signal(lesions: np.ndarray, look: Look, variety: Variety, rng: np.random.Generator) -> np.ndarray:
    """What lesions (bool [x, y, z]) add on FLAIR, float32 [x, y, z].

    Each component's mean is drawn, a small one's less than a large one's, within `variety.contrast`; what its soft edge and the
    scanner's blur take of it is given back, as far as that makes no glaring spot of a few voxels.
    """
    labels, count = ndimage.label(lesions, np.ones((3, 3, 3)))
    if count == 0:
        return np.zeros(lesions.shape, np.float32)
    size = np.bincount(labels.ravel())[1:]
    wanted = look.contrast * np.exp(rng.normal(0, look.spread, count)) * (0.6 + 0.4 * np.minimum(np.log(size) / np.log(400), 1))
    wanted = np.clip(wanted, look.least, variety.contrast[1])
    soft = _blur(lesions, look.edge)
    bright = np.clip((soft - np.float32(look.generous)) / np.float32(1 - look.generous), 0, 1)
    kept = np.bincount(labels.ravel(), weights=_blur(bright, look.blur).ravel())[1:] / size
    gain = np.concatenate([[0], wanted / np.maximum(kept, 0.2)]).astype(np.float32)
    signal = _blur(gain[labels], look.edge) * bright / np.maximum(soft, 1e-3)
    inner = 1 + np.float32(look.fade) * (0.7 * random_field(rng, lesions.shape, 3.5) + 0.7 * random_field(rng, lesions.shape, 10))
    signal *= np.clip(inner, 0.35, 1.8)
    signal -= _cores(labels, size, wanted, variety, rng)
    return signal + np.float32(look.halo * look.contrast) * np.minimum(3 * _blur(lesions, 5), 1) * (1 - bright)


def _cores(labels: np.ndarray, size: np.ndarray, wanted: np.ndarray, variety: Variety, rng: np.random.Generator) -> np.ndarray:
    """What dark cores take away again in the middle of some large lesions, down to the level of CSF in the worst."""
    chosen, amount = rng.random(size.size) < variety.core, rng.uniform(0.3, 1.2, size.size)
    dark = np.where((size > _LARGE) & chosen, amount * (wanted + 0.3), 0)
    if not dark.any():
        return np.zeros((), np.float32)
    middle = np.clip((_blur(labels > 0, 1.8) - 0.72) / np.float32(0.2), 0, 1)
    patchy = np.clip(random_field(rng, labels.shape, 6) + np.float32(rng.uniform(-0.3, 0.8)), 0, 1)
    return np.concatenate([[0], dark]).astype(np.float32)[labels] * middle * patchy


def _blur(volume: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(volume.astype(np.float32), sigma, truncate=3.0)
