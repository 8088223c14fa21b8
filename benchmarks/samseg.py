"""SAMSEG's lesion masks of a cohort: `python -m benchmarks.samseg --tool samseg/bin/run_samseg --data DATA --out masks/SAMSEG`.

SAMSEG (Puonti et al., NeuroImage 2016; Cerri et al., NeuroImage 2021), MIT licence, FLAIR alone, by its authors' advice for one
contrast. It needs an environment of its own:

    python3.11 -m venv samseg && samseg/bin/pip install samseg==0.4a0 'tensorflow==2.18.*' 'numpy<2'

What it leaves, masks, probabilities and times.csv, is what `experiment --predictions SAMSEG=masks/SAMSEG` reads. Minutes a
scan. Stopped, the same command goes on: a case whose mask is there is not done again.
"""
import argparse
import os
import pathlib
import shutil
import sys
import tempfile

import nibabel as nib
import numpy as np

from benchmarks import other_tools
from synergynet_tf.data import layouts, nifti
from synergynet_tf.data.layouts import Case
from synergynet_tf.errors import InputError
from synergynet_tf.runtime import progress
from synergynet_tf.runtime.entry import command
from synergynet_tf.storage.files import make_folder

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
    make_folder(given.out, "--out")
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
    scan = nifti.read(case.images["flair"])
    with tempfile.TemporaryDirectory() as work:
        cost = other_tools.run([tool, "-i", scan.path, "-o", work, "--threads", str(threads), *OPTIONS], out / f"{case.name}.log")
        stored = [nib.load(pathlib.Path(work) / name) for name in ("seg.mgz", "posteriors/Lesions.mgz")]
        labels, probability = (other_tools.on_grid(np.asarray(image.dataobj), image.affine, scan) for image in stored)
    other_tools.write(out / case.name, labels == LESION, probability, scan, cost)


if __name__ == "__main__":
    sys.exit(main())
