"""Which raw scans make a case: any layout of `data.layouts`, or plain folders."""
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from synergynet_tf.data import layouts
from synergynet_tf.data.layouts.case import LESIONS, Case, case_of, open_subfolders, scans, several
from synergynet_tf.data.layouts.leftovers import leftovers
from synergynet_tf.data.layouts.registry import Fault

log = logging.getLogger(__name__)

CHANNELS = ("flair", "t2", "t1", "pd")


def find(path: str | Path, layout: str = "auto", raters: str = "first") -> tuple[list[Case], list[Fault]]:
    """The raw cases at a path, sorted by name, and why others cannot be used; a missing FLAIR is an error of its own later.

    Folders PATIENT/ or PATIENT/SESSION/ with flair.nii.gz, t2.nii.gz, t1.nii.gz do where no layout applies.

    Raises:
        InputError: as `layouts.find` does.
    """
    path = Path(path).expanduser()
    plain = _plain(path) if layout == "auto" and path.is_dir() and not (path / "manifest.csv").exists() else []
    if left := leftovers(path, plain) if plain else None:
        log.warning("%s", left)
    good, wrong = layouts.usable(plain or layouts.find(path, layout), (), raters=raters)
    wrong += [Fault(case, "file", f"case {case.name}: {several('flair', case.doubtful['flair'])}") for case in good
              if "flair" in case.doubtful]
    return [case for case in good if "flair" not in case.doubtful], wrong


def _plain(path: Path) -> list[Case]:
    """Folders of patients; none where one is named in a way that a file cannot be, or where a layout knows the names better."""
    cases = []
    for folder in open_subfolders(path):
        if re.fullmatch(r"P\d+(_T\d+)?|patient\d+|sub-.*|training\d+", folder.name):
            return []
        if _channels(folder):
            cases.append(case_of(folder.name, "", scans_of(folder)))
        cases += [case_of(folder.name, session.name, scans_of(session)) for session in open_subfolders(folder)
                  if _channels(session)]
    return sorted(cases, key=lambda case: case.name)


def scans_of(folder: Path) -> Mapping[str, Sequence[Path]]:
    """The channels that a folder has, and its lesion mask."""
    return {stem: files for stem, files in scans(folder).items() if stem in (*CHANNELS, LESIONS)}


def _channels(folder: Path) -> bool:
    return any(stem in CHANNELS for stem in scans_of(folder))
