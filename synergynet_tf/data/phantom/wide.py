"""A phantom as wide as the clinic: its brain, its lesions, and the scanner that sees them (`phantoms.variety: wide`)."""
import numpy as np

from synergynet_tf.data.phantom.anatomy import deform
from synergynet_tf.data.phantom.atlas import Atlas
from synergynet_tf.data.phantom.lesions import LesionHistory, ventricle_distance
from synergynet_tf.data.phantom.load import wide_history
from synergynet_tf.data.phantom.mimics import paint_mimics
from synergynet_tf.data.phantom.places import Places
from synergynet_tf.data.phantom.scanner import acquire, draw_sampling, seen
from synergynet_tf.data.phantom.shapes import Shapes
from synergynet_tf.data.phantom.signal import draw_look, lesion_signal
from synergynet_tf.data.phantom.stripping import leave_remnants, strip
from synergynet_tf.data.phantom.tissue import Brain, labels_of, paint_flair, paint_t2
from synergynet_tf.data.phantom.variety import Variety, draw


def wide_patient(atlas: Atlas, shapes: Shapes | None, variety: Variety, rng: np.random.Generator) -> tuple[Brain, LesionHistory]:
    """A patient's own brain and its lesions over time."""
    volume = draw(rng, variety.brain)
    anatomy = deform(atlas, rng, volume)
    brain = Brain(anatomy, Places(anatomy, atlas), labels_of(anatomy, atlas), ventricle_distance(anatomy))
    return brain, wide_history(brain, volume, shapes, variety, rng)


class WideScanner:
    """A patient's scanner, sequences and skull stripping: the same at every time point.

    Args:
        brain: without lesions.
        variety: the ranges that everything is drawn from.
        rng: draws the scanner.
    """

    def __init__(self, brain: Brain, variety: Variety, rng: np.random.Generator):
        self._variety = variety
        self._flair, self._t2 = paint_flair(brain, variety, rng), paint_t2(brain, rng)
        paint_mimics(self._flair, brain, variety, rng)
        self._mask = strip(brain, variety, rng)
        leave_remnants(self._flair, self._mask, brain, variety, rng)
        self._samplings = draw_sampling(variety, rng), draw_sampling(variety, rng)
        self._look = draw_look(self._samplings[0], variety, rng)

    def scan(self, lesions: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """FLAIR, T2 (float32) and what a reader marks on the FLAIR (bool) of lesions (bool), all [x, y, z] of the brain's box."""
        signal = lesion_signal(lesions, self._look, self._variety, rng)
        flair, t2 = self._samplings
        return (acquire(self._flair + signal, self._mask, flair, rng),
                acquire(self._t2 + np.float32(self._look.t2_ratio) * signal, self._mask, t2, rng),
                seen(lesions, flair) & self._mask)
