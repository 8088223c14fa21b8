"""How widely phantoms differ under `phantoms.variety: wide`: every range in one place, with its unit.

The narrow phantoms are one kind of 3 T scanner's. These are drawn about the same order of contrasts, the one that makes a FLAIR
(CSF darkest, grey matter at or above white matter, lesions above both), as wide as scans of other clinics lie. Levels are
relative to white matter, which is 1. A range is drawn from evenly; a share is the probability that a phantom has a thing at all.
"""
from dataclasses import dataclass

import numpy as np

Range = tuple[float, float]


@dataclass(frozen=True)
class Variety:
    """Ranges of the wide phantoms."""

    brain: Range = (0.95e6, 1.95e6)         # mm3: native sizes to the template's
    # Tissue, on FLAIR
    grey: Range = (0.95, 1.4)               # cortex
    fluid: Range = (0.04, 0.5)              # CSF
    mood: Range = (0.01, 0.09)              # spread of grey matter from place to place
    texture: Range = (0.004, 0.03)          # spread of white matter, fine and coarse
    drift: Range = (-0.08, 0.12)            # added to the white matter behind
    # Lesions
    healthy: float = 0.06                   # share without any lesion
    contrast: Range = (0.1, 0.9)            # of a lesion, added to white matter
    mean_contrast: Range = (0.25, 0.65)     # a scan's lesions, about which its lesions' own contrasts lie
    above_noise: float = 1.5                # times the noise that a lesion's contrast is at least
    edge: Range = (0.3, 1.1)                # voxels, sigma of a lesion's soft edge
    generous: Range = (0.0, 0.35)           # how far the mask goes beyond what is bright, as a share of the edge
    fade: Range = (0.05, 0.35)              # spread of brightness inside a lesion
    core: float = 0.3                       # share of large lesions with a dark core
    halo: Range = (0.0, 0.25)               # dirty white matter about lesions, as a share of their contrast
    real_shapes: Range = (0.3, 1.0)         # share of lesions of real shapes, where there are any
    # Bright, and no lesion
    choroid: Range = (0.7, 1.7)             # level of the choroid plexus
    rim: Range = (0.05, 0.4)                # added at the ventricles' walls
    rim_width: Range = (0.8, 1.8)           # mm over which the rim falls off
    cap: Range = (0.05, 0.4)                # added at the horns' tips
    cap_width: Range = (2.0, 4.5)           # mm
    dirty: Range = (0.0, 0.1)               # added to white matter in a wide band about the ventricles
    septum: Range = (1.0, 1.75)             # level of septum and fornix
    optic: Range = (1.0, 1.7)               # level of optic chiasm and tract, and of the pituitary stalk
    tract: Range = (0.0, 0.3)               # added along the corticospinal tract
    stem: Range = (-0.08, 0.3)              # added in the brainstem
    flow: Range = (0.3, 1.6)                # level of moving CSF
    flowing: float = 0.6
    veins: Range = (0.7, 1.9)               # level of vessels in the sulci
    veined: float = 0.7
    dura: Range = (0.5, 1.5)                # level of dura and falx
    with_dura: float = 0.5
    remnants: Range = (0.5, 2.6)            # level of eyes, fat, muscle and marrow left by skull stripping
    with_remnants: float = 0.5
    # Skull stripping
    margin: Range = (-1.5, 3.0)             # mm by which the mask goes beyond the brain, or into it
    uneven: Range = (0.2, 1.6)              # mm, spread of the margin from place to place
    bites: float = 0.3                      # share with pieces of brain cut away
    # The scanner
    bias: Range = (0.0, 0.5)                # largest log of the bias field; small ones are likelier
    blur: Range = (0.25, 1.1)               # voxels, sigma of the point spread
    thick: float = 0.5                      # share of scans on thick slices
    slice: Range = (2.0, 7.5)               # mm
    noise: Range = (0.008, 0.1)             # sigma of a stored voxel; drawn evenly in the logarithm
    grain: Range = (0.0, 0.8)               # voxels, sigma of the smoothing that noise and image went through
    gamma: Range = (0.75, 1.35)
    clipped: float = 0.3                    # share whose brightest voxels were cut off
    scale: Range = (60.0, 3000.0)           # stored value of white matter; drawn evenly in the logarithm


WIDE = Variety()


def draw(rng: np.random.Generator, span: Range) -> float:
    """A number of a range, evenly."""
    return float(rng.uniform(*span))


def draw_log(rng: np.random.Generator, span: Range) -> float:
    """A number of a range above 0, evenly in its logarithm."""
    return float(np.exp(rng.uniform(*np.log(span))))
