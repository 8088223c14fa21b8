"""Settings of the steps from a raw scan to the network's space."""
from dataclasses import dataclass
from typing import Literal

from synergynet_tf.config.settings import Settings


@dataclass(frozen=True)
class RawConfig(Settings):
    """Which steps are taken, and how."""

    align: bool = True              # bring the other channels to the FLAIR by a rigid registration; else as their headers say
    # to MNI152: affine, rigid (the brain keeps its size), or none (the scan lies there already)
    register: Literal["affine", "rigid", "none"] = "affine"
    # the template's brain carried back by an affine registration; deepbet (T1, else FLAIR); none
    skull: Literal["template", "deepbet", "none"] = "template"
    bias: bool = True               # N4 bias correction inside the brain
    resample: bool = True           # to the 182x218x182, 1 mm MNI grid; else everything stays on the FLAIR's own grid

    GROUP = "steps"
