"""The client against a server that speaks TF Serving's protocols: masks, many at once, errors, a server killed on the way."""
import gzip
import pathlib
import socket
import subprocess
import sys
import threading

import numpy as np
import pytest

from export import client

pytest.importorskip("tensorflow_serving")
SERVER = pathlib.Path(__file__).with_name("server.py")


class Served:
    """The test server in a process of its own, at ports that it keeps when it is started again."""

    def __init__(self, version: pathlib.Path, name: str = "toy"):
        self._version, self._name, self._process = version, name, None
        self.rest, self.grpc = _free_port(), _free_port()

    def start(self) -> None:
        arguments = [str(SERVER), str(self._version), self._name, str(self.rest), str(self.grpc)]
        self._process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                         text=True)
        assert self._process.stdout.readline() == "ready\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()

    def at(self, way: str) -> list[str]:
        """The client's arguments to reach it."""
        address = [f"http://127.0.0.1:{self.rest}"] if way == "rest" else [f"127.0.0.1:{self.grpc}", "--grpc"]
        return ["--url", *address, "--model", self._name]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def served(toy_bundle):
    server = Served(toy_bundle / "toy" / "1")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def scans(toy_signatures, make_file, brain):
    """Thirteen different scans, each with the mask that the signature gives in this process."""
    import tensorflow as tf

    signatures, found = toy_signatures[0], {}
    for i in range(13):
        path = make_file(f"scan{i}.nii.gz", values=np.roll(brain, i - 6, axis=i % 3) if i % 3 else brain[:, :, : 28 - i // 3])
        found[path] = signatures["segment_nifti"](flair_bytes=tf.constant([path.read_bytes()]))["mask_bytes"][0].numpy()
    assert len(set(found.values())) == len(found)
    return found


@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_one_scan(served, scans, way, tmp_path, capsys):
    scan, mask = next(iter(scans.items()))
    for name, unpack in (("mask.nii", bytes), ("mask.nii.gz", gzip.decompress)):
        assert client.main([str(scan), *served.at(way), "-o", str(tmp_path / name)]) == 0
        assert unpack((tmp_path / name).read_bytes()) == mask
    assert " ml" in capsys.readouterr().out


@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_eight_at_once_keep_their_own(served, scans, way, tmp_path):
    paths = [str(path) for path in scans]
    failures = []

    def one(i: int) -> None:        # each client sends all scans, in an order of its own: 8 * 13 = 104
        if client.main([*paths[i:], *paths[:i], *served.at(way), "--out", str(tmp_path / str(i)), "--parallel", "3"]):
            failures.append(i)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    for i in range(8):
        for scan, mask in scans.items():
            name = scan.name.removesuffix(".nii.gz")
            assert gzip.decompress((tmp_path / str(i) / f"{name}_mask.nii.gz").read_bytes()) == mask


@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_health(served, way, capsys):
    assert client.main(["--health", *served.at(way)]) == 0
    shown = capsys.readouterr().out
    assert "toy version 1: AVAILABLE" in shown
    assert "takes: flair" in shown


@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_errors_say_what_is_wrong(served, scans, way, tmp_path, capsys):
    scan, other = str(next(iter(scans))), tmp_path / "notes.nii"
    other.write_text("no scan" * 100)
    assert client.main([scan, *served.at(way)[:-1], "nothing", "-o", str(tmp_path / "m.nii")]) == 2
    assert "no model nothing" in capsys.readouterr().err
    assert client.main([str(other), *served.at(way), "-o", str(tmp_path / "m.nii")]) == 2
    assert "notes.nii: not a NIfTI file" in capsys.readouterr().err
    assert client.main([scan, str(other), *served.at(way), "--out", str(tmp_path / "out")]) == 2
    assert "1 of 2 scans" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").glob("*.nii*")] == ["scan0_mask.nii.gz"]
    assert not (tmp_path / "m.nii").exists()


@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_a_server_that_is_away(toy_bundle, scans, way, tmp_path, capsys):
    absent = Served(toy_bundle / "toy" / "1")
    scan = str(next(iter(scans)))
    assert client.main([scan, *absent.at(way), "-o", str(tmp_path / "m.nii"), "--patience", "1"]) == 2
    assert "is it running" in capsys.readouterr().err
    assert client.main(["--health", *absent.at(way)]) == 2


@pytest.mark.slow
def test_a_server_killed_on_the_way_and_back(served, scans, tmp_path):
    done = []
    running = threading.Thread(target=lambda: done.append(client.main(
        [*map(str, scans), *served.at("rest"), "--out", str(tmp_path), "--parallel", "1", "--patience", "300"])))
    running.start()
    while len(list(tmp_path.glob("*.nii.gz"))) < 2:
        running.join(0.02)
    served.kill()
    assert len(list(tmp_path.glob("*_mask.nii.gz"))) < len(scans)
    served.start()
    running.join()
    assert done == [0]
    for scan, mask in scans.items():
        assert gzip.decompress((tmp_path / f"{scan.name.removesuffix('.nii.gz')}_mask.nii.gz").read_bytes()) == mask


@pytest.mark.slow
def test_whole_scans(served, predict, real_data, tmp_path):
    """182x218x182 voxels by both ways: what `predict` writes, which reads and writes with nibabel."""
    for name in ("open_ms/patient07", "mslesseg/P14_T1"):
        scan = real_data / name / "flair.nii.gz"
        mask, summary = predict(scan)
        assert summary["count"] > 0
        for way in ("rest", "grpc"):
            assert client.main([str(scan), *served.at(way), "-o", str(tmp_path / f"{way}.nii")]) == 0
            assert (tmp_path / f"{way}.nii").read_bytes() == mask
