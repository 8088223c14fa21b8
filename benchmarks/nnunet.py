"""nnU-Net trained on a mix, and its masks: `python -m benchmarks.nnunet --tool nnunet/bin --data mix.csv --out masks/nnU-Net`.

nnU-Net (Isensee et al., Nature Methods 2021), Apache-2.0, by its own commands: plan and preprocess, train on the training cases,
predict. For a CPU two things are not its defaults: the plan is for a GPU of little memory, which makes its patches small, and the
training ends by the clock. It predicts without mirroring. It needs an environment of its own:

    python3.11 -m venv nnunet && nnunet/bin/pip install nnunetv2==2.8.1

What it leaves, masks, probabilities and times.csv, is what `experiment --predictions nnU-Net=masks/nnU-Net` reads; its own files
lie in OUT/nnunet. Stopped, the same command goes on: what is there is not done again, but a training begins anew.
"""
import argparse
import json
import os
import pathlib
import sys
import tempfile

import nibabel as nib
import numpy as np

from benchmarks import other_tools
from synergynet_tf.config import arguments
from synergynet_tf.data import layouts, nifti
from synergynet_tf.data.layouts import Case
from synergynet_tf.errors import InputError
from synergynet_tf.runtime import progress
from synergynet_tf.runtime.entry import command
from synergynet_tf.storage.files import make_folder, replace_file

DATASET, PLANS, CONFIGURATION = "Dataset001_MS", "nnUNetPlansSmall", "3d_fullres"
SIDE = pathlib.Path(__file__).with_name("nnunet_side.py")


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", type=arguments.path, required=True, help="the folder of its commands")
    parser.add_argument("--data", required=True, help="manifest with a column split")
    parser.add_argument("--sources", help="segment the test cases of these sources only, with commas (default: all)")
    parser.add_argument("--minutes", type=float, default=20.0, help="of training (default: %(default)s)")
    parser.add_argument("--gpu-memory", default="1", help="GB that the plan is made for (default: %(default)s)")
    parser.add_argument("--out", type=arguments.path, required=True)
    given = parser.parse_args(argv)
    tool = given.tool.absolute()
    if not (tool / "nnUNetv2_predict").is_file():
        raise InputError(f"--tool is {given.tool}, but nnUNetv2_predict is not there; --help tells how to install nnU-Net")
    cases = layouts.discover(given.data, require_lesions=True)
    sources = given.sources.split(",") if given.sources else [case.source for case in cases]
    tests = [case for case in cases if case.split == "test" and case.source in sources]
    if not tests:
        raise InputError(f"{given.data} has no test case of {given.sources or 'any source'}: see its columns split and source")
    make_folder(given.out, "--out")
    work = (given.out / "nnunet").absolute()
    folders = {f"nnUNet_{name}": str(work / name) for name in ("raw", "preprocessed", "results")}
    if not (work / "planned.json").exists():
        export([case for case in cases if case.split == "train"], work / "raw" / DATASET)
        plan(tool, work, folders, given.gpu_memory)
    if not (work / "trained.json").exists():
        cost = other_tools.run([tool / "python", SIDE, PLANS, str(given.minutes)], work / "train.log", folders)
        replace_file(work / "trained.json", json.dumps(cost._asdict()).encode())
    with progress.bar("scans", len(tests)) as advance:
        for case in tests:
            if not (given.out / f"{case.name}.nii.gz").exists():
                segment(case, tool, given.out, folders)
            advance()


def export(cases: list[Case], folder: pathlib.Path) -> None:
    """The training cases in nnU-Net's layout."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for case in cases:
        scan = nifti.read(case.images["flair"])
        reference = nifti.read_reference(case.lesions, case.lesions2, case.combine)
        nifti.write_like(folder / "imagesTr" / f"{case.name}_0000.nii.gz", scan.array, scan, np.float32)
        nifti.write_like(folder / "labelsTr" / f"{case.name}.nii.gz", reference.array, scan, np.uint8)
    about = {"channel_names": {"0": "FLAIR"}, "labels": {"background": 0, "lesion": 1}, "numTraining": len(cases),
             "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(about))


def plan(tool: pathlib.Path, work: pathlib.Path, folders: dict[str, str], memory: str) -> None:
    """Plan for a GPU of so much memory, GB, and preprocess."""
    cores = str(len(os.sched_getaffinity(0)))
    cost = other_tools.run([tool / "nnUNetv2_plan_and_preprocess", "-d", "1", "-c", CONFIGURATION, "-np", cores,
                            "-npfp", cores, "-gpu_memory_target", memory, "-overwrite_plans_name", PLANS],
                           work / "plan.log", folders)
    replace_file(work / "planned.json", json.dumps(cost._asdict()).encode())


def segment(case: Case, tool: pathlib.Path, out: pathlib.Path, folders: dict[str, str]) -> None:
    """Segment one scan, in a process of its own, and note what it took."""
    scan = nifti.read(case.images["flair"])
    with tempfile.TemporaryDirectory() as work:
        given, found = (pathlib.Path(work) / name for name in ("given", "found"))
        given.mkdir()
        nifti.write_like(given / f"{case.name}_0000.nii.gz", scan.array, scan, np.float32)
        cost = other_tools.run([tool / "nnUNetv2_predict", "-i", given, "-o", found, "-d", "1", "-c", CONFIGURATION, "-f", "all",
                                "-p", PLANS, "-device", "cpu", "--disable_tta", "--save_probabilities"],
                               out / f"{case.name}.log", folders)
        image = nib.load(found / f"{case.name}.nii.gz")
        stored = np.load(found / f"{case.name}.npz")["probabilities"][1].transpose(2, 1, 0)     # as the mask, axes backwards
        mask, probability = (other_tools.on_grid(array, image.affine, scan)
                             for array in (np.asarray(image.dataobj), stored.astype(np.float32)))
    other_tools.write(out / case.name, mask == 1, probability, scan, cost)


if __name__ == "__main__":
    sys.exit(main())
