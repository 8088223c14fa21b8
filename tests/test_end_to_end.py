"""The README's commands, made short: from no data at all to scored masks of held-out phantoms."""
import json

import nibabel as nib
import numpy as np
import pytest

from synergynet_tf import evaluate, predict, train


@pytest.mark.slow
def test_train_predict_and_evaluate_without_any_data(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run, out = tmp_path / "run", tmp_path / "out"
    short = ["--preset", "quickstart", "--phantoms.patients", "3", "--train.epochs", "[1,0,0,1]", "--train.steps_per_epoch", "2"]
    assert train.main(["--run", str(run), *short]) == 0
    assert predict.main(["--run", str(run), "--split", "test", "--out", str(out), "--picture"]) == 0
    assert evaluate.main(["--reference", str(run), "--split", "test", "--prediction", str(out)]) == 0

    case, = (path.name.removesuffix("_mask.nii.gz") for path in out.glob("*_mask.nii.gz"))
    phantom, = run.glob(f"phantoms-*/{case}/flair.nii.gz")
    flair, mask, probability = (nib.load(path) for path in (phantom, *(out / f"{case}_{kind}.nii.gz"
                                                                       for kind in ("mask", "probability"))))
    for written in (mask, probability):
        assert written.shape == flair.shape
        np.testing.assert_array_equal(written.affine, flair.affine)
        assert written.header["sform_code"] == flair.header["sform_code"]
    np.testing.assert_array_equal(np.asarray(mask.dataobj) > 0, probability.get_fdata() > 0.5)
    lesions = json.loads((out / f"{case}_lesions.json").read_text())
    assert lesions["count"] == len(lesions["lesions"])
    assert (out / f"{case}.png").read_bytes().startswith(b"\x89PNG")
    assert {"scores.csv", "scores.md", "scores.json"} <= {path.name for path in out.iterdir()}
    assert case in capsys.readouterr().out
