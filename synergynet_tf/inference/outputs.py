"""What is written for a segmented case: mask, probability and lesion list, on the grid of the FLAIR file."""
import json
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from synergynet_tf.data import nifti
from synergynet_tf.data.anatomy.places import Frame, place_rows
from synergynet_tf.data.anatomy.scan import anatomy_of
from synergynet_tf.data.raw.record import own_scale, to_own
from synergynet_tf.inference.lesions import Evidence, lesion_table, score_map
from synergynet_tf.inference.native import write_native
from synergynet_tf.inference.predictor import CasePrediction
from synergynet_tf.metrics.lesion import lesion_voxels
from synergynet_tf.storage import locks
from synergynet_tf.storage.files import digest, replace_file
from synergynet_tf.storage.sealed import sealed


def write_case(folder: pathlib.Path, prediction: CasePrediction, checkpoint: dict[str, Any] | None = None,
               inputs: dict[str, str] | None = None,
               draw: Callable[[dict[str, Any]], pathlib.Path] | None = None,
               quality: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """Write `<case>_mask.nii.gz` (uint8), `<case>_probability.nii.gz` (float32) and `<case>_lesions.json`.

    Of a scan that came from `prepare --raw` also the mask in the raw scan's own space, see `native`. Each file appears whole
    or not at all, the JSON file last; of two commands that write one case, the last one's files are there, all of them.

    Args:
        folder: exists already.
        prediction: of `Predictor.predict_case`.
        checkpoint: what identifies the network, for the JSON file.
        inputs: digests of the scans' files by channel, for the JSON file.
        draw: makes a picture from what `report` gives, which belongs to the case too.
        quality: the scan's, for the JSON file (`quality_range.as_stored`).

    Returns:
        What the JSON file holds: that of `report`, the inputs, and digests of the files and of itself.

    Raises:
        InputError: a file cannot be written.
    """
    name, flair, segmentation = prediction.case.name, prediction.loaded.grid, prediction.segmentation
    mask, probability = (folder / f"{name}_{kind}.nii.gz" for kind in ("mask", "probability"))
    summary = report(prediction, checkpoint) | ({} if quality is None else {"quality": quality})
    picture = draw(summary) if draw else None
    with locks.turn(folder):
        nifti.write_like(probability, prediction.on_grid(segmentation.probability), flair, np.float32)
        nifti.write_like(mask, prediction.on_grid(segmentation.mask), flair, np.uint8)
        files = [mask, probability, write_native(folder, prediction), picture]
        content = sealed(summary | {"inputs": inputs, "files": {file.name: digest(file) for file in files if file}}, indent=2)
        replace_file(folder / f"{name}_lesions.json", content)
    return json.loads(content)


def report(prediction: CasePrediction, checkpoint: dict[str, Any] | None = None) -> dict[str, Any]:
    """The case's totals, the settings that they depend on, and its lesions (`lesions.lesion_table`).

    Places and volumes are on the FLAIR file's own grid, as it is stored, and in mm of its world; times `own_space_scale` a volume
    is that of the raw scan that was prepared. Regions are those of `places.place_rows`. `detections` counts the boxes of the
    local branch, lesion or not.
    """
    segmentation, flair = prediction.segmentation, prediction.loaded.grid
    config, connectivity = prediction.config, prediction.config.lesions.connectivity
    local, unet = segmentation.branch_masks()
    detections = segmentation.detections
    scores = score_map(detections.boxes, detections.scores, segmentation.mask.shape)
    evidence = (segmentation.probability, scores, local, unet)
    stored = Evidence(*(nifti.to_file_grid(prediction.on_grid(array), flair) for array in evidence))
    mask = nifti.to_file_grid(prediction.on_grid(segmentation.mask), flair)
    rows = lesion_table(mask, stored, flair.file_affine, connectivity)
    split = config.infer.split_confluent
    places = place_rows(rows, lesion_voxels(mask, connectivity)[:2], flair.file_affine,
                        Frame(anatomy_of(prediction.loaded, config.data.channels, segmentation.mask), to_own(flair)), split)
    return {
        "case": prediction.case.name,
        "images": {channel: str(prediction.case.images[channel].absolute()) for channel in config.data.channels},
        "own_space_scale": round(own_scale(flair), 6),
        "brain_ml": round(float(prediction.loaded.brain.sum() * np.prod(flair.spacing) / 1000), 3),
        "count": len(rows), "volume_ml": round(sum(row["volume_mm3"] for row in rows) / 1000, 6),
        "detections": len(detections.scores),
        "connectivity": connectivity, "threshold": segmentation.threshold, "gamma": segmentation.parts[0].gamma,
        "coverage": config.infer.coverage, "mirror": config.infer.mirror, "min_lesion": config.infer.min_lesion,
        "min_peak": config.infer.min_peak, "split_confluent": split, **places,
        "checkpoint": checkpoint, "notes": list(prediction.loaded.notes), "lesions": rows}
