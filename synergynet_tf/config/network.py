"""Settings of the network: U-Net, detector, Mask sub-network, fusion."""
from dataclasses import dataclass
from typing import Literal

from synergynet_tf.config.settings import Settings

WIDTHS = (1, 4096)
MANY = 10 ** 5         # boxes: beyond, their pairs fit no memory


@dataclass(frozen=True)
class UNetConfig(Settings):
    """The residual U-Net."""

    widths: tuple[int, int, int, int] = (16, 32, 64, 128)       # channels at strides 1, 2, 4, 8
    convolutions: int = 2                                       # in a residual block
    norm: Literal["instance", "group", "batch"] = "instance"    # normalisation after each convolution

    GROUP, LIMITS = "unet", {"widths": WIDTHS, "convolutions": (1, 16)}


@dataclass(frozen=True)
class DetectorConfig(Settings):
    """RPN, proposals, R-CNN and detections (paper, 2.1; docs/decisions.md for the numbers)."""

    stride: Literal[2, 4] = 2                   # of the anchor grid: 2 is d1's own, 4 the cheap setting
    anchor_sizes: tuple[float, ...] = (7.0, 9.0, 11.0, 15.0)    # cubes, voxels
    box_margin: float = 2.0                     # voxels around a ground-truth box
    positive_iou: float = 0.5                   # an anchor that overlaps a lesion's box so much, or more, stands for it
    negative_iou: float = 0.1                   # an anchor that overlaps every one less is background
    rpn_width: int = 32                         # channels of the RPN's convolution
    pre_nms: int = 2000                         # best anchors that are decoded before suppression
    proposals: int = 300                        # boxes that are kept after it
    train_nms_iou: float = 0.5                  # suppression of proposals in training: boxes that overlap more are one
    infer_nms_iou: float = 0.3                  # the same in inference
    rois: int = 128                             # sampled for the R-CNN loss
    roi_positive_fraction: float = 0.5          # share of them that hold a lesion, as far as there are any
    roi_positive_iou: float = 0.5               # a RoI that overlaps a lesion's box so much, or more, holds it
    roi_negative_iou: float = 0.3               # a RoI that overlaps every one less is background
    roi_size: int = 8                           # cells a side
    box_width: int = 128                        # units of the R-CNN sub-network's layers
    score_threshold: float = 0.3                # detections of a lower score are dropped
    final_nms_iou: float = 0.2                  # suppression of detections: boxes that overlap more are one
    max_detections: int = 256                   # detections of a window, at most
    train_detections: int = 64                  # fused in a training patch

    GROUP = "detector"
    LIMITS = {
        "anchor_sizes": (1, 1024), "box_margin": (0, 100), "positive_iou": (0, 1), "negative_iou": (0, 1), "rpn_width": WIDTHS,
        "pre_nms": (1, 10 ** 6), "proposals": (1, MANY), "train_nms_iou": (0, 1), "infer_nms_iou": (0, 1), "rois": (1, MANY),
        "roi_size": (1, 64), "roi_positive_fraction": (0, 1), "roi_positive_iou": (0, 1), "roi_negative_iou": (0, 1),
        "box_width": WIDTHS, "score_threshold": (0, 1), "final_nms_iou": (0, 1), "max_detections": (1, MANY),
        "train_detections": (1, MANY)}

    def check(self) -> None:
        """What is below what."""
        self.require(self.roi_negative_iou <= self.roi_positive_iou, "roi_negative_iou",
                     f"it must be 0 to detector.roi_positive_iou ({self.roi_positive_iou})")
        self.require(len(self.anchor_sizes) > 0, "anchor_sizes", "at least one size is needed")
        self.require(0 < self.negative_iou <= self.positive_iou, "negative_iou",
                     f"it must be above 0 and at most detector.positive_iou ({self.positive_iou})")
        self.require(self.proposals <= self.pre_nms, "proposals", f"it must not exceed detector.pre_nms ({self.pre_nms})")
        for name in ("max_detections", "train_detections"):
            self.require(getattr(self, name) <= self.proposals, name,
                         f"it must not exceed detector.proposals ({self.proposals})")


@dataclass(frozen=True)
class MaskConfig(Settings):
    """The Mask sub-network (paper, 2.2)."""

    size: int = 16                              # cells a side of a mask
    context: float = 1.5                        # the mask's box is the refined box scaled by this about its centre
    width: int = 32                             # channels of the Mask sub-network
    window: int = 40                            # voxels a side: the largest box whose mask is pasted whole
    rois: int = 48                              # positive RoIs given to the mask loss, at most

    GROUP = "mask"
    LIMITS = {"size": (1, 64), "context": (1, 10), "width": WIDTHS, "window": (1, 1024), "rois": (1, MANY)}


@dataclass(frozen=True)
class FusionConfig(Settings):
    """Eq. 1, in training and in inference."""

    gamma: float = 0.3                          # weight of the local branch

    GROUP, LIMITS = "fusion", {"gamma": (0, 1)}
