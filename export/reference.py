"""What the trained networks themselves answer, in this process: what an export is compared with.

An answer is a flat dictionary of arrays, `SIGNATURE/inputs/NAME` and `SIGNATURE/outputs/NAME`, without the batch's dimension, so
that one .npz file holds it and a process without this package can read it. Files are uint8 arrays.
"""
import math
import pathlib
import tempfile
from collections.abc import Mapping, Sequence

import cc3d
import nibabel as nib
import numpy as np

from synergynet_tf.config import Config
from synergynet_tf.data import nifti
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.preprocess import load_case
from synergynet_tf.errors import InputError
from synergynet_tf.inference import merge
from synergynet_tf.inference.lesions import Limits, least_voxels, lesion_mask
from synergynet_tf.inference.predictor import Predictor, Segmentation

from .signatures import DETECTIONS


def answers(networks: Sequence[Predictor], files: Mapping[str, pathlib.Path]) -> dict[str, np.ndarray]:
    """What the networks answer, averaged, to a scan's files, for every signature.

    `segment_raw` is left out where it refuses what it is given without the files' grid: it takes voxels for 1 mm.

    Raises:
        InputError: as `Predictor.predict_case`.
    """
    config = networks[0].config
    case = Case("scan", "scan", "", dict(files), None, None)
    cases = [network.predict_case(case) for network in networks]
    loaded = cases[0].loaded
    plain = [network.predict_volume(loaded.image) for network in networks]
    raw = np.stack([nifti.read(files[channel], finite=False).array for channel in config.data.channels], -1)
    on_grid = _mean([c.on_grid(c.segmentation.probability) for c in cases])
    shift = np.tile(np.asarray(loaded.box[:3], np.float32), 2)
    lesions = _mask(on_grid, config, math.prod(loaded.grid.spacing))
    outputs = {
        "serving_default": _volume_outputs(_mean([s.probability for s in plain]), plain, config),
        "segment_raw": _volume_outputs(on_grid, [c.segmentation for c in cases], config, shift),
        "segment_nifti": _file_outputs(lesions, loaded.grid, config)
        | {"notes": _as_array("\n".join(loaded.notes).encode())}}
    inputs = {"serving_default": {"z_scored_volume": loaded.image}, "segment_raw": {"raw_volume": raw},
              "segment_nifti": {f"{channel}_bytes": _as_array(files[channel].read_bytes()) for channel in config.data.channels}}
    try:
        outputs["segment_raw"]["notes"] = _as_array("\n".join(_notes_at_1mm(raw, config.data.channels)).encode())
    except InputError:
        del outputs["segment_raw"], inputs["segment_raw"]
    return ({f"{name}/inputs/{key}": value for name, group in inputs.items() for key, value in group.items()}
            | {f"{name}/outputs/{key}": value for name, group in outputs.items() for key, value in group.items()})


def _mean(probabilities: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(np.mean(probabilities, axis=0, dtype=np.float32))


def _notes_at_1mm(raw: np.ndarray, channels: Sequence[str]) -> tuple[str, ...]:
    """The notes on a scan [X, Y, Z, C] of 1 mm. Raises InputError where it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        files = {channel: pathlib.Path(folder) / f"{channel}.nii" for channel in channels}
        for i, path in enumerate(files.values()):
            nib.save(nib.Nifti1Image(raw[..., i], np.eye(4)), path)
        return load_case(Case("scan", "scan", "", files, None, None), channels).notes


def _volume_outputs(probability: np.ndarray, segmentations: Sequence[Segmentation], config: Config,
                    shift: np.ndarray | float = 0) -> dict[str, np.ndarray]:
    detections = merge.united([part.merged.detections for s in segmentations for part in s.parts],
                              config.detector.final_nms_iou, DETECTIONS)
    boxes, scores = detections.boxes.numpy(), detections.scores.numpy()
    mask = _mask(probability, config, 1.0)
    empty = DETECTIONS - len(scores)
    return {"probability": probability, "mask": mask.astype(np.uint8),
            "detection_boxes": np.pad(boxes + shift, ((0, empty), (0, 0))).astype(np.float32),
            "detection_scores": np.pad(scores, (0, empty)),
            "detection_valid": np.arange(DETECTIONS) < len(scores)}


def _mask(probability: np.ndarray, config: Config, voxel_mm3: float) -> np.ndarray:
    limits = Limits(least_voxels(config.infer.min_lesion, voxel_mm3), config.infer.min_peak, config.lesions.connectivity)
    return lesion_mask(probability, config.infer.threshold, limits)


def _file_outputs(mask: np.ndarray, grid: nifti.Volume, config: Config) -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "mask.nii"
        nifti.write_like(path, mask, grid, np.uint8)
        content = path.read_bytes()
    labels = cc3d.connected_components(np.ascontiguousarray(mask, np.uint8), connectivity=config.lesions.connectivity)
    ml = np.count_nonzero(mask) * np.prod(grid.spacing) / 1000
    return {"mask_bytes": _as_array(content), "lesion_count": np.array(labels.max(), np.int32),
            "lesion_volume_ml": np.array(ml, np.float32)}


def _as_array(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)
