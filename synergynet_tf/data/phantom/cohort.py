"""A cohort of phantom patients on disk: NIfTI files and the manifest that lists them."""
import csv
import gzip
import io
import os
from collections.abc import Callable
from concurrent.futures import as_completed
from pathlib import Path

import nibabel
import numpy as np

from synergynet_tf.config import PhantomConfig
from synergynet_tf.data.phantom.atlas import anatomy_files
from synergynet_tf.data.phantom.patient import Session, make_patient
from synergynet_tf.data.phantom.shapes import read_shapes
from synergynet_tf.errors import InputError, reason, unwritable
from synergynet_tf.runtime.processes import pool
from synergynet_tf.storage.files import replace_file, sweep, temporary

_COLUMNS = ("patient", "session", "flair", "t2", "lesions", "split")


def session_counts(config: PhantomConfig) -> list[int]:
    """Time points of each patient, 1 to config.sessions each; the patients before one do not change its number."""
    return [int(np.random.default_rng([config.seed, index]).integers(1, config.sessions + 1)) for index in range(config.patients)]


def check_folder(folder: Path) -> None:
    """Make sure that a cohort can be written to `folder`, and make it.

    Raises:
        InputError: it cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        filled = any(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder} cannot be used as a folder ({reason(error)[0]}); name another one") from error
    if filled:
        raise InputError(f"{folder} is not empty; name a folder that is empty or does not exist")
    try:
        with temporary(folder / "probe"):
            pass
    except OSError as error:
        raise InputError(f"{folder} is not writable ({reason(error)[0]}); name another one") from error


def _write_volume(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    """Write a NIfTI file, as `files.replace_file` does. The same array gives the same bytes."""
    image = nibabel.Nifti1Image(array, affine)
    image.set_sform(affine, code=4)         # 4: MNI152
    image.set_qform(affine, code=4)
    image.header.set_xyzt_units("mm")
    replace_file(path, gzip.compress(image.to_bytes(), 1, mtime=0))


def _write_patient(folder: Path, config: PhantomConfig, index: int, count: int) -> list[tuple[str, str]]:
    """Make and write one patient; returns (patient, session) of each time point."""
    rows = []
    for number, session in enumerate(make_patient(config.seed, index, count, config.anatomy, config.variety, config.shapes), 1):
        rows.append((f"P{index + 1:03d}", f"T{number}"))
        _write_session(folder / "_".join(rows[-1]), session)
    return rows


def _write_session(folder: Path, session: Session) -> None:
    folder.mkdir(exist_ok=True)
    _write_volume(folder / "flair.nii.gz", session.flair.astype(np.int16), session.affine)
    _write_volume(folder / "t2.nii.gz", session.t2.astype(np.int16), session.affine)
    _write_volume(folder / "lesions.nii.gz", session.lesions, session.affine)


def _write_manifest(folder: Path, rows: list[tuple[str, str]]) -> Path:
    path = folder / "manifest.csv"
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for patient, session in rows:
        files = [f"{patient}_{session}/{name}.nii.gz" for name in ("flair", "t2", "lesions")]
        writer.writerow([patient, session, *files, ""])
    replace_file(path, text.getvalue().encode())
    return path


def generate_cohort(folder: Path, config: PhantomConfig, workers: int | None = None,
                    on_case: Callable[[int], None] | None = None) -> Path:
    """Make a cohort: `<folder>/<patient>_<session>/{flair,t2,lesions}.nii.gz` and `<folder>/manifest.csv`.

    The manifest is written last, so a folder with one is complete. The files depend on the configuration alone, not on `workers`.

    Args:
        folder: empty, or made here.
        config: patients P001, P002, ..., each with time points T1..Tn, n from 1 to `sessions`.
        workers: processes (started by spawn); none: the core count; 1: no process is started.
        on_case: called with the number of time points that a finished patient has.

    Returns:
        The manifest's path: columns patient, session, flair, t2, lesions (relative to the manifest), split (empty).

    Raises:
        InputError: the folder is not empty or cannot be written, the anatomy or the shapes cannot be used, or a
            process was ended from outside.
    """
    folder = Path(folder)
    if config.anatomy is not None:
        anatomy_files(config.anatomy)
    if config.shapes is not None:
        read_shapes(config.shapes)
    check_folder(folder)
    counts = session_counts(config)
    workers = min(workers or os.cpu_count() or 1, config.patients)
    report = on_case or (lambda _: None)
    try:
        with temporary(folder / "cohort", folder=True) as unfinished:       # half a cohort would stand in the next call's way
            rows = _write_all(unfinished, config, counts, workers, report)
            for case in sorted(unfinished.iterdir()):
                os.rename(case, folder / case.name)
        return _write_manifest(folder, sorted(rows))
    except OSError as error:
        raise unwritable(folder, error) from error


def _write_all(folder: Path, config: PhantomConfig, counts: list[int], workers: int,
               report: Callable[[int], None]) -> list[tuple[str, str]]:
    """`_write_patient` for all patients."""
    if workers > 1:
        return _in_processes(folder, config, counts, workers, report)
    rows = []
    for index, count in enumerate(counts):
        rows += _write_patient(folder, config, index, count)
        report(count)
    return rows


def _in_processes(folder: Path, config: PhantomConfig, counts: list[int], workers: int,
                  report: Callable[[int], None]) -> list[tuple[str, str]]:
    """`_write_patient` for all patients in several processes."""
    rows = []
    with pool(workers, "phantom-making") as executor:
        futures = [executor.submit(_write_patient, folder, config, index, count) for index, count in enumerate(counts)]
        for future in as_completed(futures):
            done = future.result()
            rows += done
            report(len(done))
    return rows
