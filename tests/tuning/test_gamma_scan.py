"""The scan against the commands: what `predict --gamma` writes and `evaluate` says of it; and against score_case by hand."""
import json

import numpy as np
import pytest

from synergynet_tf import evaluate, predict
from synergynet_tf.config import Config, command_line
from synergynet_tf.errors import InputError
from synergynet_tf.metrics import PAPER_METRICS
from synergynet_tf.metrics.scores import score_case
from synergynet_tf.metrics.voxel import dice
from tests.cohort import TINY
from tests.damage import damaged
from tuning import gamma_scan, search
from tuning.gamma_scan import Branches, Curve
from tuning.objective import Objective


def branches(rng, shape=(12, 10, 8)):
    """A case whose branches disagree, with reference voxels outside the brain too."""
    inside = rng.random(shape) < 0.7
    count = int(inside.sum())
    covered = rng.random(count) < 0.4
    return Branches(inside, rng.normal(0, 2, count).astype(np.float32), covered,
                    rng.normal(0, 3, int(covered.sum())).astype(np.float32), rng.random(shape) < 0.2, np.ones(3))


def by_hand(case, gamma):
    """Eq. 1 in double precision: probabilities on the whole grid."""
    logits = case.global_logits.astype(np.float64)
    logits[case.covered] = gamma * case.local_logits + (1 - gamma) * logits[case.covered]
    probability = np.zeros(case.inside.shape)
    probability[case.inside] = 1 / (1 + np.exp(-logits))
    return probability


@pytest.mark.parametrize("threshold", [0.2, 0.5])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
def test_scores_are_those_of_eq_1_by_hand(gamma, threshold):
    case = branches(np.random.default_rng(5))
    mask = by_hand(case, gamma) > threshold
    counted, = gamma_scan.case_scores(case, Objective(), [(gamma, threshold)], 18)
    assert counted["dsc"] == pytest.approx(dice(case.reference, mask), abs=1e-12)
    expected = score_case(case.reference, mask, by_hand(case, gamma), spacing=(1, 1, 1))
    every, = gamma_scan.case_scores(case, Objective("weighted"), [(gamma, threshold)], 18)
    for name in PAPER_METRICS:
        assert every[name] == pytest.approx(getattr(expected, name), abs=1e-3 if name == "ap" else 1e-12), name


@pytest.mark.parametrize("count", [pytest.param(60, marks=pytest.mark.few), pytest.param(1000, marks=pytest.mark.slow)])
def test_damaged_branches_are_named_and_made_again(tmp_path, count):
    path, refused = tmp_path / "case-1.npz", 0
    np.savez(path, **branches(np.random.default_rng(5))._asdict())
    for content in damaged(path.read_bytes(), count):
        path.write_bytes(content)
        try:
            gamma_scan.case_scores(gamma_scan.load_branches(path), Objective(), [(0.3, 0.5)], 18)
        except InputError as error:
            refused += 1
            assert str(error).startswith(f"{path}: not a readable record") and not gamma_scan._readable(path)
    assert refused > count / 2


@pytest.mark.parametrize("change", [
    {"inside": np.ones((2, 2), bool)}, {"inside": np.ones((12, 10, 8), bool)}, {"covered": np.zeros(3, bool)},
    {"local_logits": np.zeros(2, np.float32)}, {"reference": np.zeros((3, 3, 3), bool)}, {"spacing": np.zeros(3)},
    {"global_logits": np.array(["x"])}])
def test_branches_that_do_not_fit_together_are_named(tmp_path, change):
    np.savez(tmp_path / "a.npz", **branches(np.random.default_rng(5))._asdict() | change)
    with pytest.raises(InputError, match="a.npz: not a readable record of the branches"):
        gamma_scan.load_branches(tmp_path / "a.npz")


def test_without_a_patch_gamma_changes_nothing():
    case = branches(np.random.default_rng(6))
    case = case._replace(covered=np.zeros_like(case.covered), local_logits=case.local_logits[:0])
    scores = gamma_scan.case_scores(case, Objective(), [(gamma, 0.5) for gamma in gamma_scan.GAMMAS], 18)
    assert len(scores) == 101 and all(score == scores[0] for score in scores)


def test_both_empty_is_a_dice_of_1():
    case = branches(np.random.default_rng(7))
    case = case._replace(global_logits=np.full_like(case.global_logits, -9), local_logits=np.full_like(case.local_logits, -9),
                         reference=np.zeros_like(case.reference))
    counted, = gamma_scan.case_scores(case, Objective(), [(0.3, 0.5)], 18)
    assert counted["dsc"] == 1.0 and np.isnan(counted["sn"])


def test_the_best_of_equals_is_the_middle_one_and_the_nearest_is_found():
    curve = Curve((0.0, 0.1, 0.2, 0.3), ({},) * 4, (1.0, 2.0, 2.0, 2.0))
    assert curve.best == 0.2
    assert curve.at(0.04) == 1.0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder of a tiny network with random weights, and one phantom patient to validate on: half a minute of one core."""
    import keras

    from synergynet_tf.data import layouts, splits
    from synergynet_tf.data.phantom import generate_cohort
    from synergynet_tf.models.synergynet import build_synergynet
    from synergynet_tf.training import checkpoint

    folder = tmp_path_factory.mktemp("scan")
    config = Config.from_dict({**TINY, "phantoms": {"patients": 1}, "detector": {**TINY["detector"], "score_threshold": 0.0}})
    generate_cohort(folder / "phantoms", config.phantoms)
    cases = layouts.discover(folder / "phantoms", "manifest", config.data.channels)
    splits.save(splits.Split((), tuple(cases), ()), folder / "manifest.csv")
    keras.utils.set_random_seed(2)
    checkpoint.save(folder / "best.npz", build_synergynet(config), config, checkpoint.Progress())
    return folder


@pytest.mark.slow
def test_the_scan_equals_a_full_prediction_and_evaluation(run, tmp_path):
    """For each gamma at a threshold that divides the voxels under patches, since the network has learned nothing."""
    project = tmp_path / "project"
    assert search.main(["--gamma-scan", str(run), "--project", str(project)]) == 0
    path, = (project / "branches").glob("*.npz")
    case = gamma_scan.load_branches(path)
    assert case.covered.any()
    settings = []
    for gamma in (0.3, 1.0):
        local = gamma_scan.probabilities(case, gamma)[case.covered]
        settings.append((gamma, float(np.median(local))))
        assert 0.05 < np.mean(local > settings[-1][1]) < 0.95
    scanned = [scores["dsc"] for scores in gamma_scan.case_scores(case, Objective(), settings, 18)]
    assert len(set(scanned)) == 2       # gamma matters here
    for (gamma, threshold), dsc in zip(settings, scanned):
        out = tmp_path / f"masks-{gamma}"
        assert predict.main(["--run", str(run), "--split", "validation", "--out", str(out), "--gamma", str(gamma),
                             "--threshold", str(threshold)]) == 0
        assert evaluate.main(["--reference", str(run), "--split", "validation", "--prediction", str(out)]) == 0
        full, = json.loads((out / "scores.json").read_text())["cases"]
        assert dsc == pytest.approx(full["dsc"], abs=1e-6)

    before = path.stat().st_mtime_ns    # a second scan reads what the first has kept, and gives the same
    table = (project / "scan.csv").read_text()
    assert search.main(["--gamma-scan", str(run), "--project", str(project)]) == 0
    assert (path.stat().st_mtime_ns, (project / "scan.csv").read_text()) == (before, table)
    rows = [line.split(",") for line in table.splitlines()]
    assert [row[0] for row in rows[1:]].count("gamma") == 101
    assert command_line.parse(["--config", str(project / "best.yaml")], "test")[0].data.channels == ("flair",)
    assert (project / "gamma.png").read_bytes().startswith(b"\x89PNG")


def test_a_scan_takes_no_other_settings_and_needs_a_validation_case(run, tmp_path, capsys):
    assert search.main(["--gamma-scan", str(run), "--fusion.gamma", "0.5"]) == 2
    assert "--fusion.gamma is given with --gamma-scan" in capsys.readouterr().err
    (tmp_path / "best.npz").write_bytes((run / "best.npz").read_bytes())
    manifest = (run / "manifest.csv").read_text().replace("validation", "train")
    (tmp_path / "manifest.csv").write_text(manifest)
    assert search.main(["--gamma-scan", str(tmp_path), "--project", str(tmp_path / "project")]) == 2
    assert "no case has the split validation" in capsys.readouterr().err
    assert search.main(["--gamma-scan", str(tmp_path / "absent"), "--project", str(tmp_path / "project")]) == 2
    assert "no such checkpoint" in capsys.readouterr().err
