"""What an export may set: limits of what a server takes. It is light: commands read it for their --help."""
from dataclasses import dataclass

from synergynet_tf.errors import InputError


@dataclass(frozen=True)
class Limits:
    """What a request may hold, so that none can ask for more memory than the server has."""

    max_side: int = 512                     # voxels of a scan along an axis
    max_voxels: int = 2 ** 25               # voxels of a scan in all: 7.2 million at 182x218x182
    max_window_voxels: int = 8_000_000      # a larger brain box is seen in windows of infer.window

    def __post_init__(self):
        for name in ("max_side", "max_voxels", "max_window_voxels"):
            if getattr(self, name) < 1:
                raise InputError(f"--{name.replace('_', '-')} is {getattr(self, name)}, but it must be 1 or more")
