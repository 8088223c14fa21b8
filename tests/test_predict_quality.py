"""Image quality in `predict`: flagged in line, JSON and table; `--strict` refuses; results without it are read."""
import csv
import json

import nibabel as nib
import numpy as np

from synergynet_tf.data import image_quality, preprocess, quality_range
from tests.test_predict import call, run, write_scan  # noqa: F401 - run is a fixture


def noisy(path):
    """The scan of `write_scan` with ten times its noise."""
    image = nib.load(write_scan(path))
    array = image.get_fdata()
    nib.save(nib.Nifti1Image(np.where(array == 0, 0, 100 + 10 * (array - 100)).astype(np.float32), image.affine), path)
    return path


def learnt(folder, scan):
    """The ranges of a run that was trained on one scan."""
    flair = preprocess.read_scan(scan)
    quality_range.write(quality_range.place(folder), [image_quality.measure(flair, *preprocess.brain_mask(flair))])


def rows(out):
    with open(out / "cases.csv", encoding="utf-8", newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def test_a_scan_outside_is_flagged_in_line_json_and_table_and_the_usual_one_is_not(run, tmp_path, capsys):       # noqa: F811
    good, bad, out = write_scan(tmp_path / "good.nii.gz"), noisy(tmp_path / "bad.nii.gz"), tmp_path / "out"
    learnt(run[0], good)
    assert call(run, out, good, bad) == 0
    assert "\n    flair: noise: 20" in capsys.readouterr().out
    found = {name: json.loads((out / f"{name}_lesions.json").read_text()) for name in ("good", "bad")}
    noise = {name: about["quality"][0] for name, about in found.items()}
    assert (noise["good"]["flagged"], noise["bad"]["flagged"]) == (False, True) and noise["bad"]["measure"] == "noise"
    assert noise["bad"]["range"] == noise["good"]["range"] and noise["bad"]["value"] > noise["bad"]["range"][1]
    assert any("noise" in note for note in found["bad"]["notes"]) and not any("noise" in note for note in found["good"]["notes"])
    table = rows(out)
    assert (table["good"]["flags"], table["bad"]["flags"]) == ("", "noise")
    assert float(table["bad"]["noise_percent"]) == noise["bad"]["value"] and table["bad"]["slice_mm"] == "1.0"


def test_strict_refuses_it_in_a_line_and_segments_the_others(run, tmp_path, capsys):        # noqa: F811
    good, bad, out = write_scan(tmp_path / "good.nii.gz"), noisy(tmp_path / "bad.nii.gz"), tmp_path / "out"
    learnt(run[0], good)
    assert call(run, out, bad, good, "--strict") == 2
    shown = capsys.readouterr()
    assert "good: 1 lesion" in shown.out and list(rows(out)) == ["good"] and not list(out.glob("bad*"))
    line, = (line for line in shown.err.splitlines() if "bad.nii.gz" in line)
    assert "noise: 20" in line and "at most 2.2" in line and "leave out --strict" in line


def test_strict_refuses_a_finished_result_too(run, tmp_path, capsys):        # noqa: F811
    good, bad, out = write_scan(tmp_path / "good.nii.gz"), noisy(tmp_path / "bad.nii.gz"), tmp_path / "out"
    learnt(run[0], good)
    assert call(run, out, good, bad) == 0 == call(run, out, good, bad, "--resume")
    capsys.readouterr()
    assert call(run, out, good, bad, "--resume", "--strict") == 2
    shown = capsys.readouterr()
    assert "bad.nii.gz: noise: 20" in shown.err and "lesion" not in shown.out and list(rows(out)) == ["good"]


def test_a_run_without_ranges_flags_nothing_and_cannot_be_strict(run, tmp_path, capsys):        # noqa: F811
    bad, out = noisy(tmp_path / "bad.nii.gz"), tmp_path / "out"
    assert call(run, out, bad) == 0
    judged = quality_range.from_stored(json.loads((out / "bad_lesions.json").read_text()))
    assert judged[0].value > 15 and {row.usual for row in judged} == {"not known"} and rows(out)["bad"]["flags"] == ""
    assert call(run, tmp_path / "strict", bad, "--strict") == 2
    assert "quality.json is absent" in capsys.readouterr().err and not (tmp_path / "strict" / "bad_lesions.json").exists()
