"""From a volume to its segmentation: the network on its windows, merged, fused, thresholded, inside the brain."""
import dataclasses
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from synergynet_tf.config import Config, FusionConfig, InferConfig
from synergynet_tf.data import preprocess
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.preprocess import LoadedCase
from synergynet_tf.errors import InputError
from synergynet_tf.inference import budget, merge
from synergynet_tf.inference.budget import Coverage
from synergynet_tf.inference.coverage import STRIDE, Windows
from synergynet_tf.inference.ensemble import require_agreement, sides
from synergynet_tf.inference.lesions import LesionLimits, least_voxels, lesion_mask
from synergynet_tf.inference.merge import Merged, VolumeDetections
from synergynet_tf.runtime.memory import available
from synergynet_tf.structures import Network

log = logging.getLogger(__name__)


class Part(NamedTuple):
    """What one network said of a volume, and with which gamma its branches are fused."""

    merged: Merged
    gamma: float


class Final(NamedTuple):
    """How what several parts say becomes one."""

    limits: LesionLimits
    nms_iou: float              # boxes of different parts above it are one lesion
    max_detections: int


@dataclass(frozen=True)
class Segmentation:
    """A volume's segmentation at one gamma and threshold, and what is needed for another."""

    parts: tuple[Part, ...]     # all that is averaged: the network's, those of the mirrored image and of further networks
    brain: np.ndarray           # bool [X, Y, Z]
    threshold: float            # a voxel is lesion above it
    final: Final

    @cached_property
    def probability(self) -> np.ndarray:
        """Float32 [X, Y, Z], the mean over `parts` of multiples of `merge.PROBABILITY_STEP`.

        It is 0 outside the brain and where no window was.
        """
        first, *rest = (merge.fused_probability(part.merged, part.gamma).numpy() for part in self.parts)
        return np.where(self.brain, sum(rest, first) / np.float32(1 + len(rest)), np.float32(0))

    @cached_property
    def mask(self) -> np.ndarray:
        """Bool [X, Y, Z]: the probability is above the threshold, in lesions that are within the limits."""
        return lesion_mask(self.probability, self.threshold, self.final.limits)

    @cached_property
    def detections(self) -> VolumeDetections:
        """Boxes in the volume's voxels and scores, best first, in NumPy; those of several parts suppressed together."""
        by_part = [part.merged.detections for part in self.parts]
        return _arrays(merge.united(by_part, self.final.nms_iou, self.final.max_detections))

    def fuse_at(self, gamma: float, threshold: float | None = None) -> "Segmentation":
        """The same volume with another gamma (and threshold), without running the network again.

        Raises:
            InputError: gamma is not 0 to 1, or the threshold not between 0 and 1.
        """
        threshold = self.threshold if threshold is None else threshold
        FusionConfig(gamma=gamma)
        InferConfig(threshold=threshold)
        return dataclasses.replace(self, parts=tuple(part._replace(gamma=gamma) for part in self.parts), threshold=threshold)

    def branch_masks(self) -> tuple[np.ndarray, np.ndarray]:
        """What each branch alone is sure of, in any part: bool [X, Y, Z] of the local and the global one, above the threshold."""
        local, unet = np.zeros(self.brain.shape, bool), np.zeros(self.brain.shape, bool)
        for merged, _ in self.parts:
            local |= merged.seen & merged.covered & (merge.sigmoid(merged.local_logits).numpy() > self.threshold)
            unet |= merged.seen & (merge.sigmoid(merged.global_logits).numpy() > self.threshold)
        return self.brain & local, self.brain & unet


@dataclass(frozen=True, eq=False)
class CasePrediction:
    """A case's segmentation, and the way back to the grid of its files."""

    loaded: LoadedCase              # image, brain and reference on the brain's box, on which the segmentation lies too
    segmentation: Segmentation
    config: Config                  # of the predictor, with the coverage that was used
    windows: Windows

    @property
    def case(self) -> Case:
        """The case that was segmented."""
        return self.loaded.case

    def on_grid(self, array: np.ndarray) -> np.ndarray:
        """Put an array [X, Y, Z] of the brain's box on the whole canonical grid, 0 outside the box."""
        return preprocess.uncrop(array, self.loaded)


class Predictor:
    """Runs a network, or several as one, on whole volumes.

    Args:
        model: image float32 [1, X, Y, Z, C] (X, Y, Z multiples of 8) -> Prediction. It is traced once, for every shape.
        config: `infer`, `fusion`, `detector`, `mask` and `data.channels` are read; with `memory` also what the network's size is.
        memory: bytes that the process may take. For each volume the coverage is then the one that fits, see `budget`.
        others: further networks and their configurations; the mean of all probabilities is taken.
        share: without `memory`, what part of that which is free when a volume comes it may take: where the settings' coverage
            takes more, windows are used, and the log says so. None: nobody looks. Where a GPU is used nobody does either.

    Raises:
        InputError: the networks do not agree (`ensemble.require_agreement`).
    """

    def __init__(self, model: Network, config: Config, memory: float | None = None,
                 others: Sequence[tuple[Network, Config]] = (), share: float | None = None):
        self.config, self._memory, self._share = config, memory, share
        members = ((model, config), *others)
        require_agreement([settings for _, settings in members])
        self._runs = [(_traced(side, settings), settings) for network, settings in members for side in sides(network, settings)]

    def warm(self) -> None:
        """Trace the networks and have TensorFlow rewrite their graphs now, which the first volume would wait for."""
        image = np.zeros((*[2 * STRIDE] * 3, len(self.config.data.channels)), np.float32)
        for run, _ in self._runs:
            self._merged(run, image, budget.as_asked(self.config, image.shape[:3]))

    def predict_volume(self, image: np.ndarray, brain: np.ndarray | None = None, voxel_mm3: float = 1.0) -> Segmentation:
        """Segment one volume.

        Args:
            image: float32 [X, Y, Z, C], z-scored, 0 outside the brain.
            brain: bool [X, Y, Z]; nothing outside it is lesion. None: where the image is not 0.
            voxel_mm3: a voxel's volume, for `infer.min_lesion`.

        Raises:
            InputError: the image has other channels than the network, the network's answer is not finite, memory ran out, or
                no coverage fits into `memory`, or what is free.
        """
        self._check(image)
        return self._segment(image, brain, voxel_mm3, self.coverage_of(image.shape[:3]))

    def _segment(self, image: np.ndarray, brain: np.ndarray | None, voxel_mm3: float, coverage: Coverage) -> Segmentation:
        infer, detector = coverage.infer, self.config.detector
        parts = tuple(Part(self._merged(run, image, coverage), settings.fusion.gamma) for run, settings in self._runs)
        brain = (image != 0).any(axis=-1) if brain is None else brain
        limits = LesionLimits(least_voxels(infer.min_lesion, voxel_mm3), infer.min_peak, self.config.lesions.connectivity)
        final = Final(limits, detector.final_nms_iou, detector.max_detections)
        return Segmentation(parts, brain, infer.threshold, final)

    def load(self, case: Case) -> LoadedCase:
        """Read a case's files as the network takes them.

        Raises:
            InputError: as `preprocess.load_case`.
        """
        return preprocess.load_case(case, self.config.data.channels)

    def predict_loaded(self, loaded: LoadedCase) -> CasePrediction:
        """Segment a case that `load` gave.

        Raises:
            InputError: as `predict_volume`, naming the case's FLAIR file.
        """
        shape = loaded.image.shape[:3]
        try:
            self._check(loaded.image)
            coverage = self.coverage_of(shape)
            if self._memory is None and coverage.infer != self.config.infer:
                asked, taken = (budget.described(self.config, shape, windows)
                                for windows in (budget.as_asked(self.config, shape).windows, coverage.windows))
                log.warning("%s: too little memory is free to segment it %s; segmented %s", loaded.grid.path, asked, taken)
            segmentation = self._segment(loaded.image, loaded.brain, math.prod(loaded.grid.spacing), coverage)
        except InputError as error:
            raise InputError(f"{loaded.grid.path}: {error}") from None
        return CasePrediction(loaded, segmentation, dataclasses.replace(self.config, infer=coverage.infer), coverage.windows)

    def predict_case(self, case: Case) -> CasePrediction:
        """Read a case's files and segment it.

        Raises:
            InputError: as `load` and `predict_loaded`.
        """
        return self.predict_loaded(self.load(case))

    def coverage_of(self, shape: tuple[int, ...]) -> Coverage:
        """How a volume [X, Y, Z] will be covered.

        Raises:
            InputError: nothing fits into `memory`, or what is free.
        """
        if self._memory is not None:
            return budget.fitting(self.config, shape, self._memory)
        if self._share is None or tf.config.list_logical_devices("GPU"):
            return budget.as_asked(self.config, shape)
        free = available(self._share)
        return budget.as_asked(self.config, shape) if free is None else budget.fitting_free(self.config, shape, free)

    def _check(self, image: np.ndarray) -> None:
        channels = self.config.data.channels
        if image.ndim != 4 or image.shape[-1] != len(channels):
            raise InputError(f"the image has shape {image.shape}, but the network takes [X, Y, Z, {len(channels)}] "
                             f"({', '.join(channels)}): give it these channels")

    def _merged(self, run: Callable[..., Merged], image: np.ndarray, coverage: Coverage) -> Merged:
        """What one network predicts for a volume, in NumPy."""
        try:
            merged = _arrays(run(tf.constant(image, tf.float32), *coverage.windows))
        except tf.errors.ResourceExhaustedError:
            size = tuple(coverage.windows.size.numpy().tolist())
            raise InputError(f"a window of {size} voxels does not fit into memory (--coverage {coverage.infer.coverage}): use "
                             "--coverage windows, or a smaller infer.window") from None
        if not np.isfinite(merged.global_logits).all():
            raise InputError("the network's answer is not finite: its training diverged, or the image holds extreme values; "
                             "use another checkpoint, or look at the image")
        return merged


def _traced(network: Network, config: Config) -> Callable[..., Merged]:
    """`merge.predict_volume` of a network for volumes of any shape, in windows of any number and size."""
    @tf.function(input_signature=[tf.TensorSpec([None, None, None, len(config.data.channels)]),
                                  tf.TensorSpec([None, 3], tf.int32), tf.TensorSpec([3], tf.int32)], autograph=False)
    def run(image: tf.Tensor, starts: tf.Tensor, size: tf.Tensor) -> Merged:
        return merge.predict_volume(network, config, image, Windows(starts, size))

    return run


def _arrays(tensors: Any) -> Any:
    """The same structure of NumPy arrays."""
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), tensors)
