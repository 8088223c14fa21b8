"""SAMSEG's lesion masks of a cohort: `python -m benchmarks.samseg --tool samseg/bin/run_samseg --data DATA --out masks/SAMSEG`.

SAMSEG (Puonti et al., NeuroImage 2016; Cerri et al., NeuroImage 2021), MIT licence, FLAIR alone, by its authors' advice for one
contrast. It needs an environment of its own:

    python3.11 -m venv samseg && samseg/bin/pip install samseg==0.4a0 'tensorflow==2.18.*' 'numpy<2'

What it leaves, masks, probabilities and times.csv, is what `experiment --predictions SAMSEG=masks/SAMSEG` reads. Minutes a
scan. Stopped, the same command goes on: a case whose mask is there is not done again.
"""
import argparse
import gzip
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import nibabel as nib
import numpy as np

from synergynet_tf.data import layouts
from synergynet_tf.data.layouts import Case
from synergynet_tf.errors import InputError
from synergynet_tf.runtime import costs, progress
from synergynet_tf.runtime.entry import command
from synergynet_tf.storage.files import replace_file

LESION = 99     # its label of a lesion
OPTIONS = ("--lesion", "--lesion-mask-pattern", "1", "--pallidum-separate", "--save-posteriors", "Lesions")


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", type=pathlib.Path, required=True, help="its command, run_samseg")
    parser.add_argument("--data", required=True, help="folder or manifest")
    parser.add_argument("--split", choices=layouts.SPLITS, help="that of the cases (default: all)")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args(argv)
    if shutil.which(given.tool) is None:
        raise InputError(f"--tool is {given.tool}, but that is no command; --help tells how to install SAMSEG")
    cases = [case for case in layouts.discover(given.data) if given.split in (None, case.split)]
    given.out.mkdir(parents=True, exist_ok=True)
    with progress.bar("scans", len(cases)) as advance:
        for case in cases:
            if not (given.out / f"{case.name}.nii.gz").exists():
                segment(case, given.tool, given.out, given.threads)
            advance()


def segment(case: Case, tool: pathlib.Path, out: pathlib.Path, threads: int) -> None:
    """Segment one scan, in a process of its own, and note what it took.

    Raises:
        InputError: the tool failed; its log is named.
    """
    log = out / f"{case.name}.log"
    with tempfile.TemporaryDirectory() as work, log.open("wb") as written:
        start = time.monotonic()
        process = subprocess.Popen([tool, "-i", case.images["flair"], "-o", work, "--threads", str(threads), *OPTIONS],
                                   stdout=written, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise InputError(f"{case.name}: {tool} ended with status {process.returncode}; its last words are in {log}")
        folder = pathlib.Path(work)
        _write(folder / "posteriors" / "Lesions.mgz", case, out / f"{case.name}_probability.nii.gz", lambda values: values)
        _write(folder / "seg.mgz", case, out / f"{case.name}.nii.gz", lambda labels: labels == LESION)
    scale = 1 if sys.platform == "darwin" else 1024
    costs.note(out, case.name, costs.Cost(round(time.monotonic() - start, 1), round(usage.ru_maxrss * scale / 2 ** 30, 3)))


def _write(path: pathlib.Path, case: Case, target: pathlib.Path,
           of: Callable[[np.ndarray], np.ndarray]) -> None:
    """Write a volume of the tool's on the scan's own grid, which is the grid that it has."""
    scan, volume = nib.load(case.images["flair"]), nib.load(path)
    if volume.shape != scan.shape or not np.allclose(volume.affine, scan.affine, atol=1e-3):
        raise InputError(f"{case.name}: {path.name} has the grid {volume.shape}, but the scan has {scan.shape}")
    values = of(np.asarray(volume.dataobj))
    image = nib.Nifti1Image(values.astype(np.float32 if values.dtype.kind == "f" else np.uint8), scan.affine)
    replace_file(target, gzip.compress(image.to_bytes(), 6))


if __name__ == "__main__":
    sys.exit(main())
