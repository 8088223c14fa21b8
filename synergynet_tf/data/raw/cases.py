"""Which raw scans make a case: any layout of `data.layouts`, or plain folders."""
import re
from pathlib import Path

from synergynet_tf.data import layouts
from synergynet_tf.data.layouts.case import Case, case_of, open_subfolders, scans
from synergynet_tf.errors import InputError

CHANNELS = ("flair", "t2", "t1", "pd")


def find(path: str | Path, layout: str = "auto", raters: str = "first") -> list[Case]:
    """The raw cases at a path, sorted by name; a case may lack its FLAIR, which is an error of its own later.

    Folders PATIENT/ or PATIENT/SESSION/ with flair.nii.gz, t2.nii.gz, t1.nii.gz do where no layout applies.
    Raises InputError as `layouts.discover` does.
    """
    path = Path(path).expanduser()
    plain = _plain(path) if layout == "auto" and path.is_dir() and not (path / "manifest.csv").exists() else []
    if plain:
        return plain
    return layouts.discover(path, layout, (), False, raters)


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
    for case in cases:
        if not re.fullmatch(r"\w[\w.\-]*", case.name):
            raise InputError(f"{path}: the folder name {case.name!r} cannot name a case; use letters, digits, '_', '-' and '.'")
    return sorted(cases, key=lambda case: case.name)


def scans_of(folder: Path) -> dict[str, Path]:
    """The channels that a folder has, and its lesion mask."""
    return {stem: file for stem, file in scans(folder).items() if stem in (*CHANNELS, "lesions")}


def _channels(folder: Path) -> bool:
    return any(stem in CHANNELS for stem in scans_of(folder))
