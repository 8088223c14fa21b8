"""Every gamma and every threshold on a trained network, which itself runs once a case.

Eq. 1 acts after the network: which lesions are detected, Y_u and Y_m do not depend on gamma. They are kept on disk for the voxels
that can become lesion, with the reference, and what `predict` and `evaluate` would say at any gamma is computed from them by the
same functions, so it is the same number.

Letters in shapes: N voxels of a case inside its brain, M of them covered by a patch.
"""
import dataclasses
import hashlib
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.data import nifti
from synergynet_tf.data.identity import files_of
from synergynet_tf.data.layouts import Case
from synergynet_tf.errors import InputError
from synergynet_tf.inference.merge import sigmoid
from synergynet_tf.inference.predictor import CasePrediction, Predictor
from synergynet_tf.metrics import PAPER_METRICS
from synergynet_tf.metrics.lesion import LesionRule
from synergynet_tf.metrics.scores import score_case, statistic
from synergynet_tf.models.fusion import fuse
from synergynet_tf.storage.files import replace_file
from synergynet_tf.storage.readers import Stored, read_npz, reading
from synergynet_tf.structures import Connectivity

from .objective import Objective

GAMMAS = tuple(i / 100 for i in range(101))
THRESHOLDS = tuple(i / 100 for i in range(1, 100))
ARRAYS = {"inside": Stored("b", (None,) * 3), "global_logits": Stored("f", (None,)), "covered": Stored("b", (None,)),
          "local_logits": Stored("f", (None,)), "reference": Stored("b", (None,) * 3), "spacing": Stored("f", (3,))}


class Branches(NamedTuple):
    """What the two branches say of a case, before eq. 1, and its reference."""

    inside: np.ndarray          # bool [X, Y, Z] of the whole canonical grid: in the brain, and seen by the network
    global_logits: np.ndarray   # float32 [N], Y_u
    covered: np.ndarray         # bool [N]
    local_logits: np.ndarray    # float32 [M], Y_m
    reference: np.ndarray       # bool [X, Y, Z]
    spacing: np.ndarray         # float64 [3], mm


class Curve(NamedTuple):
    """Mean scores over the cases, and the objective, by the values of one setting."""

    values: tuple[float, ...]
    scores: tuple[dict[str, float], ...]
    objective: tuple[float, ...]

    @property
    def best(self) -> float:
        """The value of the highest objective; of equals, the middle one."""
        highest = [value for value, height in zip(self.values, self.objective) if height == max(self.objective)]
        return highest[len(highest) // 2]

    def at(self, value: float) -> float:
        """The objective at the nearest of the values."""
        return self.objective[min(range(len(self.values)), key=lambda i: abs(self.values[i] - value))]


class Scan(NamedTuple):
    """A network's scores by gamma at its own threshold, and by threshold at the best gamma."""

    gamma: Curve
    threshold: Curve


def scan(cached: Sequence[Path], objective: Objective, threshold: float, connectivity: Connectivity,
         on_case: Callable[[], None] | None = None) -> Scan:
    """Try `GAMMAS` at the given threshold, then `THRESHOLDS` at the gamma that was best.

    Args:
        cached: the files that `cache_branches` wrote.
        objective: what is judged by. With dsc, Dice and sensitivity alone are computed, from counts; other metrics label lesions
            or sort probabilities for each value, which takes about a second a value and case.
        threshold: of the fused probability (`infer.threshold`).
        connectivity: of lesions, 6, 18 or 26.
        on_case: called after each pass over a case, twice a case in all.
    """
    gammas = _curve(cached, objective, GAMMAS, [(gamma, threshold) for gamma in GAMMAS], connectivity, on_case)
    settings = [(gammas.best, value) for value in THRESHOLDS]
    return Scan(gammas, _curve(cached, objective, THRESHOLDS, settings, connectivity, on_case))


def cache_branches(predictor: Predictor, cases: Sequence[Case], folder: Path, identity: str,
                   on_case: Callable[[], None] | None = None) -> list[Path]:
    """Run the network on each case once and keep what eq. 1 needs in `folder`; a case that is there already is not run again.

    Args:
        predictor: of the network.
        cases: each with a reference mask.
        folder: made if need be.
        identity: of the network's weights and configuration; with the case's files it names the kept file.
        on_case: called after each case.

    Raises:
        InputError: as `Predictor.predict_case`, or a case has no reference mask.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for case in cases:
        path = folder / f"{case.name}-{_key(case, identity)}.npz"
        if not _readable(path):
            buffer = io.BytesIO()
            np.savez(buffer, **branches_of(predictor.predict_case(case))._asdict())
            replace_file(path, buffer.getvalue())
        paths.append(path)
        if on_case:
            on_case()
    return paths


def branches_of(prediction: CasePrediction) -> Branches:
    """What the branches say of a predicted case, and its reference on the whole grid, as `evaluate` reads it."""
    case, merged = prediction.case, prediction.segmentation.parts[0].merged
    if case.lesions is None:
        raise InputError(f"{case.name}: has no reference mask to be judged by; name one in the manifest")
    inside = prediction.segmentation.brain & merged.seen
    covered = merged.covered[inside]
    reference = nifti.read_reference(case.lesions, case.lesions2, case.combine)
    return Branches(prediction.on_grid(inside), merged.global_logits[inside], covered, merged.local_logits[inside][covered],
                    reference.array, np.asarray(reference.spacing, np.float64))


def load_branches(path: Path) -> Branches:
    """What `cache_branches` kept.

    Raises:
        InputError: it is damaged.
    """
    remedy = "delete it: it is made again"
    file = read_npz(path, "record of the branches", remedy, ARRAYS)
    branches = Branches(*(file[name] for name in Branches._fields))
    with reading(path, "record of the branches", remedy):
        sizes = [len(branches.global_logits), len(branches.covered), len(branches.local_logits)]
        wanted = [int(branches.inside.sum())] * 2 + [int(branches.covered.sum())]
        if branches.reference.shape != branches.inside.shape or sizes != wanted or not (branches.spacing > 0).all():
            raise ValueError(f"its arrays are of {sizes} voxels, not {wanted}, or of two grids")
    return branches


def probabilities(branches: Branches, gamma: float) -> np.ndarray:
    """The fused probability of the voxels inside: float32 [N], as `Segmentation.probability` has them."""
    logits = branches.global_logits.copy()
    logits[branches.covered] = _fused(branches, gamma)
    return sigmoid(logits).numpy()


def case_scores(branches: Branches, objective: Objective, settings: Sequence[tuple[float, float]],
                connectivity: Connectivity) -> list[dict[str, float]]:
    """The scores of one case at each (gamma, threshold); a metric that is undefined is nan."""
    if set(objective.terms) <= {"dsc", "sn"}:
        return _counted(branches, settings)
    return [_scored(branches, gamma, threshold, connectivity, "ap" in objective.terms) for gamma, threshold in settings]


def _counted(branches: Branches, settings: Sequence[tuple[float, float]]) -> list[dict[str, float]]:
    """Dice and sensitivity by counting voxels; where no patch lies nothing changes with gamma."""
    covered, truth = branches.covered, branches.reference[branches.inside]
    in_reference = int(np.count_nonzero(branches.reference))
    free, free_truth, patch_truth = sigmoid(branches.global_logits[~covered]).numpy(), truth[~covered], truth[covered]
    free_counts, fused = {}, {}
    result = []
    for gamma, threshold in settings:
        if threshold not in free_counts:
            free_counts[threshold] = _hits(free > threshold, free_truth)
        if gamma not in fused:
            fused = {gamma: sigmoid(_fused(branches, gamma)).numpy()}       # the last one only
        overlap, predicted = np.add(free_counts[threshold], _hits(fused[gamma] > threshold, patch_truth))
        both = in_reference + predicted
        result.append({"dsc": float(2 * overlap / both) if both else 1.0,
                       "sn": float(overlap / in_reference) if in_reference else math.nan})
    return result


def _scored(branches: Branches, gamma: float, threshold: float, connectivity: Connectivity, with_ap: bool) -> dict[str, float]:
    """All five metrics on the whole grid; AP, the slowest, on demand."""
    probability = np.zeros(branches.inside.shape, np.float32)
    probability[branches.inside] = probabilities(branches, gamma)
    scores = score_case(branches.reference, probability > threshold, probability if with_ap else None,
                        spacing=branches.spacing.tolist(), rule=LesionRule(connectivity))
    return {name: getattr(scores, name) for name in PAPER_METRICS if with_ap or name != "ap"}


def _fused(branches: Branches, gamma: float) -> np.ndarray:
    """Eq. 1 where a patch lies: float32 [M]."""
    unet, local = (values.reshape(1, -1, 1, 1, 1) for values in (branches.global_logits[branches.covered], branches.local_logits))
    return fuse(tf.constant(unet), tf.constant(local), tf.ones(unet.shape[:4], tf.bool), gamma).numpy().ravel()


def _hits(mask: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """Voxels of a mask in the truth, and in all."""
    return int(np.count_nonzero(mask & truth)), int(np.count_nonzero(mask))


def _curve(cached: Sequence[Path], objective: Objective, values: tuple[float, ...], settings: Sequence[tuple[float, float]],
           connectivity: Connectivity, on_case: Callable[[], None] | None) -> Curve:
    by_case = []
    for path in cached:     # one case in memory at a time
        by_case.append(case_scores(load_branches(path), objective, settings, connectivity))
        if on_case:
            on_case()
    means = []
    for of_cases in zip(*by_case):
        mean = {name: statistic([scores[name] for scores in of_cases]).mean for name in of_cases[0]}
        means.append({name: value for name, value in mean.items() if not math.isnan(value)})
    return Curve(values, tuple(means), tuple(objective.value(scores) for scores in means))


def chosen(config: Config, scan: Scan) -> Config:
    """The configuration with the scan's gamma and threshold."""
    return dataclasses.replace(config, fusion=dataclasses.replace(config.fusion, gamma=scan.gamma.best),
                               infer=dataclasses.replace(config.infer, threshold=scan.threshold.best))


def _key(case: Case, identity: str) -> str:
    content = [identity, files_of(case, sorted(case.images)), case.combine]
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()


def _readable(path: Path) -> bool:
    try:
        load_branches(path)
    except InputError:
        return False
    return True

