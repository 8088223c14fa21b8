"""Files: whose they are, what may be written where, and what is left of a writer that was killed."""
import gzip
import io
import os
import signal
import subprocess
import sys
import time

import pytest
from matplotlib.figure import Figure

from synergynet_tf.errors import InputError
from synergynet_tf.storage import files
from tests.conftest import ROOT


@pytest.fixture(params=["attributes", "list"])
def out(tmp_path, request, monkeypatch):
    """A folder, on a file system with extended attributes and on one without."""
    folder = tmp_path / "out"
    folder.mkdir()
    if request.param == "list":
        def unsupported(*_, **__):
            raise OSError(95, "Operation not supported")
        monkeypatch.setattr(os, "setxattr", unsupported, raising=False)
        monkeypatch.setattr(os, "getxattr", unsupported, raising=False)
    return folder


def write(path, content=b"ours"):
    files.claim("--out", [path])
    files.replace_file(path, content)


def test_what_we_wrote_is_written_again_and_what_others_wrote_is_not(out):
    write(out / "a")
    write(out / "a", b"anew")
    assert (out / "a").read_bytes() == b"anew"
    (out / "b").write_bytes(b"theirs")
    with pytest.raises(InputError, match="b: lies there already.*--out"):
        files.claim("--out", [out / "c", out / "b"])
    assert sorted(path.name for path in out.iterdir() if path.name != files.LIST) == ["a", "b"]


@pytest.mark.parametrize("changed", [b"hand", b"ours, and more"])
def test_what_was_changed_since_is_the_user_s(out, changed):
    write(out / "a")
    os.utime(out / "a", ns=(1, 1))      # as a copy has it: the same bytes are ours still
    files.claim("--out", [out / "a"])
    (out / "a").write_bytes(changed)
    assert not files.is_ours(out / "a")
    with pytest.raises(InputError, match="changed since"):
        files.claim("--out", [out / "a"])


def sound(name):
    """The bytes of a whole file of a kind."""
    if name.endswith(".gz"):
        return gzip.compress(bytes(range(256)) * 40, mtime=0)
    if name.endswith(".json"):
        return b'{"lesions": [1, 2, 3]}'
    content = io.BytesIO()
    Figure().savefig(content, format="png")
    return content.getvalue()


@pytest.mark.parametrize("name", ["mask.nii.gz", "lesions.json", "picture.png"])
def test_what_of_ours_was_broken_is_ours_still(out, name):
    whole = sound(name)
    write(out / name, whole)
    places = (0, 9, len(whole) // 2, len(whole) - 1)
    for broken in ([whole[:at] for at in places]
                   + [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:] for at in places[2:] if not name.endswith(".json")]):
        (out / name).write_bytes(broken)
        files.claim("--out", [out / name])
    other = {"mask.nii.gz": gzip.compress(b"drawn"), "lesions.json": b"{}"}.get(name)
    if other:
        (out / name).write_bytes(other)
        with pytest.raises(InputError, match="changed since"):
            files.claim("--out", [out / name])
    (out / f"other-{name}").write_bytes(whole[:20])
    with pytest.raises(InputError, match="other-.*lies there already"):
        files.claim("--out", [out / f"other-{name}"])


@pytest.mark.parametrize("make", [
    lambda path, other: path.symlink_to(other), lambda path, other: path.symlink_to("nowhere"),
    lambda path, other: path.hardlink_to(other), lambda path, other: (path / "x").mkdir(parents=True)])
def test_links_and_folders_of_others_are_kept(out, tmp_path, make):
    (tmp_path / "other").write_bytes(b"theirs")
    make(out / "a", tmp_path / "other")
    with pytest.raises(InputError, match="a: lies there already"):
        files.claim("--out", [out / "a"])


def test_an_input_is_no_output_whatever_it_is_called(out, monkeypatch):
    write(out / "a")
    (out / "link").symlink_to("a")
    (out / "hard").hardlink_to(out / "a")
    monkeypatch.chdir(out)
    for name in (out / "a", out / "link", out / "hard", out / ".." / "out" / "a", files.Path("a")):
        with pytest.raises(InputError, match="would be written, but .* is read"):
            files.claim("--out", [out / "a"], [name])


def test_no_output_lies_in_a_folder_that_is_searched(out, tmp_path):
    for folder in (out, tmp_path):
        with pytest.raises(InputError, match="which it is or lies in"):
            files.claim("--out", [out / "a"], [folder])
    files.claim("--out", [tmp_path / "a"], [out])


def test_what_grows_is_ours(out):
    for name in ("report", "other"):
        (out / name).mkdir()
    files.claim("--out", [out / "report"])      # it is empty
    files.make_own(out / "report")
    files.replace_file(out / "log", b"", grows=True)
    for path in (out / "report" / "page", out / "log", out / "other" / "page"):
        path.write_text("more")
    files.claim("--out", [out / "report", out / "log"])
    files.make_own(out / "other")               # which does not make it ours
    with pytest.raises(InputError, match="other: lies there already"):
        files.claim("--out", [out / "other"])


@pytest.mark.parametrize("folder, source", [
    ("data", "data"), ("data", "data/manifest.csv"), (".", "data"), ("data/out", "data"), ("data/deep/out", "data"),
    ("link", "data"), ("data", "link"), ("link/out", "data"), ("new/../data", "data"), ("holds", "holds/scan"),
    ("data/manifest.csv/x", "data")])
def test_folders_are_kept_apart(tmp_path, folder, source):
    for name in ("data/deep", "new", "holds"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "data" / "manifest.csv").touch()
    (tmp_path / "link").symlink_to("data")
    (tmp_path / "holds" / "scan").symlink_to("../data/manifest.csv")
    with pytest.raises(InputError, match="--out is .* is read"):
        files.keep_apart("--out", tmp_path / folder, [tmp_path / source])


@pytest.mark.parametrize("folder, source", [("out", "data"), ("data/out", "data/manifest.csv"), ("dat", "data"),
                                            ("out", "absent")])
def test_folders_beside_each_other_will_do(tmp_path, folder, source):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "manifest.csv").touch()
    files.keep_apart("--out", tmp_path / folder, [tmp_path / source])


def test_a_damaged_list_makes_nothing_ours(out):
    (out / "a").write_bytes(b"theirs")
    (out / files.LIST).write_bytes(b'\x00\xff["a"\n{}\n[]\n[1]\n[["a"]]\n["b"]\nnull\n["a", 1]\n'
                                   b'{"a": 1, "b": 2}\n["a", ["grows"]]\n')
    with pytest.raises(InputError, match="a: lies there already"):
        files.claim("--out", [out / "a"])


KILLED = """import os, signal, sys
from pathlib import Path
from synergynet_tf.storage import files
with files.temporary(Path(sys.argv[1]) / "a"), files.temporary(Path(sys.argv[1]) / "b", folder=True) as folder:
    (folder / "half").touch()
    print(flush=True)
    signal.pause()
"""


def test_what_a_killed_writer_left_is_swept_and_nothing_else(out):
    others = {".x.tmp", ".0123.tmp", "tmp.flair.nii.gz", ".synergynet"}
    for name in others:
        (out / name).touch()
    with subprocess.Popen([sys.executable, "-c", KILLED, str(out)], cwd=ROOT, stdout=subprocess.PIPE) as writer:
        writer.stdout.readline()
        files.sweep(out)
        assert len(list(out.glob(files.TEMPORARY))) == 2        # they are being written
        writer.send_signal(signal.SIGKILL)
    time.sleep(0.01)
    files.make_folder(out, "--out")
    assert {path.name for path in out.iterdir()} == others


def test_a_full_disk_leaves_what_was_there(out, monkeypatch):
    write(out / "a")

    def full(*_):
        raise OSError(28, "No space left on device")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="the disk is full"):
        files.replace_file(out / "a", b"anew")
    assert (out / "a").read_bytes() == b"ours"
    assert not list(out.glob("*.tmp"))
