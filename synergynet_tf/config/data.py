"""Settings of the data: where scans are, phantoms in their place, what a lesion is, and the patches of training."""
import math
import re
from dataclasses import dataclass
from typing import Literal

from synergynet_tf.config.settings import Settings
from synergynet_tf.errors import InputError

SEEDS = (0, 2 ** 32 - 1)
NAME = re.compile(r"\w[\w.\-]*")
LONGEST = 1024          # voxels: the longest side of a patch or window


@dataclass(frozen=True)
class DataConfig(Settings):
    """Where the scans are and how they become cases."""

    path: str | None = None                     # folder or CSV manifest; none: phantoms are made
    layout: str = "auto"                        # a name in data/layouts, or auto
    channels: tuple[str, ...] = ("flair",)      # in network order; the paper: flair, t2
    raters: Literal["first", "second", "union", "intersection", "both"] = "first"   # of two raters' masks
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)     # train, validation, test, by patient (paper, 3)
    split_seed: int = 0                         # another seed deals the patients out anew
    folds: int = 0                              # cross-validation: of as many folds; 0: the one split above
    fold: int = 0                               # the fold that is tested, from 0
    cache: str | None = None                    # none: a folder in the user's cache directory

    GROUP, PATHS = "data", ("path", "cache")
    LIMITS = {"split": (0, 1), "split_seed": SEEDS, "folds": (0, 1000)}

    @property
    def source(self) -> str:
        """`path`, for what needs one.

        Raises:
            InputError: there is none.
        """
        if self.path is None:
            raise InputError("data.path is not set, but scans are needed: name their folder or manifest with --data.path")
        return self.path

    def check(self) -> None:
        """The channels are names, the shares sum to 1, the fold is one of the folds."""
        self.require(len(self.channels) > 0 and len(set(self.channels)) == len(self.channels), "channels",
                     "each channel must be named once, flair for one")
        self.require(all(NAME.fullmatch(name) for name in self.channels), "channels",
                     "a name is of letters, digits, '_', '-' and '.': files are called by it")
        self.require("flair" in self.channels, "channels", "flair must be among them: it gives the brain mask")
        self.require(math.isclose(sum(self.split), 1, abs_tol=1e-6) and self.split[0] > 0, "split",
                     "three shares, the first above 0, must sum to 1")
        self.require(self.folds != 1, "folds", "it must be 0 (a single split) or 2 or more")
        self.require(0 <= self.fold < max(self.folds, 1), "fold",
                     f"it must be 0 to below data.folds ({self.folds}), and 0 without folds")


@dataclass(frozen=True)
class PhantomConfig(Settings):
    """The embedded default data: see data/phantom."""

    patients: int = 10                          # how many are made
    sessions: int = 1                           # at most; each patient has 1..sessions time points
    seed: int = 0                               # another seed makes other patients
    anatomy: str | None = None                  # folder of FreeSurfer-style label maps; none: the MNI152 maps in nilearn
    variety: Literal["narrow", "wide"] = "narrow"   # one kind of scanner; or as scans of all clinics lie, see docs/phantoms.md
    shapes: str | None = None                   # of wide ones: an .npz file of real lesions on the MNI grid; none: none are real

    GROUP, PATHS = "phantoms", ("anatomy", "shapes")
    LIMITS = {"patients": (1, 100_000), "sessions": (1, 100), "seed": SEEDS}

    def check(self) -> None:
        """Real shapes are for wide phantoms."""
        self.require(self.shapes is None or self.variety == "wide", "shapes",
                     "phantoms.variety is narrow, which takes none: set it to wide, or leave the shapes out")


@dataclass(frozen=True)
class LesionConfig(Settings):
    """What counts as a lesion, and as a small one."""

    connectivity: Literal[6, 18, 26] = 18       # which neighbours of a voxel belong to its lesion: by faces, edges, corners
    small_box_voxels: int = 1500                # small: ground-truth box below this many voxels (paper, 2.1)
    min_voxels: int = 3                         # smaller ones are ignored by the detector, not by the U-Net
    max_lesions: int = 512                      # label slots: the most lesions that one case may have

    GROUP = "lesions"
    LIMITS = {"small_box_voxels": (1, 10 ** 9), "min_voxels": (1, 10 ** 9), "max_lesions": (1, 2 ** 15 - 1)}    # int16 labels


@dataclass(frozen=True)
class PatchConfig(Settings):
    """The training crop, its jitter and its rotation (paper, 3)."""

    size: tuple[int, int, int] = (128, 160, 128)# voxels along X, Y, Z, multiples of 8
    jitter: tuple[int, int, int] | None = None  # largest shift from the centre, in voxels; none: as far as the brain reaches
    rotation: float = 15.0                      # degrees, about X: "along the sagittal coordinate axis"
    lesion_fraction: float = 0.0                # share of patches centred on a random lesion instead

    GROUP = "patch"
    LIMITS = {"size": (8, LONGEST), "jitter": (0, LONGEST), "rotation": (0, 180), "lesion_fraction": (0, 1)}

    def check(self) -> None:
        """The sides are the network's."""
        self.require(all(n % 8 == 0 for n in self.size), "size", "each side must be a multiple of 8")
