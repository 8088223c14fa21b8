"""A folder in which the commands of README and docs can be run as they stand: it has what their words name.

Scans are tiny. Commands that train get a few settings more, by a `python` that comes first in the PATH, and take seconds;
`pip` and `python3.11 -m venv` do nothing, since the tests' own environment is used; `docker` runs the tests' model server.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import nibabel as nib
import numpy as np

from synergynet_tf.data.phantom.atlas import AFFINE, template_atlas
from tests.cohort import TINY, write_tiny_cohort
from tests.data.raw import head

ROOT = pathlib.Path(__file__).parents[2]
SERVER = ROOT / "tests/export/server.py"

PYTHON = """#!/bin/bash
case "$*" in
    *--resume*|*--gamma-scan*) ;;                               # the settings are the run's own
    *synergynet_tf.experiment*|*tuning.search*) set -- "$@" --config {settings} ;;
    *"--preset paper"*) set -- "$@" --config {settings} ;;       # one training of SynergyNet; the U-Net takes a fifth of its time
    *synergynet_tf.train*) set -- "$@" --config {settings} --train.system unet ;;
esac
case "$*" in
    *synergynet_tf.phantoms*) set -- "$@" --patients 1 --workers 1 ;;
    *synergynet_tf.experiment*) set -- "$@" --systems unet --folds 2 ;;     # tests/test_experiment.py has the others
    *--gamma-scan*) ;;
    *tuning.search*) set -- "$@" --max-trials 2 ;;
esac
exec {python} "$@"
"""
VENV = """#!/bin/bash
[ "$1 $2 $3" = "-m venv .venv" ] || exit 9
mkdir -p .venv/bin && touch .venv/bin/activate
"""
PIP = """#!/bin/bash
for word in "$@"; do case "$word" in *.txt) [ -f "$word" ] || exit 1 ;; esac; done
"""
DOCKER = """#!/bin/bash
[ "$1 $2 $4 $5 $6" = "compose -f up -d --wait" ] && [ -f "$3" ] || exit 9
mkfifo .ready
{python} {server} "$(dirname "$3")/synergynet/1" synergynet 8501 8500 > .ready 2> server.log & echo $! > .server
read -r _ < .ready
"""


def blocks(page: pathlib.Path) -> list[str]:
    """The ```bash blocks of a page, in their order."""
    return re.findall(r"^```bash\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def make(folder: pathlib.Path) -> pathlib.Path:
    """Fill a folder with the scans that the pages' words name."""
    write_tiny_cohort(folder / "scans", 5)
    new, reference, others = folder / "new", folder / "reference", folder / "lst_masks"
    write_tiny_cohort(new, 2, seed=1)
    (new / "manifest.csv").unlink()
    for path in (reference, others):
        path.mkdir()
    for mask in sorted(new.glob("*_lesions.nii.gz")):
        shutil.move(mask, reference / mask.name.replace("_lesions", ""))
    for mask in (folder / "scans").glob("*_lesions.nii.gz"):
        shutil.copy(mask, others / mask.name.replace("_lesions", "_1"))
    shutil.copy(new / "P0_flair.nii.gz", folder / "flair.nii.gz")
    grid = head.slices()
    head.save(folder / "raw_scans" / "P9" / "flair.nii.gz", head.view("flair", grid), grid)
    _public(folder / "public")
    for name in ("requirements.txt", "requirements-addons.txt"):
        shutil.copy(ROOT / name, folder)
    settings = folder / "tiny.yaml"
    settings.write_text(json.dumps(TINY | {"lesions": {"max_lesions": 512}, "phantoms": {"patients": 3},
                                           "train": {"epochs": [0, 0, 0, 1], "steps_per_epoch": 2}}))
    _tools(folder / "bin", settings)
    return folder


def _public(folder: pathlib.Path) -> None:
    """What stands in for the public scans that the shipped network is trained on."""
    labels = template_atlas().labels.astype(np.uint8)
    right = labels[91:]
    right[np.isin(right, (2, 3, 4, 7, 8, 10, 11, 12, 13))] += 39
    (folder / "anatomy").mkdir(parents=True)
    nib.save(nib.Nifti1Image(labels, AFFINE), folder / "anatomy" / "seg_01.nii.gz")
    box = np.argwhere(np.ones((5, 5, 5)))
    (folder / "lesion_shapes").mkdir()
    np.savez(folder / "lesion_shapes" / "ms_lesions_mni1mm_LAS.npz", offsets=np.arange(0, 501, 125),
             coords=np.concatenate([box + place for place in ((60, 110, 95), (118, 110, 95), (60, 90, 100), (118, 90, 100))]))
    grid = head.slices()
    head.save(folder / "ms3seg" / "101228" / "flair.nii.gz", head.view("flair", grid), grid)
    lesions = np.zeros(grid.shape, np.uint8)
    lesions[tuple(slice(n // 2, n // 2 + 3) for n in grid.shape)] = 1
    head.save(folder / "ms3seg" / "101228" / "lesions.nii.gz", lesions, grid)
    for cohort, names in (("open_ms", ("patient07", "patient19")), ("mslesseg", ("P14_T1", "P14_T2"))):
        write_tiny_cohort(folder / "tiny", 2, seed=len(cohort))
        for number, name in enumerate(names):
            (folder / cohort / name).mkdir(parents=True)
            for kind in ("flair", "lesions"):
                shutil.move(folder / "tiny" / f"P{number}_{kind}.nii.gz", folder / cohort / name / f"{kind}.nii.gz")
    shutil.rmtree(folder / "tiny")


def forget(folder: pathlib.Path, block: str) -> None:
    """Remove the runs that a block trains anew: each page begins with its own."""
    for run in re.findall(r"synergynet_tf\.train .*--run (\S+)", block):
        shutil.rmtree(folder / run, ignore_errors=True)


def _tools(folder: pathlib.Path, settings: pathlib.Path) -> None:
    folder.mkdir()
    names = {"python": sys.executable, "server": SERVER, "settings": settings}
    for name, text in {"python": PYTHON, "python3.11": VENV, "pip": PIP, "docker": DOCKER}.items():
        (folder / name).write_text(text.format(**names))
        (folder / name).chmod(0o755)


def run(folder: pathlib.Path, block: str, timeout: float = 900) -> subprocess.CompletedProcess:
    """Run a block as a person would paste it, but stop at the first command that fails."""
    environment = os.environ | {"PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT),
                                "XDG_CACHE_HOME": str(folder / "cache"), "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(["bash", "-e", "-o", "pipefail", "-c", block], cwd=folder, env=environment, text=True, timeout=timeout,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
