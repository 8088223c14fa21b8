"""Damaged files by the thousand through what reads them: `python -m tests.reliability.fuzz --count 2000`.

Scans go through prediction, preparation for training and the exported graph (of a network that costs nothing), our own files
through what reads them again. A file must give a refusal in one line, or an answer; what else is raised is a failure.
"""
import argparse
import collections
import gzip
import itertools
import json
import pathlib
import random
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np

from synergynet_tf.errors import InputError
from synergynet_tf.runtime.processes import peak_memory
from tests.cohort import TINY, write_tiny_cohort
from tests.damage import damaged, mangled

HEADER = 352


class Tally(NamedTuple):
    """What became of the damaged files of a kind."""

    kind: str
    counts: collections.Counter         # by verdict
    failures: list[str]                 # what must not be: what was raised, answers that disagree, wrong answers without a word

    def row(self, verdicts: tuple[str, ...]) -> str:
        """A line of a Markdown table."""
        cells = (self.kind, self.counts.total(), *(self.counts[verdict] for verdict in verdicts), len(self.failures))
        return f"| {' | '.join(map(str, cells))} |"


def outcome(call: Callable[[], Any], refusals: tuple[type[Exception], ...] = (InputError,)) -> tuple[str, Any]:
    """What a call gives: ("answer", value), ("refused", message) or ("raised", what)."""
    try:
        return "answer", call()
    except refusals as error:
        return "refused", str(error)
    except Exception as error:      # whatever else it is, it would have been a traceback
        return "raised", f"{type(error).__name__}: {error}"


def damaged_scans(content: bytes, count: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """Damaged versions of an unpacked NIfTI file: family, ending and bytes."""
    rng = random.Random(seed)
    packed = gzip.compress(content, 4, mtime=0)
    anywhere, in_gzip = damaged(content, count, seed), damaged(packed, count, seed)
    for number in range(count):
        family = ("header", "file", "gzip", "file, packed again")[number % 4]
        if family == "header":
            broken = bytearray(content)
            start = rng.randrange(HEADER)
            broken[start:start + rng.choice((1, 2, 4, 8))] = rng.randbytes(8)[:rng.choice((1, 2, 4, 8))]
            yield family, ".nii", bytes(broken)
        elif family == "file":
            yield family, ".nii", next(anywhere)
        elif family == "gzip":
            yield family, ".nii.gz", next(in_gzip)
        else:
            yield family, ".nii.gz", gzip.compress(next(anywhere), 1, mtime=0)


class Scans:
    """One sound scan, and the three ways that a damaged version of it goes."""

    def __init__(self, folder: pathlib.Path):
        import tensorflow as tf

        from export.settings import Limits
        from export.signatures import Member, Segmenter
        from synergynet_tf.config import Config
        from synergynet_tf.inference.predictor import Predictor
        from tests.export.toy import Toy, toy_config

        write_tiny_cohort(folder / "cohort", 1)
        scan = nib.load(folder / "cohort/P0_flair.nii.gz")
        self.content = nib.Nifti1Image(np.asarray(scan.dataobj).astype(np.int16), scan.affine).to_bytes()
        self._lesions, self._folder = folder / "cohort/P0_lesions.nii.gz", folder
        toy, config = Toy(), toy_config()
        self._predictor = Predictor(toy, config)
        self._config = Config.from_dict(TINY | {"data": {"path": str(folder), "cache": str(folder / "cache")}})
        signatures = Segmenter([Member(toy, toy.weights, config)], Limits(max_side=64, max_voxels=64 ** 3)).signatures()
        self._graph = lambda content: signatures["segment_nifti"](flair_bytes=tf.constant([content]))
        self._refused_by_graph = (tf.errors.InvalidArgumentError,)

    def predict(self, path: pathlib.Path) -> tuple[np.ndarray, tuple[str, ...]]:
        """The mask on the file's own grid, and the notes."""
        from nibabel.orientations import apply_orientation, ornt_transform

        from synergynet_tf.data.layouts import Case
        from synergynet_tf.data.nifti import CANONICAL
        from synergynet_tf.data.preprocess import uncrop

        loaded = self._predictor.load(Case("P0", "P0", "", {"flair": path}, None, None))
        mask = uncrop(self._predictor.predict_loaded(loaded).segmentation.mask, loaded)
        return apply_orientation(mask, ornt_transform(CANONICAL, loaded.grid.orientation)), loaded.notes

    def train(self, path: pathlib.Path) -> None:
        """Prepare the case as a training does."""
        from synergynet_tf.data.cache import build_cache
        from synergynet_tf.data.layouts import Case

        build_cache([Case("P0", "P0", "", {"flair": path}, self._lesions, None)], self._config)

    def serve(self, content: bytes) -> np.ndarray:
        """The served mask on the file's own grid."""
        answer = self._graph(content)["mask_bytes"].numpy()[0]
        return np.asarray(nib.Nifti1Image.from_bytes(answer).dataobj).squeeze() > 0

    def judge(self, count: int, seed: int) -> list[Tally]:
        """Take `count` damaged versions all three ways."""
        sound = self.predict(self._write(".nii", self.content))
        tallies: dict[str, Tally] = {}
        for family, suffix, content in damaged_scans(self.content, count, seed):
            tally = tallies.setdefault(family, Tally(family, collections.Counter(), []))
            path = self._write(suffix, content)
            said, value = outcome(lambda path=path: self.predict(path))
            served, mask = outcome(lambda content=content: self.serve(content), self._refused_by_graph)
            trained, error = outcome(lambda path=path: self.train(path))
            verdict = self._verdict(said, value, sound)
            tally.counts[verdict] += 1
            if verdict == "other" and family == "gzip":
                tally.failures.append(f"{path.name}: another mask, though gzip has a checksum")
            ways = ((said, value), (served, mask), (trained, error))
            tally.failures.extend(found for way, found in ways if way == "raised")
            if said == "answer" and trained == "refused" and "lesions" not in error:
                tally.failures.append(f"training refuses what is segmented: {error}")
            if said == "refused" != trained:
                tally.failures.append(f"training takes what prediction refuses: {value}")
            if {said, served} == {"answer", "refused"} or said == served == "answer" and not np.array_equal(value[0], mask):
                refusal = next((text for way, text in ((said, value), (served, mask)) if way == "refused"), "another mask")
                tally.failures.append(f"prediction: {said}, graph: {served}: {refusal}")
        return list(tallies.values())

    def _write(self, suffix: str, content: bytes) -> pathlib.Path:
        path = self._folder / f"scan{suffix}"
        path.write_bytes(content)
        return path

    @staticmethod
    def _verdict(said: str, value: Any, sound: tuple[np.ndarray, tuple[str, ...]]) -> str:
        if said != "answer":
            return said
        if np.array_equal(value[0], sound[0]):
            return "same"
        return "other" if set(value[1]) <= set(sound[1]) else "noted"       # so small a brain is noted anyway


def stored_files(folder: pathlib.Path) -> dict[str, tuple[pathlib.Path, Callable[[pathlib.Path], Any]]]:
    """Our own files, sound, and what reads each of them again."""
    from synergynet_tf.baselines import lpa
    from synergynet_tf.config import Config, command_line
    from synergynet_tf.data import layouts
    from synergynet_tf.data.cache import build_cache
    from synergynet_tf.training import checkpoint, history
    from synergynet_tf.training.systems import system_of

    manifest = write_tiny_cohort(folder / "ours", 2)
    config = Config.from_dict(TINY | {"data": {"path": str(manifest), "cache": str(folder / "ours-cache")}})
    cases = layouts.discover(manifest, "manifest", ("flair",), require_lesions=True)
    cached = build_cache(cases, config)
    model = system_of(config).build(config)
    checkpoint.save(folder / "best.npz", model, config, checkpoint.Progress())
    command_line.save(config, folder / "config.yaml")
    (folder / "log.jsonl").write_text("".join(json.dumps({"stage": 1, "epoch": n, "loss": 0.5}) + "\n" for n in range(5)))
    lpa.fit(cached, 0).save(folder / "lpa.npz")
    files = {"checkpoint": (folder / "best.npz", checkpoint.load), "settings": (folder / "config.yaml", _settings),
             "log": (folder / "log.jsonl", history.read_log), "lpa": (folder / "lpa.npz", lpa.load),
             "manifest": (manifest, lambda path: layouts.discover(path, "manifest", ("flair",)))}
    for name in ("image.npy", "instances.npy", "case.json"):
        files[f"cache, {name}"] = (cached[0].folder / name, lambda _: build_cache(cases, config)[0].image().tobytes())
    return files


def _settings(path: pathlib.Path) -> Any:
    from synergynet_tf.config import command_line

    return command_line.parse(["--config", str(path)], "")[0]


def judge_stored(folder: pathlib.Path, count: int, seed: int) -> list[Tally]:
    """Damage each of our files in turn, `count` times in all."""
    files, tallies = stored_files(folder), []
    for kind, (path, read) in files.items():
        tally, whole, each = Tally(kind, collections.Counter(), []), path.read_bytes(), -(-count // len(files))
        versions = damaged(whole, each, seed)
        if path.suffix == ".json":
            values = (json.dumps(value).encode() for value in mangled(json.loads(whole), each, seed))
            versions = itertools.chain(itertools.islice(versions, each - each // 2), itertools.islice(values, each // 2))
        sound = read(path) if kind.startswith("cache") else None
        for content in versions:
            path.write_bytes(content)
            said, value = outcome(lambda read=read, path=path: read(path))
            if said == "raised":
                tally.failures.append(value)
            elif sound is not None and value != sound:
                tally.failures.append("a damaged case was taken for a sound one")
            tally.counts["prepared anew" if sound is not None and said == "answer" else said] += 1
            path.write_bytes(whole)
        tallies.append(tally)
    return tallies


def main() -> None:
    """Print both tables and the peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000, help="damaged scans, and as many of our own files")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        scans = Scans(folder)
        before = peak_memory()
        for title, tallies, verdicts in (("scan", scans.judge(given.count, given.seed), ("refused", "same", "noted", "other")),
                                         ("file of ours", judge_stored(folder, given.count, given.seed),
                                          ("refused", "answer", "prepared anew"))):
            print(f"| {title} | damaged | {' | '.join(verdicts)} | failures |\n|---|{'---|' * (len(verdicts) + 2)}")
            for tally in tallies:
                print(tally.row(verdicts))
            for failure in itertools.islice(itertools.chain(*(tally.failures for tally in tallies)), 40):
                print(f"failure: {failure}")
        print(f"peak memory: {before / 2 ** 20:.0f} MB before, {peak_memory() / 2 ** 20:.0f} MB after")


if __name__ == "__main__":
    main()
