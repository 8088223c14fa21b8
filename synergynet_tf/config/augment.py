"""Settings of the augmentation beyond the paper's jitter and rotation: with every probability at 0 it is the paper's."""
from dataclasses import dataclass
from typing import NamedTuple

from synergynet_tf.config.settings import Settings


class Strength(NamedTuple):
    """How strong a transform may be: the widest range that its setting takes, and the value that changes nothing."""

    low: float
    high: float
    neutral: float


UNFOLDED = 0.4      # of the spacing: below it a cubic B-spline field cannot fold (Choi and Lee 2000, "Injectivity conditions")
# All transforms; none where there is no strength. To add one, write its probability and its `_range` below and its row here, and
# what it does in data/intensity.py. The order numbers the random streams, hence is part of every run's result: add new ones last.
TRANSFORMS = {
    "flip": None, "scale": Strength(0.5, 2.0, neutral=1.0), "elastic": Strength(0.0, 20.0, neutral=0.0),
    "gamma": Strength(0.2, 5.0, neutral=1.0), "contrast": Strength(0.1, 5.0, neutral=1.0),
    "brightness": Strength(-5.0, 5.0, neutral=0.0), "bias_field": Strength(0.0, 2.0, neutral=0.0),
    "noise": Strength(0.0, 5.0, neutral=0.0), "blur": Strength(0.0, 4.0, neutral=0.0),
    "thick_slices": Strength(1.0, 10.0, neutral=1.0), "modality_dropout": None, "paste": None,
    "fade": Strength(0.0, 2.0, neutral=1.0),
}
MOST_PASTED = 8     # lesions


def strengths() -> dict[str, Strength]:
    """The transforms that have a strength."""
    return {name: strength for name, strength in TRANSFORMS.items() if strength}


@dataclass(frozen=True)
class AugmentConfig(Settings):
    """For each transform the probability that a patch meets it, and the range from which its strength is drawn evenly."""

    flip: float = 0.0                           # left-right
    scale: float = 0.0                                      # the content larger or smaller
    scale_range: tuple[float, float] = (0.85, 1.15)         # of the patch's content; 1 leaves it
    elastic: float = 0.0                                    # smooth random deformation
    elastic_range: tuple[float, float] = (2.0, 6.0)         # voxels, the control points' largest displacement per axis
    elastic_spacing: float = 24.0                           # voxels between control points
    gamma: float = 0.0                                      # greys bent by a power
    gamma_range: tuple[float, float] = (0.7, 1.5)           # exponent on the brain's greys brought to 0..1; 1 leaves them
    contrast: float = 0.0                                   # greys spread or pressed together
    contrast_range: tuple[float, float] = (0.75, 1.25)      # factor about the brain's mean; 1 leaves it
    brightness: float = 0.0                                 # all greys shifted
    brightness_range: tuple[float, float] = (-0.3, 0.3)     # shift, standard deviations of the brain
    bias_field: float = 0.0                                 # a smooth factor over space
    bias_field_range: tuple[float, float] = (0.1, 0.4)      # largest |log| of the smooth factor
    noise: float = 0.0                                      # normal numbers added
    noise_range: tuple[float, float] = (0.05, 0.2)          # its standard deviation, in those of the brain
    blur: float = 0.0                                       # a Gaussian filter
    blur_range: tuple[float, float] = (0.4, 1.0)            # sigma, voxels
    thick_slices: float = 0.0                               # slices averaged along an axis
    thick_slices_range: tuple[float, float] = (2.0, 4.0)    # voxels in a slice, along one axis; 1 leaves it
    modality_dropout: float = 0.0                           # for each channel other than flair: set to 0
    paste: float = 0.0                                      # small lesions of other cases, set into free tissue
    paste_range: tuple[int, int] = (1, 4)                   # how many
    paste_border: tuple[float, float] = (1.0, 3.0)          # voxels over which a lesion's edge blends in; 1 is a hard edge
    fade: float = 0.0                           # lesions less bright, as far as they differ from the tissue about them
    fade_range: tuple[float, float] = (0.4, 1.0)            # factor on that difference; 1 leaves it

    GROUP, LIMITS = "augment", dict.fromkeys(TRANSFORMS, (0, 1)) | {"elastic_spacing": (4, 128)}

    @property
    def active(self) -> bool:
        """Whether there is any transform at all."""
        return any(getattr(self, name) for name in TRANSFORMS)

    def check(self) -> None:
        """Each range is one, within its limits, and space does not fold."""
        ranges = {f"{name}_range": (strength.low, strength.high) for name, strength in strengths().items()}
        for name, (low, high) in (ranges | {"paste_range": (1, MOST_PASTED), "paste_border": (1.0, 4.0)}).items():
            span = getattr(self, name)
            self.require(low <= span[0] <= span[1] <= high, name,
                         f"it must be two numbers, the smaller first, within {low:g} to {high:g}")
        self.require(self.elastic_range[1] <= UNFOLDED * self.elastic_spacing, "elastic_range",
                     f"beyond {UNFOLDED} x augment.elastic_spacing ({self.elastic_spacing:g}) space would fold; lower it to "
                     f"{UNFOLDED * self.elastic_spacing:g} or less")
