"""The tissue of a wide phantom without lesions, before any blur: every structure's level drawn, on FLAIR and on T2.

Structures are told apart by their FreeSurfer labels (of the left side), so that thalamus and putamen, hippocampus and cortex may
differ, as they do on scans.
"""
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from synergynet_tf.data.phantom.anatomy import Anatomy
from synergynet_tf.data.phantom.atlas import VENTRICLE, Atlas
from synergynet_tf.data.phantom.fields import random_field
from synergynet_tf.data.phantom.places import Places
from synergynet_tf.data.phantom.variety import Variety, draw

_BEHIND = -30.0     # mm, MNI: where the drift of the white matter has come half its way


class Brain(NamedTuple):
    """A patient's anatomy with what the wide phantoms ask of it. Maps are [x, y, z] of the anatomy's box."""

    anatomy: Anatomy
    places: Places
    labels: np.ndarray          # uint8, FreeSurfer labels of the left side
    from_ventricle: np.ndarray  # float32, mm to the lateral ventricles

    @property
    def fluid(self) -> np.ndarray:
        """Share of CSF, float32 [x, y, z]."""
        return np.clip(1 - self.anatomy.grey - self.anatomy.white, 0, 1)

    @property
    def ventricle(self) -> np.ndarray:
        """Bool [x, y, z]: the lateral ventricles."""
        return self.anatomy.regions == VENTRICLE


def labels_of(anatomy: Anatomy, atlas: Atlas) -> np.ndarray:
    """FreeSurfer labels of the left side at the voxels of an anatomy, uint8 [x, y, z]."""
    return ndimage.map_coordinates(atlas.labels, anatomy.place, order=0)


def _levels(cortex: float, spread: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Levels of white and of grey matter by label, float32 [256] each, about white matter's 1 and the cortex's."""
    white, grey = np.ones(256, np.float32), np.full(256, cortex, np.float32)
    above = cortex - 1
    for label in (10, 11, 12, 26):                                              # thalamus, caudate, putamen, accumbens
        grey[label] = 1 + above * rng.uniform(0.2, 1.05) + rng.normal(0, spread)
    grey[13] = 1 + above * rng.uniform(-0.4, 0.6) - rng.uniform(0, 0.25)        # pallidum
    grey[17] = grey[18] = cortex + rng.uniform(-0.02, 0.22)                     # hippocampus and amygdala
    grey[8] = cortex + rng.normal(-0.03, 1.5 * spread)                          # cerebellum
    white[7] = 1 + rng.uniform(-0.08, 0.2)
    white[16] = 1 + rng.uniform(-0.08, 0.25)                                    # brainstem
    white[28] = 1 + rng.uniform(-0.1, 0.2)                                      # ventral diencephalon
    for label in (10, 11, 12, 13):
        white[label] = (1 + grey[label]) / 2
    return white, grey


def paint_flair(brain: Brain, variety: Variety, rng: np.random.Generator) -> np.ndarray:
    """The FLAIR's tissue, float32 [x, y, z], relative to white matter."""
    low, high = variety.grey
    white, grey = _levels(low + (high - low) * rng.beta(2, 2.5), 0.04, rng)
    shape = brain.labels.shape
    texture = sum(draw(rng, variety.texture) * random_field(rng, shape, spacing) for spacing in (2.5, 9))
    mood = draw(rng, variety.mood) * random_field(rng, shape, rng.uniform(8, 22))
    behind = 1 / (1 + np.exp((brain.places.mm[1] - np.float32(_BEHIND)) / np.float32(12)))
    texture += np.float32(draw(rng, variety.drift)) * behind
    level = draw(rng, variety.fluid)
    sulci = np.clip(rng.uniform(0.8, 1.6) + 0.35 * random_field(rng, shape, 4), 0.3, 2.2) * np.float32(level)
    fluid = np.where(brain.ventricle, np.float32(level), sulci)
    return _mixed(brain, white, grey, (1 + texture).astype(np.float32), (1 + mood + texture).astype(np.float32), fluid)


def paint_t2(brain: Brain, rng: np.random.Generator) -> np.ndarray:
    """The T2's tissue, float32 [x, y, z], relative to white matter."""
    white, grey = _levels(rng.uniform(1.2, 1.8), 0.07, rng)
    texture = 1 + np.float32(rng.uniform(0.01, 0.04)) * random_field(rng, brain.labels.shape, 4)
    return _mixed(brain, white, grey, texture, texture, np.float32(rng.uniform(2.4, 4.0)))


def _mixed(brain: Brain, white: np.ndarray, grey: np.ndarray, white_factor: np.ndarray, grey_factor: np.ndarray,
           fluid: np.ndarray | np.float32) -> np.ndarray:
    shares = brain.anatomy
    result = white[brain.labels] * white_factor * shares.white
    result += grey[brain.labels] * grey_factor * shares.grey
    result += fluid * brain.fluid
    return result.astype(np.float32)
