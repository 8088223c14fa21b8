"""A lesion prediction algorithm in the spirit of LST's LPA: logistic regression, voxel by voxel, on FLAIR and place.

It is not LST: the covariates are our own reading of the idea (Schmidt, PhD thesis, LMU Munich 2017): a lesion belief map made of
the FLAIR scan, and spatial priors in MNI space, namely how often lesions lay there in the training patients and the template's
white matter. A brain is brought to MNI space by scaling its box to that of the template's brain; nothing is registered.
"""
import io
import pathlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from sklearn.linear_model import LogisticRegression

from synergynet_tf.data.cache import CachedCase
from synergynet_tf.data.phantom.atlas import template_atlas
from synergynet_tf.errors import InputError
from synergynet_tf.storage.files import replace_file
from synergynet_tf.storage.readers import Stored, read_npz, reading

GRID = (60, 72, 60)             # cells of the spatial maps over the box of a brain: about 2.3 mm each
PRIOR_SIGMA = 1.5               # cells, smoothing of the lesion frequency
PRIOR_FLOOR = 1e-4              # least lesion frequency, so that its logit is finite
BELIEF_SIGMA = 1.0              # voxels, of the smoothed belief map
BELIEF_MAX = 8.0                # standard deviations: beyond, brighter is no more lesion-like
BACKGROUND = 20_000             # voxels of each training brain that stand for all without lesion
THRESHOLDS = np.arange(0.02, 0.99, 0.02)
COVARIATES = 6
ARRAYS = {"prior": Stored("f", GRID), "scale": Stored("f", (2, COVARIATES)), "weights": Stored("f", (COVARIATES + 1,)),
          "threshold": Stored("f", ())}


@dataclass(frozen=True, eq=False)
class LPA:
    """A fitted model."""

    prior: np.ndarray           # float32 [GRID], logit of the smoothed lesion frequency over the box of a brain, RAS+
    scale: np.ndarray           # float64 [2, F], mean and standard deviation of the covariates
    weights: np.ndarray         # float64 [F + 1], the intercept last
    threshold: float            # of the highest mean Dice over the training patients

    def probability(self, flair: np.ndarray) -> np.ndarray:
        """Probability of lesion float32 [X, Y, Z] from a z-scored FLAIR cropped to the brain's box, 0 outside the brain."""
        brain = flair != 0
        covariates = (_covariates(flair, brain, self.prior) - self.scale[0]) / self.scale[1]
        logits = covariates @ self.weights[:-1] + self.weights[-1]
        out = np.zeros(flair.shape, np.float32)
        out[brain] = 1 / (1 + np.exp(-logits))
        return out

    def save(self, path: pathlib.Path) -> None:
        """Write an .npz file.

        Raises:
            InputError: it cannot be written.
        """
        buffer = io.BytesIO()
        np.savez(buffer, prior=self.prior, scale=self.scale, weights=self.weights, threshold=self.threshold)
        replace_file(path, buffer.getvalue())


def load(path: pathlib.Path) -> LPA:
    """Read what `save` wrote.

    Raises:
        InputError: it is absent or damaged.
    """
    remedy = "delete it: it is fitted again"
    file = read_npz(path, "model", remedy, ARRAYS)
    with reading(path, "model", remedy):
        if not (file["scale"][1] > 0).all() or not 0 < file["threshold"] < 1:
            raise ValueError("its scale must be above 0, its threshold between 0 and 1")
    return LPA(file["prior"], file["scale"], file["weights"], float(file["threshold"]))


def fit(cases: Sequence[CachedCase], seed: int = 0) -> LPA:
    """Fit the model to the training cases.

    All lesion voxels count, and of each brain's others a sample weighted to stand for all.

    Raises:
        InputError: no case has a lesion voxel.
    """
    if not any(len(case.table.voxels) for case in cases):
        raise InputError(f"none of the {len(cases)} training cases has a lesion: there is nothing to fit the lpa to; "
                         "take other cases, or leave the system out")
    prior = _lesion_prior(cases)
    rng = np.random.default_rng(seed)
    samples = [_sample(case, prior, rng) for case in cases]
    covariates, labels, weights = (np.concatenate(column) for column in zip(*samples))
    scale = np.stack([covariates.mean(axis=0), covariates.std(axis=0) + 1e-9])
    model = LogisticRegression(max_iter=1000).fit((covariates - scale[0]) / scale[1], labels, sample_weight=weights)
    fitted = np.append(model.coef_[0], model.intercept_)
    scores = np.split(1 / (1 + np.exp(-model.decision_function((covariates - scale[0]) / scale[1]))),
                      np.cumsum([len(sample[1]) for sample in samples])[:-1])
    dice = [np.mean([_dice(score > threshold, labels, weights) for score, (_, labels, weights) in zip(scores, samples)])
            for threshold in THRESHOLDS]
    return LPA(prior, scale, fitted, float(THRESHOLDS[int(np.argmax(dice))]))


def belief_map(flair: np.ndarray, brain: np.ndarray) -> np.ndarray:
    """How much brighter than the brain's tissue a voxel is: float32 [X, Y, Z], robust standard deviations, 0 to BELIEF_MAX."""
    values = flair[brain]
    middle = np.median(values)
    deviation = 1.4826 * np.median(np.abs(values - middle)) + 1e-6
    return np.where(brain, np.clip((flair - middle) / deviation, 0, BELIEF_MAX), 0).astype(np.float32)


def resample_box(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Stretch a box of voxels to another number of them along each axis, trilinear: float32 [*shape]. Their outer faces agree."""
    ratio = np.divide(array.shape, shape)
    return ndimage.affine_transform(array.astype(np.float32), ratio, ratio / 2 - 0.5, shape, order=1, mode="nearest")


def _covariates(flair: np.ndarray, brain: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Float64 [n, F] of the n brain voxels: belief, smoothed belief, prior, white matter, and the belief times each of these."""
    belief = belief_map(flair, brain)
    smooth = ndimage.gaussian_filter(belief, BELIEF_SIGMA)
    place, white = (resample_box(array, flair.shape)[brain] for array in (prior, _white_matter()))
    sharp, smooth = belief[brain], smooth[brain]
    return np.stack([sharp, smooth, place, white, smooth * place, smooth * white], axis=-1).astype(np.float64)


def _white_matter() -> np.ndarray:
    """The template's white matter over the box of its brain, 0 to 1, RAS+."""
    atlas = template_atlas()
    box = ndimage.find_objects(atlas.brain // 255)[0]
    return atlas.white[box][::-1].astype(np.float32) / 255       # the grid runs from right to left


def _lesion_prior(cases: Sequence[CachedCase]) -> np.ndarray:
    frequency = np.mean([resample_box(np.asarray(case.instances()) > 0, GRID) for case in cases], axis=0)
    frequency = np.clip(ndimage.gaussian_filter(frequency, PRIOR_SIGMA), PRIOR_FLOOR, 1 - PRIOR_FLOOR)
    return np.log(frequency / (1 - frequency)).astype(np.float32)


def _sample(case: CachedCase, prior: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariates [n, F], labels [n] and weights [n] of a case's lesion voxels and some of the others."""
    flair = np.asarray(case.image()[..., case.channels.index("flair")], np.float32)
    brain = flair != 0
    lesion = np.asarray(case.instances())[brain] > 0
    others = np.flatnonzero(~lesion)
    drawn = rng.choice(others, min(BACKGROUND, len(others)), replace=False)
    rows = np.concatenate([np.flatnonzero(lesion), drawn])
    weights = np.where(lesion[rows], 1.0, len(others) / max(len(drawn), 1))
    return _covariates(flair, brain, prior)[rows], lesion[rows], weights


def _dice(predicted: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    both = weights[predicted & labels].sum()
    total = weights[predicted].sum() + weights[labels].sum()
    return 2 * both / total if total else 1.0
