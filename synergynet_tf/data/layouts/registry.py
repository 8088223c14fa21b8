"""The layouts by name, and `discover`, which finds the one that applies and checks what it gave.

A layout is a function from a path to its cases, or None where it does not apply: a new one is a module with `find`, and a line
in `LAYOUTS`. The first line of its docstring is what users read about it. Nothing is opened here but tables: that the scans are
sound is for `nifti` and `preprocess` to say.
"""
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from synergynet_tf.data.layouts import bids, isbi2015, manifest, mslesseg, msseg2016, nnunet, open_ms, single
from synergynet_tf.data.layouts.case import SPLITS, Case
from synergynet_tf.data.layouts.manifest import Part
from synergynet_tf.data.layouts.raters import choose_raters
from synergynet_tf.errors import InputError, reason

Finder = Callable[[Path], list[Case | Part] | None]
LAYOUTS: dict[str, Finder] = {
    "manifest": manifest.find, "mslesseg": mslesseg.find, "open_ms": open_ms.find, "isbi2015": isbi2015.find,
    "msseg2016": msseg2016.find, "nnunet": nnunet.find, "bids": bids.find, "case": single.find}


class Fault(NamedTuple):
    """Why a case cannot be used."""

    case: Case
    kind: str       # name, file or split
    message: str    # one line, as an InputError has it


def describe() -> str:
    """One sentence on each layout, in the order in which they are tried."""
    return "; ".join(f"{name}: {finder.__doc__.splitlines()[0].rstrip('.')}" for name, finder in LAYOUTS.items())


def discover(path: str | Path, layout: str = "auto", channels: Sequence[str] = ("flair",),
             require_lesions: bool = False, raters: str | None = "first") -> list[Case]:
    """Find the cases at a path, sorted by name.

    Args:
        path: a folder or a CSV manifest.
        layout: the name of a layout, or auto: the one that applies; a manifest goes before the folder layouts.
        channels: what every case must have, its files included.
        require_lesions: whether every case must have a reference mask.
        raters: whose mask is the reference where two have drawn one, see `choose_raters`; none: left open, for those who need
            no reference.

    Raises:
        InputError: no such path or layout, no case, more than one layout applies, two cases of one name, a channel or a
            reference mask missing, a table that cannot be read, a split that does not exist, a patient in two splits.
    """
    cases = find(path, layout)
    if raters is not None:
        cases = sorted(choose_raters(cases, raters), key=lambda case: case.name)
    for fault in faults(cases, channels, require_lesions):
        raise InputError(fault.message)
    return cases


def find(path: str | Path, layout: str = "auto") -> list[Case]:
    """The cases at a path, sorted by name, as their layout gives them: neither checked nor their raters chosen.

    Raises:
        InputError: no such path or layout, no case, more than one layout applies, a table or folder that cannot be read.
    """
    cases = []
    for found in _found(Path(path).expanduser(), layout):
        cases += found.taken(_found(found.path, "auto")) if isinstance(found, Part) else [found]
    return sorted(cases, key=lambda case: case.name)


def faults(cases: Sequence[Case], channels: Sequence[str], require_lesions: bool = False) -> Iterator[Fault]:
    """Everything for which `discover` refuses cases, sorted by name, whose raters are chosen; nothing is opened."""
    yield from _check_names(cases)
    yield from _check_files(cases, channels, require_lesions)
    yield from _check_splits(cases)


def _found(path: Path, layout: str) -> list[Case | Part]:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check data.path")
    try:
        return _of_layout(path, layout)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)[0]}); check the folder's permissions") from None


def _of_layout(path: Path, layout: str) -> list[Case | Part]:
    if layout != "auto":
        if layout not in LAYOUTS:
            raise InputError(f"data.layout is {layout!r}, but the layouts are auto, {', '.join(LAYOUTS)}")
        cases = LAYOUTS[layout](path)
        if not cases:
            raise InputError(f"{path}: no case in the layout {layout} ({describe()}); correct data.path or data.layout")
        return cases
    listed = manifest.find(path)
    tried = [("manifest", listed)] if listed is not None else ((name, finder(path)) for name, finder in LAYOUTS.items())
    applying = {name: cases for name, cases in tried if cases is not None}
    if len(applying) > 1:
        raise InputError(f"{path}: more than one layout applies ({', '.join(applying)}); name one as data.layout")
    cases = next(iter(applying.values()), [])
    if not cases:
        raise InputError(f"{path}: no case found; the layouts are {describe()}")
    return cases


def _check_names(cases: Sequence[Case]) -> Iterator[Fault]:
    for case in cases:
        if not re.fullmatch(r"\w[\w.\-]*", case.name):
            yield Fault(case, "name", f"the case name {case.name!r} cannot name a file; use letters, digits, '_', '-' and '.' "
                        "for patient and session")
    for first, second in zip(cases, cases[1:]):
        if first.name == second.name:
            yield Fault(second, "name", f"two cases are named {first.name}: {_where(first)} and {_where(second)}; "
                        "give each time point of a patient its own session")


def _check_files(cases: Sequence[Case], channels: Sequence[str], require_lesions: bool) -> Iterator[Fault]:
    for case in cases:
        for channel in channels:
            if channel not in case.images:
                lacking = sum(channel not in other.images for other in cases)
                yield Fault(case, "file", f"case {case.name}: the channel {channel} is missing (in {lacking} of {len(cases)} "
                            f"cases), only {', '.join(sorted(case.images)) or 'nothing'} is there; add the file, or leave "
                            f"{channel} out of data.channels")
            elif not case.images[channel].is_file():
                yield Fault(case, "file", f"case {case.name}: the {channel} file {case.images[channel]} does not exist; "
                            "correct its path")
        if case.lesions is None and require_lesions:
            yield Fault(case, "file", f"case {case.name}: no lesion mask, but one is needed here; add it, or leave the case out")
        for mask in (case.lesions, case.lesions2):
            if mask is not None and not mask.is_file():
                yield Fault(case, "file", f"case {case.name}: the lesions file {mask} does not exist; correct its path")


def _check_splits(cases: Sequence[Case]) -> Iterator[Fault]:
    seen: dict[str, Case] = {}
    for case in cases:
        if case.split is None:
            continue
        if case.split not in SPLITS:
            yield Fault(case, "split", f"case {case.name}: the split is {case.split!r}, but it must be {', '.join(SPLITS)} "
                        "or empty")
            continue
        first = seen.setdefault(case.patient, case)
        if first.split != case.split:
            yield Fault(case, "split", f"patient {case.patient}: {first.name} is in {first.split} but {case.name} in "
                        f"{case.split}; all time points of a patient belong to one split")


def _where(case: Case) -> Path | str:
    return next(iter(case.images.values()), "no image")
