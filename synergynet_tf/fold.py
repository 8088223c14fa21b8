"""One system on one split of a cohort: its settings, its training, its segmentations; resumed where it was stopped."""
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from synergynet_tf import cli
from synergynet_tf.config import Config
from synergynet_tf.startup import import_tensorflow

if TYPE_CHECKING:
    from rich.console import Console

    from synergynet_tf.data.layouts import Case
    from synergynet_tf.data.splits import Split

TRAINED = ("unet", "mask_rcnn", "synergynet")


class Fold(NamedTuple):
    """One split of the cohort and where its files lie."""

    folder: pathlib.Path
    split: "Split"
    config: Config              # whose data is the fold's own manifest


def system_config(config: Config, system: str, budget: str) -> Config:
    """A trained system's settings: the experiment's, its preset's over them, and under `equal` everyone's number of epochs.

    Under `paper` each stage has the epochs that train.epochs gives it. Under `equal` a baseline's stages share all of
    SynergyNet's epochs, in the proportion that theirs have.
    """
    from synergynet_tf.training.systems import SYSTEMS

    own = config if system == "synergynet" else cli.with_preset(config, system)
    if budget == "paper":
        return own
    numbers = [stage.number for stage in SYSTEMS[system].stages]
    epochs = share_epochs(sum(config.train.epochs), [config.train.epochs[number - 1] for number in numbers])
    shared = tuple(dict(zip(numbers, epochs)).get(number, 0) for number in range(1, 5))
    return dataclasses.replace(own, train=dataclasses.replace(own.train, epochs=shared))


def share_epochs(total: int, weights: Sequence[int]) -> list[int]:
    """Divide `total` in proportion to the weights, by largest remainder; all of it to the last one where every weight is 0."""
    weights = list(weights) if any(weights) else [0] * (len(weights) - 1) + [1]
    exact = [total * weight / sum(weights) for weight in weights]
    shares = [int(part) for part in exact]
    by_remainder = sorted(range(len(weights)), key=lambda i: shares[i] - exact[i])
    for i in by_remainder[:total - sum(shares)]:
        shares[i] += 1
    return shares


def run_system(system: str, fold: Fold, budget: str, console: "Console") -> None:
    """Train a system on a fold and segment its test cases, as far as that is not done. Raises InputError as these do."""
    folder = fold.folder / system
    (folder / "predictions").mkdir(parents=True, exist_ok=True)
    console.rule(f"{fold.folder.name}: {system}", align="left")
    if system in TRAINED:
        _train(system_config(fold.config, system, budget), folder / "run", console)
    pending = [case for case in fold.split.test if not (folder / "predictions" / f"{case.name}_lesions.json").exists()]
    if system == "lpa":
        _run_lpa(fold, folder, console)
    elif pending:
        _segment(pending, *_network(system, fold), folder / "predictions", console)


def _train(config: Config, run: pathlib.Path, console: "Console") -> None:
    from synergynet_tf.train import train_run

    train_run(config, run, console)
    import keras

    keras.backend.clear_session()       # the next system begins with an empty graph


def _network(system: str, fold: Fold):
    """The network to predict with, and its settings."""
    import_tensorflow()
    from synergynet_tf.inference.ensemble import ensemble, ensemble_config
    from synergynet_tf.training.checkpoint import load_run
    from synergynet_tf.training.determinism import make_deterministic

    if fold.config.train.deterministic:     # as in the training, which may have been in an earlier process
        make_deterministic()
    if system != "ensemble":
        return load_run(fold.folder / system / "run")
    (unet, _), (mask_rcnn, config) = (load_run(fold.folder / part / "run") for part in ("unet", "mask_rcnn"))
    return ensemble(unet, mask_rcnn), ensemble_config(config, fold.config.fusion.gamma)


def _segment(cases: "Sequence[Case]", network, config: Config, folder: pathlib.Path, console: "Console") -> None:
    from synergynet_tf import progress
    from synergynet_tf.inference.outputs import write_case
    from synergynet_tf.inference.predictor import Predictor
    from synergynet_tf.segmenting import one_ahead

    predictor = Predictor(network, config)
    cases = [dataclasses.replace(case, lesions=None, lesions2=None) for case in cases]
    with progress.bar("segmenting", len(cases), console=console) as advance:
        for _, loaded in one_ahead(cases, predictor.load):
            write_case(folder, predictor.predict_loaded(loaded()))
            advance()


def _run_lpa(fold: Fold, folder: pathlib.Path, console: "Console") -> None:
    import numpy as np

    from synergynet_tf import progress
    from synergynet_tf.data import nifti, preprocess
    from synergynet_tf.data.cache import build_cache
    from synergynet_tf.training import lpa

    if not (folder / "lpa.npz").exists():
        lpa.fit(build_cache(fold.split.train, fold.config), fold.config.train.seed).save(folder / "lpa.npz")
    model, predictions = lpa.load(folder / "lpa.npz"), folder / "predictions"
    pending = [case for case in fold.split.test if not (predictions / f"{case.name}_mask.nii.gz").exists()]
    with progress.bar("segmenting", len(pending), console=console) as advance:
        for case in pending:
            loaded = preprocess.load_case(dataclasses.replace(case, lesions=None, lesions2=None), ("flair",))
            probability = np.round(model.probability(loaded.image[..., 0]) * 4096) / np.float32(4096)
            mask = probability > model.threshold
            for kind, array, dtype in (("probability", probability, np.float32), ("mask", mask, np.uint8)):
                path = predictions / f"{case.name}_{kind}.nii.gz"       # the mask last: where it is, the case is done
                nifti.write_like(path, preprocess.uncrop(array, loaded), loaded.grid, dtype)
            advance()
