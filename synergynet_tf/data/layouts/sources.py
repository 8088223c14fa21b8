"""What is read of a cohort, and so must not be written."""
from collections.abc import Iterable
from pathlib import Path

from synergynet_tf.config import Config
from synergynet_tf.data.layouts.case import Case
from synergynet_tf.storage.files import keep_apart


def sources(path: str | Path, cases: Iterable[Case] = ()) -> list[Path]:
    """The manifest at a path, or else the folder that is searched for scans; and the files of cases."""
    path = Path(path).expanduser()
    listed = path / "manifest.csv"
    files = [file for case in cases for file in (*case.images.values(), case.lesions, case.lesions2) if file is not None]
    return [listed if listed.is_file() else path, *files]


def keep_data_apart(option: str, folder: Path, config: Config, others: Iterable[Path] = ()) -> None:
    """Refuse to fill a folder, or a cache that was named, that is among what is read, holds it or lies in it.

    Args:
        option: what named the folder, for the message.
        folder: to be filled.
        config: its data and phantoms settings are used.
        others: what is read beside the data, or what the phantoms are made from.

    Raises:
        InputError: a folder that is to be filled, or a cache that was named, is, holds or lies in what is read.
    """
    data, phantoms = config.data, config.phantoms
    made_from = [Path(path).expanduser() for path in (phantoms.anatomy, phantoms.shapes) if path]
    read = [*(sources(data.path) if data.path else made_from), *others]
    keep_apart(option, folder, read)
    if data.cache:
        keep_apart("data.cache", Path(data.cache).expanduser(), read)
