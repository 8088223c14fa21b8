"""Raw scans among those that `predict` is given: prepared, as `prepare --raw` does it, before they are segmented."""
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console

from synergynet_tf.data.layouts import LESIONS, Case
from synergynet_tf.data.raw import preparation
from synergynet_tf.data.raw.config import RawConfig
from synergynet_tf.data.raw.record import PICTURE
from synergynet_tf.errors import InputError, Unprepared, of_case
from synergynet_tf.runtime import progress
from synergynet_tf.runtime.processes import cores
from synergynet_tf.workflows.raw_scans import draw_prepared

Failed = Iterator[tuple[str, InputError]]       # the names of cases, and why they failed
FOLDER = "prepared"         # of the results' folder: a folder a case, as of `prepare --raw`


def segment_any(cases: dict[str, Case], how: str, segment: Callable[[Sequence[Case]], Failed], channels: Sequence[str],
                out: pathlib.Path) -> Failed:
    """Segment cases of which some may be raw: those are refused at first, then prepared, and segmented after the others.

    Args:
        cases: by name; a raw one is replaced by what was prepared of it.
        how: prepared: none is raw, and raw scans are refused; raw: all are; auto: it is seen of each.
        segment: segments cases, and yields those that fail.
        channels: those that the network takes.
        out: the results' folder.
    """
    raw = [*cases] if how == "raw" else []
    for name, error in segment([*cases.values()]) if how != "raw" else ():
        if how == "auto" and isinstance(error, Unprepared):
            raw.append(name)
        else:
            yield name, error
    ready = []
    for made in _prepared([cases[name] for name in raw], channels, out) if raw else ():
        if isinstance(made, Case):
            cases[made.name] = made
            ready.append(made)
        else:
            yield made
    if ready:
        yield from segment(ready)


def _prepared(cases: Sequence[Case], channels: Sequence[str],
              out: pathlib.Path) -> Iterator[Case | tuple[str, InputError]]:
    """Each case as prepared in `out`/prepared, or its name and why it could not be; finished steps are taken from there."""
    console, folder = Console(), out / FOLDER
    given = [dataclasses.replace(case, images={name: path for name, path in case.images.items() if name in channels})
             for case in cases]
    workers = min(max(1, cores() // 2), len(given))
    with progress.bar("preparing raw scans", len(given), console=console) as advance:
        for case, result in preparation.prepare_cases(given, folder, RawConfig(), workers, "--out"):
            outcome = result if isinstance(result, InputError) else draw_prepared(case, folder, result) or result
            if isinstance(outcome, InputError):
                yield case.name, of_case(case.name, outcome)
            else:
                place = folder / case.name
                console.print(f"{case.name}: a raw scan, prepared in {place}; look at its {PICTURE}", markup=False,
                              highlight=False, soft_wrap=True)
                files = {name: place / file for name, file in outcome.files.items()}
                yield dataclasses.replace(case, images={name: files[name] for name in case.images}, lesions=files.get(LESIONS),
                                          lesions2=None, combine=None)
            advance()
