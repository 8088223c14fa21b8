"""What predict makes of its inputs: which files are a case together, which are none; no case's failure is another's."""
import os
import pathlib

import numpy as np
import pytest

from synergynet_tf.config import Config, DataConfig
from synergynet_tf.data import preprocess
from synergynet_tf.errors import InputError
from synergynet_tf.workflows import inputs
from tests.test_predict import call, names, run, write_scan  # noqa: F401 - a fixture

TWO = ("flair", "t2")


def make(folder, *files):
    folder.mkdir(exist_ok=True, parents=True)
    for name in files:
        (folder / name).touch()
    return [folder / name for name in files]


def found(paths, channels=TWO, t2=None):
    cases, failed = inputs.find_cases(paths, t2, channels, None)
    return {case.name: [path.name for path in case.images.values()] for case in cases}, failed


@pytest.mark.parametrize("files, expected", [
    (["a_flair.nii.gz", "a_t2.nii.gz", "b_flair.nii", "b_t2.nii.gz"],
     {"a": ["a_flair.nii.gz", "a_t2.nii.gz"], "b": ["b_flair.nii", "b_t2.nii.gz"]}),
    (["sub-1_FLAIR.nii.gz", "sub-1_T2w.nii.gz", "sub-1_T1w.nii.gz"], {"sub-1": ["sub-1_FLAIR.nii.gz", "sub-1_T2w.nii.gz"]}),
    (["a.nii.gz", "a_t2.nii.gz"], {"a": ["a.nii.gz", "a_t2.nii.gz"]}),
    (["flair.nii.gz", "t2.nii.gz", "lesions.nii.gz"], {"new": ["flair.nii.gz", "t2.nii.gz"]}),
    (["P-1.T2-FLAIR.nii.gz", "P-1.T2-t2.nii.gz"], {"P-1.T2": ["P-1.T2-FLAIR.nii.gz", "P-1.T2-t2.nii.gz"]}),
])
def test_channels_are_found_by_name(tmp_path, caplog, files, expected):
    paths = make(tmp_path / "new", *files)
    assert found(paths) == (expected, [])
    assert f"{len(expected)} scans: the other channels are the files of the same name" in caplog.text
    flairs = [path for path in paths if path.name in [files[0] for files in expected.values()]]
    assert found(flairs) == (expected, [])      # those beside them need not be named


def test_time_points_are_no_channels(tmp_path, caplog):
    paths = make(tmp_path / "new", "P14_T1.nii.gz", "P14_T2.nii.gz")
    assert list(found(paths, ("flair",))[0]) == ["P14_T1", "P14_T2"] and not caplog.records
    cases, failed = found(paths)
    assert cases == {} and [pathlib.Path(name).name for name, _ in failed] == ["P14_T1.nii.gz", "P14_T2.nii.gz"]
    assert "beside it lies no P14_T2_t2.nii.gz" in str(failed[1][1])


def test_what_is_no_flair_scan_is_named(tmp_path, caplog):
    make(tmp_path / "new", "a.nii.gz", "b_flair.nii.gz", "b_t1.nii.gz", "a_mask.nii.gz", "a_probability.nii.gz", "._a.nii.gz",
         "a_mask_native.nii.gz", "b_lesions.nii.gz", "c.nii.gz")
    paths = [*sorted((tmp_path / "new").iterdir()), tmp_path / "new" / ".." / "new" / "c.nii.gz"]
    assert found(paths, ("flair",))[0] == {name: [f"{name}.nii.gz"] for name in ("a", "b_flair", "c")}
    line, = (record.getMessage() for record in caplog.records)
    assert line.startswith("7 files were not taken: 1 hidden or unfinished (")
    assert all(words in line for words in ("3 masks or maps", "2 of channels that the network does not take", "1 given twice"))
    with pytest.raises(InputError, match="a_mask.nii.gz: is named as .*rename it if it is a FLAIR scan"):
        found([tmp_path / "new" / "a_mask.nii.gz"], ("flair",))


def test_rivals_and_missing_channels_are_errors_of_their_cases(tmp_path):
    paths = make(tmp_path / "new", "a_flair.nii.gz", "a_t2.nii.gz", "a_t2.nii", "b_flair.nii.gz", "b_t2.nii.gz", "c_flair.nii.gz")
    cases, failed = found(paths)
    assert list(cases) == ["b"] and len(failed) == 2
    assert "2 files could be the t2 of" in str(failed[0][1]) and "a_t2.nii, " in str(failed[0][1])
    assert "c_flair.nii.gz: the network also takes t2, but beside it lies no c_t2.nii.gz" in str(failed[1][1])
    assert "--t2" not in str(failed[1][1]) and "add --t2 FILE" in str(found([paths[-1]])[1][0][1])
    with pytest.raises(InputError, match=r"--t2 is .*, but the network takes flair alone: leave --t2 out"):
        found(paths[:1], ("flair",), paths[1])


def test_a_folder_of_cases_of_which_one_lacks_a_channel(tmp_path):
    for name in ("Anna", "Berta", "Carla"):
        make(tmp_path / name, "flair.nii.gz", *([] if name == "Berta" else ["t2.nii.gz"]))
    cases, failed = found([tmp_path])
    assert list(cases) == ["Anna", "Carla"]
    assert [name for name, _ in failed] == ["Berta"] and "the channel t2 is missing (in 1 of 3 cases)" in str(failed[0][1])
    assert "data.channels" not in str(failed[0][1])     # which predict does not have


def test_several_scans_of_two_channels_from_the_command_line(run, tmp_path, capsys):  # noqa: F811
    run[1]["config"] = Config(data=DataConfig(channels=TWO))
    files = [write_scan(tmp_path / "new" / f"{case}_{kind}.nii.gz") for case in "ab" for kind in TWO]
    for case in "cd":
        for kind in TWO:
            write_scan(tmp_path / "folders" / case / f"{kind}.nii.gz")
    (tmp_path / "m.csv").write_text("patient,flair,t2\nE,new/a_flair.nii.gz,new/a_t2.nii.gz\n")
    assert call(run, tmp_path / "out", *files, tmp_path / "folders", tmp_path / "m.csv") == 0
    assert {f"{name}_mask.nii.gz" for name in "Eabcd"} <= set(names(tmp_path / "out"))
    assert call(run, tmp_path / "none", tmp_path / "new" / "gone_flair.nii.gz", tmp_path / "nowhere") == 2
    assert "holds the others" not in capsys.readouterr().err


def test_the_folder_of_the_scans_may_take_the_results_time_and_again(run, tmp_path, capsys):  # noqa: F811
    scan = write_scan(tmp_path / "a.nii.gz")
    for _ in range(3):
        assert call(run, tmp_path, *sorted(tmp_path.glob("*.nii.gz"))) == 0
        assert capsys.readouterr().out.count("1 lesion") == 1
    assert [path for path in names(tmp_path) if path.startswith("a")] == [
        "a.nii.gz", "a_lesions.json", "a_mask.nii.gz", "a_probability.nii.gz"] and scan.exists()


FAILURES = [MemoryError(), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), ZeroDivisionError("by\nzero"), RecursionError(),
            OSError(5, "Input/output error", "x")]


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_whatever_fails_in_a_case_is_that_case_s(run, tmp_path, monkeypatch, capsys, error):  # noqa: F811
    def fail(case, channels):
        if case.name == "b":
            raise error
        return load_case(case, channels)

    load_case = preprocess.load_case
    monkeypatch.setattr(preprocess, "load_case", fail)
    assert call(run, tmp_path / "out", *(write_scan(tmp_path / f"{name}.nii.gz") for name in "abc")) == 2
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("error: case b: ") and "1 of 3 inputs could not be segmented: b;" in last
    assert [name for name in names(tmp_path / "out") if "mask" in name] == ["a_mask.nii.gz", "c_mask.nii.gz"]


HOSTILE = ["a b'\"", "[red]x[bold", "x\ny\x1b[31m", "\U0001f9e0", "$x_1$ $\\frac{", "é" * 90, os.fsdecode(b"caf\xe9"), "-o",
           "a%s{0}"]


def test_a_file_may_have_any_name(run, tmp_path, capfd, monkeypatch):  # noqa: F811
    """Also on a terminal that knows ASCII alone; with a picture, whose title it is, and a report."""
    scans = [write_scan(tmp_path / "new" / "x.nii.gz").rename(tmp_path / "new" / f"{name}.nii.gz") for name in HOSTILE]
    with open(tmp_path / "said", "w", encoding="ascii") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        assert call(run, tmp_path / "out", *scans, "--picture", "--report") == 0
        bad = tmp_path / "new" / "bad\n\udcff.nii.gz"
        bad.write_bytes(b"no scan")
        assert call(run, tmp_path / "out2", scans[0], bad) == 2
    assert {f"{name}_mask.nii.gz" for name in HOSTILE} <= set(names(tmp_path / "out"))
    assert {f"{name}.png" for name in HOSTILE} <= set(names(tmp_path / "out"))
    lines = (tmp_path / "said").read_text().splitlines()
    assert len([line for line in lines if "1 lesion, 0.02 ml" in line]) == len(HOSTILE) + 1
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error")]
    assert len(errors) == 2 and all("bad\\n\\udcff" in line for line in errors)


def test_too_little_free_memory(run, tmp_path, monkeypatch, capsys, caplog):  # noqa: F811
    from synergynet_tf.inference import budget, predictor

    scans = [write_scan(tmp_path / f"{name}.nii.gz") for name in "ab"]
    whole = budget.peak(Config(), (16, 18, 14), budget.as_asked(Config(), (16, 18, 14)).windows)
    monkeypatch.setattr(predictor, "available", lambda share: np.inf)
    assert call(run, tmp_path / "out", *scans) == 0 and not caplog.records
    monkeypatch.setattr(predictor, "available", lambda share: 0.5 * whole)
    assert call(run, tmp_path / "less", *scans) == 2
    errors = capsys.readouterr().err.splitlines()
    assert "a.nii.gz: a volume of 16x18x14 voxels takes 1." in errors[0] and "GB for it; end other programs" in errors[0]


def test_notes_stand_below_their_case(run, tmp_path, capsys):  # noqa: F811
    assert call(run, tmp_path / "out", write_scan(tmp_path / "a\nb.nii.gz")) == 0
    first, *notes = capsys.readouterr().out.splitlines()
    assert first.startswith("a\\nb: 1 lesion") and notes and all(note.startswith("    ") for note in notes)
