"""The predict command: what it writes, what it refuses, and that one bad scan does not stop the others."""
import dataclasses
import functools
import hashlib
import json
import subprocess
import sys
import types

import nibabel as nib
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf import predict
from synergynet_tf.config import Config, DataConfig, DetectorConfig, InferConfig, MaskConfig, UNetConfig
from synergynet_tf.inference import predictor
from synergynet_tf.structures import Detections, Prediction
from synergynet_tf.training import checkpoint

_traced = functools.lru_cache(maxsize=16)(predictor._traced)


def traced(network, config):
    """Tracing takes longer than all else that a call does: calls that differ in what the graph does not read share one."""
    read = Config(data=DataConfig(channels=config.data.channels), detector=config.detector, mask=config.mask,
                  infer=InferConfig(overlap=config.infer.overlap))
    return _traced(network, read)


def network(image):
    """Global logits 4 * FLAIR - 8; one detection, 4 voxels a side in the corner, that is not valid."""
    box = tf.constant([[[0, 0, 0, 4, 4, 4.0]]])
    return Prediction(4 * image[..., :1] - 8, Detections(box, tf.zeros([1, 1]), tf.constant([[False]])),
                      tf.zeros([1, 1, 4, 4, 4, 1]), box)


def write_scan(path, lesions=None, seed=0):
    array = np.random.default_rng(seed).normal(100, 2, (18, 20, 16)).astype(np.float32)
    array[6:9, 8:11, 7:9] = 180
    array[[0, -1]] = array[:, [0, -1]] = array[:, :, [0, -1]] = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-1.0, 1, 1, 1])
    nib.save(nib.Nifti1Image(array, affine), path)
    if lesions:
        nib.save(nib.Nifti1Image((array > 150).astype(np.uint8), affine), lesions)
    return path


def stored(network, config):
    """A checkpoint of this network."""
    return types.SimpleNamespace(network=lambda: network, config=config)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run folder whose network is `network`; `run.config` may be exchanged."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "best.npz").write_bytes(b"weights")
    settings = {"config": Config()}
    monkeypatch.setattr(checkpoint, "load", lambda path: stored(network, settings["config"]))
    monkeypatch.setattr(predictor, "_traced", traced)
    return folder, settings


def call(run, out, *arguments):
    return predict.main(["--run", str(run[0]), "--out", str(out), *(str(a) for a in arguments)])


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_module_imports_nothing_heavy():
    code = ("import sys, synergynet_tf.predict; "
            "print(sorted({'tensorflow', 'keras', 'nibabel', 'matplotlib', 'numpy', 'scipy', 'rich'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_help_states_the_exit_status(capsys):
    with pytest.raises(SystemExit) as stop:
        predict.main(["--help"])
    assert stop.value.code == 0 and "exit status" in capsys.readouterr().out


def test_one_file(run, tmp_path, capsys):
    scan = write_scan(tmp_path / "given" / "anna.nii.gz")
    assert call(run, tmp_path / "out" / "new", scan) == 0
    out = tmp_path / "out" / "new"
    assert names(out) == ["anna_lesions.json", "anna_mask.nii.gz", "anna_probability.nii.gz", "cases.csv", "lesions.csv"]
    mask = np.asarray(nib.load(out / "anna_mask.nii.gz").dataobj)
    np.testing.assert_array_equal(mask, nib.load(scan).get_fdata() > 150)
    summary = json.loads((out / "anna_lesions.json").read_text())
    assert summary["count"] == 1 and summary["volume_ml"] == 0.018
    assert summary["checkpoint"] == {"run": "run", "weights": "best", "sha256": hashlib.sha256(b"weights").hexdigest()}
    assert "anna: 1 lesion, 0.02 ml" in capsys.readouterr().out


def test_a_file_called_flair_is_named_after_its_folder(run, tmp_path):
    scans = write_scan(tmp_path / "P1" / "flair.nii.gz"), write_scan(tmp_path / "P2" / "flair.nii")
    assert call(run, tmp_path / "out", *scans) == 0
    assert [name for name in names(tmp_path / "out") if "mask" in name] == ["P1_mask.nii.gz", "P2_mask.nii.gz"]


def test_settings_of_the_command_line_win(run, tmp_path):
    scan = write_scan(tmp_path / "a.nii.gz")
    assert call(run, tmp_path / "out", scan, "--gamma", "0", "--threshold", "0.75", "--coverage", "centre") == 0
    summary = json.loads((tmp_path / "out" / "a_lesions.json").read_text())
    assert (summary["gamma"], summary["threshold"], summary["coverage"]) == (0.0, 0.75, "centre")


@pytest.mark.parametrize("arguments, said", [
    (["--gamma", "2"], "--gamma: '2' is not a number, 0 to 1"), (["--threshold", "0"], "--threshold: '0' is not a number"),
    (["--weights", "last"], "last.npz"), (["--split", "test"], "--split is test"),
    (["--t2", "none.nii.gz"], "none.nii.gz: no such file")])
def test_what_is_wrong_is_said_in_one_line(run, tmp_path, capsys, arguments, said):
    assert call(run, tmp_path / "out", write_scan(tmp_path / "a.nii.gz"), *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error and error.count("\n") == 1
    assert not list((tmp_path / "out").glob("*"))


def test_several_runs_a_mirror_and_a_least_volume(run, tmp_path, monkeypatch, capsys):
    scan, other = write_scan(tmp_path / "a.nii.gz"), tmp_path / "other"
    other.mkdir()
    (other / "best.npz").write_bytes(b"others")
    said = {run[0]: network, other: lambda image: network(image)._replace(global_logits=-9 * tf.ones_like(image))}
    settings = {run[0]: Config(), other: Config()}
    monkeypatch.setattr(checkpoint, "load", lambda path: stored(said[path.parent], settings[path.parent]))
    assert call(run, tmp_path / "one", scan) == 0
    assert call(run, tmp_path / "two", "--run", other, "--mirror", scan) == 0
    one, two = (nib.load(tmp_path / name / "a_probability.nii.gz").get_fdata() for name in ("one", "two"))
    np.testing.assert_allclose(two, one / 2, atol=2e-4)
    summary = json.loads((tmp_path / "two" / "a_lesions.json").read_text())
    sums = (hashlib.sha256(content).hexdigest() for content in (b"weights", b"others"))
    assert summary["checkpoint"] == {"run": "run, other", "weights": "best", "sha256": ", ".join(sums)}
    assert summary["mirror"] is True and summary["min_lesion"] == 0
    for least, count in ((18, 1), (18.5, 0)):                           # the lesion has 18 mm3
        assert call(run, tmp_path / str(least), "--min-lesion", least, scan) == 0
        summary = json.loads((tmp_path / str(least) / "a_lesions.json").read_text())
        assert (summary["count"], summary["min_lesion"]) == (count, least)
    for peak, count in ((0.4, 1), (0.6, 0)):                            # the mean of both networks is 0.5 at most
        assert call(run, tmp_path / f"{peak}", "--run", other, "--threshold", 0.3, "--min-peak", peak, scan) == 0
        assert json.loads((tmp_path / f"{peak}" / "a_lesions.json").read_text())["count"] == count
    settings[other] = dataclasses.replace(Config(), lesions=dataclasses.replace(Config().lesions, connectivity=6))
    capsys.readouterr()
    assert call(run, tmp_path / "three", "--run", other, scan) == 2
    assert "lesions.connectivity is 6 in one run, but 18 in another" in capsys.readouterr().err


def test_no_input_is_refused(run, tmp_path, capsys):
    assert call(run, tmp_path / "out") == 2
    assert "no INPUT" in capsys.readouterr().err


def test_an_output_folder_that_cannot_be_written_stops_before_the_network_is_loaded(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(checkpoint, "load", lambda path: pytest.fail("loaded"))
    (tmp_path / "file").write_text("")
    assert call(run, tmp_path / "file" / "out", write_scan(tmp_path / "a.nii.gz")) == 2
    assert "--out" in capsys.readouterr().err


def test_the_others_are_segmented_when_one_scan_is_bad(run, tmp_path, capsys):
    good = [write_scan(tmp_path / f"{name}.nii.gz") for name in "ac"]
    bad = tmp_path / "b.nii.gz"
    bad.write_bytes(good[0].read_bytes()[:500])
    empty = tmp_path / "d.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 8), np.float32), np.eye(4)), empty)
    assert call(run, tmp_path / "out", good[0], bad, empty, good[1], tmp_path / "absent.nii.gz") == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 4 and all(line.startswith("error: ") for line in errors)
    assert all(any(str(path) in line for line in errors) for path in (bad, empty, tmp_path / "absent.nii.gz"))
    assert "3 of 5" in errors[-1]
    assert [name for name in names(tmp_path / "out") if "mask" in name] == ["a_mask.nii.gz", "c_mask.nii.gz"]
    assert call(run, tmp_path / "out", bad) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_two_scans_of_one_name_are_refused(run, tmp_path, capsys):
    scans = [write_scan(tmp_path / folder / "scan.nii.gz") for folder in ("x", "y")]
    assert call(run, tmp_path / "out", *scans) == 2
    error = capsys.readouterr().err
    assert all(str(scan) in error for scan in scans)
    assert names(tmp_path / "out") == []


def test_folders_and_manifests(run, tmp_path):
    write_scan(tmp_path / "cohort" / "patient01" / "flair.nii.gz")
    write_scan(tmp_path / "cohort" / "patient02" / "flair.nii.gz")
    write_scan(tmp_path / "b.nii.gz")
    (tmp_path / "list.csv").write_text("patient,session,flair\nB,1,b.nii.gz\n")
    assert call(run, tmp_path / "out", tmp_path / "cohort", tmp_path / "list.csv") == 0
    written = [name for name in names(tmp_path / "out") if "mask" in name]
    assert written == ["B_1_mask.nii.gz", "patient01_mask.nii.gz", "patient02_mask.nii.gz"]


def test_the_runs_test_split(run, tmp_path, capsys):
    rows = ["patient,session,flair,split"]
    for name, part in (("01", "train"), ("02", "test"), ("03", "test")):
        rows.append(f"patient{name},,{write_scan(tmp_path / 'cohort' / f'patient{name}' / 'flair.nii.gz')},{part}")
    (run[0] / "manifest.csv").write_text("\n".join(rows))
    assert call(run, tmp_path / "out", "--split", "test") == 0
    assert [name for name in names(tmp_path / "out") if "mask" in name] == ["patient02_mask.nii.gz", "patient03_mask.nii.gz"]
    assert call(run, tmp_path / "out", "--split", "validation") == 2
    assert "no case" in capsys.readouterr().err
    assert call(run, tmp_path / "out", "--split", "test", tmp_path / "cohort") == 2
    assert "one or the other" in capsys.readouterr().err


def test_t2_goes_with_one_flair_file(run, tmp_path, capsys):
    flair, t2 = write_scan(tmp_path / "a.nii.gz"), write_scan(tmp_path / "t2.nii.gz", seed=1)
    run[1]["config"] = Config(data=DataConfig(channels=("flair", "t2")))
    assert call(run, tmp_path / "out", flair) == 2
    assert "add --t2" in capsys.readouterr().err
    assert call(run, tmp_path / "out", flair, "--t2", t2) == 0
    assert json.loads((tmp_path / "out" / "a_lesions.json").read_text())["images"] == {"flair": str(flair), "t2": str(t2)}
    assert call(run, tmp_path / "out", flair, "--t2", flair) == 2
    assert "is given as the FLAIR too; check --t2" in capsys.readouterr().err
    assert call(run, tmp_path / "out", flair, flair, "--t2", t2) == 2
    assert "goes with one FLAIR" in capsys.readouterr().err


def test_a_picture_is_drawn_and_the_reference_read_only_for_it(run, tmp_path):
    folder = tmp_path / "patient01"
    write_scan(folder / "flair.nii.gz", folder / "lesions.nii.gz")
    assert call(run, tmp_path / "out", folder, "--picture") == 0
    assert (tmp_path / "out" / "patient01.png").read_bytes()[:4] == b"\x89PNG"
    (folder / "lesions.nii.gz").write_bytes(b"broken")
    assert call(run, tmp_path / "plain", folder) == 0
    assert "patient01.png" not in names(tmp_path / "plain")


def test_a_trained_run_end_to_end(tmp_path):
    from synergynet_tf.models.synergynet import build_synergynet

    config = Config(unet=UNetConfig(widths=(2, 2, 4, 4), convolutions=1), mask=MaskConfig(size=4, width=2, window=16))
    config = dataclasses.replace(config, detector=DetectorConfig(
        rpn_width=2, pre_nms=32, proposals=8, max_detections=4, train_detections=4, roi_size=3, box_width=4, score_threshold=0.0))
    (tmp_path / "run").mkdir()
    checkpoint.save(tmp_path / "run" / "best.npz", build_synergynet(config), config, checkpoint.Progress())
    scan = write_scan(tmp_path / "a.nii.gz")
    assert call([tmp_path / "run"], tmp_path / "out", scan) == 0
    assert nib.load(tmp_path / "out" / "a_probability.nii.gz").shape == (18, 20, 16)
    assert json.loads((tmp_path / "out" / "a_lesions.json").read_text())["detections"] > 0


def test_a_memory_budget_chooses_windows_and_says_so(run, tmp_path, capsys):
    scan = write_scan(tmp_path / "given" / "anna.nii.gz")
    assert call(run, tmp_path / "whole", scan, "--memory-budget", "64") == 0
    assert "; in one pass, " in capsys.readouterr().out
    assert json.loads((tmp_path / "whole" / "anna_lesions.json").read_text())["coverage"] == "whole"
    assert call(run, tmp_path / "none", scan, "--memory-budget", "0.5") == 2
    error = capsys.readouterr().err
    assert "--memory-budget is 0.5 GB" in error and "GB at least" in error and error.count("\n") == 1


@pytest.mark.parametrize(("arguments", "message"), [
    (["--memory-budget", "3", "--coverage", "windows"], "--coverage is windows, but --memory-budget chooses it"),
    (["--memory-budget", "0"], "--memory-budget: '0' is not a number above 0"),
    (["--memory-budget", "nan"], "--memory-budget: 'nan' is not a number above 0"),
])
def test_budgets_that_cannot_be_meant(run, tmp_path, capsys, arguments, message):
    assert call(run, tmp_path / "out", write_scan(tmp_path / "a.nii.gz"), *arguments) == 2
    assert message in capsys.readouterr().err
