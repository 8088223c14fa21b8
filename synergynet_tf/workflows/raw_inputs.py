"""Raw scans among those that `predict` is given: prepared, as `prepare --raw` does it, before they are segmented."""
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from rich.console import Console

from synergynet_tf.data.layouts import LESIONS, Case
from synergynet_tf.data.raw import preparation
from synergynet_tf.data.raw.config import RawConfig
from synergynet_tf.data.raw.record import PICTURE, Record
from synergynet_tf.errors import InputError, Unprepared
from synergynet_tf.runtime.processes import cores
from synergynet_tf.workflows.raw_scans import draw_prepared

Failed = Iterator[tuple[str, InputError]]       # the names of cases, and why they failed
Ready = Callable[[Case], Case | None]           # gives a case as it is to be segmented; None: nothing is to be done
FOLDER = "prepared"         # of the results' folder: a folder a case, as of `prepare --raw`


def preparing_processes() -> int:
    """How many scans are prepared at a time: SimpleITK's threads use two cores a scan."""
    return max(1, cores() // 2)


class Preparer:
    """Prepares raw scans in processes of its own, while this one begins, or segments others.

    Args:
        executor: the processes (`processes.pool`).
        channels: those that the network takes.
        folder: where each case gets a folder; finished steps are taken from there.
    """

    def __init__(self, executor: ProcessPoolExecutor, channels: Sequence[str], folder: pathlib.Path):
        self._executor, self._channels, self._folder = executor, channels, folder
        self._begun: dict[str, _Task] = {}
        self._pictures: dict[str, _Task] = {}

    def begin(self, case: Case) -> None:
        """Prepare a case as soon as a process is free; once, however often it is asked for."""
        if self.has_begun(case):
            return
        given = dataclasses.replace(case, images={name: case.images[name] for name in case.images if name in self._channels})
        self._begun[case.name] = _Task(self._executor, functools.partial(_prepared, given, self._folder))

    def has_begun(self, case: Case) -> bool:
        """Whether `begin` was called."""
        return case.name in self._begun

    def result(self, case: Case) -> Case:
        """The case as prepared, once it is.

        Raises:
            InputError: it could not be.
        """
        outcome = self._begun[case.name].result()
        if isinstance(outcome, InputError):
            raise outcome
        self._pictures[case.name] = _Task(self._executor, functools.partial(draw_prepared, case, self._folder, outcome))
        place = self._folder / case.name
        Console().print(f"{case.name}: a raw scan, prepared in {place}; look at its {PICTURE}", markup=False, highlight=False,
                        soft_wrap=True)
        files = {name: place / file for name, file in outcome.files.items()}
        return dataclasses.replace(case, images={name: files[name] for name in case.images}, lesions=files.get(LESIONS),
                                   lesions2=None, combine=None)

    def finish(self) -> Failed:
        """Wait for the pictures of what was prepared, which are drawn meanwhile; yields those that could not be."""
        for name, picture in self._pictures.items():
            if error := picture.result():
                yield name, error


class _Task:
    """What a process does; or this one, when it is asked for, where that process was ended from outside."""

    def __init__(self, executor: ProcessPoolExecutor, call: Callable[[], Any]):
        self._call = call
        try:
            self._future: Future | None = executor.submit(call)
        except BrokenProcessPool:
            self._future = None

    def result(self) -> Any:
        try:
            return self._future.result() if self._future else self._call()
        except BrokenProcessPool:
            return self._call()


def _prepared(case: Case, folder: pathlib.Path) -> Record | InputError:
    _, outcome = next(preparation.prepare_cases([case], folder, RawConfig(), option="--out"))
    return outcome


def segment_any(cases: dict[str, Case], how: str, segment: Callable[[Sequence[Case], Ready], Failed],
                preparer: Preparer, pending: Callable[[Case], bool]) -> Failed:
    """Segment cases of which some may be raw: those are refused at first, then prepared, and segmented after the others.

    Args:
        cases: by name; a raw one is replaced by what was prepared of it.
        how: prepared: none is raw, and raw scans are refused; raw: all are; auto: it is seen of each.
        segment: segments cases, each as a function makes it ready, and yields those that fail.
        preparer: which may have begun with some.
        pending: whether a case, as prepared, is still to be segmented.
    """
    for case in cases.values() if how == "raw" else ():
        preparer.begin(case)
    for name, error in segment([case for case in cases.values() if not preparer.has_begun(case)], lambda case: case):
        if how == "auto" and isinstance(error, Unprepared):
            preparer.begin(cases[name])
        else:
            yield name, error

    def prepared(case: Case) -> Case | None:
        cases[case.name] = made = preparer.result(case)
        return made if pending(made) else None

    if raw := [case for case in cases.values() if preparer.has_begun(case)]:
        yield from segment(raw, prepared)
        yield from preparer.finish()
