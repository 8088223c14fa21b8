"""One system on one split of a cohort: its settings, its training, its segmentations; resumed where it was stopped."""
import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from rich.console import Console

from synergynet_tf.baselines import lpa
from synergynet_tf.baselines.ensemble import ensemble, ensemble_config
from synergynet_tf.config import Config, command_line
from synergynet_tf.data import identity, nifti, preprocess
from synergynet_tf.data.cache import build_cache
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.splits import Split
from synergynet_tf.errors import InputError, of_case, print_error
from synergynet_tf.inference.predictor import Predictor
from synergynet_tf.runtime import costs, progress
from synergynet_tf.storage.files import digest, replace_file
from synergynet_tf.storage.sealed import is_intact, sealed
from synergynet_tf.training import checkpoint
from synergynet_tf.training.determinism import make_deterministic
from synergynet_tf.training.systems import SYSTEMS
from synergynet_tf.workflows.fitting import train_run
from synergynet_tf.workflows.job import Job, read_case, unfinished
from synergynet_tf.workflows.networks import identity as network_identity
from synergynet_tf.workflows.segmenting import one_ahead, segment_read


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
    settings = config if system == "synergynet" else command_line.with_preset(config, system)
    if budget == "paper":
        return settings
    numbers = [stage.number for stage in SYSTEMS[system].stages]
    epochs = share_epochs(sum(config.train.epochs), [config.train.epochs[number - 1] for number in numbers])
    shared: Any = tuple(dict(zip(numbers, epochs)).get(number, 0) for number in range(1, len(config.train.epochs) + 1))
    return dataclasses.replace(settings, train=dataclasses.replace(settings.train, epochs=shared))


def share_epochs(total: int, weights: Sequence[int]) -> list[int]:
    """Divide `total` in proportion to the weights, by largest remainder; all of it to the last one where every weight is 0."""
    weights = list(weights) if any(weights) else [0] * (len(weights) - 1) + [1]
    exact = [total * weight / sum(weights) for weight in weights]
    shares = [int(part) for part in exact]
    by_remainder = sorted(range(len(weights)), key=lambda i: shares[i] - exact[i])
    for i in by_remainder[:total - sum(shares)]:
        shares[i] += 1
    return shares


def run_system(system: str, fold: Fold, budget: str, console: Console) -> None:
    """Train a system on a fold and segment its test cases, as far as that is not done.

    Raises:
        InputError: as these do.
    """
    folder = fold.folder / system
    (folder / "predictions").mkdir(parents=True, exist_ok=True)
    console.rule(f"{fold.folder.name}: {system}", align="left")
    if system in SYSTEMS:
        _train(system_config(fold.config, system, budget), folder / "run", console)
    if system == "lpa":
        _run_lpa(fold, folder, console)
    else:
        _segment(system, fold, folder / "predictions", console)


def _train(config: Config, run: pathlib.Path, console: Console) -> None:
    train_run(config, run, console)
    keras.backend.clear_session()       # the next system begins with an empty graph


def _parts(system: str, fold: Fold) -> list[pathlib.Path]:
    """The runs that a system's network is made of."""
    return [fold.folder / name / "run" for name in (("unet", "mask_rcnn") if system == "ensemble" else (system,))]


def _network(system: str, fold: Fold) -> Any:
    networks = [checkpoint.load_run(run)[0] for run in _parts(system, fold)]
    return ensemble(*networks) if system == "ensemble" else networks[0]


def _job(system: str, fold: Fold, folder: pathlib.Path) -> Job:
    """What a system's segmentations are made by."""
    runs = _parts(system, fold)
    config = checkpoint.load(runs[-1] / "best.npz").config
    if system == "ensemble":
        config = ensemble_config(config, fold.config.fusion.gamma)
    network = {"run": system, "weights": "best", "sha256": ", ".join(network_identity(run, "best")["sha256"] for run in runs)}
    return Job(runs[-1], "best", config, network, folder.absolute(), picture=False)


def _segment(system: str, fold: Fold, folder: pathlib.Path, console: Console) -> None:
    """Segment the test cases that are not yet, or of which the scan, the network or a result is another by now."""
    job = _job(system, fold, folder)
    cases = unfinished(fold.split.test, job)
    _say_again(cases, folder, console)
    if not cases:
        return
    if fold.config.train.deterministic:     # as in the training, which may have been in an earlier process
        make_deterministic()
    predictor = Predictor(_network(system, fold), job.config, share=1.0)
    with progress.bar("segmenting", len(cases), console=console) as advance, _each_case(folder) as noted:
        for case, read in one_ahead([job.seen(case) for case in cases], functools.partial(read_case, job)):
            with noted(case):
                segment_read(job, predictor, read())
            advance()


@contextlib.contextmanager
def _each_case(folder: pathlib.Path) -> Iterator[Callable[["Case"], contextlib.AbstractContextManager]]:
    """A context for each case, whose cost is noted. It may fail of whatever it is: it is named on stderr and the others go on.

    Raises InputError at the end, if any has failed.
    """
    failed = []

    @contextlib.contextmanager
    def noted(case: Case) -> Iterator[None]:
        try:
            with costs.measured(folder, case.name):
                yield
        except Exception as error:
            print_error(str(of_case(case.name, error)))
            failed.append(case.name)

    yield noted
    if failed:
        raise InputError(f"{len(failed)} test cases could not be segmented: {', '.join(failed)}; mend them and give the same "
                         f"command again: what is done is kept in {folder}")


def _say_again(cases: Sequence[Case], folder: pathlib.Path, console: Console) -> None:
    known = [case.name for case in cases if (folder / f"{case.name}_lesions.json").exists()]
    if known:
        console.print(f"segmented again, as the scan, the network or the result is another by now: {', '.join(known)}",
                      markup=False, highlight=False, soft_wrap=True)


def _run_lpa(fold: Fold, folder: pathlib.Path, console: Console) -> None:
    model, results = _fitted(fold, folder), folder / "predictions"
    by = {"model": digest(folder / "lpa.npz")}
    wanted = {case.name: by | {"inputs": identity.files_of(_unmarked(case), ("flair",))} for case in fold.split.test}
    pending = [case for case in fold.split.test if not is_intact(results / f"{case.name}_lpa.json", wanted[case.name])]
    with progress.bar("segmenting", len(pending), console=console) as advance, _each_case(results) as noted:
        for case in pending:
            with noted(case):
                files = _write_lpa(_unmarked(case), model, results)
                replace_file(results / f"{case.name}_lpa.json", sealed(wanted[case.name] | {"files": files}))
            advance()


def _unmarked(case: Case) -> Case:
    """The case without its reference."""
    return dataclasses.replace(case, lesions=None, lesions2=None)


def _fitted(fold: Fold, folder: pathlib.Path) -> lpa.LPA:
    """The model of the fold's training cases: read where it was fitted to these very files, else fitted."""
    path, record = folder / "lpa.npz", folder / "lpa.json"
    cases = [[case.name, identity.files_of(case, fold.config.data.channels)] for case in fold.split.train]
    if not is_intact(record, {"cases": cases}, [path.name]):
        lpa.fit(build_cache(fold.split.train, fold.config), fold.config.train.seed).save(path)
        replace_file(record, sealed({"cases": cases, "files": {path.name: digest(path)}}))
    return lpa.load(path)


def _write_lpa(case: Case, model: lpa.LPA, folder: pathlib.Path) -> dict[str, str]:
    """Segment a case; digests of the files written, by name."""
    loaded = preprocess.load_case(case, ("flair",))
    probability = np.round(model.probability(loaded.image[..., 0]) * 4096) / np.float32(4096)
    files = {}
    for kind, array, dtype in (("probability", probability, np.float32), ("mask", probability > model.threshold, np.uint8)):
        path = folder / f"{case.name}_{kind}.nii.gz"
        nifti.write_like(path, preprocess.uncrop(array, loaded), loaded.grid, dtype)
        files[path.name] = digest(path)
    return files
