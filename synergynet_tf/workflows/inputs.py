"""Which cases `predict` is to segment: those of folders and manifests, those that files make by their names, a run's own."""
import logging
import pathlib
import re
from collections.abc import Sequence
from typing import Any

from synergynet_tf.data import layouts
from synergynet_tf.data.foreign import absent
from synergynet_tf.data.layouts import LESIONS, RESULTS, Case, key, only, scans, stem
from synergynet_tf.data.layouts.leftovers import HIDDEN, RESULT, Left, summary
from synergynet_tf.errors import InputError, printable
from synergynet_tf.storage.names import is_nifti

log = logging.getLogger(__name__)

Failed = list[tuple[str, InputError]]       # the name of a case or input, and why it cannot be used

WORDS = {"flair": "flair", "t2": "t2", "t2w": "t2", "t1": "t1", "t1w": "t1", "pd": "pd", "pdw": "pd", "t1gd": "t1gd",
         "t1ce": "t1gd", LESIONS: LESIONS}      # the last part of a file's name, and the channel it stands for
UNUSED, TWICE = "of channels that the network does not take", "given twice"


def find_cases(paths: Sequence[pathlib.Path], t2: pathlib.Path | None, channels: Sequence[str],
               raters: str | None) -> tuple[list[Case], Failed]:
    """The cases of files, folders and manifests, and the inputs and cases that cannot be used.

    Args:
        paths: FLAIR files, folders and manifests.
        t2: what goes with a single FLAIR file.
        channels: those of the network.
        raters: whose reference is drawn where two have made one; none: no reference is needed.

    Raises:
        InputError: two cases have one name, or there is none at all.
    """
    if t2 and "t2" not in channels:
        raise InputError(f"--t2 is {t2}, but the network takes {', '.join(channels)} alone: leave --t2 out")
    files = [path for path in paths if names_scan(path)]
    cases, failed = _of_files(files, t2, channels, alone=len(paths) == 1)
    for path in paths:
        if path not in files:
            usable, wrong = _of_folder(path, channels, raters)
            cases, failed = cases + usable, failed + wrong
    named: dict[str, Case] = {}
    for case in cases:
        other = named.setdefault(key(case.name), case)
        if other is not case:
            raise InputError(f"{case.images['flair']} and {other.images['flair']} would both be written as "
                             f"{case.name}_mask.nii.gz: segment them into different folders, or name them in a manifest")
    if not cases and not failed:
        raise InputError(f"none of the {len(paths)} inputs is a scan; name FLAIR files, folders of cases or CSV manifests")
    return cases, failed


def split_cases(run: pathlib.Path, split: str, channels: Sequence[str]) -> list[Case]:
    """A run's own cases of a split.

    Raises:
        InputError: it holds none, or as `identity.cases_of`.
    """
    from synergynet_tf.data import identity

    cases = identity.cases_of(run, split, channels, require_lesions=False)
    if not cases:
        raise InputError(f"{run}/manifest.csv: the split {split} holds no case; choose another --split")
    return cases


def scan_case(flair: pathlib.Path, t2: pathlib.Path | None, channels: Sequence[str], alone: bool = True) -> Case:
    """A case of one FLAIR file, and the T2 file that goes with it if the network takes one; named after it, or its folder.

    Args:
        flair: the file.
        t2: the T2 file; none: there is no such file.
        channels: those of the network.
        alone: whether it is the only input, to which --t2 could be added.

    Raises:
        InputError: a channel is missing, or a file does not exist.
    """
    return _case(stem(flair), {"flair": flair} | ({"t2": t2} if t2 else {}), channels, alone)


def case_name(name: str, flair: pathlib.Path) -> str:
    """What a case is called: by what is its own in its FLAIR file's name, or by the folder where that is only flair."""
    return (flair.resolve().parent.name or stem(flair)) if key(name) in ("", "flair") else name


def names_scan(path: pathlib.Path) -> bool:
    """Whether an input is named as one scan."""
    return is_nifti(path) and not path.is_dir()


def names_result(path: pathlib.Path) -> bool:
    """Whether an input is named as what `predict` writes, which is never taken for a scan."""
    return names_scan(path) and key(stem(path)).endswith(RESULTS)


def _of_folder(path: pathlib.Path, channels: Sequence[str], raters: str | None) -> tuple[list[Case], Failed]:
    try:
        if not path.exists():
            raise InputError(f"{path}: no such file or folder; check the path")
        return _usable(layouts.find(path), channels, raters)
    except InputError as error:
        return [], [(str(path), error)]


def _usable(cases: Sequence[Case], channels: Sequence[str], raters: str | None) -> tuple[list[Case], Failed]:
    good, wrong = layouts.usable(cases, channels, raters=raters)
    return good, list({fault.case.name: (fault.case.name, InputError(fault.message)) for fault in reversed(wrong)}.values())[::-1]


def _of_files(files: Sequence[pathlib.Path], t2: pathlib.Path | None, channels: Sequence[str],
              alone: bool) -> tuple[list[Case], Failed]:
    """The cases of FLAIR files, each with the other channels that its name leads to; what is none is named in the log."""
    flairs, not_taken = _flairs(files, channels, alone)
    cases: list[Case] = []
    failed: Failed = []
    listed: dict[pathlib.Path, Any] = {}
    paired: list[tuple[str, ...]] = []
    for flair in flairs:
        try:
            beside = {} if t2 else _beside(flair, channels, listed)
            cases.append(_case(_own_front(flair), {"flair": flair, **beside}, channels, alone) if beside
                         else scan_case(flair, t2, channels, alone))
            paired += [(flair.name, *(path.name for path in beside.values()))] if beside else []
        except InputError as error:
            failed.append((str(flair), error))
    if paired:
        log.warning("%d scans: the other channels are the files of the same name (%s%s)", len(paired),
                    printable("; ".join(" with ".join(names) for names in paired[:2])), "; ..." if len(paired) > 2 else "")
    if text := summary(not_taken):
        log.warning("%s", text)
    return cases, failed


def _flairs(files: Sequence[pathlib.Path], channels: Sequence[str], alone: bool) -> tuple[list[pathlib.Path], list[Left]]:
    """Of scans' files those that are FLAIR, and the others: results of `predict`, other channels of the same cases."""
    fronts = {(path.parent, key(_own_front(path))) for path in files if _word(path) in (None, "flair")}
    flairs, not_taken, seen = [], [], set()
    for path in files:
        place = path.resolve()
        if path.name.startswith("."):
            not_taken.append(Left(HIDDEN, str(path)))
        elif names_result(path):
            not_taken.append(Left(RESULT, str(path)))
        elif _word(path) not in (None, "flair") and (path.parent, key(_front(path))) in fronts:
            not_taken += [] if _word(path) in channels else [Left(UNUSED, str(path))]
        elif place in seen:
            not_taken.append(Left(TWICE, str(path)))
        else:
            flairs.append(path)
            seen.add(place)
    if alone and not_taken:
        raise InputError(f"{files[0]}: is named as {' or '.join(RESULTS)} of a scan, or hidden; rename it if it is a FLAIR scan")
    return flairs, not_taken


def _beside(flair: pathlib.Path, channels: Sequence[str], listed: dict) -> dict[str, pathlib.Path]:
    """The files of the other channels that lie beside a FLAIR file and are called as it is. Raises InputError for rivals."""
    others = [channel for channel in channels if channel != "flair"]
    if others and flair.parent not in listed:
        listed[flair.parent] = [path for paths in scans(flair.parent).values() for path in paths]
    channels_beside = {}
    for channel in others:
        rivals = [path for path in listed[flair.parent] if _word(path) == channel and key(_front(path)) == key(_own_front(flair))]
        if path := only(rivals, f"the {channel} of {flair}"):
            channels_beside[channel] = path
    return channels_beside


def _case(name: str, images: dict[str, pathlib.Path], channels: Sequence[str], alone: bool) -> Case:
    """A case of files, of this name, or of their folder's where the name is only flair. Raises InputError as `scan_case`."""
    flair = images["flair"]
    for path in images.values():
        if not path.is_file():
            raise InputError(f"{path}: {absent(path)}")
    missing = [channel for channel in channels if channel not in images]
    if missing:
        expected = "_".join(filter(None, (_own_front(flair), f"{missing[0]}.nii.gz")))
        raise InputError(f"{flair}: the network also takes {', '.join(missing)}, but beside it lies no {expected}; "
                         + ("add --t2 FILE, " if alone and missing == ["t2"] else "")
                         + "name the file so, or name the scans in folders (PATIENT/flair.nii.gz ...) or a manifest")
    name = case_name(name, flair)
    return Case(name, name, "", {channel: images[channel] for channel in channels}, None, None)


def _word(path: pathlib.Path) -> str | None:
    """The channel that the last part of a file's name says, if any."""
    return WORDS.get(re.split(r"[_\-. ]", key(stem(path)))[-1])


def _front(path: pathlib.Path) -> str:
    """A file's name before its last part."""
    return re.sub(r"[_\-. ]?[^_\-. ]*$", "", stem(path))


def _own_front(flair: pathlib.Path) -> str:
    """What the files of a FLAIR's case begin with: P1 of P1_flair.nii.gz, and of P1.nii.gz."""
    return _front(flair) if _word(flair) == "flair" else stem(flair)
