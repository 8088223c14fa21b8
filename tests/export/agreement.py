"""The served graph against `predict`, on any bytes: the same verdict, mask, count and notes."""
import gzip
import pathlib
import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from synergynet_tf.data import nifti
from synergynet_tf.data.layouts import Case
from synergynet_tf.errors import InputError
from synergynet_tf.inference.predictor import Predictor

HEADER, EXTENDED = 348, 352     # bytes before the extension's flag, and with it


class Said(NamedTuple):
    """What is said of a scan: why it is refused, or what was found in it."""

    refused: str | None
    mask: bytes = b""
    notes: str = ""


def by_graph(signatures, **files: bytes) -> Said:
    """What `segment_nifti` says of a case's files. Anything but a plain refusal is raised."""
    try:
        answer = signatures["segment_nifti"](**{f"{name}_bytes": tf.constant([content]) for name, content in files.items()})
    except tf.errors.InvalidArgumentError as error:
        if not any(f"assertion failed: [{name}: " in error.message for name in files):
            raise
        return Said(error.message.split("assertion failed: [")[1].split("]\n")[0])
    return Said(None, answer["mask_bytes"].numpy()[0], answer["notes"].numpy()[0].decode())


def by_predict(predictor: Predictor, folder: pathlib.Path, **files: bytes) -> Said:
    """What `predict` says of a case's files, written to `folder`. Anything but an InputError is raised."""
    paths = {}
    for name, content in files.items():
        paths[name] = folder / (f"{name}.nii.gz" if content[:2] == b"\x1f\x8b" else f"{name}.nii")
        paths[name].write_bytes(content)
    try:
        prediction = predictor.predict_case(Case("scan", "scan", "", paths, None, None))
    except InputError as error:
        return Said(str(error))
    out = folder / "mask.nii"
    nifti.write_like(out, prediction.on_grid(prediction.segmentation.mask), prediction.loaded.grid, np.uint8)
    return Said(None, out.read_bytes(), "\n".join(prediction.loaded.notes))


def compare(signatures, predictor: Predictor, folder: pathlib.Path, **files: bytes) -> str | None:
    """In what the two differ; None: in nothing that matters, which the words of a refusal are not."""
    graph, predict = by_graph(signatures, **files), by_predict(predictor, folder, **files)
    if graph.refused or predict.refused:
        return None if graph.refused and predict.refused else f"graph: {graph.refused}; predict: {predict.refused}"
    if graph.notes != predict.notes:
        return f"notes of the graph: {graph.notes!r}; of predict: {predict.notes!r}"
    return None if graph.mask == predict.mask else "the masks differ"


def damaged(sound: list[bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` files, each one of `sound` with some damage, and what it is."""
    rng = random.Random(seed)
    for _ in range(count):
        content = bytearray(rng.choice(sound))
        said = []
        for kind in rng.choices(list(DAMAGE), [4, 2, 3, 1, 2, 2, 1], k=rng.choice([1, 1, 1, 2])):
            said.append(kind)
            content = bytearray(DAMAGE[kind](rng, content))
        if rng.random() < 0.4:
            said.append("gzip")
            content = _packed(rng, bytes(content))
        yield " ".join(said), bytes(content)


def _flipped(rng: random.Random, content: bytearray, end: int) -> bytearray:
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        content[rng.randrange(min(end, len(content)) or 1)] ^= 1 << rng.randrange(8)
    return content


def _extended(rng: random.Random, content: bytearray) -> bytearray:
    content[HEADER:HEADER + 1] = bytes([rng.choice([0, 1, 1, 255])])
    content[EXTENDED:EXTENDED + 8] = rng.choice([rng.randbytes(8), int(rng.randrange(-64, 600)).to_bytes(4, "little", signed=True)
                                                 + rng.randbytes(4)])
    return content


def _field(rng: random.Random, content: bytearray) -> bytearray:
    """A field of the header, set to an unlikely number."""
    begin, kind = rng.choice([(40, "i2"), (42, "i2"), (44, "i2"), (48, "i2"), (70, "i2"), (76, "f4"), (80, "f4"), (84, "f4"),
                              (88, "f4"), (108, "f4"), (112, "f4"), (116, "f4"), (252, "i2"), (254, "i2"), (256, "f4"),
                              (280, "f4"), (284, "f4"), (300, "f4"), (320, "f4")])
    numbers = {"i2": [-32768, -1, 0, 1, 2, 3, 4, 7, 8, 16, 64, 512, 768, 1024, 32767],
               "f4": [-1e30, -1.0, 0.0, 1e-30, 1e-3, 0.5, 2.0, 16.0, 352.0, 353.0, 1e3, 1e6, 1e30, np.inf, -np.inf, np.nan]}
    content[begin:begin + int(kind[1])] = np.array([rng.choice(numbers[kind])], rng.choice("<<<>") + kind).tobytes()
    return content


def _packed(rng: random.Random, content: bytes) -> bytearray:
    """As gzip data: whole, of several members, with something behind, damaged."""
    half = rng.choice([0, rng.randrange(len(content) + 1)])
    packed = bytearray(b"".join(gzip.compress(part, 1, mtime=0) for part in (content[:half], content[half:]) if part))
    how = rng.choice(["whole", "whole", "zeros", "garbage", "flip", "cut", "head"])
    if how == "zeros":
        packed += bytes(rng.choice([1, 2, 8, 9, 512]))
    if how == "garbage":
        packed += rng.randbytes(rng.choice([1, 3, 20]))
    if how == "cut" and packed:
        del packed[rng.randrange(2, len(packed)):]
    if how in ("flip", "head") and packed:
        packed[rng.randrange(2, 10 if how == "head" else len(packed))] ^= 1 << rng.randrange(8)
    return packed


DAMAGE = {
    "flips in the header": lambda rng, content: _flipped(rng, content, EXTENDED),
    "flips anywhere": lambda rng, content: _flipped(rng, content, len(content)),
    "a field": _field,
    "cut": lambda rng, content: content[:rng.choice([rng.randrange(len(content) + 1), 100, HEADER, EXTENDED, len(content) - 1])],
    "an extension": _extended,
    "bytes behind": lambda rng, content: content + rng.randbytes(rng.choice([1, 100, 4096, 4097, 70_000])),
    "a swapped header": lambda rng, content: content[:40] + bytes(reversed(content[40:42])) + content[42:],
}
