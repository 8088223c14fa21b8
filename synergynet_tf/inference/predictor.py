"""From a volume to its segmentation: the network on its windows, merged, fused, thresholded, inside the brain."""
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import tensorflow as tf

from synergynet_tf.config import Config, FusionConfig, InferConfig
from synergynet_tf.data import preprocess
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.preprocess import LoadedCase
from synergynet_tf.errors import InputError
from synergynet_tf.inference import budget, coverage
from synergynet_tf.inference.coverage import Triple, Window
from synergynet_tf.inference.merge import Found, Merged, fused_probability, merge, sigmoid
from synergynet_tf.structures import Prediction


@dataclass(frozen=True)
class Segmentation:
    """A volume's segmentation at one gamma and threshold, and what is needed for another."""

    merged: Merged
    brain: np.ndarray           # bool [X, Y, Z]
    gamma: float
    threshold: float            # a voxel is lesion above it

    @cached_property
    def probability(self) -> np.ndarray:
        """Float32 [X, Y, Z], a multiple of `merge.PROBABILITY_STEP`; 0 outside the brain and where no window was."""
        return np.where(self.brain, fused_probability(self.merged, self.gamma), np.float32(0))

    @cached_property
    def mask(self) -> np.ndarray:
        """Bool [X, Y, Z]: the probability is above the threshold."""
        return self.probability > self.threshold

    @property
    def detections(self) -> Found:
        """Boxes in the volume's voxels and scores, best first, in NumPy."""
        return self.merged.detections

    @property
    def covered(self) -> np.ndarray:
        """Bool [X, Y, Z], where the local branch speaks."""
        return self.merged.covered

    def fuse_at(self, gamma: float, threshold: float | None = None) -> "Segmentation":
        """The same volume with another gamma (and threshold), without running the network again.

        Raises:
            InputError: gamma is not 0 to 1, or the threshold not between 0 and 1.
        """
        threshold = self.threshold if threshold is None else threshold
        FusionConfig(gamma=gamma)
        InferConfig(threshold=threshold)
        return dataclasses.replace(self, gamma=gamma, threshold=threshold)

    def branch_masks(self) -> tuple[np.ndarray, np.ndarray]:
        """What each branch alone is sure of: bool [X, Y, Z] of the local and of the global one, above the threshold."""
        inside = self.brain & self.merged.seen
        local = inside & self.covered & (sigmoid(self.merged.local_logits) > self.threshold)
        return local, inside & (sigmoid(self.merged.global_logits) > self.threshold)


@dataclass(frozen=True, eq=False)
class CasePrediction:
    """A case's segmentation, and the way back to the grid of its files."""

    loaded: LoadedCase              # image, brain and reference on the brain's box, on which the segmentation lies too
    segmentation: Segmentation
    config: Config                  # of the predictor

    @property
    def case(self) -> Case:
        return self.loaded.case

    def on_grid(self, array: np.ndarray) -> np.ndarray:
        """Put an array [X, Y, Z] of the brain's box on the whole canonical grid, 0 outside the box."""
        return preprocess.uncrop(array, self.loaded)


class Predictor:
    """Runs a network on whole volumes.

    Args:
        model: image float32 [1, X, Y, Z, C] (X, Y, Z multiples of 8) -> Prediction. It is traced once, for every shape.
        config: `infer`, `fusion`, `detector`, `mask` and `data.channels` are read; with `memory` also what the network's size is.
        memory: bytes that the process may take. For each volume the coverage is then the one that fits, see `budget`.
    """

    def __init__(self, model: Callable[[tf.Tensor], Prediction], config: Config, memory: float | None = None):
        self.config, self._memory = config, memory
        signature = tf.TensorSpec((1, None, None, None, len(config.data.channels)), tf.float32)
        self._run = tf.function(lambda image: model(image), input_signature=[signature])

    def predict_volume(self, image: np.ndarray, brain: np.ndarray | None = None) -> Segmentation:
        """Segment one volume.

        Args:
            image: float32 [X, Y, Z, C], z-scored, 0 outside the brain.
            brain: bool [X, Y, Z]; nothing outside it is lesion. None: where the image is not 0.

        Raises:
            InputError: the image has other channels than the network, the network's answer is not finite, memory ran out, or
                no coverage fits into `memory`.
        """
        channels = self.config.data.channels
        if image.ndim != 4 or image.shape[-1] != len(channels):
            raise InputError(f"the image has shape {image.shape}, but the network takes [X, Y, Z, {len(channels)}] "
                             f"({', '.join(channels)}): give it these channels")
        shape, infer, detector = image.shape[:3], self.infer_for(image.shape[:3]), self.config.detector
        merged = merge(shape, self._predictions(image), infer.overlap, detector.final_nms_iou, detector.max_detections,
                       self.config.mask.window)
        brain = (image != 0).any(axis=-1) if brain is None else brain
        return Segmentation(merged, brain, self.config.fusion.gamma, infer.threshold)

    def load(self, case: Case) -> LoadedCase:
        """Read a case's files as the network takes them. Raises InputError as `preprocess.load_case`."""
        return preprocess.load_case(case, self.config.data.channels)

    def predict_loaded(self, loaded: LoadedCase) -> CasePrediction:
        """Segment a case that `load` gave. Raises InputError as `predict_volume`, naming the case's FLAIR file."""
        try:
            segmentation = self.predict_volume(loaded.image, loaded.brain)
        except InputError as error:
            raise InputError(f"{loaded.grid.path}: {error}") from None
        used = self.infer_for(loaded.image.shape[:3])
        return CasePrediction(loaded, segmentation, dataclasses.replace(self.config, infer=used))

    def predict_case(self, case: Case) -> CasePrediction:
        """Read a case's files and segment it. Raises InputError as `load` and `predict_loaded`."""
        return self.predict_loaded(self.load(case))

    def infer_for(self, shape: Triple) -> InferConfig:
        """How a volume [X, Y, Z] will be covered. Raises InputError where nothing fits into `memory`."""
        return self.config.infer if self._memory is None else budget.fitting(self.config, shape, self._memory)

    def windows(self, shape: Triple) -> list[Window]:
        """Where the network will be applied to a volume [X, Y, Z]. Raises InputError as `infer_for`."""
        infer = self.infer_for(shape)
        if infer.coverage == "whole":
            return [coverage.whole(shape)]
        if infer.coverage == "centre":
            return [coverage.centre(shape, infer.window)]
        return coverage.windows(shape, infer.window, infer.overlap)

    def _predictions(self, image: np.ndarray) -> Iterator[tuple[Window, Prediction]]:
        for window in self.windows(image.shape[:3]):
            part = coverage.extract(image, window)[None]
            try:
                prediction = self._run(tf.constant(part, tf.float32))
            except tf.errors.ResourceExhaustedError:
                raise InputError(f"a window of {window.size} voxels does not fit into memory (--coverage "
                                 f"{self.config.infer.coverage}): use --coverage windows, or a smaller infer.window") from None
            if not np.isfinite(prediction.global_logits).all():
                raise InputError("the network's answer is not finite: its training diverged, or the image holds extreme values; "
                                 "use another checkpoint, or look at the image")
            yield window, prediction
