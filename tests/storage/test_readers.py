"""The reader of what was stored: whatever is wrong with a file is one line that names it."""
import io
import json
import os
import zipfile

import numpy as np
import pytest

from synergynet_tf.errors import InputError
from synergynet_tf.storage import readers
from synergynet_tf.storage.readers import Stored
from tests.damage import damaged

ARRAYS = {"a": np.arange(1000.0).reshape(20, 50), "b": np.array([True, False]), "name": np.array("x"), "c": np.float32(2)}
HINT = {"stage": int, "loss": float}


def archive(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def refused(read, path, *given, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        read(path, "log", "make it again", *given)
    told = str(caught.value)
    assert told.startswith(str(path)) and told.endswith("make it again") and "\n" not in told and len(told) < 600


def test_an_archive_comes_back(tmp_path):
    path = tmp_path / "a.npz"
    for save in (np.savez, np.savez_compressed):
        save(path, **ARRAYS)
        found = readers.read_npz(path, "log", "", {"a": Stored("f", (20, None)), "c": Stored("f", ())})
        assert all(np.array_equal(found[name], value) and found[name].dtype == np.asarray(value).dtype
                   for name, value in ARRAYS.items())


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_archive_is_whole_or_refused(tmp_path, save):
    path, buffer = tmp_path / "a.npz", io.BytesIO()
    save(buffer, **ARRAYS)
    for content in damaged(buffer.getvalue(), 300):
        path.write_bytes(content)
        try:
            found = readers.read_npz(path, "log", "make it again")
        except InputError as error:
            assert str(error).startswith(str(path)) and "\n" not in str(error)
        else:       # a bit that only zip's own bookkeeping holds; a part may have lost its name
            assert all(np.array_equal(found[name], value) for name, value in ARRAYS.items() if name in found)


@pytest.mark.parametrize(("content", "match"), [
    (b"", "not a zip"),
    (archive(other=np.zeros(3)), "a is missing"),
    (archive(a=np.zeros((21, 50))), r"a is float64 \(21, 50\), but it must be of kind f and \(20, any\)"),
    (archive(a=np.zeros((20, 50), int)), "a is int64"),
    (archive(a=np.full((20, 1), np.nan)), "a holds values that are not finite"),
    (archive(a=np.array([{}], object)), "object"),
    (archive(**ARRAYS)[:-6] + b"\0\0\0\x7f\0\0", "not a readable log"),     # its parts lie before its first byte
])
def test_an_archive_of_something_else_is_refused(tmp_path, content, match):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    refused(readers.read_npz, path, {"a": Stored("f", (20, None))}, match=match)


def test_a_header_cannot_ask_for_more_than_is_there(tmp_path):
    path, header = tmp_path / "a.npz", io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10 ** 9, 10 ** 9)})
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("a.npy", header.getvalue() + bytes(80))
    refused(readers.read_npz, path, match="80 bytes")


@pytest.mark.parametrize(("content", "match"), [
    ("", "Expecting value"), ("{", "Expecting property"), ("[" * 100_000, "recursion"), ("[1]", r"it is \[1\], but it must be"),
    ('{"stage": 1}', "loss is missing"), ('{"stage": true, "loss": 1}', "stage is True, but it must be a whole number"),
    ('{"stage": 1, "loss": NaN}', "NaN is no number"), ('{"stage": 1, "loss": 1e999}', "loss is inf"),
    ('{"stage": 1, "loss": 1' + "0" * 4000 + "}", "loss is a huge number"), ('{"stage": 1' + "0" * 9000 + "}", "digits"),
    (b"\xff\xfe", "utf-8"),
])
def test_json_that_is_not_what_it_must_be(tmp_path, content, match):
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(readers.read_json, path, HINT, match=match)


def test_json_lines(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"stage": 1, "loss": 2.5}\n{"stage": 2, "loss": 3}\n{"stage": 3, "lo')
    assert readers.read_jsonl(path, "log", "", HINT) == [{"stage": 1, "loss": 2.5}, {"stage": 2, "loss": 3}]
    path.write_text('{"stage": 1, "loss": 2.5}\n{"stage": 2, "lo\n{"stage": 3, "loss": 1}\n')
    refused(readers.read_jsonl, path, HINT, match="line 2")
    assert [value["stage"] for value in readers.read_jsonl(path, "log", "", HINT, '{"stage": 3')] == [1, 3]


@pytest.mark.parametrize(("content", "match"), [
    (b"a: &x [*x]", "line 1: anchors"), (b"a: 1\nb: 2\na: 3", "line 3: a is named twice"), (b"a:\n\t- 1", "line 2.*t"),
    (b"[" * 5000, "more than 50"), (b"", "None, but it must be a mapping"), (b"- 1", r"\[1\], but it must be a mapping"),
    (b"a: !!python/object/apply:os.system [true]", "line 1"), (b"\x00\x01", "unacceptable"), (b"[1]: 2", "line 1"),
    (b"\xff\xfe\xff", "truncated"), (b"? {a: 1}\n: 1", "line 1"),
])
def test_yaml_that_is_no_settings(tmp_path, content, match):
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    refused(readers.read_yaml, path, match=match)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_yaml_as_editors_save_it(tmp_path, encoding):
    path = tmp_path / "a.yaml"
    path.write_text("rate: 1e-3\nname: ä\nwhole: 10\nday: 2020-01-01\n", encoding=encoding)
    assert readers.read_yaml(path, "settings", "") == {"rate": 0.001, "name": "ä", "whole": 10, "day": "2020-01-01"}


def test_sums(tmp_path):
    path = tmp_path / "SHA256SUMS"
    path.write_text(f"{'0' * 64}  a b/c\n{'1' * 64} *d\n")
    assert readers.read_sums(path, "sums", "") == {"a b/c": "0" * 64, "d": "1" * 64}
    for line in ("nonsense", f"{'0' * 64}  ../up", f"{'0' * 64}  /root", f"{'0' * 64}  d", f"{'0' * 64}  "):
        path.write_text(f"{'1' * 64}  d\n{line}\n")
        refused(readers.read_sums, path, match="line 2")


@pytest.mark.parametrize("read", [readers.read_json, readers.read_jsonl, readers.read_yaml, readers.read_npz, readers.read_sums])
def test_what_is_no_file_is_not_waited_for(tmp_path, read):
    refused(read, tmp_path / "absent", match="no such log")
    refused(read, tmp_path, match="no file|directory")
    os.mkfifo(tmp_path / "pipe")
    refused(read, tmp_path / "pipe", match="no file")


def test_a_dictionary_of_json_is_the_same(tmp_path):
    value = {"a": [1, 2.5, "x", None, True], "b": {"c": {}}}
    (tmp_path / "a.json").write_text(json.dumps(value))
    assert readers.read_json(tmp_path / "a.json", "it", "", {"a": list, "b": dict[str, dict]}) == value
