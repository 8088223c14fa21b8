"""Which network is meant: a run, several, a file of weights, or the one that comes with the package."""
import pathlib

import nibabel as nib
import numpy as np
import pytest

from export import saved_model
from synergynet_tf import predict, train
from synergynet_tf.errors import InputError
from synergynet_tf.training import checkpoint
from synergynet_tf.workflows import networks


@pytest.fixture(scope="module")
def run(settings, tmp_path_factory):
    """A run of the last stage, with averaged weights."""
    folder = tmp_path_factory.mktemp("run")
    assert train.main(["--run", str(folder), "--config", str(settings), "--train.epochs", "[0,0,0,1]", "--train.average",
                       "0.5"]) == 0
    return folder


@pytest.fixture
def shipped(run, tmp_path, monkeypatch):
    """That run's weights as what comes with the package."""
    path = tmp_path / "weights/flair.npz"
    path.parent.mkdir()
    path.write_bytes(checkpoint.strip(run / "best.npz"))
    monkeypatch.setattr(networks, "SHIPPED", path)
    return path


def test_without_a_run_the_shipped_network_is_meant(shipped):
    assert networks.chosen(None) == networks.chosen([pathlib.Path("shipped")]) == [shipped]
    assert networks.chosen([pathlib.Path("runs/mine")]) == [pathlib.Path("runs/mine")]
    about = networks.identity(shipped, "best")
    assert about["run"].startswith("flair, shipped with synergynet-tf ") and len(about["sha256"]) == 64


def test_where_none_is_shipped_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(networks, "SHIPPED", tmp_path / "absent.npz")
    with pytest.raises(InputError, match="no network comes with this copy of the package; name a run with --run"):
        networks.chosen(None)


def test_a_scan_is_segmented_with_nothing_else(shipped, run, tiny_cohort, tmp_path):
    scan = str(tiny_cohort.parent / "P1_flair.nii.gz")
    assert predict.main([scan, "--out", str(tmp_path / "shipped")]) == 0
    assert predict.main([scan, "--out", str(tmp_path / "whole"), "--run", str(run)]) == 0
    half, whole = (nib.load(tmp_path / name / "P1_flair_probability.nii.gz").get_fdata() for name in ("shipped", "whole"))
    assert np.abs(half - whole).max() < 0.02        # half precision of the weights, averaged in both
    assert "shipped with synergynet-tf" in (tmp_path / "shipped/P1_flair_lesions.json").read_text()


def test_a_training_begins_with_it(shipped, settings, tmp_path, capsys):
    assert train.main(["--run", str(tmp_path / "run"), "--config", str(settings), "--init", "shipped", "--train.epochs",
                       "[0,0,0,1]", "--train.steps_per_epoch", "1"]) == 0
    assert f"begins with the weights of {shipped}" in capsys.readouterr().out


def test_it_is_exported(shipped, tmp_path):
    pytest.importorskip("tensorflow_serving")
    assert saved_model.main(["--out", str(tmp_path / "bundle")]) == 0
    card, = tmp_path.glob("bundle/synergynet/1/**/*.md")
    assert "shipped with synergynet-tf" in card.read_text()


def test_it_is_a_fraction_of_a_checkpoint(shipped, run):
    assert shipped.stat().st_size < 0.3 * (run / "best.npz").stat().st_size
    assert checkpoint.load(shipped).config == checkpoint.load(run / "best.npz").config
