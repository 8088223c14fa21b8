"""The command around a check: what it prints and returns, what it leaves alone, and what it does not fall over."""
import contextlib
import dataclasses

import nibabel as nib
import numpy as np
import pytest

from synergynet_tf import prepare
from synergynet_tf.config import Config, DataConfig
from synergynet_tf.data import check, layouts, nifti
from synergynet_tf.errors import InputError
from synergynet_tf.workflows import fitting
from tests.data.check.phantoms import BRAIN, E, W, content, edit, load, put, remove, snapshot, sound, store


def test_a_clean_cohort_has_no_problem(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cohort = sound(tmp_path)
    before = snapshot(tmp_path)
    assert prepare.main(["--check", "--data.path", str(cohort), "--data.channels", "[flair,t2]"]) == 0
    assert snapshot(tmp_path) == before
    assert capfd.readouterr() == ("2 cases read: no problem found\n", "")


def test_warnings_alone_do_not_fail(tmp_path, capfd):
    cohort = sound(tmp_path)
    edit("lesions", np.zeros_like)(cohort / "patient01")
    remove("lesions")(cohort / "patient00")
    assert prepare.main(["--check", "--data.path", str(cohort)]) == 0
    shown = capfd.readouterr()
    assert shown.err == ""
    assert "2 cases read: 2 warnings, in 1 case\n" in shown.out
    for fragment in ("patient01", "the mask is empty", "(all cases)", "1 of 2 cases"):
        assert fragment in " ".join(shown.out.split())


def test_errors_end_in_one_line_below_the_table(tmp_path, capfd):
    cohort = sound(tmp_path)
    content("flair", lambda data: data[:100])(cohort / "patient01")
    assert prepare.main(["--check", "--data.path", str(cohort)]) == 2
    shown = capfd.readouterr()
    assert "2 cases read: 1 error, in 1 case\n" in shown.out
    assert shown.err == (f"error: {cohort}: a training would refuse 1 of 2 cases for the errors listed; mend them, or leave "
                         "these cases out\n")


@pytest.mark.parametrize("flags, fragments", [
    (["--out", "x"], ["--out is x", "add --check"]),
    (["--check", "--preview", "p.png"], ["--preview is p.png", "one or the other"]),
    (["--check", "--out", "/dev/null/x"], ["--out is /dev/null/x", "cannot be made"]),
    (["--check", "--data.path", "/absent"], ["/absent: no such file or folder"]),
])
def test_what_is_asked_wrongly_is_said(tmp_path, capfd, flags, fragments):
    assert prepare.main(["--data.path", str(sound(tmp_path, 1)), *flags]) == 2
    shown = capfd.readouterr()
    assert shown.out == "" and shown.err.count("\n") == 1
    for fragment in fragments:
        assert fragment in shown.err


def test_a_fault_that_no_reader_foresaw_is_a_row(tmp_path, monkeypatch):
    case, = layouts.discover(sound(tmp_path, 1))
    whole = nifti.read

    def read(path, finite=True):
        if path.name == "t2.nii":
            raise RuntimeError("never seen before")
        return whole(path, finite)

    monkeypatch.setattr(nifti, "read", read)
    problem, = check.check_case(case, Config(data=DataConfig(channels=("flair", "t2")))).problems
    assert (problem.severity, problem.kind, problem.file) == (E, "file", "t2")
    assert "RuntimeError: never seen before" in problem.text


def test_a_damaged_header_never_stops_a_check(tmp_path, capfd):
    """Bytes of the headers exchanged at random: whatever they say now, the case is checked to its end, without a word."""
    case, = layouts.discover(sound(tmp_path, 1))
    for path in (*case.images.values(), case.lesions):
        image = nib.load(path)
        store(path, np.asarray(image.dataobj)[20:64:3, 30:74:3, 20:64:3])
    whole = {path: path.read_bytes() for path in (*case.images.values(), case.lesions)}
    rng, kinds = np.random.default_rng(1), set()
    for _ in range(150):
        path = list(whole)[rng.integers(len(whole))]
        damaged = bytearray(whole[path])
        for place in rng.integers(0, 356, rng.integers(1, 6)):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        checked = check.check_case(case, Config())
        kinds |= {problem.kind for problem in checked.problems}
        assert all("\n" not in problem.text for problem in checked.problems)
        path.write_bytes(whole[path])
    assert {"file", "affine", "orientation"} <= kinds
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("shape", [(16, 20, 1), (1, 20, 18), (1, 1, 1)])
def test_a_volume_of_one_slice_is_drawn_too(tmp_path, shape):
    folder = tmp_path / "scans" / "patient01"
    folder.mkdir(parents=True)
    store(folder / "flair.nii", np.random.default_rng(0).normal(100, 5, shape).astype(np.float32), np.diag([100, 0.01, 1, 1.0]))
    store(folder / "lesions.nii", np.ones(shape, np.uint8), np.diag([100, 0.01, 1, 1.0]))
    assert prepare.main(["--check", "--data.path", str(tmp_path / "scans"), "--out", str(tmp_path / "out")]) in (0, 2)
    assert (tmp_path / "out" / "check.png").read_bytes().startswith(b"\x89PNG")


def test_processes_find_what_one_finds(tmp_path):
    cohort = sound(tmp_path)
    edit("flair", put(np.nan))(cohort / "patient01")
    cases, config = layouts.discover(cohort), Config()
    alone, together = (check.check_cases(cases, config, workers) for workers in (1, 2))
    assert [c.problems for c in alone] == [c.problems for c in together]
    assert [c.digests for c in alone] == [c.digests for c in together]
    assert alone[1].problems and not alone[0].problems
    for one, other in zip(alone, together):
        np.testing.assert_array_equal(one.views.picture, other.views.picture)


@pytest.mark.parametrize("parts, severity", [(("train", "train"), W), (("train", "test"), E)])
def test_a_scan_in_two_parts_of_the_split_is_what_a_training_refuses(tmp_path, parts, severity):
    cohort = sound(tmp_path)
    (cohort / "patient01/flair.nii").write_bytes((cohort / "patient00/flair.nii").read_bytes())
    rows = [f"P{i},patient0{i}/flair.nii,patient0{i}/lesions.nii,{part}" for i, part in enumerate(parts)]
    (cohort / "manifest.csv").write_text("\n".join(["patient,flair,lesions,split", *rows]))
    config = Config(data=DataConfig(path=str(cohort), cache=str(tmp_path / "cache")))
    found = check.find_cases(config)
    problem, = [p for p in check.summarise(found, check.check_cases(found.cases, config)) if p.kind == "duplicate"]
    assert (problem.severity, problem.file) == (severity, "flair")
    (tmp_path / "run").mkdir()
    with pytest.raises(InputError, match="FLAIR scans are the same") if severity == E else contextlib.nullcontext():
        fitting.divide(config, tmp_path / "run", resume=False)


def test_two_raters_are_two_cases_of_one_scan_and_no_duplicate(tmp_path):
    cohort = sound(tmp_path, 1)
    folder = cohort / "patient00"
    store(folder / "second.nii", np.roll(load(folder, "lesions"), 1, axis=0))
    (cohort / "manifest.csv").write_text("patient,flair,lesions,lesions2\n"
                                         "A,patient00/flair.nii,patient00/lesions.nii,patient00/second.nii\n")
    for raters, cases in (("both", 2), ("union", 1), ("second", 1)):
        config = Config(data=DataConfig(path=str(cohort), raters=raters))
        found = check.find_cases(config, require_lesions=True)
        assert len(found.cases) == cases
        assert check.summarise(found, check.check_cases(found.cases, config)) == []
    store(folder / "second.nii", load(folder, "lesions")[:-1])
    config = Config(data=DataConfig(path=str(cohort), raters="union"))
    found = check.find_cases(config)
    problem, = check.summarise(found, check.check_cases(found.cases, config))
    assert (problem.severity, problem.kind, problem.file) == (E, "grid", "lesions2")


def test_a_rater_who_is_missing_is_a_row_and_the_others_are_checked(tmp_path):
    cohort = sound(tmp_path)
    (cohort / "manifest.csv").write_text("patient,flair,lesions,lesions2\n"
                                         "P0,patient00/flair.nii,patient00/lesions.nii,\n"
                                         "P1,patient01/flair.nii,patient01/lesions.nii,patient00/lesions.nii\n")
    config = Config(data=DataConfig(path=str(cohort), raters="second"))
    found = check.find_cases(config)
    problem, = found.problems
    assert (problem.case, problem.severity, problem.kind) == ("P0", E, "file")
    assert len(found.cases) == 2


def test_the_count_volume_and_slices_of_a_case(tmp_path):
    case, = layouts.discover(sound(tmp_path, 1))
    checked = check.check_case(case, Config())
    mask = load(tmp_path / "cohort" / "patient00", "lesions")
    assert checked.lesions == 3
    assert checked.lesion_ml == pytest.approx(81 * 1.4 ** 3 / 1000)
    assert checked.brain_ml == pytest.approx(np.count_nonzero(BRAIN) * 1.4 ** 3 / 1000, rel=1e-3)
    rows, columns = checked.views.picture.shape
    assert rows == pytest.approx(98 * 1.4 + 6, abs=3)       # the axial slice is the tallest, from back to front; 3 mm around it
    assert columns == pytest.approx((78 + 78 + 98) * 1.4 + 3 * 6 + 2 * 6, abs=5)      # and 6 mm between two
    assert checked.views.lesions.any() and not checked.views.lesions.all()
    bright = checked.views.picture[checked.views.lesions].mean()
    assert bright > 1.2 * checked.views.picture[(checked.views.picture > 60) & ~checked.views.lesions].mean()
    blind = dataclasses.replace(case, lesions=None)
    assert check.check_case(blind, Config()).lesions is None
    assert mask.sum() == 81


def test_real_scans(real_data):
    """Five scans that were looked at: one is cut off at its top, one has a T2 with tissue outside the brain."""
    found = {}
    for name in ("open_ms", "mslesseg"):
        config = Config(data=DataConfig(path=str(real_data / name)))
        cohort = check.find_cases(config)
        for problem in check.summarise(cohort, check.check_cases(cohort.cases, config)):
            found[problem.case, problem.severity, problem.kind, problem.file] = problem.text
    assert set(found) == {("P14_T1", W, "brain", "flair"), ("P14_T3", W, "brain", "t2")}
    assert "flat at the top" in found["P14_T1", W, "brain", "flair"]
    assert "34 %" in found["P14_T3", W, "brain", "t2"]
