"""Work on Ray: items refused, workers that fail and die, and the commands that share their cases."""
import contextlib
import functools
import json
import os
import pathlib
import signal
import sys
import time

import nibabel as nib
import numpy as np
import pytest

from synergynet_tf import evaluate, predict
from synergynet_tf.config import Config
from synergynet_tf.errors import InputError
from synergynet_tf.runtime import cluster
from tests.cohort import TINY
from tests.data.raw import head

pytest.importorskip("ray")


def squares(folder, threads):
    """In a worker: squares of numbers, but for 3 (refused), 4 (always fails), and 5, at which the process dies the first time."""
    def square(number):
        if number == 3:
            raise InputError("3 is refused")
        if number == 4:
            raise ValueError("odd\nand more")
        if number == 5 and not (folder / "died").exists():
            (folder / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return number ** 2, os.getpid()
    return square


def listening():
    """The processes of this user that listen for others, by the address in hexadecimal digits (Linux)."""
    rows = [line.split() for kind in ("tcp", "tcp6") for line in pathlib.Path(f"/proc/net/{kind}").read_text().splitlines()[1:]]
    sockets = {f"socket:[{row[9]}]": row[1].split(":")[0] for row in rows if row[3] == "0A"}
    found = {}
    for file in pathlib.Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if (address := sockets.get(os.readlink(file))) is not None:
                found.setdefault(address, set()).add((file.parents[1] / "comm").read_text().strip())
    return found


def test_every_item_has_one_outcome_whatever_happens_to_its_worker(tmp_path):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    others = {address: names for address, names in listening().items() if not address.endswith("0100007F")}
    with cluster.connected(2, None):
        seen = listening()
        assert {"gcs_server", "raylet"} <= set().union(*(names for where, names in seen.items() if where.endswith("0100007F")))
        assert {where: names for where, names in seen.items() if not where.endswith("0100007F")} == others
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
        outcomes = list(cluster.share(functools.partial(squares, tmp_path), range(20), 2))
    final = {outcome.item: outcome for outcome in outcomes if not outcome.again}
    assert len(outcomes) - len(final) == 2 + 1      # 4 twice, 5 once
    assert sorted(final) == list(range(20))
    assert {item: outcome.value[0] for item, outcome in final.items() if not outcome.error} == \
        {item: item ** 2 for item in range(20) if item not in (3, 4)}
    assert str(final[3].error) == "3 is refused"
    assert str(final[4].error) == "ValueError: odd (attempt 3 of 3)"
    assert {str(o.error) for o in outcomes if o.item == 5 and o.again} == \
        {"its process was ended, for want of memory as a rule (attempt 1 of 3)"}
    assert 1 < len({outcome.value[1] for outcome in final.values() if outcome.value}) <= 3
    assert os.getpid() not in {outcome.value[1] for outcome in final.values() if outcome.value}


def test_no_cluster_there():
    with pytest.raises(InputError, match="--cluster is 127.0.0.1:9, but no Ray answers there"), \
            cluster.connected(2, "127.0.0.1:9"):
        pass


def test_without_ray(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"install synergynet-tf\[cluster\]"), cluster.connected(2, None):
        pass


@pytest.mark.parametrize("given, message", [(["--workers", "0"], "--workers: '0' is not a whole number"),
                                            (["--cluster", "auto"], "--cluster is auto, but it is for --workers")])
def test_what_does_not_go_together(given, message, tmp_path, capsys):
    assert predict.main(["--run", str(tmp_path), "--out", str(tmp_path / "out"), *given, "scan.nii.gz"]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def run(tiny_cohort, tmp_path_factory):
    """A run folder: a network that was not trained, and the tiny cohort as its test split."""
    from synergynet_tf.models.synergynet import build_synergynet
    from synergynet_tf.training import checkpoint

    folder = tmp_path_factory.mktemp("run")
    config = Config.from_dict(TINY)
    checkpoint.save(folder / "best.npz", build_synergynet(config), config, checkpoint.Progress())
    return folder


def scans(cohort):
    return sorted(cohort.parent.glob("P*_flair.nii.gz"))


@pytest.fixture(scope="module")
def alone(run, tiny_cohort, tmp_path_factory):
    """What `predict` in one process makes of the tiny cohort."""
    out = tmp_path_factory.mktemp("alone")
    assert predict.main(["--run", str(run), "--out", str(out), *map(str, scans(tiny_cohort))]) == 0
    return out


@pytest.mark.slow
def test_shared_cases_are_segmented_as_by_one_process(run, alone, tiny_cohort, tmp_path, capsys):
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(scans(tiny_cohort)[0].read_bytes()[:500])
    assert predict.main(["--run", str(run), "--out", str(tmp_path / "out"), "--workers", "2", str(bad),
                         *map(str, scans(tiny_cohort))]) == 2
    shown = capsys.readouterr()
    assert "1 of 7 inputs could not be segmented: bad" in shown.err
    assert all(f"P{patient}_flair: " in shown.out for patient in range(6))
    for path in alone.glob("*.nii.gz"):     # other numbers of threads add in another order: a step of the maps, 1/4096
        np.testing.assert_allclose(nib.load(tmp_path / "out" / path.name).get_fdata(), nib.load(path).get_fdata(), atol=1 / 4000)
    for path in alone.glob("*.json"):
        ours, theirs = (json.loads(file.read_text()) for file in (path, tmp_path / "out" / path.name))
        assert {**ours, "files": 0, "digest": 0} == {**theirs, "files": 0, "digest": 0}
    assert not list((tmp_path / "out").glob("bad*"))


@pytest.mark.slow
def test_a_raw_scan_is_prepared_before_it_is_shared(run, tmp_path, capsys):
    pytest.importorskip("SimpleITK")
    grid = head.slices()
    raw = head.save(tmp_path / "head.nii.gz", head.view("flair", grid), grid)
    assert predict.main(["--run", str(run), "--out", str(tmp_path / "out"), "--workers", "1", "--coverage", "centre",
                         str(raw)]) == 0
    assert "head: a raw scan, prepared in" in capsys.readouterr().out
    assert nib.load(tmp_path / "out" / "head_mask_native.nii.gz").shape == nib.load(raw).shape


@pytest.mark.slow
def test_shared_scores_are_those_of_one_process(tiny_cohort, tmp_path, capsys):
    prediction = tmp_path / "masks"
    prediction.mkdir()
    for path in sorted(tiny_cohort.parent.glob("P*_lesions.nii.gz")):
        image = nib.load(path)
        shifted = np.roll(np.asarray(image.dataobj), 1, axis=0)
        nib.save(nib.Nifti1Image(shifted, image.affine), prediction / path.name.replace("_lesions", "_1"))
    command = ["--reference", str(tiny_cohort), "--prediction", str(prediction)]
    assert evaluate.main([*command, "--out", str(tmp_path / "plain"), "--workers", "1"]) == 0
    assert evaluate.main([*command, "--out", str(tmp_path / "shared"), "--workers", "2", "--cluster", "local"]) == 0
    for name in ("scores.csv", "sizes.csv", "scores.json"):
        assert (tmp_path / "shared" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    (prediction / "P3_1.nii.gz").write_bytes(b"no scan")
    capsys.readouterr()
    assert evaluate.main([*command, "--out", str(tmp_path / "five"), "--workers", "2", "--cluster", "local"]) == 2
    assert "1 of 6 cases could not be scored: P3_1" in capsys.readouterr().err
    rows = pathlib.Path(tmp_path / "five" / "scores.csv").read_text().splitlines()
    assert sum(row.startswith("case,") for row in rows) == 5


def patient_squares(threads):
    def square(number):
        time.sleep(1)
        return number ** 2
    return square


def raylet():
    """The process of Ray that this one has started."""
    for status in pathlib.Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
            if lines["Name"] == "raylet" and int(lines["PPid"]) == os.getpid() and not lines["State"].startswith("Z"):
                return int(status.parent.name)
    raise AssertionError("no raylet")


@pytest.mark.slow
@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="looks for Ray's process in /proc")
def test_when_ray_itself_is_ended_the_work_ends_and_says_so(monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 2)
    done = []
    with cluster.connected(2, None), pytest.raises(InputError, match="Ray itself was ended.*--resume"):
        for outcome in cluster.share(patient_squares, range(60), 2):
            done.append(outcome)
            if len(done) == 1:
                os.kill(raylet(), signal.SIGKILL)
    assert 1 <= len(done) < 60
