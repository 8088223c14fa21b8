"""Other people's tools, run as their users would: each in a process and an environment of its own, its words in a log."""
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence

import nibabel as nib
import numpy as np

from synergynet_tf.data import nifti
from synergynet_tf.data.nifti import Volume
from synergynet_tf.errors import InputError
from synergynet_tf.runtime import costs
from synergynet_tf.runtime.memory import GB

MAXRSS = 1 if sys.platform == "darwin" else 1024        # bytes of the unit that the system counts in


def run(words: Sequence[str | pathlib.Path], log: pathlib.Path, environment: Mapping[str, str] | None = None) -> costs.Cost:
    """Run a command to its end.

    Args:
        words: the command.
        log: its output is added there.
        environment: variables that it has beside this process's.

    Returns:
        Seconds by the clock, and the memory of the largest of its processes, GB.

    Raises:
        InputError: it failed; its log is named.
    """
    start = time.monotonic()
    with log.open("ab") as written:
        process = subprocess.Popen(list(words), stdout=written, stderr=subprocess.STDOUT,
                                   env={**os.environ, **(environment or {})})
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise InputError(f"{words[0]} ended with status {process.returncode}; its last words are in {log}")
    return costs.Cost(round(time.monotonic() - start, 1), round(usage.ru_maxrss * MAXRSS / GB, 3))


def on_grid(array: np.ndarray, affine: np.ndarray, scan: Volume) -> np.ndarray:
    """A tool's array, as it stores it, [X, Y, Z] on the scan's grid.

    Raises:
        InputError: it has another grid.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain = pathlib.Path(folder) / "array.nii"
        nib.Nifti1Image(array, affine).to_filename(plain)
        volume = nifti.read(plain)
        nifti.check_same_grid(scan, volume)
        return volume.array


def write(stem: pathlib.Path, mask: np.ndarray, probability: np.ndarray, scan: Volume, cost: costs.Cost) -> None:
    """What `experiment --predictions` reads of a case; `stem`: its folder and name. The mask, last, says that it is done."""
    nifti.write_like(f"{stem}_probability.nii.gz", probability, scan, np.float32)
    costs.note(stem.parent, stem.name, cost)
    nifti.write_like(f"{stem}.nii.gz", mask, scan, np.uint8)
