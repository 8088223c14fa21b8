"""Training a run: its folder, its data divided and prepared, the fit, and going on where it was stopped."""
import contextlib
import dataclasses
import hashlib
import logging
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from synergynet_tf.config import Config, command_line
from synergynet_tf.data import identity, layouts, quality_range, splits
from synergynet_tf.data.cache import CachedCase, build_cache, cache_root
from synergynet_tf.data.identity import Record
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.phantom import generate_cohort
from synergynet_tf.data.splits import Split
from synergynet_tf.errors import InputError
from synergynet_tf.runtime import progress
from synergynet_tf.runtime.startup import begin_replicas, import_tensorflow, waits_for_chief
from synergynet_tf.storage import locks
from synergynet_tf.storage.files import claim
from synergynet_tf.training.run_files import FILES, PICTURE

if TYPE_CHECKING:
    from synergynet_tf.runtime.replicas import Replicas, Strategy

log = logging.getLogger(__name__)


def _make_run_folder(run: pathlib.Path) -> None:
    """Raises InputError where a run lies already, with which a second must not mix, or other files that it would replace."""
    if (run / "last.npz").exists():
        raise InputError(f"{run}: holds a run already; add --resume to go on with it, or name another folder with --run")
    claim("--run", [run / name for name in FILES])


@contextlib.contextmanager
def _run_folder(run: pathlib.Path, resume: bool) -> Iterator[None]:
    """Have the run's folder for this process alone, for the length of a `with`. Raises InputError as `_make_run_folder`."""
    if not resume:
        _make_run_folder(run)
    with locks.held(run, "name another folder with --run"):
        if not resume:
            _make_run_folder(run)       # again: another may have ended meanwhile
        yield


def train_run(config: Config, run: pathlib.Path, console: Console) -> None:
    """Train into a run folder; where an earlier call was stopped there, go on, and where it ended, do nothing.

    Args:
        config: with its data; of a run that was begun, the configuration that it began with.
        run: the run folder, made if absent.
        console: where the lines go.

    Raises:
        InputError: the run was begun with another configuration or other data, or as the training raises.
    """
    if (run / PICTURE).exists():
        divide(config, run, resume=True)
        return
    resume = (run / "last.npz").exists()
    if resume:
        import_tensorflow()
        from synergynet_tf.workflows.network_fit import configuration_of

        if configuration_of(run) != config:
            raise InputError(f"{run}: was begun with other settings; give it the same ones, or another folder")
    train(config, run, resume, console=console)


def train(config: Config, run: pathlib.Path, resume: bool, strategy: "Strategy" = "one", replicas: "Replicas | None" = None,
           console: Console | None = None, init: pathlib.Path | None = None) -> None:
    """Train into a run folder, in one process or as one of several.

    Args:
        config: with its data.
        run: the run folder.
        resume: go on from its last checkpoint.
        strategy: one, mirrored or multiworker.
        replicas: those of `strategy`, where it has begun; of several processes the chief begins it when the cases are prepared,
            and the others with it.
        console: where the lines go; none: to stdout.
        init: another run's, to begin with its weights; not with `resume`.
    """
    chief = not waits_for_chief(strategy)
    console = (console or Console()) if chief else Console(quiet=True)
    with _run_folder(run, resume) if chief else contextlib.nullcontext():
        if not config.data.path:
            config = with_phantoms(config, run, console)
        split = divide(config, run, resume or not chief)
        if init and chief:
            identity.warn_of_known(init, split)
        cases = {part: prepared(part, part_cases, config, console)
                 for part, part_cases in (("training", split.train), ("validation", split.validation))}
        if chief:
            command_line.save(config, run / "config.yaml")
            quality_range.write(quality_range.place(run), [case.quality for case in cases["training"]])
        replicas = replicas or begin_replicas(strategy)     # not before: what is wrong with the data is said without TensorFlow
        from synergynet_tf.workflows.network_fit import fit

        fit(config, cases, run, resume, console, replicas, init)


def with_phantoms(config: Config, run: pathlib.Path, console: Console) -> Config:
    """The configuration with the phantom cohort of its settings as the data, made in the run folder unless it is there."""
    settings = repr(config.phantoms).encode()
    folder = run.resolve() / f"phantoms-{hashlib.blake2b(settings, digest_size=4).hexdigest()}"
    if not (folder / "manifest.csv").exists():
        shutil.rmtree(folder, ignore_errors=True)       # a cohort without its manifest was interrupted
        with _timed("phantom patients", config.phantoms.patients, console) as advance:
            generate_cohort(folder, config.phantoms, on_case=lambda _: advance())
    return dataclasses.replace(config, data=dataclasses.replace(config.data, path=str(folder / "manifest.csv")))


def divide(config: Config, run: pathlib.Path, resume: bool) -> Split:
    """The cases by part: the data's, divided and written down in the run's folder; of a run that goes on, as it began.

    Raises:
        InputError: a run that goes on finds other data than it began with.
    """
    manifest, data = run / "manifest.csv", config.data
    digests = identity.Digests(cache_root(config) / identity.INDEX)
    if resume and manifest.exists():     # divided already, and each reference chosen
        split = splits.split_cases(layouts.discover(manifest, "manifest", data.channels, require_lesions=True), data.split, 0)
    else:
        split = _from_source(config, data.source)
        identity.require_apart(split, digests)
        splits.save(split, manifest)
    record, source = identity.record_of(split, data.channels, digests.of), str(pathlib.Path(data.source).expanduser().absolute())
    known = identity.read(run) if resume else None
    if resume:
        _require_as_begun(run, *(known or (record, source)), record, config)
    if known is None:
        identity.write(run, record, source)
    if resume and known is None:
        log.warning(f"{run}: was begun before runs kept a record of their data; what is there now is recorded")
    digests.save()
    return split


def _from_source(config: Config, path: str) -> Split:
    data = config.data
    return splits.divide(layouts.discover(path, data.layout, data.channels, require_lesions=True, raters=data.raters), data)


def _require_as_begun(run: pathlib.Path, before: Record, source: str | None, present: Record, config: Config) -> None:
    """Raises InputError where the run's own cases are not as they were, or where the place they came from has others."""
    identity.require_same(run, before, present)
    if source and pathlib.Path(source).exists():
        identity.require_same(run, identity.without_files(before), identity.members(_from_source(config, source)))


def prepared(part: str, cases: Sequence[Case], config: Config, console: Console) -> list[CachedCase]:
    """The cases of a part (training, validation) from the cache, which is filled where need be, behind a bar."""
    with _timed(f"preparing {part} cases", len(cases), console) as advance:
        cached = build_cache(cases, config, on_case=lambda _: advance())
    for case in cached:
        for note in case.notes:
            console.print(f"{case.name}: {note}", highlight=False, markup=False, soft_wrap=True)
    return cached


@contextlib.contextmanager
def _timed(what: str, total: int, console: Console) -> Iterator[Callable[..., None]]:
    """A bar, and a line when it is done."""
    start = time.monotonic()
    with progress.bar(what, total, console=console) as advance:
        yield advance
    console.print(f"{what}: {total} ({time.monotonic() - start:.0f} s)", highlight=False)
