"""What a check finds, and what it hands from a case to the table and the sheet."""
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synergynet_tf.data.judgement import Note
from synergynet_tf.data.layouts import LESIONS, Case
from synergynet_tf.errors import InputError

ERROR, WARNING = "error", "warning"     # a training refuses the case; a person should look at it
SECOND = "lesions2"


@dataclass(frozen=True)
class Problem:
    """One row of the table."""

    case: str               # empty: of the cohort as a whole
    severity: str           # ERROR or WARNING
    kind: str               # name, file, split, grid, affine, orientation, spacing, intensities, brain, mask, lesions, duplicate
    file: str               # channel, lesions or lesions2; empty: of the case as a whole
    path: Path | None
    text: str               # one line


@dataclass(frozen=True, eq=False)
class Views:
    """Three slices of a FLAIR side by side at 1 mm a pixel, rows from below: axial, coronal, sagittal."""

    picture: np.ndarray     # uint8 [rows, columns]
    lesions: np.ndarray     # bool [rows, columns]


@dataclass(frozen=True, eq=False)
class CaseCheck:
    """What reading one case has told."""

    case: Case
    problems: tuple[Problem, ...]
    digests: dict[str, str | None]  # of each file's voxels on the canonical grid; none where all are 0
    lesions: int | None             # none: there is no mask that can be read
    lesion_ml: float | None
    brain_ml: float | None
    views: Views | None             # none: there is no FLAIR that can be read


def files_of(case: Case) -> dict[str, Path | None]:
    """A case's files by what they are: channels, lesions, lesions2."""
    return {**case.images, LESIONS: case.lesions, SECOND: case.lesions2}


class Findings:
    """Collects a case's problems. What is wrong with a file that the run does not use is only a warning."""

    def __init__(self, case: Case, channels: Sequence[str]):
        self._case = case
        self._used = {"", LESIONS, SECOND, *channels}
        self.paths = files_of(case)
        self.problems: list[Problem] = []

    def error(self, kind: str, file: str, text: str) -> None:
        """Note what a training refuses. A text about a file says flair or lesions where an error named the paths."""
        self._add(ERROR if file in self._used else WARNING, kind, file, text)

    def warn(self, kind: str, file: str, text: str) -> None:
        """Note what a person should look at."""
        self._add(WARNING, kind, file, text)

    def notes(self, file: str, notes: Sequence[Note]) -> None:
        """Note what the rules of `judgement` say of a file that a training takes."""
        for note in notes:
            self.warn(note.kind, file, note.text)

    @contextlib.contextmanager
    def judging(self, kind: str, file: str) -> Iterator[None]:
        """Note an InputError as an error, and go on."""
        try:
            yield
        except InputError as error:
            self.error(kind, file, str(error))

    def _add(self, severity: str, kind: str, file: str, text: str) -> None:
        text = text.removeprefix(f"case {self._case.name}: ").removeprefix(f"{self.paths.get(file)}: ")
        for name, path in self.paths.items() if file else ():
            text = text.replace(str(path), name) if path is not None else text
        self.problems.append(Problem(self._case.name, severity, kind, file, self.paths.get(file), " ".join(text.split())))
