"""The project as a library, see `synergynet_tf`: a trained network on scans in files or in memory, training, scoring.

A scan is a file's path, a nibabel image, or an array [X, Y, Z] and its affine (voxels to mm, RAS+). One in memory is written
to a temporary file, so that it is read, judged and mended as any other.
"""
import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import nibabel as nib
import numpy as np
from rich.console import Console

from synergynet_tf.config import Config
from synergynet_tf.data import nifti, quality_range
from synergynet_tf.errors import InputError
from synergynet_tf.metrics.lesion import LesionRule
from synergynet_tf.metrics.scores import CaseScores
from synergynet_tf.runtime.startup import import_tensorflow
from synergynet_tf.storage.files import claim, make_folder
from synergynet_tf.workflows import fitting
from synergynet_tf.workflows.inputs import scan_case
from synergynet_tf.workflows.networks import Changes, joint_identity, load_networks, require_run, resolve_runs
from synergynet_tf.workflows.scoring import score_files

if TYPE_CHECKING:
    from synergynet_tf.inference.predictor import CasePrediction

Run = str | os.PathLike[str]
Scan = Run | nib.spatialimages.SpatialImage | tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Segmented:
    """A segmented scan, on the grid and in the orientation in which it was given."""

    mask: np.ndarray            # bool [X, Y, Z]
    probability: np.ndarray     # float32 [X, Y, Z]
    affine: np.ndarray          # float64 [4, 4], voxels to mm
    lesions: list[dict[str, Any]] = field(repr=False)       # a row a lesion: label, volume_mm3, mean_probability, places, ...
    notes: tuple[str, ...]      # what was mended in the scan, or is to be looked at
    quality: list[dict[str, Any]] = field(repr=False)       # measure, value, unit, range, flagged: see docs/quality.md
    name: str
    _prediction: "CasePrediction" = field(repr=False)
    _network: Mapping[str, str] = field(repr=False)

    @property
    def volume_ml(self) -> float:
        """All lesions' volume, ml."""
        return sum(lesion["volume_mm3"] for lesion in self.lesions) / 1000

    def mask_image(self) -> nib.Nifti1Image:
        """The mask as a nibabel image of 0 and 1."""
        return nib.Nifti1Image(self.mask.astype(np.uint8), self.affine)

    def save(self, folder: str | os.PathLike[str]) -> list[pathlib.Path]:
        """Write `<name>_mask.nii.gz`, `<name>_probability.nii.gz` and `<name>_lesions.json`, as `predict` does.

        Raises:
            InputError: a file lies there that this program did not write, or the folder cannot be written.
        """
        from synergynet_tf.inference import outputs

        folder = pathlib.Path(folder).expanduser()
        make_folder(folder, "the folder")
        files = [folder / f"{self.name}{kind}" for kind in ("_mask.nii.gz", "_probability.nii.gz", "_lesions.json")]
        claim("another folder", files, self._prediction.case.images.values())
        outputs.write_case(folder, self._prediction, dict(self._network), quality=self.quality)
        return files


class Network:
    """A trained network, or several as one.

    Args:
        runs: the folders that `train` or `fit` have made; of several the mean of their probabilities is taken. None, or
            "shipped": the network that comes with the package.
        weights: best or last.
        changes: settings other than the run's: coverage, gamma, threshold, mirror, min_lesion (mm3), min_peak.

    Raises:
        InputError: a folder holds no such weights, they are damaged, or a setting is out of range.
    """

    def __init__(self, *runs: Run, weights: str = "best", **changes: Any):
        folders = resolve_runs([pathlib.Path(run).expanduser() for run in runs])
        for folder in folders:
            require_run(folder, weights)
        import_tensorflow()
        from synergynet_tf.inference.predictor import Predictor

        (model, self.config), *others = load_networks(folders, weights, Changes(**changes))
        self.identity = joint_identity(folders, weights)
        self._ranges = quality_range.read(folders)
        self._predictor: Predictor = Predictor(model, self.config, others=others, share=1.0)

    def segment(self, scan: Scan, t2: Scan | None = None) -> Segmented:
        """Segment a skull-stripped FLAIR scan, with the T2 scan on its grid where the network takes one.

        Raises:
            InputError: a file cannot be read, the scan is no fit input, or memory ran out.
        """
        from synergynet_tf.inference import outputs

        with contextlib.ExitStack() as stack:
            flair = stack.enter_context(_file(scan, "flair"))
            second = None if t2 is None else stack.enter_context(_file(t2, "t2"))
            case = scan_case(flair, second, self.config.data.channels)
            loaded, judged = quality_range.judged_case(self._predictor.load(case), self._ranges)
            prediction = self._predictor.predict_loaded(loaded)
        grid = prediction.loaded.grid
        mask, probability = (nifti.to_file_grid(prediction.on_grid(array), grid)
                             for array in (prediction.segmentation.mask, prediction.segmentation.probability))
        about = outputs.report(prediction, self.identity)
        return Segmented(mask, probability, grid.file_affine, about["lesions"], tuple(about["notes"]),
                         quality_range.as_stored(judged), case.name, prediction, self.identity)


def load(*runs: Run, weights: str = "best", **changes: Any) -> Network:
    """A trained network; see `Network` for arguments and errors."""
    return Network(*runs, weights=weights, **changes)


def segment(scan: Scan, *runs: Run, t2: Scan | None = None) -> Segmented:
    """Segment one scan with the network of a run, or of several; for many scans `load` it once. Errors are those of `Network`."""
    return load(*runs).segment(scan, t2)


def fit(config: Config, run: Run) -> Network:
    """Train on the cohort that `config.data.path` names (none: phantoms are made) into a run folder.

    A training that was stopped in that folder goes on; of one that has ended the network is loaded.
    Cases are prepared in processes: a script that calls this has its main part under `if __name__ == "__main__":`.

    Raises:
        InputError: the data cannot be used, or the folder holds another run.
    """
    folder, console = pathlib.Path(run).expanduser(), Console()
    fitting.train_run(config if config.data.path else fitting.with_phantoms(config, folder, console), folder, console)
    return load(folder)


def score(reference: Scan, prediction: Scan, probability: Scan | None = None, rule: LesionRule | None = None) -> CaseScores:
    """Score a mask against a reference mask on one grid: Dice, lesion rates, volumes; AP where there is a probability map.

    Raises:
        InputError: a mask is not binary, or the grids differ.
    """
    with contextlib.ExitStack() as stack:
        annotated, predicted = (stack.enter_context(_file(mask, name)) for mask, name in
                                ((reference, "reference"), (prediction, "prediction")))
        likelihood = None if probability is None else stack.enter_context(_file(probability, "probability"))
        return score_files(annotated, predicted, likelihood, rule=rule)


@contextlib.contextmanager
def _file(scan: Scan, name: str) -> Iterator[pathlib.Path]:
    """The file of a scan, for the length of a `with`: its own, or a temporary one."""
    if isinstance(scan, (str, os.PathLike)):
        yield pathlib.Path(scan).expanduser()
        return
    if isinstance(scan, tuple):
        array, affine = np.asarray(scan[0]), np.asarray(scan[1], np.float64)
        if array.ndim != 3 or affine.shape != (4, 4):
            raise InputError(f"the {name} is an array {array.shape} with an affine {affine.shape}, but [X, Y, Z] and [4, 4] are "
                             "needed")
        scan = nib.Nifti1Image(array.astype(np.uint8 if array.dtype == bool else np.float32), affine)
    with tempfile.TemporaryDirectory(prefix="synergynet-") as folder:
        path = pathlib.Path(folder) / f"{name}.nii"
        nib.save(scan, path)
        yield path
