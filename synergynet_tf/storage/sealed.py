"""JSON files that notice their own damage: beside what they hold stands a digest of it."""
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from synergynet_tf.errors import InputError
from synergynet_tf.storage.files import digest
from synergynet_tf.storage.readers import read_json
from synergynet_tf.storage.typed import require

SEAL = "digest"         # the key; all others are the content


def sealed(content: dict[str, Any], indent: int | None = None) -> bytes:
    """The file's bytes."""
    return (json.dumps(content | {SEAL: _digest(content)}, indent=indent, allow_nan=False) + "\n").encode()


def read_sealed(path: Path, kind: str, remedy: str, hint: Any = dict) -> dict[str, Any]:
    """The content of a file that `sealed` made.

    Args:
        path: the file.
        kind: as of `read_json`.
        remedy: as of `read_json`.
        hint: as of `read_json`.

    Raises:
        InputError: as `read_json`; or the content is not what the digest is of.
    """
    content = read_json(path, kind, remedy, dict)
    if content.pop(SEAL, None) != _digest(content):
        raise InputError(f"{path}: not a readable {kind} (it was damaged or edited: its digest is of another content); {remedy}")
    try:
        require(content, hint, "")
    except InputError as error:
        raise InputError(f"{path}: not a readable {kind} ({error}); {remedy}") from None
    return content


def is_intact(record: Path, wanted: Mapping[str, Any], names: Iterable[str] = ()) -> bool:
    """Whether a record that `sealed` made exists and is intact, and so are the files beside it that it lists.

    Args:
        record: a file whose content has `files`: digests by the name of a file in the record's folder.
        wanted: what the content must say; of a mapping, what it must hold at least.
        names: files that must be among those.
    """
    try:
        stored = read_sealed(record, "record", "", {"files": dict[str, str]})
        digests = {name: digest(record.parent / name) for name in (*stored["files"], *names)}
    except InputError:
        return False
    return digests == stored["files"] and all(_holds(stored.get(key), value) for key, value in wanted.items())


def _holds(stored: Any, wanted: Any) -> bool:
    if isinstance(stored, dict) and isinstance(wanted, dict):
        return all(key in stored and stored[key] == value for key, value in wanted.items())
    return stored == wanted


def _digest(content: dict[str, Any]) -> str:
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()
