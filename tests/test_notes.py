"""What was mended in a scan is said where its result is: under its line, in its JSON file, by train and prepare."""
import json

import nibabel as nib
import numpy as np
import pytest
from rich.console import Console

from synergynet_tf import prepare
from synergynet_tf.config import Config, DataConfig
from synergynet_tf.data import layouts, quality_range
from synergynet_tf.workflows import fitting
from tests.test_predict import call, run, write_scan  # noqa: F401 - run is a fixture

FAULTS = {
    "background": (lambda array: np.where(array == 0, -1024, array), 1, "the background is -1024; taken as 0"),
    "metres": (lambda array: array, 1e-3, "the header gives voxels of 0.001 x 0.001 x 0.001: metres"),
    "hot voxel": (lambda array: np.where(np.arange(array.size).reshape(array.shape) == 2391, 1e6, array), 1, "1 voxel above"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_mended_scan_has_the_mask_of_the_sound_one_and_a_note(run, tmp_path, capsys, fault):      # noqa: F811
    change, scale, note = FAULTS[fault]
    sound = nib.load(write_scan(tmp_path / "sound.nii.gz"))
    affine = np.diag([scale, scale, scale, 1]) @ sound.affine
    nib.save(nib.Nifti1Image(change(sound.get_fdata()).astype(np.float32), affine), tmp_path / "spoiled.nii.gz")
    assert call(run, tmp_path / "out", tmp_path / "sound.nii.gz", tmp_path / "spoiled.nii.gz") == 0
    masks, found = ([read(tmp_path / "out" / f"{name}{kind}") for name in ("sound", "spoiled")] for kind, read in
                    (("_mask.nii.gz", nib.load), ("_lesions.json", lambda path: json.loads(path.read_text()))))
    np.testing.assert_array_equal(masks[0].dataobj, masks[1].dataobj)
    np.testing.assert_allclose(masks[1].affine, affine, rtol=1e-6)
    assert found[0]["volume_ml"] == pytest.approx(found[1]["volume_ml"], rel=1e-5) and found[0]["count"] == 1
    new = [text for text in found[1]["notes"] if text not in found[0]["notes"]]
    assert len(new) == 1 and new[0].startswith(f"flair: {note}")
    assert f"\n    {new[0]}\n" in capsys.readouterr().out


def test_train_and_prepare_say_the_notes_each_time(tiny_cohort, tmp_path, capsys):
    config = Config(data=DataConfig(path=str(tiny_cohort), cache=str(tmp_path)))
    cases = layouts.discover(tiny_cohort)[:1]
    for _ in range(2):
        fitting.prepared("training", cases, config, Console(width=300))
        assert f"{cases[0].name}: flair: the brain takes 27 ml" in capsys.readouterr().out
    assert prepare.main(["--data.path", str(tiny_cohort), "--data.cache", str(tmp_path)]) == 0
    assert f"{cases[0].name}: flair: the brain takes 27 ml" in capsys.readouterr().out


def test_a_case_that_is_refused_is_named_and_the_others_are_segmented(run, tmp_path, capsys):       # noqa: F811
    scan = nib.load(write_scan(tmp_path / "sound.nii.gz"))
    nib.save(nib.Nifti1Image((scan.get_fdata() != 0).astype(np.uint8), scan.affine), tmp_path / "labels.nii.gz")
    assert call(run, tmp_path / "out", tmp_path / "labels.nii.gz", tmp_path / "sound.nii.gz") == 2
    shown = capsys.readouterr()
    assert "labels.nii.gz: every voxel in the brain is 1" in shown.err and "sound: 1 lesion" in shown.out
    assert not list((tmp_path / "out").glob("labels*"))


def test_a_training_knows_the_range_of_its_scans_quality(tiny_cohort, tmp_path):
    config = Config(data=DataConfig(path=str(tiny_cohort), cache=str(tmp_path)))
    cases = fitting.prepared("training", layouts.discover(tiny_cohort), config, Console(quiet=True))
    quality_range.write(quality_range.place(tmp_path), [case.quality for case in cases])
    ranges = quality_range.read([tmp_path])
    assert ranges["noise"][0] > 0 and ranges["slice_thickness"][1] >= 1
    assert all(not row.flagged for case in cases for row in quality_range.judge(case.quality, ranges))
