"""What an export may set: limits of what a server takes, and its container. It is light: commands read it for their --help."""
import ipaddress
import re
from dataclasses import dataclass

from synergynet_tf.errors import InputError

LONGEST = 2 ** 15 - 1       # voxels, of a NIfTI-1 file's side
MOST = 2 ** 27              # voxels: their bytes are still counted by 31 bits


@dataclass(frozen=True)
class Limits:
    """What a request may hold, so that none can ask for more memory than the server has."""

    max_side: int = 512                     # voxels of a scan along an axis
    max_voxels: int = 2 ** 25               # voxels of a scan in all: 7.2 million at 182x218x182
    max_window_voxels: int = 8_000_000      # a larger brain box is seen in windows of infer.window

    def __post_init__(self) -> None:
        for name, most in (("max_side", LONGEST), ("max_voxels", MOST), ("max_window_voxels", MOST)):
            if not 1 <= getattr(self, name) <= most:
                raise InputError(f"--{name.replace('_', '-')} is {getattr(self, name)}, but it must be 1 to {most}")


@dataclass(frozen=True)
class Container:
    """How the bundle's container is run."""

    listen: str = "127.0.0.1"               # address of this machine at which its ports are open: 0.0.0.0 for all
    image_digest: str | None = None         # sha256:..., of tensorflow/serving; none: the tag of the export's TensorFlow

    def __post_init__(self) -> None:
        try:
            ipaddress.ip_address(self.listen)
        except ValueError:
            raise InputError(f"--listen is {ascii(self.listen)}, but it must be an address of this machine: 127.0.0.1 for itself "
                             "alone, 0.0.0.0 for all who reach it") from None
        if self.image_digest is not None and not re.fullmatch("sha256:[0-9a-f]{64}", self.image_digest):
            raise InputError(f"--image-digest is {ascii(self.image_digest)}, but it must be sha256: and 64 digits 0-9 and a-f, "
                             "as `docker images --digests` shows it")

    @property
    def host(self) -> str:
        """`listen`, as it stands before a port."""
        return f"[{self.listen}]" if ":" in self.listen else self.listen
