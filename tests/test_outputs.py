"""No command writes over what the user has: what is an input, holds or lies over one, or was not written by us is refused."""
import hashlib
import shutil

import numpy as np
import pytest

from synergynet_tf import evaluate, experiment, export_isbi, phantoms, predict, prepare, train
from synergynet_tf.config import Config
from synergynet_tf.storage.files import make_own, replace_file
from tests.cohort import TINY, write_tiny_cohort


def state(folder):
    """Every file below a folder with a digest of its bytes; every other entry."""
    return {str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else None
            for path in folder.rglob("*")}


@pytest.fixture
def refused(tmp_path, capsys):
    """Calls a command that must be refused, and not have changed anything; gives what it said."""
    def call(main, *arguments):
        before = state(tmp_path)
        assert main([str(argument) for argument in arguments]) == 2
        assert state(tmp_path) == before
        shown = capsys.readouterr().err
        assert shown.count("\n") == 1
        return shown
    return call


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A run folder of a network that was not trained."""
    from synergynet_tf.models.synergynet import build_synergynet
    from synergynet_tf.training import checkpoint

    folder, config = tmp_path_factory.mktemp("network"), Config.from_dict(TINY)
    checkpoint.save(folder / "best.npz", build_synergynet(config), config, checkpoint.Progress())
    return folder


@pytest.fixture
def cohort(tmp_path):
    """Three tiny patients: a manifest and its scans in one folder."""
    return write_tiny_cohort(tmp_path / "data", 3).parent


@pytest.fixture
def searched(tmp_path, cohort):
    """The same patients in a folder that is searched: raw/P0/flair.nii.gz ..."""
    for patient in range(3):
        folder = tmp_path / "raw" / f"P{patient}x"
        folder.mkdir(parents=True)
        for channel in ("flair", "lesions"):
            shutil.copy(cohort / f"P{patient}_{channel}.nii.gz", folder / f"{channel}.nii.gz")
    return tmp_path / "raw"


@pytest.mark.parametrize("out", ["raw", "raw/prepared", "raw/../raw", "link", "link/prepared", "."])
def test_raw_scans_are_not_prepared_over_themselves(refused, tmp_path, searched, out):
    (tmp_path / "link").symlink_to("raw")
    assert "name another folder with --raw" in refused(prepare.main, "--raw", tmp_path / out, "--data.path", searched)


def test_raw_scans_are_not_prepared_over_what_others_made(refused, tmp_path, searched):
    (tmp_path / "out" / "P1x").mkdir(parents=True)
    (tmp_path / "out" / "P1x" / "flair.nii.gz").write_bytes(b"mine")
    assert "P1x: lies there already" in refused(prepare.main, "--raw", tmp_path / "out", "--data.path", searched)


@pytest.mark.parametrize("name", ["qc.png", "lesions.nii.gz", "prepared.json"])
def test_a_file_of_the_user_s_in_a_prepared_case_is_kept(tmp_path, searched, capsys, name):
    for patient in range(3):
        make_own(tmp_path / "out" / f"P{patient}x")
        (tmp_path / "out" / f"P{patient}x" / name).write_bytes(b"mine")
    assert prepare.main(["--raw", str(tmp_path / "out"), "--data.path", str(searched)]) == 2
    assert f"{name}: lies there already" in capsys.readouterr().err
    assert all(path.read_bytes() == b"mine" for path in (tmp_path / "out").glob(f"P*/{name}"))


def test_a_channel_s_name_does_not_lead_outside(tmp_path, cohort, capsys):
    (cohort / "manifest.csv").write_text("patient,flair,../../x\nA,P0_flair.nii.gz,P0_t2.nii.gz\n")
    assert prepare.main(["--raw", str(tmp_path / "out"), "--data.path", str(cohort), "--steps.align", "false"]) == 2
    assert "'../../x' cannot name a file" in capsys.readouterr().err
    assert not (tmp_path / "x.nii.gz").exists()


@pytest.mark.parametrize("run, said", [("data", "data/manifest.csv is read"), (".", "is read"),
                                       ("own", "config.yaml: lies there")])
def test_training_writes_over_no_scans_and_no_settings(refused, tmp_path, cohort, run, said):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "config.yaml").write_text("train:\n  batch: 1\n")
    assert said in refused(train.main, "--run", tmp_path / run, "--data.path", cohort)


@pytest.mark.parametrize("name", ["manifest.csv", "log.jsonl", "losses.png", "best.npz", "tensorboard/mine"])
def test_training_writes_over_no_file_of_the_run_folder(refused, tmp_path, cohort, name):
    (tmp_path / "run" / name).parent.mkdir(parents=True)
    (tmp_path / "run" / name).write_text("mine")
    assert "lies there already" in refused(train.main, "--run", tmp_path / "run", "--data.path", cohort)


@pytest.mark.parametrize("command", [lambda folder: (train.main, "--run", folder / "run"), lambda folder: (prepare.main,)])
def test_the_cache_does_not_lie_over_the_scans(refused, tmp_path, cohort, command):
    assert "name another folder with data.cache" in refused(*command(tmp_path), "--data.path", cohort, "--data.cache", cohort)


@pytest.mark.parametrize("name", ["P0_flair_mask.nii.gz", "P0_flair_probability.nii.gz", "P0_flair_lesions.json", "P0_flair.png",
                                  "report/index.html"])
def test_a_drawn_mask_is_not_written_over(refused, tmp_path, cohort, network, name):
    (cohort / name).parent.mkdir(exist_ok=True)
    (cohort / name).write_bytes(b"mine")
    assert f"{name.split('/')[0]}: lies there already" in refused(
        predict.main, "--run", network, "--out", cohort, "--picture", "--report", cohort / "P0_flair.nii.gz")


@pytest.mark.parametrize("out", [".", "masks"])
def test_predictions_are_not_written_among_the_scans_that_are_searched(refused, searched, network, out):
    folder = searched / "P0x"
    (folder / "masks").mkdir()
    assert "which it is or lies in" in refused(predict.main, "--run", network, "--out", folder / out, folder)


def test_a_mask_that_was_corrected_by_hand_is_kept_and_ours_is_written_again(tmp_path, cohort, network, capsys):
    arguments = ["--run", str(network), "--out", str(tmp_path / "masks"), str(cohort / "P1_flair.nii.gz")]
    (tmp_path / "masks").mkdir()
    mask = tmp_path / "masks" / "P1_flair_mask.nii.gz"
    replace_file(mask, b"of an earlier call")
    assert predict.main(arguments) == 0
    assert mask.read_bytes()[:2] == b"\x1f\x8b"
    mask.write_bytes((cohort / "P1_lesions.nii.gz").read_bytes())
    before = state(tmp_path)
    assert predict.main(arguments) == 2
    assert "P1_flair_mask.nii.gz: lies there already" in capsys.readouterr().err
    assert state(tmp_path) == before


@pytest.fixture
def masks(tmp_path, cohort):
    (tmp_path / "masks").mkdir()
    for patient in range(3):
        shutil.copy(cohort / f"P{patient}_lesions.nii.gz", tmp_path / "masks" / f"P{patient}_1_mask.nii.gz")
    return tmp_path / "masks"


@pytest.mark.parametrize("name", ["scores.csv", "sizes.csv", "scores.md", "scores.json"])
def test_tables_of_others_are_not_written_over(refused, cohort, masks, name):
    (masks / name).write_text("mine")
    assert f"{name}: lies there already" in refused(evaluate.main, "--reference", cohort, "--prediction", masks)


def test_scores_are_written_again_and_not_among_the_references(refused, tmp_path, cohort, masks):
    arguments = ["--reference", cohort, "--prediction", masks]
    assert evaluate.main(list(map(str, arguments))) == 0
    assert evaluate.main(list(map(str, arguments))) == 0
    shutil.copytree(masks, tmp_path / "references", ignore=shutil.ignore_patterns("s*"))
    for out in ("references", "references/deep"):
        assert "which it is or lies in" in refused(evaluate.main, "--reference", tmp_path / "references", "--prediction", masks,
                                                   "--out", tmp_path / out)
    manifest = tmp_path / "scores.csv"
    shutil.copy(cohort / "manifest.csv", manifest)
    manifest.write_text(manifest.read_text().replace(",P", ",data/P"))
    assert "scores.csv is read" in refused(evaluate.main, "--reference", manifest, "--prediction", masks, "--out", tmp_path)


@pytest.mark.parametrize("out, said", [("data", "is read"), ("other", "is read"), (".", "is read"),
                                       ("own", "results.md: lies there already")])
def test_a_comparison_is_not_written_over_its_inputs(refused, tmp_path, cohort, out, said):
    (tmp_path / "other").mkdir()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "results.md").write_text("mine")
    assert said in refused(experiment.main, "--data", cohort, "--out", tmp_path / out, "--predictions",
                           f"LST={tmp_path / 'other'}")


@pytest.mark.parametrize("name", ["..", ".", "a/b", ".hidden", "../../x"])
def test_another_tool_s_name_does_not_lead_outside(refused, tmp_path, cohort, name):
    assert "cannot name a file" in refused(experiment.main, "--data", cohort, "--out", tmp_path / "out", "--predictions",
                                           f"{name}={cohort}")


def test_a_check_and_a_preview_write_over_nothing(refused, tmp_path, cohort):
    (tmp_path / "check.csv").write_text("mine")
    (tmp_path / "sheet.png").write_text("mine")
    assert "check.csv: lies there already" in refused(prepare.main, "--check", "--data.path", cohort, "--out", tmp_path)
    for preview in (tmp_path / "sheet.png", cohort / "P0_flair.nii.gz"):
        assert refused(prepare.main, "--data.path", cohort, "--preview", preview)


def test_phantoms_are_not_written_over_a_cohort_nor_among_label_maps(refused, tmp_path, cohort):
    assert "is not empty" in refused(phantoms.main, "--out", cohort)
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps" / "brain.nii.gz").touch()
    assert "--out is" in refused(phantoms.main, "--out", tmp_path / "maps/out", "--anatomy", tmp_path / "maps")


def test_a_submission_is_not_written_over_other_files(refused, tmp_path, cohort, masks):
    import nibabel as nib

    folder = tmp_path / "isbi" / "test01" / "preprocessed"
    folder.mkdir(parents=True)
    scan = nib.load(cohort / "P0_flair.nii.gz")
    nib.save(nib.Nifti1Image(np.asarray(scan.dataobj), scan.affine), folder / "test01_01_flair_pp.nii")
    shutil.copy(cohort / "P0_lesions.nii.gz", masks / "test01_01_mask.nii.gz")
    arguments = ["--data", tmp_path / "isbi", "--predictions", masks, "--out"]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "test01_01_synergynet.nii").write_bytes(b"mine")
    assert "lies there already" in refused(export_isbi.main, *arguments, tmp_path / "out")
    assert "which it is or lies in" in refused(export_isbi.main, *arguments, tmp_path / "isbi")
