"""The exported module and its signatures.

    serving_default   z-scored volumes               -> probability, mask, detections
    segment_raw       scans in canonical orientation -> the same; brain mask and z-score are in the graph
    segment_nifti     the bytes of NIfTI files       -> the bytes of NIfTI masks, lesion counts and volumes

Every input and output has the batch first. Volumes are taken one after the other: what one needs of memory is the most that a
request needs, and a volume's answer does not depend on what it came with.

Several networks answer as one, and with `infer.mirror` each as two: their probabilities are averaged, and their detections
suppressed together. Where no header tells a voxel's size, it is 1 mm3 to `infer.min_lesion`.
"""
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.inference import coverage, merge
from synergynet_tf.inference.ensemble import require_agreement, sides
from synergynet_tf.inference.merge import VolumeDetections
from synergynet_tf.ops import components
from synergynet_tf.structures import Network

from . import brain, nifti, preprocess, volumes
from .checks import checked
from .preprocess import Prepared
from .settings import Limits

DETECTIONS = 256        # rows of a volume's detections
TEXT = tf.TensorSpec([], tf.string)
OF_A_VOLUME = {"probability": tf.TensorSpec([None] * 3, tf.float32), "mask": tf.TensorSpec([None] * 3, tf.uint8),
               "detection_boxes": tf.TensorSpec([DETECTIONS, 6], tf.float32),
               "detection_scores": tf.TensorSpec([DETECTIONS], tf.float32),
               "detection_valid": tf.TensorSpec([DETECTIONS], tf.bool)}
OF_FILES = {"mask_bytes": TEXT, "lesion_count": tf.TensorSpec([], tf.int32), "lesion_volume_ml": tf.TensorSpec([], tf.float32),
            "notes": TEXT}

Tensor = tf.Tensor


@dataclass(frozen=True)
class Member:
    """A network of the ensemble, image float32 [1, X, Y, Z, C] -> Prediction, its weights, and the configuration of its run."""

    model: Network
    weights: Sequence[Any]
    config: Config


class Answer(NamedTuple):
    """What the networks together predict for a volume."""

    probability: Tensor             # float32 [X, Y, Z]
    detections: VolumeDetections    # best first
    finite: Tensor                  # bool, whether every logit was a number


class Segmenter:
    """The signatures of one or several networks.

    `module` holds their variables and is what is saved; it has no functions of its own, since saving would trace them again.

    Args:
        members: at least one; they agree on channels, threshold and connectivity.

    Raises:
        InputError: they do not.
    """

    def __init__(self, members: Sequence[Member], limits: Limits):
        require_agreement([member.config for member in members])
        self._members, self._limits, self._config = tuple(members), limits, members[0].config
        self.module = tf.Module(name="synergynet")
        self.module.weights = [v if isinstance(v, tf.Variable) else v.value for member in members for v in member.weights]
        image = tf.TensorSpec([None, None, None, len(self._config.data.channels)], tf.float32)
        self._answers = tf.function(self._ask_members, [image], autograph=False)      # traced once for all signatures

    def signatures(self) -> dict[str, Any]:
        """The traced `SIGNATURES` by name, as `tf.saved_model.save` takes them."""
        def traced(signature: Signature) -> Any:
            answer = tf.function(lambda **inputs: signature.answer(self, inputs), autograph=False)
            return answer.get_concrete_function(**signature.inputs(self._config.data.channels))

        return {name: traced(signature) for name, signature in SIGNATURES.items()}

    def _z_scored_batch(self, z_scored_volume: Tensor) -> dict[str, Tensor]:
        def one(image: Tensor) -> dict[str, Tensor]:
            """Of a volume [X, Y, Z, C]."""
            image = volumes.check_z_scores(image, "z_scored_volume")
            return self._outputs(self._segment(image, tf.reduce_any(tf.not_equal(image, 0), -1)))

        batch = volumes.check_sizes(z_scored_volume, "z_scored_volume", self._limits)
        return tf.map_fn(one, batch, fn_output_signature=OF_A_VOLUME, parallel_iterations=1)

    def _raw_batch(self, raw_volume: Tensor) -> dict[str, Tensor]:
        channels = self._config.data.channels
        names = {channel: f"raw_volume ({channel})" for channel in channels}

        def one(image: Tensor) -> dict[str, Tensor]:
            """Of a volume [X, Y, Z, C]."""
            arrays = dict(zip(channels, tf.unstack(image, axis=-1)))
            prepared = preprocess.prepare(arrays, names, tf.ones([3], tf.float64), dict.fromkeys(channels, ()))
            return self._outputs(self._on_grid(prepared, tf.shape(image)[:3])) | {"notes": prepared.notes}

        batch = volumes.check_sizes(raw_volume, "raw_volume", self._limits)
        return tf.map_fn(one, batch, fn_output_signature=OF_A_VOLUME | {"notes": TEXT}, parallel_iterations=1)

    def _nifti_batch(self, files: dict[str, Tensor]) -> dict[str, Tensor]:
        channels, limits, config = self._config.data.channels, self._limits, self._config
        contents = volumes.check_files([files[f"{channel}_bytes"] for channel in channels], channels)

        def one(contents: list[Tensor]) -> dict[str, Tensor]:
            """Of a scan's files, a string a channel."""
            scans = {channel: nifti.read(content, channel, limits.max_side, limits.max_voxels)
                     for content, channel in zip(contents, channels)}
            flair = scans["flair"]
            arrays = {channel: scan.array if scan is flair else nifti.check_same_grid(flair, scan, channel).array
                      for channel, scan in scans.items()}
            known = {channel: scan.header.notes for channel, scan in scans.items()}
            prepared = preprocess.prepare(arrays, dict(zip(channels, channels)), flair.spacing, known)
            voxel_mm3 = tf.reduce_prod(flair.spacing)
            mask = self._mask(self._on_grid(prepared, tf.shape(flair.array)).probability, voxel_mm3)
            voxels = tf.cast(tf.math.count_nonzero(mask), tf.float64)
            return {"mask_bytes": nifti.write_mask(tf.cast(mask, tf.uint8), flair),
                    "lesion_count": components.count_components(mask, config.lesions.connectivity),
                    "lesion_volume_ml": tf.cast(voxels * tf.reduce_prod(flair.spacing) / 1000, tf.float32),
                    "notes": prepared.notes}

        return tf.map_fn(one, contents, fn_output_signature=OF_FILES, parallel_iterations=1)

    def _on_grid(self, prepared: Prepared, shape: Tensor) -> Answer:
        """The answer on the whole grid, [X, Y, Z] of `shape`."""
        answer = self._segment(prepared.image, prepared.brain.mask)
        shift = tf.cast(tf.tile(prepared.brain.begin, [2]), tf.float32)
        return answer._replace(probability=brain.uncrop(answer.probability, prepared.brain, shape),
                               detections=answer.detections._replace(boxes=answer.detections.boxes + shift))

    def _segment(self, image: Tensor, brain_mask: Tensor) -> Answer:
        """A z-scored volume, float32 [X, Y, Z, C], and its brain, bool [X, Y, Z]: what the members say together."""
        answer = self._answers(image)
        probability = checked(answer.probability, answer.finite,
                              "the network's answer is not finite: the scan holds extreme values")
        return answer._replace(probability=tf.where(brain_mask, probability, 0.0))

    def _ask_members(self, image: Tensor) -> Answer:
        answers: list[Answer] = []
        for member in self._members:
            config = member.config
            windows = coverage.place(tf.shape(image)[:3], config.infer, self._limits.max_window_voxels)
            for network in sides(member.model, config):
                with tf.control_dependencies([answers[-1].probability] if answers else []):     # not at once: memory
                    image = tf.identity(image)
                merged = merge.predict_volume(network, config, image, windows)
                answers.append(Answer(merge.fused_probability(merged, config.fusion.gamma), merged.detections,
                                      tf.math.is_finite(tf.reduce_sum(merged.global_logits))))
        detections = merge.united([answer.detections for answer in answers], self._config.detector.final_nms_iou, DETECTIONS)
        return Answer(tf.add_n([answer.probability for answer in answers]) / len(answers), detections,
                      tf.reduce_all(tf.stack([answer.finite for answer in answers])))

    def _mask(self, probability: Tensor, voxel_mm3: Tensor) -> Tensor:
        """Bool [X, Y, Z]: above the threshold, in lesions by `infer.min_lesion` (mm3) and `min_peak`; voxel_mm3: float64."""
        infer, mask = self._config.infer, probability > self._config.infer.threshold
        if not infer.min_lesion and not infer.min_peak:
            return mask
        least = tf.math.ceil(infer.min_lesion / voxel_mm3 - 1e-6)
        return components.keep_lesions(mask, tf.cast(least, tf.int32), probability >= infer.min_peak,
                                       self._config.lesions.connectivity)

    def _outputs(self, answer: Answer) -> dict[str, Tensor]:
        mask = tf.cast(self._mask(answer.probability, tf.constant(1.0, tf.float64)), tf.uint8)
        count = tf.shape(answer.detections.scores)[0]
        boxes, scores = (tf.pad(rows, [[0, DETECTIONS - count]] + [[0, 0]] * (rows.shape.rank - 1))
                         for rows in (answer.detections.boxes, answer.detections.scores))
        return {"probability": answer.probability, "mask": mask, "detection_boxes": tf.ensure_shape(boxes, [DETECTIONS, 6]),
                "detection_scores": tf.ensure_shape(scores, [DETECTIONS]), "detection_valid": tf.range(DETECTIONS) < count}


class Signature(NamedTuple):
    """What the server can be asked: inputs of these names and types, and the answer to them, both by name."""

    inputs: Callable[[Sequence[str]], dict[str, tf.TensorSpec]]     # of the channels
    answer: Callable[[Segmenter, dict[str, Tensor]], dict[str, Tensor]]


def _volumes(name: str) -> Callable[[Sequence[str]], dict[str, tf.TensorSpec]]:
    """Float32 [B, X, Y, Z, C]."""
    return lambda channels: {name: tf.TensorSpec([None, None, None, None, len(channels)], tf.float32, name)}


def _files(channels: Sequence[str]) -> dict[str, tf.TensorSpec]:
    """The bytes of files, strings [B] for each channel."""
    return {f"{channel}_bytes": tf.TensorSpec([None], tf.string, f"{channel}_bytes") for channel in channels}


# To add a signature, write its answer as a method of `Segmenter` and its row here.
SIGNATURES = {
    "serving_default": Signature(_volumes("z_scored_volume"), lambda s, inputs: s._z_scored_batch(**inputs)),
    "segment_raw": Signature(_volumes("raw_volume"), lambda s, inputs: s._raw_batch(**inputs)),
    "segment_nifti": Signature(_files, lambda s, inputs: s._nifti_batch(inputs)),
}
