"""Every layout from its folder to its scores: a training step, predictions, and the submission of ISBI 2015.

One U-Net is trained and asked by all: what differs between layouts ends where the cache begins, and tracing takes long.
"""
import csv
import dataclasses
import types

import keras
import nibabel as nib
import numpy as np
import pytest

from synergynet_tf import evaluate, export_isbi, predict, train
from synergynet_tf.config import Config, command_line
from synergynet_tf.data import cache, layouts, pipeline
from synergynet_tf.inference import predictor
from synergynet_tf.training import checkpoint
from synergynet_tf.training.optimizer import make_optimizer
from synergynet_tf.training.stages import trainable_variables
from synergynet_tf.training.steps import make_train_step
from synergynet_tf.training.systems import system_of
from tests.cohort import TINY
from tests.trees import TREES, plant, write

CHANNELS = ("flair", "t2")
EXPECTED = {**{layout: expected for layout, (_, expected, _) in TREES.items()},
            "manifest": [("A", "1", True), ("B", "", True)], "case": [("somebody", "", True)]}


def tree_of(folder, layout):
    """The fixture tree of a layout, of a manifest, of a case's own folder."""
    if layout in TREES:
        return plant(folder, layout)
    if layout == "case":
        folder = folder / "somebody"
    for i, name in enumerate(("flair", "t2", "lesions")):
        write(folder / f"{name}.nii.gz", i)
        if layout == "manifest":
            write(folder / f"b_{name}.nii", 3 + i)
    if layout == "manifest":
        (folder / "manifest.csv").write_text("patient,session,flair,t2,lesions\nA,1,flair.nii.gz,t2.nii.gz,lesions.nii.gz\n"
                                             "B,,b_flair.nii,b_t2.nii,b_lesions.nii\n")
    return folder


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    made = Config.from_dict(TINY | {"data": {"channels": CHANNELS, "cache": str(tmp_path_factory.mktemp("cache"))}})
    return dataclasses.replace(made, train=dataclasses.replace(made.train, system="unet", steps_per_epoch=1))


@pytest.fixture(scope="module")
def network(config):
    """The network, a step of its training and its predictor, each traced once."""
    keras.utils.set_random_seed(0)
    system = system_of(config)
    model, (stage,) = system.build(config), system.stages
    optimizer = make_optimizer(config.train, 100)
    optimizer.build(trainable_variables(model, stage))
    return types.SimpleNamespace(model=model, step=make_train_step(model, optimizer, stage, config),
                                 predictor=predictor.Predictor(model, config))


@pytest.fixture
def run(network, config, tmp_path, monkeypatch):
    """A run folder that stands for the network."""
    monkeypatch.setattr(checkpoint, "load", lambda path: types.SimpleNamespace(network=lambda: network.model, config=config))
    monkeypatch.setattr(predictor, "Predictor", lambda *_, **__: network.predictor)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.npz").write_bytes(b"weights")
    return tmp_path / "run"


@pytest.mark.parametrize("layout", EXPECTED)
def test_a_layout_trains_predicts_and_is_scored(layout, network, config, run, tmp_path):
    tree, out = tree_of(tmp_path / "cohort", layout), tmp_path / "out"
    cases = layouts.discover(tree, channels=CHANNELS)
    assert [(case.patient, case.session, case.lesions is not None) for case in cases] == EXPECTED[layout]

    known = [case for case in cases if case.lesions is not None]
    batch, = pipeline.training_dataset(cache.build_cache(known, config, workers=1), config, 0)
    assert np.unique(batch.instances).size == 5 and batch.image.shape[-1] == len(CHANNELS)
    before = [np.array(variable) for variable in network.model.trainable_variables]
    total, _ = network.step(batch)
    assert np.isfinite(float(total))
    assert any((a != np.asarray(b)).any() for a, b in zip(before, network.model.trainable_variables))

    assert predict.main(["--run", str(run), "--out", str(out), str(tree)]) == 0
    for case in cases:
        scan, mask = nib.load(case.images["flair"]), nib.load(out / f"{case.name}_mask.nii.gz")
        assert mask.shape == scan.shape
        np.testing.assert_array_equal(mask.affine, scan.affine)
    assert len(list(out.glob("*_mask.nii.gz"))) == len(cases)

    assert evaluate.main(["--reference", str(tree), "--prediction", str(out), "--workers", "1"]) == 0
    with open(out / "scores.csv", newline="") as file:
        assert [row["case"] for row in csv.DictReader(file) if row["row"] == "case"] == [case.name for case in known]


def test_the_second_rater_is_drawn_and_scored_where_asked_for(run, tmp_path, capsys):
    tree, out = tree_of(tmp_path / "cohort", "isbi2015"), tmp_path / "out"
    (tree / "training" / "training01" / "masks" / "training01_01_mask1.nii").unlink()
    asked = ["--run", str(run), "--out", str(out), str(tree / "training")]
    assert predict.main(asked) == 0         # without a picture no reference is needed
    assert predict.main([*asked, "--picture"]) == 2
    assert "only the second rater's mask" in capsys.readouterr().err
    assert predict.main([*asked, "--picture", "--raters", "second"]) == 0
    assert (out / "training01_01.png").is_file()
    assert predict.main([*asked, "--raters", "second"]) == 2
    assert "add --picture" in capsys.readouterr().err
    score = ["--reference", str(tree), "--prediction", str(out), "--workers", "1"]
    assert evaluate.main(score) == 2
    assert "only the second rater's mask" in capsys.readouterr().err
    assert evaluate.main([*score, "--raters", "second"]) == 0


def test_a_reference_without_masks_or_cases_is_refused(tmp_path, capsys):
    tree = tree_of(tmp_path / "cohort", "isbi2015")
    assert evaluate.main(["--reference", str(tree / "test"), "--prediction", str(tmp_path)]) == 2
    assert "holds 1 cases, but none has a reference mask" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert evaluate.main(["--reference", str(tmp_path / "empty"), "--prediction", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "neither masks (<case>.nii.gz) nor case folders" in error and "no case found" in error and error.count("\n") == 1


@pytest.mark.slow
def test_the_isbi_challenge_from_its_folders_to_a_submission(config, tmp_path):
    tree, run, out = plant(tmp_path / "cohort", "isbi2015"), tmp_path / "run", tmp_path / "out"
    command_line.save(config, tmp_path / "tiny.yaml")
    assert train.main(["--run", str(run), "--config", str(tmp_path / "tiny.yaml"), "--data.path", str(tree / "training"),
                       "--data.raters", "both"]) == 0
    assert [case.name for case in layouts.discover(run / "manifest.csv")] == [
        f"training01_{session}_r{rater}" for session in ("01", "02") for rater in (1, 2)]
    assert predict.main(["--run", str(run), "--out", str(out), str(tree / "test")]) == 0
    assert export_isbi.main(["--data", str(tree / "test"), "--predictions", str(out), "--out", str(tmp_path / "zip")]) == 0
    written, = (tmp_path / "zip").iterdir()
    assert written.name == "test03_01_synergynet.nii"
    scan, mask = nib.load(tree / "test/test03/preprocessed/test03_01_flair_pp.nii"), nib.load(written)
    assert mask.shape == scan.shape and set(np.unique(mask.dataobj)) <= {0, 1}
    np.testing.assert_array_equal(mask.affine, scan.affine)
