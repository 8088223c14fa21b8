"""Settings of the steps from a raw scan to the network's space."""
from dataclasses import dataclass

from synergynet_tf.errors import InputError

CHOICES = {"skull": ("template", "deepbet", "none"), "register": ("affine", "rigid", "none")}


@dataclass(frozen=True)
class RawConfig:
    """Which steps are taken, and how."""

    align: bool = True              # bring the other channels to the FLAIR by a rigid registration; else as their headers say
    register: str = "affine"        # to MNI152: affine, rigid (the brain keeps its size), or none (the scan lies there already)
    skull: str = "template"         # the template's brain carried back by an affine registration; deepbet (T1, else FLAIR); none
    bias: bool = True               # N4 bias correction inside the brain
    resample: bool = True           # to the 182x218x182, 1 mm MNI grid; else everything stays on the FLAIR's own grid

    def __post_init__(self):
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise InputError(f"steps.{name} is {getattr(self, name)!r}, but it must be {', '.join(choices)}")
