"""What the trained networks themselves answer, in this process: what an export is compared with.

An answer is a flat dictionary of arrays, `SIGNATURE/inputs/NAME` and `SIGNATURE/outputs/NAME`, without the batch's dimension, so
that one .npz file holds it and a process without this package can read it. Files are uint8 arrays.
"""
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Mapping, Sequence

import cc3d
import nibabel as nib
import numpy as np

from synergynet_tf.data import nifti
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.preprocess import load_case
from synergynet_tf.errors import InputError
from synergynet_tf.inference import merge
from synergynet_tf.inference.lesions import least_voxels
from synergynet_tf.inference.predictor import CasePrediction, Predictor, Segmentation

from .signatures import DETECTIONS


def answers(network: Predictor, files: Mapping[str, pathlib.Path]) -> dict[str, np.ndarray]:
    """What a network, or several as one, answers to a scan's files, for every signature.

    `segment_raw` is left out where it refuses what it is given without the files' grid: it takes voxels for 1 mm.

    Raises:
        InputError: as `Predictor.predict_case`.
    """
    channels, least_mm3 = network.config.data.channels, network.config.infer.min_lesion
    prediction = network.predict_case(Case("scan", "scan", "", dict(files), None, None))
    loaded, segmentation = prediction.loaded, prediction.segmentation
    raw = np.stack([nifti.read(files[channel], finite=False).array for channel in channels], -1)
    limits = segmentation.final.limits._replace(voxels=least_voxels(least_mm3, 1.0))
    at_1mm = dataclasses.replace(segmentation, final=segmentation.final._replace(limits=limits))
    plain = dataclasses.replace(at_1mm, brain=(loaded.image != 0).any(axis=-1))
    shift = np.tile(np.asarray(loaded.box[:3], np.float32), 2)
    outputs = {"serving_default": _volume_outputs(plain), "segment_raw": _volume_outputs(at_1mm, prediction.on_grid, shift),
               "segment_nifti": _file_outputs(prediction)}
    inputs = {"serving_default": {"z_scored_volume": loaded.image}, "segment_raw": {"raw_volume": raw},
              "segment_nifti": {f"{channel}_bytes": _as_array(files[channel].read_bytes()) for channel in channels}}
    try:
        outputs["segment_raw"]["notes"] = _as_array("\n".join(_notes_at_1mm(raw, channels)).encode())
    except InputError:
        del outputs["segment_raw"], inputs["segment_raw"]
    return ({f"{name}/inputs/{key}": value for name, group in inputs.items() for key, value in group.items()}
            | {f"{name}/outputs/{key}": value for name, group in outputs.items() for key, value in group.items()})


def _notes_at_1mm(raw: np.ndarray, channels: Sequence[str]) -> tuple[str, ...]:
    """The notes on a scan [X, Y, Z, C] of 1 mm. Raises InputError where it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        files = {channel: pathlib.Path(folder) / f"{channel}.nii" for channel in channels}
        for i, path in enumerate(files.values()):
            nib.save(nib.Nifti1Image(raw[..., i], np.eye(4)), path)
        return load_case(Case("scan", "scan", "", files, None, None), channels).notes


def _volume_outputs(segmentation: Segmentation, on_grid: Callable[[np.ndarray], np.ndarray] = np.asarray,
                    shift: np.ndarray | float = 0) -> dict[str, np.ndarray]:
    """Of a segmentation, its arrays put on a grid, on which its first voxel is `shift`."""
    detections = merge.united([part.merged.detections for part in segmentation.parts], segmentation.final.nms_iou, DETECTIONS)
    boxes, scores = detections.boxes.numpy(), detections.scores.numpy()
    empty = DETECTIONS - len(scores)
    return {"probability": on_grid(segmentation.probability), "mask": on_grid(segmentation.mask).astype(np.uint8),
            "detection_boxes": np.pad(boxes + shift, ((0, empty), (0, 0))).astype(np.float32),
            "detection_scores": np.pad(scores, (0, empty)),
            "detection_valid": np.arange(DETECTIONS) < len(scores)}


def _file_outputs(prediction: CasePrediction) -> dict[str, np.ndarray]:
    mask, grid = prediction.on_grid(prediction.segmentation.mask), prediction.loaded.grid
    connectivity = prediction.config.lesions.connectivity
    _, count = cc3d.connected_components(mask.astype(np.uint8), connectivity=connectivity, return_N=True)
    ml = np.count_nonzero(mask) * np.prod(grid.spacing) / 1000
    return {"mask_bytes": _as_array(nifti.bytes_like(mask, grid, np.uint8)), "lesion_count": np.array(count, np.int32),
            "lesion_volume_ml": np.array(ml, np.float32), "notes": _as_array("\n".join(prediction.loaded.notes).encode())}


def _as_array(content: bytes) -> np.ndarray:
    return np.frombuffer(content, np.uint8)
