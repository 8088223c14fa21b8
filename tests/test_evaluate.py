"""The evaluate command on small NIfTI files: what it reads, what it writes, what it refuses."""
import csv
import json
import os
import pathlib
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

from synergynet_tf.data import nifti
from synergynet_tf.evaluate import main
from synergynet_tf.metrics.lesion import LesionRule
from synergynet_tf.metrics.scores import score_case
from synergynet_tf.workflows.pairs import find_pairs
from synergynet_tf.workflows.scoring import score_files, score_pairs

ROOT = pathlib.Path(__file__).parents[1]
SHAPE = (12, 10, 8)
AFFINE = np.diag([1.0, 1.5, 2.0, 1.0])


def save(path: pathlib.Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array.astype(np.uint8 if array.dtype == bool else array.dtype), affine), path)
    return path


def arrays(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reference, prediction and a probability map."""
    rng = np.random.default_rng(seed)
    reference = rng.random(SHAPE) < .08
    probability = (rng.random(SHAPE) * .6 + reference * .4).astype(np.float32)
    return reference, probability > .55, probability


@pytest.fixture
def folders(tmp_path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """Masks of cases a and b, their predictions and maps."""
    for seed, name in enumerate("ab"):
        reference, prediction, probability = arrays(seed)
        save(tmp_path / f"reference/{name}.nii.gz", reference)
        save(tmp_path / f"prediction/{name}_mask.nii.gz", prediction)
        save(tmp_path / f"prediction/{name}_probability.nii.gz", probability)
    return tmp_path / "reference", tmp_path / "prediction"


def run(reference: pathlib.Path, prediction: pathlib.Path, *more: object) -> int:
    return main(["--reference", str(reference), "--prediction", str(prediction), *map(str, more)])


def expected(seed: int, name: str, connectivity: int = 18, with_map: bool = True):
    reference, prediction, probability = arrays(seed)
    return score_case(reference, prediction, probability if with_map else None, spacing=(1, 1.5, 2),
                      rule=LesionRule(connectivity), case=name)


def assert_row(row: dict, scores) -> None:
    """A case of scores.json holds these scores, null for what is not finite."""
    wanted = [dict(vars(scores)), *map(vars, scores.sizes)]
    for found, values in zip([row, *row["sizes"]], wanted):
        assert {name: value for name, value in found.items() if name != "sizes"} == pytest.approx(
            {name: None if isinstance(value, float) and not np.isfinite(value) else value
             for name, value in values.items() if name not in ("sizes", "source")})       # these name no source


@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_files_and_table(folders, tmp_path, capsys, connectivity):
    assert run(*folders, "--connectivity", connectivity, "--out", tmp_path / "new/out") == 0
    wanted = [expected(0, "a", connectivity), expected(1, "b", connectivity)]
    content = json.loads((tmp_path / "new/out/scores.json").read_text())
    assert content["connectivity"] == connectivity
    for row, scores in zip(content["cases"], wanted):
        assert_row(row, scores)
    with (tmp_path / "new/out/scores.csv").open(newline="") as file:
        assert [float(row["dsc"]) for row in csv.DictReader(file) if row["row"] == "case"] == [s.dsc for s in wanted]
    text = (tmp_path / "new/out/scores.md").read_text(encoding="utf-8")
    assert f"{np.mean([s.dsc for s in wanted]):.4f} ± {np.std([s.dsc for s in wanted], ddof=1):.4f}" in text
    assert {path.name for path in (tmp_path / "new/out").iterdir()} == {"scores.csv", "scores.json", "scores.md", "sizes.csv"}
    shown = capsys.readouterr().out
    assert f"{wanted[0].dsc:.3f}" in shown and f"{connectivity}-connected" in shown


def test_default_out_is_the_prediction_folder(folders):
    assert run(*folders) == 0
    assert (folders[1] / "scores.json").is_file()


def test_a_probability_map_alone_is_taken_above_a_half(folders):
    (folders[1] / "a_mask.nii.gz").unlink()
    assert run(*folders) == 0
    reference, _, probability = arrays(0)
    wanted = score_case(reference, probability > .5, probability, spacing=(1, 1.5, 2), case="a")
    assert_row(json.loads((folders[1] / "scores.json").read_text())["cases"][0], wanted)


def test_the_rule_s_options(folders, capsys):
    assert run(*folders, "--overlap", .5, "--min-lesion", 6) == 0
    content = json.loads((folders[1] / "scores.json").read_text())
    assert (content["overlap"], content["min_mm3"]) == (.5, 6)
    reference, prediction, probability = arrays(0)
    rule = LesionRule(18, .5, 6)
    assert_row(content["cases"][0], score_case(reference, prediction, probability, spacing=(1, 1.5, 2), rule=rule, case="a"))
    assert "covered to 50%" in capsys.readouterr().out.replace("\n", " ")


def test_case_folders_and_plain_masks(tmp_path):
    reference, prediction, _ = arrays(0)
    save(tmp_path / "cases/p1/lesions.nii.gz", reference)
    save(tmp_path / "cases/p1/flair.nii.gz", reference * 1.0)
    (tmp_path / "cases/notes").mkdir()
    save(tmp_path / "other/p1.nii", prediction)
    pair, = find_pairs(tmp_path / "cases", tmp_path / "other")
    assert pair[:5] == ("p1", "p1", tmp_path / "cases/p1/lesions.nii.gz", tmp_path / "other/p1.nii", None)
    assert repr(score_pairs([pair])) == repr([expected(0, "p1", with_map=False)])      # nan is not itself


def test_orientation_does_not_matter(tmp_path):
    reference, prediction, _ = arrays(0)
    flipped = AFFINE @ np.array([[-1, 0, 0, SHAPE[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    a, b = save(tmp_path / "a.nii.gz", reference), save(tmp_path / "b.nii", prediction[::-1], flipped)
    assert repr(score_files(a, b, case="a")) == repr(expected(0, "a", with_map=False))


def test_masks_may_hold_255(tmp_path):
    reference, prediction, _ = arrays(0)
    a, b = save(tmp_path / "a.nii", reference * np.uint8(255)), save(tmp_path / "b.nii", prediction * np.float32(1))
    assert repr(score_files(a, b, case="a")) == repr(expected(0, "a", with_map=False))


def test_no_lesion_anywhere(tmp_path, capsys):
    empty = np.zeros(SHAPE, bool)
    save(tmp_path / "reference/a.nii.gz", empty)
    save(tmp_path / "prediction/a.nii.gz", empty)
    assert run(tmp_path / "reference", tmp_path / "prediction") == 0
    row, = json.loads((tmp_path / "prediction/scores.json").read_text())["cases"]
    assert row["dsc"] == 1 and row["ltpr"] is None and row["n_reference"] == 0


def test_an_error_in_a_process_is_still_one_line_and_stops_no_other(folders, capsys):
    save(folders[0] / "b.nii.gz", arrays(1)[0][1:])
    assert run(*folders, "--workers", 2) == 2
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ") and "b_mask.nii.gz" in first and "1 of 2 cases could not be scored: b;" in last
    assert [row["case"] for row in json.loads((folders[1] / "scores.json").read_text())["cases"]] == ["a"]


def test_whatever_fails_in_a_case_is_that_case_s(folders, capsys, monkeypatch):
    def fail(path):
        if path.name == "a.nii.gz":
            raise MemoryError
        return read_mask(path)

    read_mask = nifti.read_mask
    monkeypatch.setattr(nifti, "read_mask", fail)
    assert run(*folders, "--workers", 1) == 2
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("error: case a: does not fit into memory") and "1 of 2" in last
    (folders[0] / "b.nii.gz").unlink()
    assert run(*folders, "--workers", 1) == 2
    assert capsys.readouterr().err.count("\n") == 1


def drop_both(reference, prediction):
    for path in prediction.iterdir():
        path.unlink()
    return ["2 of 2", "a, b", "_mask.nii.gz"]


def other_shape(reference, prediction):
    save(prediction / "b_mask.nii.gz", arrays(1)[1][:, :-1])
    return ["b.nii.gz", "b_mask.nii.gz", "12 x 10 x 8", "12 x 9 x 8"]


def other_affine(reference, prediction):
    save(prediction / "b_mask.nii.gz", arrays(1)[1], AFFINE + np.eye(4, k=3) * 7)
    return ["b.nii.gz", "b_mask.nii.gz", "7"]


def other_grid_of_map(reference, prediction):
    save(prediction / "b_probability.nii.gz", arrays(1)[2][1:])
    return ["b.nii.gz", "b_probability.nii.gz", "12 x 10 x 8", "11 x 10 x 8"]


def not_binary(reference, prediction):
    save(prediction / "a_mask.nii.gz", arrays(0)[2])
    return ["a_mask.nii.gz", "values"]


def reference_of_labels(reference, prediction):
    save(reference / "a.nii.gz", arrays(0)[0] * np.uint8(3) + np.eye(*SHAPE[:2], dtype=np.uint8)[..., None])
    return ["a.nii.gz", "0, 1, 3, 4"]


def not_finite(reference, prediction):
    save(prediction / "a_probability.nii.gz", np.full(SHAPE, np.nan, np.float32))
    return ["a_probability.nii.gz", "nan"]


def not_nifti(reference, prediction):
    (prediction / "a_mask.nii.gz").write_bytes(b"no image")
    return ["a_mask.nii.gz"]


def no_reference(reference, prediction):
    for path in reference.iterdir():
        path.unlink()
    return [str(reference), "lesions.nii.gz"]


def two_references(reference, prediction):
    save(reference / "a.nii", arrays(0)[0])
    return [str(reference / "a.nii"), str(reference / "a.nii.gz")]


@pytest.mark.parametrize("break_it", [other_shape, other_affine, other_grid_of_map, not_binary, reference_of_labels, not_finite,
                                      not_nifti], ids=lambda f: f.__name__)
def test_one_line_and_the_other_case_is_scored(folders, tmp_path, capsys, break_it):
    parts = break_it(*folders)
    assert run(*folders, "--out", tmp_path / "out") == 2
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ") and all(part in first for part in parts), first
    assert "1 of 2 cases could not be scored" in last
    assert len(json.loads((tmp_path / "out/scores.json").read_text())["cases"]) == 1


@pytest.mark.parametrize("break_it", [drop_both, no_reference, two_references], ids=lambda f: f.__name__)
def test_one_line_and_no_score(folders, tmp_path, capsys, break_it):
    parts = break_it(*folders)
    assert run(*folders, "--out", tmp_path / "out") == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ") and len(shown.err.strip().splitlines()) == 1
    assert all(part in shown.err for part in parts), shown.err
    assert shown.out == "" and not list((tmp_path / "out").glob("*"))


def test_paths_that_are_not_there(folders, tmp_path, capsys):
    assert run(tmp_path / "gone", folders[1]) == 2
    assert "--reference" in capsys.readouterr().err
    assert run(folders[0], tmp_path / "gone") == 2
    assert "--prediction" in capsys.readouterr().err
    assert run(*folders, "--out", folders[0] / "a.nii.gz") == 2
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--connectivity", "8"], ["--workers", "0"], ["--workers", "two"], ["--overlap", "2"],
                                   ["--min-lesion", "-1"], ["--min-lesion", "x"]])
def test_arguments_that_cannot_be_are_refused(folders, wrong, capsys):
    assert run(*folders, *wrong) == 2
    told = capsys.readouterr().err
    assert wrong[0] in told and told.count("\n") == 1


def test_an_interrupted_write_leaves_the_old_file(folders, monkeypatch):
    assert run(*folders) == 0
    before = (folders[1] / "scores.csv").read_bytes()

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    assert run(*folders, "--connectivity", 6) == 130
    assert (folders[1] / "scores.csv").read_bytes() == before
    assert not list(folders[1].glob(".*"))


def command(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "synergynet_tf.evaluate", *map(str, arguments)], capture_output=True, text=True,
                          cwd=ROOT)


def test_as_a_command_in_two_processes(folders):
    shown = command("--reference", folders[0], "--prediction", folders[1], "--workers", 2)
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr == "" and "18-connected" in shown.stdout
    rows = json.loads((folders[1] / "scores.json").read_text())["cases"]
    assert [row["case"] for row in rows] == ["a", "b"]
    for seed, (row, name) in enumerate(zip(rows, "ab")):
        assert_row(row, expected(seed, name))


def test_exit_status_of_an_error(folders):
    shown = command("--reference", folders[0] / "none", "--prediction", folders[1])
    assert shown.returncode == 2 and shown.stderr.startswith("error: ") and "Traceback" not in shown.stderr
