"""How a cohort is divided into folds, and how a budget is shared among the stages."""
import shutil

import pytest

from synergynet_tf.config import Config, command_line
from synergynet_tf.data.layouts import Case
from synergynet_tf.errors import InputError
from synergynet_tf.workflows.comparing import make_folds, require_sources
from synergynet_tf.workflows.fold import share_epochs, system_config
from tests.cohort import write_tiny_cohort


@pytest.mark.parametrize("total, weights, shares", [(10, [3, 3, 4], [3, 3, 4]), (200, [30, 30, 40], [60, 60, 80]),
                                                    (7, [1, 1], [4, 3]), (5, [100], [5]), (5, [0, 0, 0], [0, 0, 5])])
def test_epochs_are_shared_by_hand(total, weights, shares):
    assert share_epochs(total, weights) == shares


@pytest.mark.parametrize("budget, unet, mask_rcnn", [("paper", (30, 30, 40, 100), (30, 30, 40, 100)),
                                                     ("equal", (0, 0, 0, 200), (60, 60, 80, 0))])
def test_budgets_of_the_paper_s_preset(budget, unet, mask_rcnn):
    paper, _ = command_line.parse(["--preset", "paper"], "test")
    assert system_config(paper, "unet", budget).train.epochs == unet
    assert system_config(paper, "mask_rcnn", budget).train.epochs == mask_rcnn
    assert system_config(paper, "synergynet", budget) == paper


def test_folds_hold_every_patient_once(tiny_cohort, tmp_path):
    config = Config.from_dict({"data": {"path": str(tiny_cohort), "folds": 3}})
    folds = make_folds(config, tmp_path)
    assert sorted(case.patient for fold in folds for case in fold.split.test) == [f"P{i}" for i in range(6)]
    for own in folds:
        again, = make_folds(own.config, tmp_path / own.folder.name)
        for part in ("train", "validation", "test"):        # a system that reads the manifest has the same cases
            assert [case.name for case in getattr(again.split, part)] == [case.name for case in getattr(own.split, part)]


def test_patients_that_join_after_the_beginning_are_named_before_any_fold_is_divided_anew(tmp_path):
    """Else fold 0 would test a patient that its network was trained on."""
    manifest, out = write_tiny_cohort(tmp_path / "cohort", 6), tmp_path / "out"
    config = Config.from_dict({"data": {"path": str(manifest), "folds": 3, "cache": str(tmp_path / "cache")}})
    make_folds(config, out)
    write_tiny_cohort(tmp_path / "cohort", 8)
    assert sum(len(own.split.test) for own in make_folds(config, out)) == 8     # nothing was trained yet
    before = [path.read_bytes() for path in sorted(out.glob("fold*/manifest.csv"))]
    write_tiny_cohort(tmp_path / "cohort", 10)
    for begun in ("unet/run/last.npz", "lpa/lpa.npz"):
        (out / "fold1" / begun).parent.mkdir(parents=True)
        (out / "fold1" / begun).touch()
        with pytest.raises(InputError, match=f"{out}: the data changed since the run began: P8_1 is new; P9_1 is new"):
            make_folds(config, out)
        shutil.rmtree(out / "fold1" / begun.split("/")[0])
    assert before == [path.read_bytes() for path in sorted(out.glob("fold*/manifest.csv"))]


def test_one_scan_of_two_patients_is_never_on_both_sides_of_a_fold(tmp_path):
    manifest = write_tiny_cohort(tmp_path / "cohort", 6)
    shutil.copy(manifest.parent / "P1_flair.nii.gz", manifest.parent / "P4_flair.nii.gz")
    config = Config.from_dict({"data": {"path": str(manifest), "folds": 3, "cache": str(tmp_path / "cache")}})
    with pytest.raises(InputError, match="case P._1 is in .* and case P._1 in .*, but their FLAIR scans are the same"):
        make_folds(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("sources, words", [
    (["a", ""], "case P0_1 has the source 'a', but case P0_2 has none; give every test case a source, or none"),
    (["", "b"], "case P0_2 has the source 'b', but case P0_1 has none"),
    (["a", "b"], "patient P0: P0_1 has the source 'a', but P0_2 'b'; a patient is of one source"),
    (["all sources"] * 2, "the source 'all sources', but the tables call all of them together so")])
def test_sources_that_cannot_be_told_apart_are_refused(sources, words):
    cases = [Case(f"P0_{number}", "P0", str(number), {}, None, "test", source=source)
             for number, source in enumerate(sources, start=1)]
    with pytest.raises(InputError, match=words):
        require_sources(cases)


def test_no_test_case_is_refused(tiny_cohort, tmp_path):
    config = Config.from_dict({"data": {"path": str(tiny_cohort), "split": [0.8, 0.2, 0.0]}})
    with pytest.raises(InputError, match="leaves no test case"):
        make_folds(config, tmp_path)
