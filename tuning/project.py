"""The folder of a search, and what says which search it is."""
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from synergynet_tf.errors import InputError
from synergynet_tf.storage.files import claim as claim_files
from synergynet_tf.storage.files import make_own, replace_file
from synergynet_tf.storage.readers import read_json

IDENTITY = "search.json"
FILES = (IDENTITY, "manifest.csv", "data.json", "oracle.json", "best.yaml", "summary.md", "scan.csv", "gamma.png", "parallel.png")
FOLDERS = ("shared", "branches", "tensorboard")


def make_project(project: Path) -> None:
    """Make the folder.

    Raises:
        InputError: files in it that a search would write are not ours.
    """
    claim_files("--project", [project / name for name in (*FILES, *FOLDERS)])
    for name in FOLDERS:
        make_own(project / name)


def begun(project: Path, identity: dict[str, Any]) -> bool:
    """Whether the folder holds this search already.

    Args:
        project: the search's folder.
        identity: what must stay the same for trials to belong to one search; settings by group.

    Raises:
        InputError: it holds another search; the first setting that differs is named.
    """
    path = project / IDENTITY
    if not path.exists():
        return False
    theirs = read_json(path, "identity of a search", "name another folder with --project", dict)
    for name, before, now in _differences(theirs, json.loads(json.dumps(identity))):    # lists for tuples, as a file has them
        raise InputError(f"{project}: holds a search with {name} {json.dumps(before)}, but now it is {json.dumps(now)}; "
                         "give what it was begun with, or another folder with --project")
    return True


def claim(project: Path, identity: dict[str, Any]) -> None:
    """From here on the folder holds this search and no other."""
    replace_file(project / IDENTITY, (json.dumps(identity, indent=1) + "\n").encode())


def _differences(before: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            yield from _differences(before.get(key), now.get(key), f"{name}.{key}".removeprefix(".").removeprefix("config."))
    elif before != now:
        yield name, before, now
