"""How well `prepare --raw` does on the raw scans of open_ms: brain masks, overlap with MNI152, the way there and back.

    python -m synergynet_tf.prepare --raw prepared --data.path ../shared/data/open_ms/raw --workers 1
    python -m benchmarks.raw prepared ../shared/data/open_ms/raw
"""
import pathlib
import sys

import numpy as np

from synergynet_tf.data import nifti
from synergynet_tf.data.raw import record
from synergynet_tf.data.raw.grid import MNI, grid_of, resample
from synergynet_tf.data.raw.registration import template_brain

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def main(prepared: pathlib.Path, raw: pathlib.Path) -> None:
    """Print a block for each prepared case."""
    for folder in sorted(path for path in prepared.iterdir() if path.is_dir()):
        known = record.read(folder)
        own, reference = nifti.read_mask(folder / record.OWN_BRAIN), nifti.read_mask(raw / folder.name / "flair_brainmask.nii.gz")
        grid, to_flair = grid_of(own), np.array(known.to_flair)
        stripped = nifti.read(folder / "flair.nii.gz").array[::-1] != 0
        carried = resample(reference.array, grid, MNI, to_flair) > 0.5
        print(f"{folder.name}: {known.steps['skull']}, seconds {known.seconds}")
        print(f"  brain mask against the reference {dice(own.array, reference.array):.4f} in own space, "
              f"{dice(stripped, carried):.4f} in MNI space")
        print(f"  against MNI152's brain: stripped {dice(stripped, template_brain()):.4f}, "
              f"reference {dice(carried, template_brain()):.4f}")
        changed = nifti.read_mask(raw / folder.name / "common_lesion_change.nii.gz")
        lesions = resample(changed.array, grid_of(changed), grid, np.linalg.inv(to_common(raw / folder.name))) > 0.5
        for name, mask in (("brain", own.array), ("lesion changes", lesions)):
            there = resample(mask, grid, MNI, to_flair)
            back = [resample(array, MNI, grid, np.linalg.inv(to_flair)) > 0.5 for array in (there > 0.5, there)]
            print(f"  {name} ({mask.sum() * np.prod(own.spacing) / 1000:.1f} ml) to MNI and back: "
                  f"as a mask {dice(back[0], mask):.4f}, "
                  f"as a probability {dice(back[1], mask):.4f}")


def to_common(folder: pathlib.Path) -> np.ndarray:
    """The data set's own matrix, common space to FLAIR, float64 [4, 4] in mm, RAS+, from its ITK file."""
    lines = (line.partition(": ") for line in (folder / "flair_to_common.txt").read_text().splitlines())
    numbers = {name: np.array(values.split(), float) for name, _, values in lines if "arameters" in name}
    matrix, centre = np.eye(4), numbers["FixedParameters"]
    matrix[:3, :3] = numbers["Parameters"][:9].reshape(3, 3)
    matrix[:3, 3] = centre + numbers["Parameters"][9:] - matrix[:3, :3] @ centre
    return LPS @ matrix @ LPS


def dice(a: np.ndarray, b: np.ndarray) -> float:
    """Overlap of two bool arrays."""
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:]))
