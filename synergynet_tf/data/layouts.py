"""Which files make a case: one function per folder layout, and `discover`, which finds the layout and checks what it gave.

A layout is a function from a path to its cases, or None where it does not apply; a new one needs only `@layout("name")`.
Nothing is opened here but a manifest: that the files are sound is for `nifti` and `preprocess` to say.
"""
import csv
import io
import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from synergynet_tf.errors import InputError

SPLITS = ("train", "validation", "test")
SUFFIXES = (".nii.gz", ".nii")
LESIONS = "lesions"
OPEN_MS_FOLDER = re.compile(r"patient\d+")
MSLESSEG_FOLDER = re.compile(r"(?P<patient>P\d+)_(?P<session>T\d+)")


@dataclass(frozen=True)
class Case:
    """The files of one patient at one time point."""

    name: str                   # unique among the cases of a run; names folders and results
    patient: str
    session: str                # empty where there is only one
    images: dict[str, Path]     # by channel; may hold channels that a run does not use
    lesions: Path | None        # the reference mask
    split: str | None           # train, validation or test, where the source says so


Finder = Callable[[Path], list[Case] | None]
_LAYOUTS: dict[str, Finder] = {}


def layout(name: str) -> Callable[[Finder], Finder]:
    """Register a function `path -> list of cases, or None where the layout does not apply` under a name for `data.layout`."""

    def register(finder: Finder) -> Finder:
        _LAYOUTS[name] = finder
        return finder

    return register


def describe() -> str:
    """One sentence on each layout, in the order in which they are tried."""
    return "; ".join(f"{name}: {finder.__doc__.splitlines()[0].rstrip('.')}" for name, finder in _LAYOUTS.items())


@layout("manifest")
def _manifest(path: Path) -> list[Case] | None:
    """a CSV file (or a folder with manifest.csv) with columns patient, session, flair, t2, lesions, split.

    Any other column is a channel. session, lesions and split may be absent or empty; paths are relative to the file's folder.
    """
    if path.is_dir():
        path = path / "manifest.csv"
    if path.suffix.lower() != ".csv" or not path.is_file():
        return None
    return [_manifest_case(path, line, row) for line, row in _rows(path)]


@layout("mslesseg")
def _mslesseg(path: Path) -> list[Case] | None:
    """folders P<patient>_T<session>/ with flair.nii.gz, t2.nii.gz and lesions.nii.gz."""
    return [_folder_case(folder) for folder in _folders(path, MSLESSEG_FOLDER)] or None


@layout("open_ms")
def _open_ms(path: Path) -> list[Case] | None:
    """folders patient<number>/ with flair.nii.gz, t2.nii.gz, t1.nii.gz and lesions.nii.gz."""
    return [_folder_case(folder) for folder in _folders(path, OPEN_MS_FOLDER)] or None


@layout("case")
def _case(path: Path) -> list[Case] | None:
    """one folder with flair.nii.gz, the other channels and, where known, lesions.nii.gz."""
    folder = path.resolve()
    return [_folder_case(folder)] if path.is_dir() and "flair" in _scans(folder) else None


def discover(path: str | Path, layout: str = "auto", channels: Sequence[str] = ("flair",),
             require_lesions: bool = False) -> list[Case]:
    """Find the cases at a path, sorted by name.

    Args:
        path: a folder or a CSV manifest.
        layout: the name of a layout, or auto: the one that applies; a manifest goes before the folder layouts.
        channels: what every case must have, its files included.
        require_lesions: whether every case must have a reference mask.

    Raises:
        InputError: no such path or layout, no case, more than one layout applies, two cases of one name, a channel or a
            reference mask missing, a split that does not exist, a patient in two splits.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; check data.path")
    try:
        cases = sorted(_found(path, layout), key=lambda case: case.name)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the folder's permissions") from None
    _check_names(cases)
    _check_files(cases, channels, require_lesions)
    _check_splits(cases)
    return cases


def _found(path: Path, layout: str) -> list[Case]:
    if layout != "auto":
        if layout not in _LAYOUTS:
            raise InputError(f"data.layout is {layout!r}, but the layouts are auto, {', '.join(_LAYOUTS)}")
        cases = _LAYOUTS[layout](path)
        if not cases:
            raise InputError(f"{path}: no case in the layout {layout} ({describe()}); correct data.path or data.layout")
        return cases
    tried = ((name, finder(path)) for name, finder in _LAYOUTS.items())
    applying = {name: cases for name, cases in tried if cases is not None}
    if "manifest" in applying:
        applying = {"manifest": applying["manifest"]}
    if len(applying) > 1:
        raise InputError(f"{path}: more than one layout applies ({', '.join(applying)}); name one as data.layout")
    cases = next(iter(applying.values()), [])
    if not cases:
        raise InputError(f"{path}: no case found; the layouts are {describe()}")
    return cases


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a manifest that are not empty, with the line each ends at; header and cells stripped, columns in lower case."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        delimiter = max(",;\t", key=text.split("\n", 1)[0].count)      # spreadsheets of some countries write semicolons
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error}); save it as CSV UTF-8") from None
    columns = [column.lower() for column in lines[0][1]] if lines else []
    named = [column for column in columns if column]
    if not {"patient", "flair"} <= set(named) or len(set(named)) < len(named):
        raise InputError(f"{path}: the columns are {', '.join(named) or 'none'}, but patient and flair are needed, "
                         "and each name only once")
    for line, cells in lines[1:]:
        row = dict(itertools.zip_longest(columns, cells[:len(columns)], fillvalue=""))
        if any(cells[len(columns):]) or row.pop("", ""):
            raise InputError(f"{path}, line {line}: {len(cells)} cells, but {len(named)} columns have a name; "
                             "put cells that hold a comma in quotes")
        if any(row.values()):
            yield line, row


def _manifest_case(path: Path, line: int, row: dict[str, str]) -> Case:
    patient, session = row.pop("patient"), row.pop("session", "")
    split, lesions = row.pop("split", ""), row.pop(LESIONS, "")
    if not patient:
        raise InputError(f"{path}, line {line}: the patient is empty; name one, so that splits keep patients whole")
    images = {channel: path.parent / cell for channel, cell in row.items() if cell}
    name = f"{patient}_{session}" if session else patient
    return Case(name, patient, session, images, path.parent / lesions if lesions else None, split or None)


def _folders(path: Path, pattern: re.Pattern) -> list[Path]:
    if not path.is_dir():
        return []
    return sorted(folder for folder in path.iterdir() if pattern.fullmatch(folder.name) and folder.is_dir())


def _folder_case(folder: Path) -> Case:
    images = _scans(folder)
    lesions = images.pop(LESIONS, None)
    match = MSLESSEG_FOLDER.fullmatch(folder.name)
    patient, session = (match["patient"], match["session"]) if match else (folder.name, "")
    return Case(folder.name, patient, session, images, lesions, None)


def _scans(folder: Path) -> dict[str, Path]:
    """The NIfTI files of a folder by name without suffix; .nii.gz goes before .nii."""
    return {file.name.removesuffix(suffix): file for suffix in reversed(SUFFIXES)
            for file in sorted(folder.iterdir()) if file.name.endswith(suffix) and file.is_file()}


def _check_names(cases: list[Case]) -> None:
    for case in cases:
        if not re.fullmatch(r"\w[\w.\-]*", case.name):
            raise InputError(f"the case name {case.name!r} cannot name a file; use letters, digits, '_', '-' and '.' "
                             "for patient and session")
    for first, second in zip(cases, cases[1:]):
        if first.name == second.name:
            raise InputError(f"two cases are named {first.name}: {_where(first)} and {_where(second)}; "
                             "give each time point of a patient its own session")


def _check_files(cases: list[Case], channels: Sequence[str], require_lesions: bool) -> None:
    for case in cases:
        for channel in channels:
            if channel not in case.images:
                lacking = sum(channel not in other.images for other in cases)
                raise InputError(f"case {case.name}: the channel {channel} is missing (in {lacking} of {len(cases)} cases), only "
                                 f"{', '.join(sorted(case.images)) or 'nothing'} is there; add the file, or leave {channel} "
                                 "out of data.channels")
            if not case.images[channel].is_file():
                raise InputError(f"case {case.name}: the {channel} file {case.images[channel]} does not exist; correct its path")
        if case.lesions is None and require_lesions:
            raise InputError(f"case {case.name}: no lesion mask, but one is needed here; add it, or leave the case out")
        if case.lesions is not None and not case.lesions.is_file():
            raise InputError(f"case {case.name}: the lesions file {case.lesions} does not exist; correct its path")


def _check_splits(cases: list[Case]) -> None:
    seen: dict[str, Case] = {}
    for case in cases:
        if case.split is None:
            continue
        if case.split not in SPLITS:
            raise InputError(f"case {case.name}: the split is {case.split!r}, but it must be {', '.join(SPLITS)} or empty")
        first = seen.setdefault(case.patient, case)
        if first.split != case.split:
            raise InputError(f"patient {case.patient}: {first.name} is in {first.split} but {case.name} in {case.split}; "
                             "all time points of a patient belong to one split")


def _where(case: Case) -> Path | str:
    return next(iter(case.images.values()), "no image")
