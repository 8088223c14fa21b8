"""DICOM studies among what `predict` is given: each becomes the NIfTI files of its FLAIR and of what else the network takes."""
import pathlib
from collections.abc import Sequence

import numpy as np
from rich.console import Console

from synergynet_tf.data.dicom.files import is_dicom
from synergynet_tf.data.dicom.study import find_scans
from synergynet_tf.data.dicom.volume import read_scan
from synergynet_tf.data.raw.grid import Grid, write
from synergynet_tf.errors import InputError, of_case
from synergynet_tf.storage.files import claim, make_own
from synergynet_tf.storage.names import require_name

FOLDER = "dicom"            # of the results' folder


def as_nifti(paths: Sequence[pathlib.Path], channels: Sequence[str], out: pathlib.Path,
             series: str | None) -> tuple[list[pathlib.Path], list[tuple[str, InputError]]]:
    """The inputs, with a FLAIR file in `out`/dicom in place of each DICOM study; and the studies that cannot be used, and why.

    Args:
        paths: files, folders, manifests; a study is a folder, a zip file or one enhanced image.
        channels: those that the network takes; they are written beside the FLAIR where the study has them.
        out: the results' folder.
        series: the number, or a part of the description, of the series that is the FLAIR; none: it is seen by the header.
    """
    console, files, failed = Console(), [], []
    for path in paths:
        if not is_dicom(path):
            files.append(path)
            continue
        name = path.resolve().stem if path.is_file() else path.resolve().name
        try:
            files.append(_converted(path, name, channels, out / FOLDER, series, console))
        except Exception as error:      # whatever it is: the other inputs are still to be segmented
            failed.append((name, of_case(name, error)))
    return files, failed


def _converted(path: pathlib.Path, name: str, channels: Sequence[str], folder: pathlib.Path, series: str | None,
               console: Console) -> pathlib.Path:
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
    return files["flair"]
