"""The layouts by name, and `discover`, which finds the one that applies and checks what it gave.

A layout is a function from a path to its cases, or None where it does not apply: a new one is a module with `find`, and a line
in `LAYOUTS`. The first line of its docstring is what users read about it. Nothing is opened here but tables: that the scans are
sound is for `nifti` and `preprocess` to say.
"""
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from synergynet_tf.data.layouts import bids, folders, isbi2015, manifest, mslesseg, msseg2016, nnunet, open_ms, single
from synergynet_tf.data.layouts.case import LESIONS, SECOND, SPLITS, SUSPECTS, Case, is_scan, key, several
from synergynet_tf.data.layouts.leftovers import leftovers
from synergynet_tf.data.layouts.manifest import Part
from synergynet_tf.data.layouts.raters import choose_raters
from synergynet_tf.errors import InputError, printable, reason
from synergynet_tf.storage.names import name_fault

log = logging.getLogger(__name__)

Finder = Callable[[Path], Sequence[Case | Part] | None]
LAYOUTS: dict[str, Finder] = {
    "manifest": manifest.find, "mslesseg": mslesseg.find, "open_ms": open_ms.find, "isbi2015": isbi2015.find,
    "msseg2016": msseg2016.find, "nnunet": nnunet.find, "bids": bids.find, "case": single.find,
    "folders": folders.find}
ALIKE = "are the same to disks that tell neither upper from lower case nor two ways to write an accent"
LAST = "folders"        # applies to much: tried where no other does


class Fault(NamedTuple):
    """Why a case cannot be used."""

    case: Case
    kind: str       # name, file or split
    message: str    # one line, as an InputError has it


def describe() -> str:
    """One sentence on each layout, in the order in which they are tried."""
    return "; ".join(f"{name}: {_summary(finder)}" for name, finder in LAYOUTS.items())


def _summary(finder: Finder) -> str:
    """The first line of a layout's docstring."""
    return (finder.__doc__ or "").partition("\n")[0].rstrip(".")


def discover(path: str | Path, layout: str = "auto", channels: Sequence[str] = ("flair",),
             require_lesions: bool = False, raters: str | None = "first") -> list[Case]:
    """Find the cases at a path, sorted by name. What lies there and belongs to none of them is named in the log, in one line.

    Args:
        path: a folder or a CSV manifest.
        layout: the name of a layout, or auto: the one that applies; a manifest goes before the folder layouts.
        channels: what every case must have, its files included. What is wrong with other channels is no matter.
        require_lesions: whether every case must have a reference mask.
        raters: whose mask is the reference where two have drawn one, see `choose_raters`; none: left open, for those who need
            no reference: nor are they told what is wrong with one, or with splits.

    Raises:
        InputError: no such path or layout, no case, more than one layout applies, a table that cannot be read; or cases that
            cannot be used, all of them named: two of one name, a channel or a reference mask missing or in doubt, a split that
            does not exist, a patient in two splits.
    """
    cases = find(path, layout)
    good, wrong = usable(cases, channels, require_lesions, raters)
    refused = list(dict.fromkeys(fault.case.name for fault in wrong))
    if len(refused) > 1:
        raise InputError(f"{len(refused)} of {len(cases)} cases cannot be used ({', '.join(refused)}); the first: "
                         f"{wrong[0].message}")
    if wrong:
        raise InputError(wrong[0].message)
    return good


def usable(cases: Sequence[Case], channels: Sequence[str], require_lesions: bool = False,
           raters: str | None = "first") -> tuple[list[Case], list[Fault]]:
    """The cases that can be used, as `discover` gives them, and why the others cannot."""
    ready, wrong = chosen(cases, raters)
    wrong += faults(ready, channels, require_lesions, raters is not None)
    refused = {id(fault.case) for fault in wrong}
    return [case for case in ready if id(case) not in refused], wrong


def chosen(cases: Sequence[Case], raters: str | None) -> tuple[list[Case], list[Fault]]:
    """The cases with the reference that `raters` asks for, sorted by name, and the faults of those that have none such."""
    ready, wrong = [], []
    for case in cases:
        try:
            ready += choose_raters([case], raters) if raters is not None else [case]
        except InputError as error:
            wrong.append(Fault(case, "file", str(error)))
    return sorted(ready, key=lambda case: case.name), wrong


def find(path: str | Path, layout: str = "auto") -> list[Case]:
    """The cases at a path, sorted by name, as their layout gives them: neither checked nor their raters chosen.

    What lies in a folder and belongs to none of them is named in the log. A manifest that is named says itself what belongs.

    Raises:
        InputError: no such path or layout, no case, more than one layout applies, a table or folder that cannot be read.
    """
    cases = []
    for case_or_part in _cases_at(Path(path).expanduser(), layout):
        cases += case_or_part.taken(_cases_at(case_or_part.path, "auto")) if isinstance(case_or_part, Part) else [case_or_part]
    return sorted(cases, key=lambda case: case.name)


def faults(cases: Sequence[Case], channels: Sequence[str], require_lesions: bool = False,
           training: bool = True) -> Iterator[Fault]:
    """Everything for which `discover` refuses cases, sorted by name, whose raters are chosen; nothing is opened.

    Args:
        cases: sorted by name, their raters chosen.
        channels: that every case must have.
        require_lesions: whether every case must have a reference mask.
        training: whether reference masks and splits are of use, so that those which are there must be sound.
    """
    yield from _check_names(cases)
    yield from _check_files(cases, channels, training)
    if training:
        yield from _check_masks(cases, require_lesions)
        yield from _check_splits(cases)


def _cases_at(path: Path, layout: str) -> Sequence[Case | Part]:
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check data.path")
    try:
        cases_and_parts = _of_layout(path, layout)
        cases = [case for case in cases_and_parts if isinstance(case, Case)]
        listed = layout == "manifest" or len(cases) < len(cases_and_parts)
        left = None if listed or not path.is_dir() else leftovers(path, cases)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({reason(error)[0]}); check the folder's permissions") from None
    if left:
        log.warning("%s", left)
    return cases_and_parts


def _of_layout(path: Path, layout: str) -> Sequence[Case | Part]:
    if layout != "auto":
        if layout not in LAYOUTS:
            raise InputError(f"data.layout is {layout!r}, but the layouts are auto, {', '.join(LAYOUTS)}")
        cases = LAYOUTS[layout](path)
        if not cases:
            raise InputError(f"{path}: no case in the layout {layout} ({_summary(LAYOUTS[layout])}); "
                             "correct data.path or data.layout")
        return cases
    listed = manifest.find(path)
    tried = [("manifest", listed)] if listed is not None else (
        (name, finder(path)) for name, finder in LAYOUTS.items() if name not in ("manifest", LAST))
    applying = {name: cases for name, cases in tried if cases is not None}
    if len(applying) > 1:
        raise InputError(f"{path}: more than one layout applies ({', '.join(applying)}); name one as data.layout, or write a "
                         "manifest")
    cases = next(iter(applying.values()), []) or (LAYOUTS[LAST](path) if not applying else [])
    if not cases:
        raise InputError(f"{path}: no case found; {_what_lies_at(path)}")
    return cases


def _what_lies_at(path: Path) -> str:
    """What is there in place of cases, and what to type."""
    if path.is_file():
        return "a manifest without rows: add them" if path.suffix.lower() == ".csv" else \
            "this file is neither a CSV manifest nor a folder of cases; name one of these"
    inside = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    loose = [entry for entry in inside if is_scan(entry)]
    if loose:
        return (f"{len(loose)} NIfTI files lie side by side ({_shown(loose)}): `predict` takes them by name (DIR/*.nii.gz); for "
                "training name them in a manifest (columns patient,flair,lesions)")
    contents = f"there are {_shown(inside)}" if inside else "the folder is empty"
    return (f"{contents}; needed is PATIENT/flair.nii.gz, or manifest.csv (columns patient,flair,lesions), or what `prepare "
            f"--help` says of {', '.join(name for name in LAYOUTS if name not in ('manifest', 'case', LAST))}")


def _shown(entries: Sequence[Path]) -> str:
    names = [printable(entry.name)[:20] for entry in entries[:3]]
    return ", ".join(names) + (f" and {len(entries) - 3} more" if len(entries) > 3 else "")


def _check_names(cases: Sequence[Case]) -> Iterator[Fault]:
    named: dict[str, Case] = {}
    patients: dict[str, str] = {}
    for case in cases:
        parts = {"the case name": case.name, "the patient's name": case.patient, "the session's name": case.session or case.name}
        faults_of_names = [fault for what, name in parts.items() if (fault := name_fault(what, name))]
        if faults_of_names:
            yield Fault(case, "name", faults_of_names[0])
        first = named.setdefault(key(case.name), case)
        if first is not case and first.name == case.name:
            yield Fault(case, "name", f"two cases are named {case.name}: {_where(first)} and {_where(case)}; "
                        "give each time point of a patient its own session")
        patient = patients.setdefault(key(case.patient), case.patient)
        if patient != case.patient:
            yield Fault(case, "name", f"the patients {ascii(patient)} and {ascii(case.patient)} {ALIKE}; name them alike if they "
                        "are one")
        elif first.name != case.name:
            yield Fault(case, "name", f"the cases {ascii(first.name)} and {ascii(case.name)} {ALIKE}; rename one")


def _check_files(cases: Sequence[Case], channels: Sequence[str], training: bool) -> Iterator[Fault]:
    for case in cases:
        for channel in channels:
            if channel in case.doubtful:
                yield Fault(case, "file", f"case {case.name}: {several(channel, case.doubtful[channel])}")
            elif channel not in case.images:
                lacking = sum(channel not in other.images for other in cases)
                yield Fault(case, "file", f"case {case.name}: the channel {channel} is missing (in {lacking} of {len(cases)} "
                            f"cases), only {', '.join(sorted(case.images)) or 'nothing'} is there; add the file"
                            + (f", or leave {channel} out of data.channels" if training else ""))
            elif not case.images[channel].is_file():
                yield Fault(case, "file", f"case {case.name}: the {channel} file {_absent(case.images[channel])}")


def _check_masks(cases: Sequence[Case], needed: bool) -> Iterator[Fault]:
    for case in cases:
        doubtful = [name for name in (LESIONS, SECOND) if name in case.doubtful]
        for name in doubtful:
            yield Fault(case, "file", f"case {case.name}: {several(name, case.doubtful[name])}")
        if case.lesions is None and needed and not doubtful:
            suspects = [channel for channel in case.images if channel in SUSPECTS]
            remedy = f"is {suspects[0]} the reference? then call it lesions" if suspects else "add it, or leave the case out"
            yield Fault(case, "file", f"case {case.name}: no lesion mask, but one is needed here; {remedy}")
        for mask in (case.lesions, case.lesions2):
            if mask is not None and not mask.is_file():
                yield Fault(case, "file", f"case {case.name}: the lesions file {_absent(mask)}")


def _absent(path: Path) -> str:
    if path.is_symlink():
        return (f"{path} does not exist: it is a link to {path.readlink()}, which is not there; fetch it (git annex get, datalad "
                "get), or correct the link")
    return f"{path} {'is a folder' if path.is_dir() else 'does not exist'}; correct its path"


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
