"""Which network is meant: a run, several, a file of weights, or the one that comes with the package."""
import argparse
import pathlib

import nibabel as nib
import numpy as np
import pytest

from export import saved_model, weights
from synergynet_tf import predict, train
from synergynet_tf.config import Config
from synergynet_tf.data import identity
from synergynet_tf.data.layouts import discover
from synergynet_tf.data.splits import Split
from synergynet_tf.errors import InputError
from synergynet_tf.training import checkpoint
from synergynet_tf.workflows import networks
from tests.cohort import write_tiny_run
from tuning import search


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_cohort):
    """A run of a tiny network, by its files, that was trained on the first of the tiny patients."""
    folder = write_tiny_run(tmp_path_factory.mktemp("run"))
    first, *_ = discover(tiny_cohort, "auto", ("flair",))
    identity.write(folder, identity.record_of(Split((first,), (), ()), ("flair",)), None)
    return folder


@pytest.fixture(scope="module")
def small(run, tmp_path_factory):
    """The file of weights that is made of it."""
    path = tmp_path_factory.mktemp("weights") / "flair.npz"
    assert weights.main(["--run", str(run), "--out", str(path)]) == 0
    return path


@pytest.fixture
def shipped(small, monkeypatch):
    """That file as what comes with the package."""
    monkeypatch.setattr(networks, "SHIPPED", small)
    return small


def test_without_a_run_the_shipped_network_is_meant(shipped):
    assert networks.resolve_runs(None) == networks.resolve_runs([pathlib.Path("shipped")]) == [shipped]
    assert networks.resolve_runs([pathlib.Path("runs/mine")]) == [pathlib.Path("runs/mine")]
    about = networks.identity(shipped, "best")
    assert about["run"].startswith("flair, shipped with synergynet-tf ") and len(about["sha256"]) == 64


def test_where_none_is_shipped_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(networks, "SHIPPED", tmp_path / "absent.npz")
    with pytest.raises(InputError, match="no network comes with this copy of the package; name a run with --run"):
        networks.resolve_runs(None)


def test_a_scan_is_segmented_with_nothing_else(shipped, run, tiny_cohort, tmp_path):
    scan = str(tiny_cohort.parent / "P1_flair.nii.gz")
    assert predict.main([scan, "--out", str(tmp_path / "shipped")]) == 0
    assert predict.main([scan, "--out", str(tmp_path / "whole"), "--run", str(run)]) == 0
    half, whole = (nib.load(tmp_path / name / "P1_flair_probability.nii.gz").get_fdata() for name in ("shipped", "whole"))
    assert np.abs(half - whole).max() < 0.02        # half precision of the weights, averaged in both
    assert "shipped with synergynet-tf" in (tmp_path / "shipped/P1_flair_lesions.json").read_text()


SHORT = ["--train.epochs", "[1,0,0,0]", "--train.steps_per_epoch", "1"]       # the stage that is traced soonest


def test_a_training_begins_with_it(shipped, settings, tmp_path, capsys):
    assert train.main(["--run", str(tmp_path / "run"), "--config", str(settings), "--init", "shipped", *SHORT]) == 0
    assert f"begins with the weights of {shipped}" in capsys.readouterr().out


def test_a_training_that_begins_with_it_has_its_settings_and_says_if_it_is_judged_by_its_cases(shipped, tiny_cohort, tmp_path,
                                                                                                caplog):
    table = tiny_cohort.read_text().splitlines()
    rows = [f"{','.join(str(tiny_cohort.parent / cell) if '.nii' in cell else cell for cell in row.split(',')[:5])},"
            f"{'validation' if row.startswith('P0') else 'train'}" for row in table[1:]]
    (tmp_path / "manifest.csv").write_text("\n".join([table[0], *rows]) + "\n")
    assert train.main(["--run", str(tmp_path / "run"), "--init", "shipped", "--data.path", str(tmp_path / "manifest.csv"),
                       *SHORT]) == 0
    config, theirs = (checkpoint.load(path).config for path in (tmp_path / "run/last.npz", shipped))
    assert (config.unet, config.detector, config.patch) == (theirs.unet, theirs.detector, theirs.patch) != (
        Config().unet, Config().detector, Config().patch)
    assert config.data.path == str(tmp_path / "manifest.csv") and config.train.epochs == (1, 0, 0, 0)
    assert f"{shipped}: was trained on cases by which it is judged here: P0_1;" in caplog.text


@pytest.mark.slow
def test_it_is_exported(shipped, tmp_path):
    pytest.importorskip("tensorflow_serving")
    assert saved_model.main(["--out", str(tmp_path / "bundle")]) == 0
    card = (tmp_path / "bundle/synergynet/1/model_card.md").read_text()
    assert "shipped with synergynet-tf" in card and "docs/network.md" in card and "no patient's scan was used" not in card


@pytest.mark.slow
def test_its_gamma_is_scanned_on_scans_that_are_named(shipped, tiny_cohort, tmp_path, capsys):
    project = tmp_path / "project"
    assert search.main(["--gamma-scan", "--project", str(project)]) == 2
    assert "names no validation cases; name scans with reference masks with --data.path" in capsys.readouterr().err
    assert search.main(["--gamma-scan", "--project", str(project), "--data.path", str(tiny_cohort)]) == 0
    assert "on 6 validation cases" in capsys.readouterr().out
    assert (project / "best.yaml").is_file()


@pytest.mark.parametrize("words, mirrored", [([], True), (["--mirror"], True), (["--no-mirror"], False)])
def test_a_run_that_looks_from_both_sides_can_be_told_not_to(words, mirrored):
    parser = argparse.ArgumentParser()
    networks.add_arguments(parser)
    changes = networks.Changes.of(parser.parse_args(words))
    assert changes.applied(Config.from_dict({"infer": {"mirror": True}})).infer.mirror is mirrored
