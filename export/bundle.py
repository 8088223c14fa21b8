"""The files of a bundle: which they are, and their SHA-256 sums."""
import hashlib
import pathlib
from collections.abc import Iterable, Sequence

from synergynet_tf.storage.files import claim, keep_apart, replace_file
from synergynet_tf.storage.readers import read_sums

# Of a server, beside the models:
FILES = ("models.config", "batching.config", "monitoring.config", "Dockerfile", ".dockerignore", "compose.yaml")
SUMS = "SHA256SUMS"
EXTRA = "assets.extra"          # of a SavedModel: what no graph reads
REFERENCE = "reference.npz"     # there: a sample scan, and what the trained network answers to it


def claim_bundle(out: pathlib.Path, name: str, runs: Sequence[pathlib.Path]) -> None:
    """See that a bundle's folder holds no run, lies in none, and has no files that we did not write.

    Raises:
        InputError: it does, or has.
    """
    keep_apart("--out", out, [run / "config.yaml" for run in runs])
    claim("--out", [out / name, *(out / file for file in (*FILES, SUMS))])


def write_sums(folder: pathlib.Path, names: Iterable[str] = ()) -> None:
    """Write the SHA-256 sums of files in a folder, by default of all in and below it, as `sha256sum -c` reads them."""
    files = [folder / name for name in names] or [path for path in folder.rglob("*") if path.is_file()]
    lines = [f"{_sum(path)}  {path.relative_to(folder).as_posix()}\n" for path in sorted(files)]
    replace_file(folder / SUMS, "".join(lines).encode())


def damaged(folder: pathlib.Path, names: Iterable[str] = ()) -> list[str]:
    """The files of a folder that are absent, not as their sums say, or have none though they must.

    Args:
        folder: the bundle, or a part of it.
        names: those that must have one; none: all in and below the folder, but for hidden ones.

    Raises:
        InputError: the sums cannot be read.
    """
    sums = read_sums(folder / SUMS, "list of SHA-256 sums", "copy or export the bundle again")
    there = set(names) or {path.relative_to(folder).as_posix() for path in folder.rglob("[!.]*") if path.is_file()} - {SUMS}
    return sorted(name for name in there | set(sums) if name not in sums or sums[name] != _sum(folder / name))


def _sum(path: pathlib.Path) -> str | None:
    """The SHA-256 sum of a file; none where there is no file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
