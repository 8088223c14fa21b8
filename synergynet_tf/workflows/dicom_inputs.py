"""DICOM studies among what `predict` is given: each becomes NIfTI files, and its mask a DICOM Segmentation where wanted."""
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import cc3d
import nibabel as nib
import numpy as np
from rich.console import Console

from synergynet_tf.data.dicom.files import is_dicom
from synergynet_tf.data.dicom.study import Series, find_scans
from synergynet_tf.data.dicom.volume import images_of, read_scan
from synergynet_tf.data.raw import tools
from synergynet_tf.data.raw.grid import Grid, write
from synergynet_tf.errors import InputError, of_case
from synergynet_tf.report.prediction_tables import read_result
from synergynet_tf.storage.files import claim, make_own, replace_file
from synergynet_tf.storage.names import require_name

FOLDER = "dicom"            # of the results' folder


class Inputs(NamedTuple):
    """What `predict` is given, its DICOM studies converted."""

    files: list[pathlib.Path]
    failed: list[tuple[str, InputError]]        # studies that cannot be used, and why
    series: dict[str, Series]                   # of the FLAIR of each study, by the case's name


def as_nifti(paths: Sequence[pathlib.Path], channels: Sequence[str], out: pathlib.Path, series: str | None) -> Inputs:
    """The inputs, with a FLAIR file in `out`/dicom in place of each DICOM study.

    Args:
        paths: files, folders, manifests; a study is a folder, a zip file or one enhanced image.
        channels: those that the network takes; they are written beside the FLAIR where the study has them.
        out: the results' folder.
        series: the number, or a part of the description, of the series that is the FLAIR; none: it is seen by the header.
    """
    console, inputs = Console(), Inputs([], [], {})
    for path in paths:
        if not is_dicom(path):
            inputs.files.append(path)
            continue
        name = path.resolve().stem if path.is_file() else path.resolve().name
        try:
            flair, inputs.series[name] = _converted(path, name, channels, out / FOLDER, series, console)
            inputs.files.append(flair)
        except Exception as error:      # whatever it is: the other inputs are still to be segmented
            inputs.failed.append((name, of_case(name, error)))
    return inputs


def write_objects(names: Sequence[str], series: Mapping[str, Series], out: pathlib.Path, network: str) -> None:
    """Write `<case>_seg.dcm` and `<case>_report.dcm` of the cases that came as DICOM, from their masks in the scan's own space.

    Raises:
        InputError: as `segmentation.segmentation`.
    """
    tools.load("highdicom")
    from synergynet_tf.data.dicom.report import measurement_report
    from synergynet_tf.data.dicom.segmentation import segmentation

    for name in (name for name in names if name in series):
        native, about = out / f"{name}_mask_native.nii.gz", read_result(out / f"{name}_lesions.json")
        image: Any = nib.load(native if native.name in about["files"] else out / f"{name}_mask.nii.gz")
        mask = np.ascontiguousarray(image.dataobj) > 0
        _, count = cc3d.connected_components(mask.view(np.uint8), connectivity=about["connectivity"], return_N=True)
        volume_ml = float(mask.sum() * abs(np.linalg.det(image.affine[:3, :3])) / 1000)
        segment = segmentation(series[name], mask, network)
        replace_file(out / f"{name}_seg.dcm", segment)
        replace_file(out / f"{name}_report.dcm", measurement_report(segment, images_of(series[name]), count, volume_ml))


def _converted(path: pathlib.Path, name: str, channels: Sequence[str], folder: pathlib.Path, series: str | None,
               console: Console) -> tuple[pathlib.Path, Series]:
    require_name(f"{path}: the case", name)
    found = find_scans(path, channels, series)
    scans = {channel: read_scan(each) for channel, each in found.series.items()}
    alone = len(scans) == 1
    files = {channel: folder / f"{name}{'' if alone else f'_{channel}'}.nii.gz" for channel in scans}
    claim("--out", files.values(), [path])
    make_own(folder)
    for channel, scan in scans.items():
        whole = bool((scan.array == np.round(scan.array)).all() and np.abs(scan.array).max() < 2 ** 15)
        write(files[channel], scan.array, Grid(scan.array.shape, scan.affine), np.int16 if whole else np.float32)
    console.print("\n    ".join([f"{name}: {path}", *found.lines]), markup=False, highlight=False, soft_wrap=True)
    return files["flair"], found.series["flair"]
