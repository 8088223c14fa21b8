"""The client and the user's files: what it reads, what it writes, and what it never touches."""
import argparse
import gzip
import io
import os
import pathlib
import sys

import nibabel as nib
import numpy as np
import pytest

from export import client
from tests.export import hostile
from tests.export.hostile import as_json, http, mask, outputs, scan


@pytest.fixture
def server():
    found = hostile.Rest(lambda _: http(as_json(outputs())))
    yield found
    found.close()


@pytest.fixture
def flair(tmp_path) -> pathlib.Path:
    path = tmp_path / "scans" / "a.nii.gz"
    path.parent.mkdir()
    path.write_bytes(gzip.compress(scan()))
    return path


def test_a_scan_is_never_overwritten(server, flair, tmp_path, capsys):
    before, link, hard = flair.read_bytes(), tmp_path / "link.nii.gz", tmp_path / "hard.nii.gz"
    link.symlink_to(flair)
    os.link(flair, hard)
    t2 = tmp_path / "t2.nii"
    t2.write_bytes(b"t2")
    for out in (flair, link, hard, flair.parent / ".." / "scans" / "a.nii.gz"):
        assert client.main([str(flair), "--url", server.url, "-o", str(out)]) == 2
        assert "name another place with -o" in capsys.readouterr().err
    assert client.main([str(flair), "--t2", str(t2), "--url", server.url, "-o", str(t2)]) == 2
    (flair.parent / "a_mask.nii.gz").write_bytes(before)        # a scan of the user's, under the name of a mask
    scans = [str(flair), str(flair.parent / "a_mask.nii.gz")]
    assert client.main([*scans, "--url", server.url, "--out", str(flair.parent)]) == 2
    assert client.main([scans[0], "--url", server.url, "--out", str(flair.parent)]) == 2
    assert (flair.read_bytes(), (flair.parent / "a_mask.nii.gz").read_bytes(), t2.read_bytes()) == (before, before, b"t2")
    assert not server.requests


def test_what_another_has_drawn_is_never_overwritten_and_what_we_wrote_is(server, flair, tmp_path, capsys):
    out = tmp_path / "out"
    assert client.main([str(flair), "--url", server.url, "--out", str(out)]) == 0
    assert client.main([str(flair), "--url", server.url, "--out", str(out)]) == 0
    drawn = gzip.compress(mask()[:-1] + b"\1")
    (out / "a_mask.nii.gz").write_bytes(drawn)
    asked = len(server.requests)
    assert client.main([str(flair), "--url", server.url, "--out", str(out)]) == 2
    assert "a_mask.nii.gz: lies there already" in capsys.readouterr().err
    assert (out / "a_mask.nii.gz").read_bytes() == drawn
    assert len(server.requests) == asked


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "no scan"), (["a.nii"], "either -o FILE"), (["a.nii", "a.nii", "-o", "m.nii"], "one scan"),
    (["absent.nii", "-o", "m.nii"], "no such file"), (["a.nii", "--url", "host:8501", "-o", "m.nii"], "http://"),
    (["a.nii", "--url", "http://host:8501", "--grpc", "-o", "m.nii"], "HOST:PORT"), (["a.nii", "-o", "m.mgz"], "change the name"),
    (["a.nii", "-o", "no/such/folder/m.nii", "--timeout", "nan"], "--timeout: "), ([".", "-o", "m.nii"], "is a folder"),
    (["a.nii", "-o", "m.nii", "--timeout", "0"], "--timeout: "),
    (["a.nii", "-o", "m.nii", "--timeout", "inf"], "--timeout: "),
    (["a.nii", "-o", "m.nii", "--patience", "-1"], "--patience: "),
    (["a.nii", "-o", "m.nii", "--patience", "1e9"], "--patience: "),
    (["a.nii", "-o", "m.nii", "--parallel", "0"], "--parallel: "),
    (["a.nii", "-o", "m.nii", "--parallel", "999"], "--parallel: "),
    (["a.nii", "-o", "m.nii", "--model", "../x"], "--model is '../x'"),
    (["a.nii", "-o", "m.nii", "--model", ""], "--model is ''"),
    (["a.nii", "-o", "m.nii", "--t2", "absent.nii"], "no such file"),
    (["a.nii", "a.nii", "--t2", "a.nii", "--out", "o"], "--t2 goes"),
    (["a.nii", "sub/a.nii", "--out", "o"], "would be written as o/a_mask.nii.gz too"),
    (["a.nii", "--out", "a.nii"], "is read"),
    ([f"{'n' * 246}.nii", "--out", "o"], "longer than 255 bytes"), (["a.nii", "-o", "sub"], "change the name")])
def test_arguments_are_checked_first(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a.nii", "sub/a.nii", f"{'n' * 246}.nii"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(scan())
    assert client.main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not (tmp_path / "o").exists() and not (tmp_path / "m.nii").exists()


@pytest.mark.parametrize("content", [
    b"", b"\x1f\x8b", b"no scan" * 100, scan()[:300], scan()[:-200], gzip.compress(scan())[:60], gzip.compress(b"a" * 1000),
    scan()[:344] + b"ni1\0" + scan()[348:], b"\x1f\x8b\x08" + bytes(400), b"version https://git-lfs.github.com/spec/v1\n" * 9,
    scan()[:42] + b"\xff\x7f\xff\x7f\xff\x7f" + scan()[48:], scan()[:42] + bytes(6) + scan()[48:],
    scan()[:280] + b"\xff" * 48 + scan()[328:], scan()[:280] + bytes(48) + scan()[328:]])
def test_what_is_no_scan_is_not_sent(server, flair, content, tmp_path, capsys):
    other = tmp_path / "b.nii"
    other.write_bytes(content)
    assert client.main([str(other), str(flair), "--url", server.url, "--out", str(tmp_path / "out")]) == 2
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"error: {other}: ") and last.startswith("error: 1 of 2 scans")
    assert (tmp_path / "out" / "a_mask.nii.gz").exists()
    assert len(server.requests) == 2


def test_a_scan_that_vanishes_on_the_way(server, flair, tmp_path, capsys):
    others = [tmp_path / f"{name}.nii" for name in "bcd"]
    for path in others:
        path.write_bytes(scan())

    def vanish() -> bytes:      # once the arguments are checked and the server is asked
        others[0].unlink()
        others[1].unlink()
        others[1].mkdir()
        others[2].unlink()
        os.mkfifo(others[2])
        return http(hostile.AVAILABLE)

    server.state = vanish
    assert client.main([*map(str, others), str(flair), "--url", server.url, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert all(f"error: {path}: " in said for path in others)
    assert "3 of 4 scans" in said
    assert (tmp_path / "out" / "a_mask.nii.gz").exists()


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "latin-1"])
def test_names_that_no_terminal_can_show(server, tmp_path, encoding, monkeypatch):
    names = [b"caf\xe9.nii", "läsion 病变.nii".encode(), b"two\nlines\x1b[31m.nii", b"[bold]%s{0}.nii"]
    for name in names:
        (tmp_path / os.fsdecode(name)).write_bytes(scan())
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr(sys, "stdout", out)
    paths = [str(tmp_path / os.fsdecode(name)) for name in names]
    assert client.main([*paths, "--url", server.url, "--out", str(tmp_path / "out")]) == 0
    lines = out.buffer.getvalue().decode(encoding).splitlines()
    assert len(lines) == len(names)
    assert all(line.isprintable() for line in lines)
    written = {os.fsencode(path.name) for path in (tmp_path / "out").glob("*.nii.gz")}
    assert written == {name.removesuffix(b".nii") + b"_mask.nii.gz" for name in names}


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_voxels_in_metres_and_microns(server, tmp_path, unit):
    """The volume is in ml whatever unit the header is in, as it is for the server."""
    affine = np.diag([unit, unit, unit, 1]) @ hostile.AFFINE
    path = tmp_path / "a.nii"
    path.write_bytes(nib.Nifti1Image(np.full(hostile.SHAPE, 9, np.int16), affine).to_bytes())
    server.answer = lambda _: http(as_json(outputs() | {"mask_bytes": mask(affine=affine)}))
    assert client.main([str(path), "--url", server.url, "-o", str(tmp_path / "m.nii")]) == 0


def test_a_tilde_is_the_home_folder(server, flair, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert client.main(["~/scans/a.nii.gz", "--url", server.url, "-o", "~/m.nii"]) == 0
    assert (tmp_path / "m.nii").read_bytes() == mask()


def test_thousands_of_scans(server, tmp_path, monkeypatch, capsys):
    """What is asked of each beforehand does not grow with their number."""
    paths = [tmp_path / f"{i:05}.nii" for i in range(3000)]
    for path in paths:
        path.touch()
    assert client.main([*map(str, paths), "--url", server.url, "--out", str(tmp_path / "out")]) == 2
    assert "3000 of 3000 scans" in capsys.readouterr().err


def test_a_disk_that_is_full_is_the_error_of_each(server, flair, tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("synergynet_tf.storage.files.os.fsync", full)
    other = tmp_path / "b.nii"
    other.write_bytes(scan())
    assert client.main([str(flair), str(other), "--url", server.url, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("the disk is full") == 2
    assert not list(tmp_path.glob("out/*.nii*"))


def test_the_client_names_a_case_as_predict_does(tmp_path):
    from synergynet_tf.workflows.inputs import scan_case

    (tmp_path / "P7").mkdir()
    for name in ("FLAIR.NII.GZ", "P8_T1.Nii"):
        path = tmp_path / "P7" / name
        path.touch()
        options = argparse.Namespace(scan=[path], out=tmp_path, mask=None, t2=None)
        assert client._jobs(options)[path].name == f"{scan_case(path, None, ['flair']).name}_mask.nii.gz"
