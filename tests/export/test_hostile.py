"""The client against servers that answer wrongly, slowly, endlessly or not at all: each such answer is the error of its scan."""
import gzip
import pathlib
import re
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import numpy as np
import pytest

from export import client
from synergynet_tf.runtime.processes import peak_memory
from tests.export import hostile
from tests.export.hostile import as_json, as_message, dripping, http, mask, scan
from tests.export.malformed import GOOD, MISSHAPEN, WRONG, misshapen_messages


def batch(url: str, tmp_path: pathlib.Path, names: Iterable[str], *more: str) -> int:
    """Send a scan that is answered well between others that are not, told apart by their brightness; the client's exit status.

    The good one's mask must be the only one that is written, and each other must have one line on stderr that names it.
    """
    names = ["good", *names]
    paths = [tmp_path / f"{i:03}.nii" for i in range(len(names))]
    for i, path in enumerate(paths):
        path.write_bytes(scan(i))
    order = [*paths[1:3], paths[0], *paths[3:]]
    status = client.main([*map(str, order), "--url", url, "--out", str(tmp_path / "out"), "--patience", "0", *more])
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.nii*")}
    assert {name: gzip.decompress(content) for name, content in written.items()} == {"000_mask.nii.gz": GOOD["mask_bytes"]}
    return status


def errors(capsys, names: Iterable[str]) -> dict[str, str]:
    """What was said of each, checked to be one plain line."""
    *lines, last = capsys.readouterr().err.splitlines()
    assert all(line.isprintable() and len(line) < 1000 for line in lines)
    said = {re.match(r"error: \S*/(\d+)\.nii: ", line)[1]: line for line in lines}
    names = list(names)
    assert last == f"error: {len(names)} of {len(names) + 1} scans could not be segmented"
    assert len(said) == len(lines)
    return {name: said[f"{i:03}"] for i, name in enumerate(names, start=1)}


def brightness(content: bytes) -> int:
    return int(np.frombuffer(content[352:354], "<i2")[0])


def picked(answers: Iterable, good):
    """What answers a scan by its brightness: 0 gets the good answer."""
    answers = [good, *answers]
    return lambda content, *_: answers[brightness(content)]


@pytest.fixture
def rest():
    server = hostile.Rest(lambda content: http(as_json(GOOD)))
    yield server
    server.close()


@pytest.fixture(scope="module")
def by_grpc():
    pytest.importorskip("tensorflow_serving")
    server = hostile.Grpc(lambda content, context: as_message(GOOD).SerializeToString())
    yield server
    server.close()


def test_wrong_answers_by_rest(rest, tmp_path, capsys):
    rest.answer = picked([http(as_json(answer)) for answer in WRONG.values()], http(as_json(GOOD)))
    assert batch(rest.url, tmp_path, WRONG) == 2
    assert all("malformed answer" in line for line in errors(capsys, WRONG).values())


def test_wrong_answers_by_grpc(by_grpc, tmp_path, capsys):
    wrong = {name: answer for name, answer in WRONG.items() if answer.get("lesion_count", 0) >= 0}
    answers = [as_message(answer).SerializeToString() for answer in wrong.values()]
    by_grpc.answer = picked(answers, as_message(GOOD).SerializeToString())
    assert batch(by_grpc.url, tmp_path, wrong, "--grpc") == 2
    assert all("malformed answer" in line for line in errors(capsys, wrong).values())


def test_misshapen_answers_by_rest(rest, tmp_path, capsys):
    rest.answer = picked(MISSHAPEN.values(), http(as_json(GOOD)))
    assert batch(rest.url, tmp_path, MISSHAPEN) == 2
    errors(capsys, MISSHAPEN)
    assert len(rest.requests) == len(MISSHAPEN) + 2      # none was tried again: the state, the good one, and each once


def test_misshapen_answers_by_grpc(by_grpc, tmp_path, capsys):
    misshapen = misshapen_messages()
    by_grpc.answer = picked(misshapen.values(), as_message(GOOD).SerializeToString())
    assert batch(by_grpc.url, tmp_path, misshapen, "--grpc") == 2
    assert all("malformed answer" in line for line in errors(capsys, misshapen).values())


def test_states_of_grpc(by_grpc, tmp_path, capsys):
    import grpc

    passing = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED")
    states = [state for state in grpc.StatusCode if state.name not in ("OK", *passing)]
    by_grpc.answer = lambda content, context: as_message(GOOD).SerializeToString() if not brightness(content) else context.abort(
        states[brightness(content) - 1], "\x1b[2J no\nerror: forged")
    assert batch(by_grpc.url, tmp_path, [state.name for state in states], "--grpc", "--timeout", "20") == 2
    said = errors(capsys, [state.name for state in states])
    assert "is loaded" not in said["INTERNAL"]
    assert all(name in line for name, line in said.items())


def test_packed_numbers_of_grpc_are_taken(by_grpc, tmp_path):
    message = as_message(GOOD)
    for name, place in (("lesion_count", "int_val"), ("lesion_volume_ml", "float_val")):
        kind = "<i4" if name == "lesion_count" else "<f4"
        message.outputs[name].tensor_content = np.array(getattr(message.outputs[name], place), kind).tobytes()
        message.outputs[name].ClearField(place)
    by_grpc.answer = lambda *_: message.SerializeToString()
    assert batch(by_grpc.url, tmp_path, [], "--grpc") == 0


@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_notes_stand_under_the_line(way, rest, request, tmp_path, capsys):
    answer = GOOD | {"notes": "the background is -1024; taken as 0\n\n3 voxels were clipped\x1b[1m\n"}
    server = rest if way == "rest" else request.getfixturevalue("by_grpc")
    server.answer = lambda *_: http(as_json(answer)) if way == "rest" else as_message(answer).SerializeToString()
    assert batch(server.url, tmp_path, [], *(["--grpc"] if way == "grpc" else [])) == 0
    head, *notes = capsys.readouterr().out.splitlines()
    assert head.endswith("000_mask.nii.gz: 2 lesions, 0.01 ml")
    assert notes == ["  the background is -1024; taken as 0", "  3 voxels were clipped [1m"]


def test_empty_masks_and_packed_scans_are_taken(rest, tmp_path):
    rest.answer = lambda _: http(as_json({"mask_bytes": mask(value=0), "lesion_count": 0, "lesion_volume_ml": 0}))
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(scan()[:100]) + gzip.compress(scan()[100:]) + b"\0" * 9)     # members, and zeros behind them
    assert client.main([str(path), "--url", rest.url, "-o", str(tmp_path / "m.nii")]) == 0
    assert (tmp_path / "m.nii").read_bytes() == mask(value=0)


def begun(answers: Iterable[Callable[[], Iterable[bytes]]]):
    """As `picked`, of functions that begin an answer."""
    chosen = picked(answers, lambda: http(as_json(GOOD)))
    return lambda content: chosen(content)()


def repeated(content: bytes) -> Iterator[bytes]:
    while True:
        yield content
        time.sleep(0.01)


WHOLE = http(as_json(GOOD))
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LATE = {
    "drops of a head": lambda: dripping(WHOLE), "drops of a body": lambda: chain([WHOLE[:60]], dripping(WHOLE[60:])),
    "drops without a length": lambda: chain([b"HTTP/1.0 200 OK\r\n\r\n"], dripping(b"[" * 1000)),
    "drops in chunks": lambda: chain([CHUNKED], repeated(b"1\r\n[\r\n")), "silence": lambda: repeated(b""),
    "100 for ever": lambda: repeated(b"HTTP/1.1 100 Continue\r\n\r\n"),
    "drops of trailers": lambda: chain([CHUNKED + b"2\r\n[]\r\n0\r\n"], repeated(b"A: b\r\n")),
}
CUT = {"cut off": lambda: WHOLE[:-5], "no answer": lambda: b"", "half a status": lambda: b"HTTP/1", "a chunk cut off":
       lambda: CHUNKED + b"ff\r\nabc", "a bad chunk": lambda: CHUNKED + b"zz\r\nabc\r\n"}


def test_an_answer_has_a_time_altogether(rest, tmp_path, capsys):
    rest.answer = begun([*LATE.values(), *CUT.values()])
    begin = time.monotonic()
    assert batch(rest.url, tmp_path, [*LATE, *CUT], "--timeout", "1", "--parallel", "13") == 2
    assert time.monotonic() - begin < 5
    for name, line in errors(capsys, [*LATE, *CUT]).items():
        assert ("within 1 s" in line) == (name in LATE), line


def flood(head: bytes, part: bytes = b"a" * 2 ** 20) -> Callable[[], Iterator[bytes]]:
    def sent() -> Iterator[bytes]:
        yield head + b"\r\n"
        while True:
            yield part

    return sent


FLOODS = {
    "no length": flood(b"HTTP/1.1 200 OK\r\n"), "a long one": flood(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n"),
    "a chunk of -1": flood(CHUNKED + b"-1"), "a huge chunk": flood(CHUNKED + b"fffffffff"),
    "chunks": flood(CHUNKED + b"1\r\na", b"100000\r\n" + b"a" * 2 ** 20 + b"\r\n"),
    "an error": flood(b"HTTP/1.1 400 Bad\r\n"), "a passing one": flood(b"HTTP/1.1 503 Busy\r\n"),
}


def test_an_answer_has_a_size(rest, tmp_path, capsys):
    """A server that sends without end is hung up on: no more than the size of a mask is taken."""
    rest.answer = begun(FLOODS.values())
    before, begin = peak_memory(), time.monotonic()
    assert batch(rest.url, tmp_path, FLOODS, "--timeout", "30") == 2
    assert time.monotonic() - begin < 10
    assert peak_memory() - before < 50 * 2 ** 20
    for name, line in errors(capsys, FLOODS).items():
        assert {"an error": "HTTP 400", "a passing one": "HTTP 503"}.get(name, "malformed answer: it is longer") in line
