"""DICOM studies among what `predict` is given: each becomes NIfTI files."""
import pathlib
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from rich.console import Console

from synergynet_tf.data.dicom.study import Series, find_scans
from synergynet_tf.data.dicom.volume import read_scan
from synergynet_tf.data.raw.grid import Grid, write
from synergynet_tf.errors import InputError, of_case
from synergynet_tf.storage.files import claim, make_own
from synergynet_tf.storage.names import key, require_name

FOLDER = "dicom"            # of the results' folder


class Inputs(NamedTuple):
    """What `predict` is given, its DICOM studies converted."""

    files: list[pathlib.Path]
    failed: list[tuple[str, InputError]]        # studies that cannot be used, and why
    series: dict[str, Series]                   # of the FLAIR of each study, by the case's name


def as_nifti(paths: Sequence[pathlib.Path], studies: Collection[pathlib.Path], channels: Sequence[str], out: pathlib.Path,
             series: str | None) -> Inputs:
    """The inputs, with a FLAIR file in `out`/dicom in place of each DICOM study.

    Args:
        paths: files, folders, manifests.
        studies: those of them that are DICOM studies: folders, zip files or enhanced images.
        channels: those that the network takes; they are written beside the FLAIR where the study has them.
        out: the results' folder.
        series: the number, or a part of the description, of the series that is the FLAIR; none: it is seen by the header.
    """
    console, inputs = Console(), Inputs([], [], {})
    named: dict[str, pathlib.Path] = {}
    for path in paths:
        if path not in studies:
            inputs.files.append(path)
            continue
        name = path.resolve().stem if path.is_file() else path.resolve().name
        try:
            if (other := named.setdefault(key(name), path)) is not path:
                raise InputError(f"{path}: would be the case {name}, as {other} is; segment them into different folders")
            flair, inputs.series[name] = _converted(path, name, channels, out / FOLDER, series, console)
            inputs.files.append(flair)
        except Exception as error:      # whatever it is: the other inputs are still to be segmented
            inputs.failed.append((name, of_case(name, error)))
    return inputs


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
