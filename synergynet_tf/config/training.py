"""Settings of the loss, of the staged training, and of inference."""
from dataclasses import dataclass
from typing import Literal

from synergynet_tf.config.data import LONGEST, SEEDS
from synergynet_tf.config.settings import Settings

SMALLEST, LARGEST = 1e-12, 1e6      # of a factor: beyond, float32 loses a product with it


@dataclass(frozen=True)
class LossConfig(Settings):
    """Weights of eq. 2 and the focal exponent."""

    alpha1: float = 1.0                         # RPN focal
    alpha2: float = 1.0                         # RPN smooth L1
    alpha3: float = 1.3                         # R-CNN cross-entropy
    alpha4: float = 1.0                         # R-CNN smooth L1
    alpha5: float = 1.0                         # Mask dice
    alpha6: float = 5.0                         # global dice, after fusion
    focal_beta: float = 2.0                     # exponent of the focal loss; 0 is cross-entropy
    focal_normaliser: Literal["positives", "none"] = "positives"    # what divides the RPN's focal loss
    empty_patch: float = 0.0                    # voxels; so many marked in a patch without lesions: half the global loss

    GROUP = "loss"
    LIMITS = {**{f"alpha{i}": (0, LARGEST) for i in range(1, 7)}, "focal_beta": (0, 100), "empty_patch": (0, LARGEST)}


@dataclass(frozen=True)
class TrainConfig(Settings):
    """The staged training (paper, 2.3 and 3)."""

    system: Literal["synergynet", "unet", "mask_rcnn"] = "synergynet"     # what is trained; see the presets of these names
    epochs: tuple[int, int, int, int] = (30, 30, 40, 100)       # RPN; + R-CNN; + Mask; + remaining decoder layers
    steps_per_epoch: int | None = None          # none: every training case once
    batch: int = 1                              # patches that the network sees at a time
    accumulate: int = 1                         # such batches to a step; their gradients are those of one batch of all of them
    learning_rate: float = 0.001                # of Adam
    schedule: Literal["constant", "cosine", "poly"] = "constant"     # within each stage
    clip_norm: float | None = None              # longest gradient; none: as it is
    average: float = 0.0                        # decay of the weights' moving average; 0: none
    validate_every: int = 1                     # epochs; validation runs in the last stage
    seed: int = 0                               # another seed draws other patches and first weights
    deterministic: bool = True                  # the same bits on every run
    jit_compile: bool = False                   # the step by XLA: for GPUs; on a CPU its convolutions are 20 to 50 times slower
    precision: Literal["float32", "bfloat16", "float16"] = "float32"     # of convolutions in training; float16 scales the loss
    recompute: int = 0                          # levels of the U-Net, from the finest, whose maps are made anew for the gradients

    GROUP = "train"
    LIMITS = {"epochs": (0, 10 ** 6), "steps_per_epoch": (1, 10 ** 9), "batch": (1, 4096), "accumulate": (1, 4096),
              "learning_rate": (SMALLEST, 1000), "clip_norm": (SMALLEST, 1 / SMALLEST), "average": (0, 1),
              "validate_every": (1, 10 ** 6), "seed": SEEDS, "recompute": (0, 4)}       # the levels of the U-Net

    def check(self) -> None:
        """There is something to train."""
        self.require(sum(self.epochs) > 0, "epochs", "one of the counts must be above 0")
        self.require(self.average < 1, "average", "it must be 0 to below 1")

    @property
    def patches(self) -> int:
        """Patches of a step."""
        return self.batch * self.accumulate


@dataclass(frozen=True)
class InferConfig(Settings):
    """How a whole scan is segmented."""

    coverage: Literal["whole", "windows", "centre"] = "whole"   # the brain in one pass, in windows, or its centre (paper, 3)
    window: tuple[int, int, int] = (128, 160, 128)     # voxels of a window, or of the centre, multiples of 8
    overlap: float = 0.5                        # share of a window's side; beyond 0.9 windows would be without number
    threshold: float = 0.5                      # on the fused probability
    mirror: bool = False                        # also look at the image mirrored left-right, and average: twice the time
    min_lesion: float = 0.0                     # mm3: smaller predicted lesions are dropped
    min_peak: float = 0.0                       # so are those whose highest probability is lower (hysteresis thresholding)
    split_confluent: bool = False               # count a lesion that reaches several regions as those that have grown together

    GROUP, LIMITS = "infer", {"window": (8, LONGEST), "overlap": (0, 0.9), "threshold": (0, 1), "min_lesion": (0, 1e6),
                              "min_peak": (0, 1)}

    def check(self) -> None:
        """The sides are the network's, the threshold parts something."""
        self.require(all(n % 8 == 0 for n in self.window), "window", "each side must be a multiple of 8")
        self.require(0 < self.threshold < 1, "threshold", "it must be between 0 and 1")
