"""Every setting of the project: frozen dataclasses, checked when they are made.

A run's configuration is written to its folder and carried by its checkpoints; `presets/` holds the named ones. Where a default
is the paper's, its section is named; the other defaults are argued in docs/decisions.md.
"""
import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from synergynet_tf.augmentation import AugmentConfig
from synergynet_tf.errors import InputError


def _require(condition: bool, name: str, value: Any, rule: str) -> None:
    if not condition:
        raise InputError(f"{name} is {value!r}, but {rule}")


def _one_of(config: Any, group: str, name: str) -> None:
    """Check a Literal field, which Python itself does not."""
    choices, value = get_args(type(config).__dataclass_fields__[name].type), getattr(config, name)
    _require(value in choices, f"{group}.{name}", value, f"it must be one of {', '.join(map(str, choices))}")


@dataclass(frozen=True)
class DataConfig:
    """Where the scans are and how they become cases."""

    path: str | None = None                     # folder or CSV manifest; none: phantoms are made
    layout: str = "auto"                        # a name in data/layouts, or auto
    channels: tuple[str, ...] = ("flair",)      # in network order; the paper: flair, t2
    raters: Literal["first", "second", "union", "intersection", "both"] = "first"   # where two have drawn the lesions
    split: tuple[float, float, float] = (0.6, 0.2, 0.2)     # train, validation, test, by patient (paper, 3)
    split_seed: int = 0
    folds: int = 0                              # cross-validation: of as many folds; 0: the one split above
    fold: int = 0                               # the fold that is tested, from 0
    cache: str | None = None                    # none: a folder in the user's cache directory

    def __post_init__(self):
        _require(len(self.channels) > 0 and len(set(self.channels)) == len(self.channels), "data.channels", self.channels,
                 "each channel must be named once, flair for one")
        _require("flair" in self.channels, "data.channels", self.channels, "flair must be among them: it gives the brain mask")
        _require(all(share >= 0 for share in self.split) and math.isclose(sum(self.split), 1, abs_tol=1e-6)
                 and self.split[0] > 0, "data.split", self.split, "three shares, the first above 0, must sum to 1")
        _one_of(self, "data", "raters")
        _require(self.folds == 0 or self.folds >= 2, "data.folds", self.folds, "it must be 0 (a single split) or 2 or more")
        _require(0 <= self.fold < max(self.folds, 1), "data.fold", self.fold,
                 f"it must be 0 to below data.folds ({self.folds}), and 0 without folds")


@dataclass(frozen=True)
class PhantomConfig:
    """The embedded default data: see data/phantom."""

    patients: int = 10
    sessions: int = 1                           # at most; each patient has 1..sessions time points
    seed: int = 0
    anatomy: str | None = None                  # folder of FreeSurfer-style label maps; none: the MNI152 maps in nilearn

    def __post_init__(self):
        _require(self.patients >= 1, "phantoms.patients", self.patients, "at least 1 is needed")
        _require(self.sessions >= 1, "phantoms.sessions", self.sessions, "at least 1 is needed")
        _require(self.seed >= 0, "phantoms.seed", self.seed, "it must be 0 or more")


@dataclass(frozen=True)
class LesionConfig:
    """What counts as a lesion, and as a small one."""

    connectivity: Literal[6, 18, 26] = 18
    small_box_voxels: int = 1500                # small: ground-truth box below this many voxels (paper, 2.1)
    min_voxels: int = 3                         # smaller ones are ignored by the detector, not by the U-Net
    max_lesions: int = 512                      # label slots: the most lesions that one case may have

    def __post_init__(self):
        _one_of(self, "lesions", "connectivity")
        _require(self.min_voxels >= 1, "lesions.min_voxels", self.min_voxels, "it must be 1 or more")
        _require(self.small_box_voxels > 0, "lesions.small_box_voxels", self.small_box_voxels, "it must be positive")
        _require(1 <= self.max_lesions < 2 ** 15, "lesions.max_lesions", self.max_lesions, "it must fit int16 labels")


@dataclass(frozen=True)
class PatchConfig:
    """The training crop, its jitter and its rotation (paper, 3)."""

    size: tuple[int, int, int] = (128, 160, 128)
    jitter: tuple[int, int, int] | None = None  # largest shift from the centre, in voxels; none: as far as the brain reaches
    rotation: float = 15.0                      # degrees, about X: "along the sagittal coordinate axis"
    lesion_fraction: float = 0.0                # share of patches centred on a random lesion instead

    def __post_init__(self):
        _require(all(n > 0 and n % 8 == 0 for n in self.size), "patch.size", self.size, "each side must be a multiple of 8")
        _require(self.jitter is None or min(self.jitter) >= 0, "patch.jitter", self.jitter, "no side may be negative")
        _require(0 <= self.rotation <= 180, "patch.rotation", self.rotation, "it must be 0 to 180 degrees")
        _require(0 <= self.lesion_fraction <= 1, "patch.lesion_fraction", self.lesion_fraction, "it must be 0 to 1")


@dataclass(frozen=True)
class UNetConfig:
    widths: tuple[int, int, int, int] = (16, 32, 64, 128)       # channels at strides 1, 2, 4, 8
    convolutions: int = 2                                       # in a residual block
    norm: Literal["instance", "group", "batch"] = "instance"

    def __post_init__(self):
        _require(len(self.widths) == 4 and min(self.widths) > 0, "unet.widths", self.widths, "four positive widths are needed")
        _one_of(self, "unet", "norm")
        _require(self.convolutions >= 1, "unet.convolutions", self.convolutions, "at least 1 is needed")


@dataclass(frozen=True)
class DetectorConfig:
    """RPN, proposals, R-CNN and detections (paper, 2.1; docs/decisions.md for the numbers)."""

    stride: int = 2                             # of the anchor grid: 2 is d1's own, 4 the cheap setting
    anchor_sizes: tuple[float, ...] = (7.0, 9.0, 11.0, 15.0)    # cubes, voxels
    box_margin: float = 2.0                     # voxels around a ground-truth box
    positive_iou: float = 0.5
    negative_iou: float = 0.1
    rpn_width: int = 32
    pre_nms: int = 2000
    proposals: int = 300
    train_nms_iou: float = 0.5
    infer_nms_iou: float = 0.3
    rois: int = 128                             # sampled for the R-CNN loss
    roi_positive_fraction: float = 0.5
    roi_positive_iou: float = 0.5
    roi_negative_iou: float = 0.3
    roi_size: int = 8                           # cells a side
    box_width: int = 128
    score_threshold: float = 0.3
    final_nms_iou: float = 0.2
    max_detections: int = 256
    train_detections: int = 64                  # fused in a training patch

    def __post_init__(self):
        for name in ("rpn_width", "pre_nms", "proposals", "rois", "roi_size", "box_width", "max_detections", "train_detections"):
            _require(getattr(self, name) >= 1, f"detector.{name}", getattr(self, name), "it must be 1 or more")
        for name in ("train_nms_iou", "infer_nms_iou", "final_nms_iou", "score_threshold", "roi_positive_fraction",
                     "roi_positive_iou"):
            _require(0 <= getattr(self, name) <= 1, f"detector.{name}", getattr(self, name), "it must be 0 to 1")
        _require(0 <= self.roi_negative_iou <= self.roi_positive_iou, "detector.roi_negative_iou", self.roi_negative_iou,
                 f"it must be 0 to detector.roi_positive_iou ({self.roi_positive_iou})")
        _require(self.box_margin >= 0, "detector.box_margin", self.box_margin, "it must be 0 or more")
        _require(self.stride in (2, 4), "detector.stride", self.stride, "it must be 2 or 4")
        _require(len(self.anchor_sizes) > 0 and min(self.anchor_sizes) > 0, "detector.anchor_sizes", self.anchor_sizes,
                 "at least one positive size is needed")
        _require(0 < self.negative_iou <= self.positive_iou <= 1, "detector.negative_iou", self.negative_iou,
                 f"it must be above 0 and at most detector.positive_iou ({self.positive_iou})")
        _require(self.proposals <= self.pre_nms, "detector.proposals", self.proposals,
                 f"it must not exceed detector.pre_nms ({self.pre_nms})")
        for name in ("max_detections", "train_detections"):
            _require(getattr(self, name) <= self.proposals, f"detector.{name}", getattr(self, name),
                     f"it must not exceed detector.proposals ({self.proposals})")


@dataclass(frozen=True)
class MaskConfig:
    """The Mask sub-network (paper, 2.2)."""

    size: int = 16                              # cells a side of a patch
    context: float = 1.5                        # the patch's box is the refined box scaled by this about its centre
    width: int = 32
    window: int = 40                            # voxels a side: the largest box that is pasted whole
    rois: int = 48                              # positive RoIs given to the mask loss, at most

    def __post_init__(self):
        for name in ("size", "width", "window", "rois"):
            _require(getattr(self, name) >= 1, f"mask.{name}", getattr(self, name), "it must be 1 or more")
        _require(self.context >= 1, "mask.context", self.context, "it must be 1 or more")


@dataclass(frozen=True)
class FusionConfig:
    """Eq. 1, in training and in inference."""

    gamma: float = 0.3                          # weight of the local branch

    def __post_init__(self):
        _require(0 <= self.gamma <= 1, "fusion.gamma", self.gamma, "it must be 0 to 1")


@dataclass(frozen=True)
class LossConfig:
    """Weights of eq. 2 and the focal exponent."""

    alpha1: float = 1.0                         # RPN focal
    alpha2: float = 1.0                         # RPN smooth L1
    alpha3: float = 1.3                         # R-CNN cross-entropy
    alpha4: float = 1.0                         # R-CNN smooth L1
    alpha5: float = 1.0                         # Mask dice
    alpha6: float = 5.0                         # global dice, after fusion
    focal_beta: float = 2.0
    focal_normaliser: Literal["positives", "none"] = "positives"

    def __post_init__(self):
        _one_of(self, "loss", "focal_normaliser")
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            _require(isinstance(value, str) or (math.isfinite(value) and value >= 0), f"loss.{f.name}", value,
                     "it must be a finite number, 0 or more")


@dataclass(frozen=True)
class TrainConfig:
    """The staged training (paper, 2.3 and 3)."""

    system: Literal["synergynet", "unet", "mask_rcnn"] = "synergynet"     # what is trained; see the presets of these names
    epochs: tuple[int, int, int, int] = (30, 30, 40, 100)       # RPN; + R-CNN; + Mask; + remaining decoder layers
    steps_per_epoch: int | None = None          # none: every training case once
    batch: int = 1                              # patches that the network sees at a time
    accumulate: int = 1                         # such batches to a step; their gradients are those of one batch of all of them
    learning_rate: float = 0.001
    schedule: Literal["constant", "cosine", "poly"] = "constant"     # within each stage
    clip_norm: float | None = None
    average: float = 0.0                        # decay of the weights' moving average; 0: none
    validate_every: int = 1                     # epochs; validation runs in the last stage
    seed: int = 0
    deterministic: bool = True
    jit_compile: bool = False                   # the step by XLA: for GPUs; on a CPU its convolutions are 20 to 50 times slower
    precision: Literal["float32", "bfloat16", "float16"] = "float32"     # of convolutions in training; float16 scales the loss
    recompute: int = 0                          # levels of the U-Net, from the finest, whose maps are made anew for the gradients

    def __post_init__(self):
        _require(len(self.epochs) == 4 and min(self.epochs) >= 0 and sum(self.epochs) > 0, "train.epochs", self.epochs,
                 "four counts are needed, one above 0")
        _require(self.steps_per_epoch is None or self.steps_per_epoch > 0, "train.steps_per_epoch", self.steps_per_epoch,
                 "it must be positive")
        _one_of(self, "train", "system")
        _one_of(self, "train", "schedule")
        _require(self.validate_every >= 1, "train.validate_every", self.validate_every, "it must be 1 or more")
        _require(0 <= self.seed < 2 ** 32, "train.seed", self.seed, "it must be 0 to 2**32 - 1")
        _require(0 <= self.recompute <= 4, "train.recompute", self.recompute, "it must be 0 to 4, the levels of the U-Net")
        _one_of(self, "train", "precision")
        _require(self.accumulate >= 1, "train.accumulate", self.accumulate, "it must be 1 or more")
        _require(self.batch > 0, "train.batch", self.batch, "it must be positive")
        _require(0 < self.learning_rate < math.inf, "train.learning_rate", self.learning_rate, "it must be positive and finite")
        _require(0 <= self.average < 1, "train.average", self.average, "it must be 0 to below 1")
        _require(self.clip_norm is None or self.clip_norm > 0, "train.clip_norm", self.clip_norm, "it must be positive")

    @property
    def patches(self) -> int:
        """Patches of a step."""
        return self.batch * self.accumulate


@dataclass(frozen=True)
class InferConfig:
    """How a whole scan is segmented."""

    coverage: Literal["whole", "windows", "centre"] = "whole"
    window: tuple[int, int, int] = (128, 160, 128)
    overlap: float = 0.5
    threshold: float = 0.5                      # on the fused probability

    def __post_init__(self):
        _one_of(self, "infer", "coverage")
        _require(all(n > 0 and n % 8 == 0 for n in self.window), "infer.window", self.window,
                 "each side must be a multiple of 8")
        _require(0 <= self.overlap < 1, "infer.overlap", self.overlap, "it must be 0 to below 1")
        _require(0 < self.threshold < 1, "infer.threshold", self.threshold, "it must be between 0 and 1")


@dataclass(frozen=True)
class Config:
    """All of it. `asdict` and `from_dict` are exact inverses."""

    data: DataConfig = field(default_factory=DataConfig)
    phantoms: PhantomConfig = field(default_factory=PhantomConfig)
    lesions: LesionConfig = field(default_factory=LesionConfig)
    patch: PatchConfig = field(default_factory=PatchConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)
    detector: DetectorConfig = field(default_factory=DetectorConfig)
    mask: MaskConfig = field(default_factory=MaskConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    infer: InferConfig = field(default_factory=InferConfig)

    def __post_init__(self):
        _require(self.train.system != "mask_rcnn" or self.fusion.gamma == 1, "fusion.gamma", self.fusion.gamma,
                 "train.system is mask_rcnn, which has no other branch: it must be 1; add --preset mask_rcnn")
        _require(self.train.accumulate == 1 or self.unet.norm != "batch", "train.accumulate", self.train.accumulate,
                 "unet.norm is batch, whose statistics would be of a part of the step's patches: use instance or group, or 1")
        _require(self.train.recompute == 0 or not self.train.jit_compile, "train.recompute", self.train.recompute,
                 "train.jit_compile is true, and XLA merges what is made twice: choose one of the two")
        _require(self.train.recompute == 0 or self.unet.norm != "batch", "train.recompute", self.train.recompute,
                 "unet.norm is batch, whose moving statistics would take in every map twice: use instance or group, or 0")

    def asdict(self) -> dict[str, dict[str, Any]]:
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, dict[str, Any]]) -> "Config":
        """Rebuild what `asdict` gave; lists become tuples. Raises InputError on a field that does not exist."""
        groups = {}
        for f in dataclasses.fields(cls):
            given = dict(values.get(f.name) or {})
            known = {g.name for g in dataclasses.fields(f.type)}
            unknown = sorted(set(given) - known)
            _require(not unknown, f"the configuration's {f.name}.{unknown[0] if unknown else ''}", "set",
                     f"{f.name} has only {', '.join(sorted(known))}")
            groups[f.name] = f.type(**{k: tuple(v) if isinstance(v, list) else v for k, v in given.items()})
        return cls(**groups)
