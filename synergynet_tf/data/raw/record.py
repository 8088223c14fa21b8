"""What a prepared case keeps of its way: `prepared.json` in its folder, beside the scans.

From it a result on the prepared grid finds back to the scan's own space; nothing else of the raw scan is needed.
"""
import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from synergynet_tf.data import nifti
from synergynet_tf.data.raw.grid import Grid, grid_of, resample
from synergynet_tf.errors import InputError
from synergynet_tf.storage import typed
from synergynet_tf.storage.files import replace_file
from synergynet_tf.storage.readers import read_json, reading

FORMAT = 1
FILE = "prepared.json"
PICTURE = "qc.png"
OWN_BRAIN = "own_space_brain.nii.gz"    # the brain on the FLAIR's own grid, with its header
Matrix = list[list[float]]              # [4, 4], mm to mm, RAS+
SOURCE_GRID = {"shape": list[int], "affine": Matrix, "axes": list[str]}


@dataclass(frozen=True)
class Record:
    """The case, its files, where they came from and what was done."""

    key: str                            # of the sources, the settings and the tools
    patient: str
    session: str
    split: str | None
    files: dict[str, str]               # by channel, and lesions: names in the folder
    sources: dict[str, dict[str, str]]  # by channel, and lesions: path and digest
    source_grid: dict[str, list]        # shape, affine and axes of the FLAIR as its file stores it
    steps: dict[str, str | bool]        # the settings
    versions: dict[str, str]
    to_flair: Matrix                    # from mm of the prepared grid to mm of the FLAIR's world
    template_to_flair: Matrix | None    # affine, from MNI mm, where it was sought
    flair_to_channel: dict[str, Matrix]
    seconds: dict[str, float]           # that each step took, when it was last computed
    format: int = FORMAT
    date: str | None = None             # of the scan, where the source has it
    written: dict[str, str] | None = None   # digests of the files, by name
    notes: list[str] | None = None      # what was mended in the raw scans


def read(folder: Path) -> Record | None:
    """The record of a folder, or None where it holds none.

    Raises:
        InputError: it is damaged, or of another version.
    """
    path, kind, remedy = folder / FILE, "record of the preparation", "prepare the case again"
    if not path.exists():
        return None
    record = Record(**read_json(path, kind, remedy, Record))
    with reading(path, kind, remedy):
        if record.format != FORMAT:
            raise ValueError(f"its format is {record.format}, this version reads {FORMAT}")
        if any(not name or PurePath(name).name != name for name in record.files.values()) or "flair" not in record.files:
            raise ValueError("its files are not names in its folder, flair among them")
        typed.require(record.source_grid, SOURCE_GRID, "source_grid")
        for matrix in (record.to_flair, record.template_to_flair or record.to_flair, *record.flair_to_channel.values()):
            if np.shape(matrix) != (4, 4) or not abs(np.linalg.det(matrix)) > 0:
                raise ValueError("a matrix is not of 4 x 4 numbers that can be inverted")
    return record


def of_scan(flair: nifti.Volume) -> Record | None:
    """The record of a FLAIR that `prepare --raw` made; None of another.

    Raises:
        InputError: as `read`.
    """
    found = read(flair.path.parent)
    return None if found is None or found.files["flair"] != flair.path.name else found


def known(folder: Path) -> Record | None:
    """The record of a folder; None where it holds none that can be used, and the case is prepared anew."""
    try:
        return read(folder)
    except InputError:
        return None


def own_scale(flair: nifti.Volume) -> float:
    """A volume in the space that a scan was taken in, over the same on its prepared grid; 1 where it was not prepared.

    Raises:
        InputError: the prepared case is damaged.
    """
    return abs(float(np.linalg.det(to_own(flair)[:3, :3])))


def to_own(flair: nifti.Volume) -> np.ndarray:
    """From mm of a prepared grid to mm of the space that the scan was taken in, [4, 4]; the identity where it was not prepared.

    Raises:
        InputError: the prepared case is damaged.
    """
    found = of_scan(flair)
    return np.eye(4) if found is None else np.asarray(found.to_flair)


def write(folder: Path, record: Record) -> None:
    """Write the record, as `files.replace_file` does."""
    replace_file(folder / FILE, (json.dumps(dataclasses.asdict(record), indent=1) + "\n").encode())


def to_own_space(array: np.ndarray, grid: Grid, folder: Path, record: Record) -> tuple[np.ndarray, nifti.Volume]:
    """Carry an array from a prepared grid to its FLAIR's own space.

    Args:
        array: [X, Y, Z] on `grid`, the prepared scan's.
        grid: the prepared scan's.
        folder: of the prepared case.
        record: of the preparation.

    Returns:
        float32 [X, Y, Z] on the FLAIR's canonical grid, by linear interpolation and as the mean over thick slices, 0 outside
        the brain; and the volume on whose grid it lies, for `nifti.write_like`.

    Raises:
        InputError: the case's own-space file is gone or another.
    """
    brain = nifti.read_mask(folder / OWN_BRAIN)
    if list(brain.file_shape) != record.source_grid["shape"]:
        raise InputError(f"{folder / OWN_BRAIN}: the grid is {brain.file_shape}, but {folder / FILE} has "
                         f"{record.source_grid['shape']}; prepare the case again")
    carried = resample(array, grid, grid_of(brain), np.linalg.inv(record.to_flair))
    return np.where(brain.array, carried, np.float32(0)), brain
