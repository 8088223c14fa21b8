"""Results of steps on disk, under a key of all that shapes them: what is there is not computed again."""
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from synergynet_tf.errors import InputError, reason
from synergynet_tf.storage.files import npz, replace_file
from synergynet_tf.storage.readers import Stored, read_npz

Arrays = dict[str, np.ndarray]


class StepStore:
    """A folder of `<step>-<key>.npz` files."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._used: set[Path] = set()

    def get(self, step: str, key: str, compute: Callable[[], Arrays], gives: Mapping[str, Stored]) -> Arrays:
        """The arrays of a step, as it `gives` them: read, or else computed and kept.

        Raises:
            InputError: as `compute`, or if they cannot be written.
        """
        path = self._folder / f"{step}-{key}.npz"
        self._used.add(path)
        try:
            return read_npz(path, "result of a step", "it is computed again", gives)
        except InputError:      # absent, or damaged
            arrays = compute()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self._folder}: cannot be made ({reason(error)[0]}); name another folder") from None
        replace_file(path, npz(arrays, compressed=True))
        return arrays

    def drop_unused(self) -> None:
        """Delete what other settings or other scans left here."""
        for path in self._folder.glob("*.npz"):
            if path not in self._used:
                path.unlink(missing_ok=True)


def key_of(content: Any) -> str:
    """16 hexadecimal digits that stand for anything JSON can hold."""
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=8).hexdigest()
