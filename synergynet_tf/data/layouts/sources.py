"""What is read of a cohort, and so must not be written."""
from collections.abc import Iterable
from pathlib import Path

from synergynet_tf.data.layouts.case import Case


def sources(path: str | Path, cases: Iterable[Case] = ()) -> list[Path]:
    """The manifest at a path, or else the folder that is searched for scans; and the files of cases."""
    path = Path(path).expanduser()
    listed = path / "manifest.csv"
    files = [file for case in cases for file in (*case.images.values(), case.lesions, case.lesions2) if file is not None]
    return [listed if listed.is_file() else path, *files]
