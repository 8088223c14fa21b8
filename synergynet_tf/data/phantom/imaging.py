"""From anatomy and lesions to FLAIR and T2: contrasts, partial volume, caps and rims, blur, bias field, Rician noise.

Intensities are relative to white matter, which is 1, until a scan is scaled and stored. The levels were read off 3 T scans of
MS patients (Lesjak et al., Neuroinformatics 2018): on FLAIR grey matter 1.15-1.3, CSF 0.1-0.3, lesions 1.25 (small) to 1.6; on
T2 grey matter 1.3-1.5, CSF about 3.5, lesions 1.3-2.
"""
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from synergynet_tf.data.phantom.anatomy import Anatomy
from synergynet_tf.data.phantom.atlas import BRAINSTEM, CEREBELLUM, CSF, DEEP_GREY, PALLIDUM, VENTRICLE
from synergynet_tf.data.phantom.fields import enlarge, random_field


class Protocol(NamedTuple):
    """A patient's scanner and sequences: the same at every time point."""

    flair_blur: tuple[float, float, float]      # Gaussian sigma, voxels
    t2_blur: tuple[float, float, float]
    lesion_contrast: float      # of a large lesion on FLAIR, added to white matter's 1
    t2_ratio: float             # lesion contrast on T2 over that on FLAIR
    noise: float                # sigma before the last, slight blur of resampling
    bias: float                 # sigma of the log bias field
    scale: float                # intensity of white matter


class Tissue(NamedTuple):
    """A brain without lesions, already blurred: float32 [x, y, z] each."""

    flair: np.ndarray
    t2: np.ndarray


def draw_protocol(rng: np.random.Generator) -> Protocol:
    """A scanner: isotropic 3D or thick-sliced 2D sequences, with more or less noise and bias."""
    blurs: list[tuple[float, float, float]] = []
    for thick_share in (0.35, 0.5):
        blur = [rng.uniform(0.3, 0.55)] * 3
        if rng.random() < thick_share:
            blur[2 if rng.random() < 0.8 else 0] = rng.uniform(0.75, 1.15)      # slices of 2 to 3 mm
        blurs.append((blur[0], blur[1], blur[2]))
    return Protocol(blurs[0], blurs[1], lesion_contrast=rng.uniform(0.4, 0.58), t2_ratio=rng.uniform(1.0, 1.9),
                    noise=rng.uniform(0.08, 0.12), bias=rng.uniform(0.02, 0.07), scale=float(np.exp(rng.uniform(4.5, 7))))


def _levels(rng: np.random.Generator) -> dict[str, dict[str | int, float]]:
    """White and CSF level and the grey level of each region, for FLAIR and T2."""
    flair_grey, t2_grey = rng.uniform(1.2, 1.32), rng.uniform(1.4, 1.65)
    return {
        "flair": {"grey": flair_grey, "csf": rng.uniform(0.12, 0.32), DEEP_GREY: flair_grey - 0.11,
                  PALLIDUM: rng.uniform(0.84, 0.92), CEREBELLUM: flair_grey - 0.06, BRAINSTEM: 1.1,
                  "white_infratentorial": rng.uniform(1.02, 1.08)},
        "t2": {"grey": t2_grey, "csf": rng.uniform(2.9, 3.7), DEEP_GREY: t2_grey - 0.17, PALLIDUM: rng.uniform(0.68, 0.85),
               CEREBELLUM: t2_grey - 0.05, BRAINSTEM: 1.2, "white_infratentorial": rng.uniform(1.04, 1.15)},
    }


def _contrast(anatomy: Anatomy, level: dict, texture: np.ndarray, mood: np.ndarray, fluid: np.ndarray) -> np.ndarray:
    """One contrast of the brain before any blur: shares of tissue times their levels, textured."""
    grey = np.full(10, level["grey"], np.float32)
    white = np.ones(10, np.float32)
    for region in (DEEP_GREY, PALLIDUM, CEREBELLUM, BRAINSTEM):
        grey[region] = level[region]
    white[[CEREBELLUM, BRAINSTEM]] = level["white_infratentorial"]
    white[PALLIDUM] = (1 + level[PALLIDUM]) / 2
    white[DEEP_GREY] = (1 + level[DEEP_GREY]) / 2
    white_now = white[anatomy.regions] * (1 + np.float32(0.016) * texture)
    grey_now = grey[anatomy.regions] * (1 + np.float32(0.035) * mood + np.float32(0.02) * texture)
    csf = np.clip(1 - anatomy.grey - anatomy.white, 0, 1)
    return white_now * anatomy.white + grey_now * anatomy.grey + np.float32(level["csf"]) * fluid * csf


def _caps_and_rims(anatomy: Anatomy, rng: np.random.Generator) -> np.ndarray:
    """The normal bright lining of the lateral ventricles on FLAIR, float32 [x, y, z]: a thin rim, wider at the horns' tips."""
    ventricle = anatomy.regions == VENTRICLE
    rim = ndimage.gaussian_filter(ventricle.astype(np.float32), 1.1, truncate=2.5)
    bright = np.float32(2 * rng.uniform(0.10, 0.22)) * np.minimum(rim, 0.5)
    at = np.flatnonzero(ventricle.any(axis=(0, 2)))
    if at.size:
        wide = enlarge(ndimage.gaussian_filter(ventricle[::2, ::2, ::2].astype(np.float32), 1.4), 2, ventricle.shape)
        y = np.arange(ventricle.shape[1])
        tips = np.exp(-((y - at[-1]) / 5.0) ** 2) + 0.8 * np.exp(-((y - at[0]) / 6.0) ** 2)
        caps = np.minimum(3 * wide, 1) * tips.astype(np.float32)[None, :, None]
        bright += np.float32(rng.uniform(0.10, 0.22)) * caps
    patchy = 1 + np.float32(0.3) * random_field(rng, ventricle.shape, 10)
    return bright * np.clip(patchy, 0.2, 1.6) * np.clip(anatomy.white + anatomy.grey, 0, 1)


def paint_tissue(anatomy: Anatomy, protocol: Protocol, rng: np.random.Generator) -> Tissue:
    """FLAIR and T2 of the brain without its lesions, blurred as the scanner blurs."""
    shape = anatomy.regions.shape
    levels = _levels(rng)
    texture = random_field(rng, shape, 2.5)
    texture += random_field(rng, shape, 7)
    mood = random_field(rng, shape, 14)
    ventricle = anatomy.regions == VENTRICLE
    fluid = np.where(ventricle, 1, np.clip(0.8 + 0.3 * random_field(rng, shape, 4), 0.25, 1.1))     # flow, vessels, membranes
    flair = _contrast(anatomy, levels["flair"], texture, mood, fluid)
    flair += _caps_and_rims(anatomy, rng)
    t2 = _contrast(anatomy, levels["t2"], texture, mood, fluid)
    flow = np.clip(random_field(rng, shape, 9) - 0.8, 0, 1) * np.float32(0.25)     # pulsation and choroid plexus
    flair += flow * (ventricle | (anatomy.regions == CSF))
    return Tissue(_blur(flair, protocol.flair_blur), _blur(t2, protocol.t2_blur))


def _blur(volume: np.ndarray, sigma: tuple[float, float, float]) -> np.ndarray:
    return ndimage.gaussian_filter(volume, sigma, truncate=3.0)


def lesion_signal(lesions: np.ndarray, protocol: Protocol, rng: np.random.Generator) -> np.ndarray:
    """What lesions add to white matter on FLAIR, float32 [x, y, z].

    lesions: bool [x, y, z]. Each component gets a mean contrast of its own: a large lesion about `lesion_contrast`, one voxel
    half of it. Edges are as soft as the scan's blur and a penumbra make them; the gain that blur takes away is given back.
    """
    labels, count = ndimage.label(lesions, np.ones((3, 3, 3)))
    if count == 0:
        return np.zeros(lesions.shape, np.float32)
    sigma = tuple(np.hypot(protocol.flair_blur, 0.35))
    size = np.bincount(labels.ravel())[1:]
    kept = np.bincount(labels.ravel(), weights=_blur(lesions.astype(np.float32), sigma).ravel())[1:] / size
    wanted = protocol.lesion_contrast * (0.55 + 0.45 * np.minimum(np.log(size) / np.log(400), 1))
    wanted *= np.exp(rng.normal(0, 0.12, count))
    gain = np.concatenate([[0], wanted / np.maximum(kept, 0.15)]).astype(np.float32)
    signal = gain[labels]
    signal *= 1 + np.float32(0.18) * np.clip(random_field(rng, lesions.shape, 3.5), -2, 2)
    return _blur(signal, sigma)


def acquire(clean: np.ndarray, brain: np.ndarray, protocol: Protocol, rng: np.random.Generator) -> np.ndarray:
    """One scan: bias field, Rician noise, the slight blur of resampling, scale, skull stripping.

    clean: float32 [x, y, z], relative to white matter. Returns float32 whole numbers, 0 outside `brain` and at least 1 inside.
    """
    bias = random_field(rng, clean.shape, 45)
    scan = clean * np.exp(np.float32(protocol.bias) * bias)
    sigma = np.float32(protocol.noise)
    real = rng.standard_normal(scan.shape, dtype=np.float32)
    real *= sigma
    real += scan
    other = rng.standard_normal(scan.shape, dtype=np.float32)
    other *= sigma
    np.hypot(real, other, out=scan)
    scan = ndimage.gaussian_filter(scan, 0.42, truncate=2.4)
    scan *= np.float32(protocol.scale * rng.uniform(0.9, 1.1))
    return np.where(brain, np.maximum(np.rint(scan), 1), 0).astype(np.float32)


class NarrowScanner:
    """A patient's scanner and sequences, the same at every time point: rng draws them."""

    def __init__(self, anatomy: Anatomy, rng: np.random.Generator):
        self._anatomy, self._protocol = anatomy, draw_protocol(rng)
        self._tissue = paint_tissue(anatomy, self._protocol, rng)

    def scan(self, lesions: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """FLAIR, T2 (float32) and the mask (bool) of lesions (bool), all [x, y, z] of the brain's box."""
        signal, brain, protocol = lesion_signal(lesions, self._protocol, rng), self._anatomy.brain, self._protocol
        flair = acquire(self._tissue.flair + signal, brain, protocol, rng)
        return flair, acquire(self._tissue.t2 + np.float32(protocol.t2_ratio) * signal, brain, protocol, rng), lesions
