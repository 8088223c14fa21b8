"""`predict --bids`: a derivative data set that says what the results say, under the names of the standard."""
import csv
import json
import os
import shutil
import subprocess

import numpy as np
import pytest

from synergynet_tf.data.layouts import Case
from synergynet_tf.errors import InputError
from synergynet_tf.workflows.bids_output import bids_names
from tests.test_predict import call, run, write_scan  # noqa: F401 - run is a fixture

VALIDATOR = os.environ.get("BIDS_VALIDATOR") or shutil.which("bids-validator-deno")


@pytest.fixture
def dataset(run, tmp_path):        # noqa: F811
    """Two patients, one of them with two time points, by a manifest; and the results."""
    rows = ["patient,session,flair"]
    for number, (patient, session) in enumerate((("P_1", "01"), ("P_1", "02"), ("b-2", ""))):
        write_scan(tmp_path / f"{number}.nii.gz", seed=number)
        rows.append(f"{patient},{session},{number}.nii.gz")
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n")
    assert call(run, tmp_path / "out", tmp_path / "m.csv", "--bids", tmp_path / "bids") == 0
    return tmp_path / "bids", tmp_path / "out"


def test_masks_and_numbers_are_those_of_the_results(dataset):
    bids, out = dataset
    mask = bids / "sub-P1/ses-02/anat/sub-P1_ses-02_space-orig_label-lesion_mask.nii.gz"
    assert mask.read_bytes() == (out / "P_1_02_mask.nii.gz").read_bytes()
    assert (bids / "sub-b2/anat/sub-b2_space-orig_label-lesion_probseg.nii.gz").is_file()
    with open(bids / "sub-P1/ses-02/sub-P1_ses-02_scans.tsv", encoding="utf-8", newline="") as file:
        row, = csv.DictReader(file, delimiter="\t")
    about = json.loads((out / "P_1_02_lesions.json").read_text())
    assert (row["filename"], int(row["lesions"])) == (f"anat/{mask.name}", about["count"])
    assert np.isclose(float(row["volume_ml"]), about["volume_ml"])
    assert json.loads(mask.with_name(mask.name.replace(".nii.gz", ".json")).read_text())["Network"] == about["checkpoint"]
    assert (bids / "participants.tsv").read_text().split() == ["participant_id", "sub-P1", "sub-b2"]


def test_the_standard_s_validator_has_no_error(dataset):
    if not VALIDATOR:
        pytest.skip("bids-validator-deno is not installed")
    done = subprocess.run([VALIDATOR, str(dataset[0]), "--format", "json"], capture_output=True, text=True, timeout=300)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []


def test_a_second_call_adds_and_a_file_of_another_hand_stays(run, dataset, tmp_path, capsys):        # noqa: F811
    bids, _ = dataset
    assert call(run, tmp_path / "more", write_scan(tmp_path / "c3.nii.gz"), "--bids", bids) == 0
    assert (bids / "participants.tsv").read_text().split() == ["participant_id", "sub-P1", "sub-b2", "sub-c3"]
    (bids / "README.md").write_text("by hand")
    assert call(run, tmp_path / "more", tmp_path / "c3.nii.gz", "--bids", bids) == 2
    assert "README.md" in capsys.readouterr().err and (bids / "README.md").read_text() == "by hand"


def test_names_that_would_be_one_or_none():
    def case(patient, session=""):
        return Case(f"{patient}_{session}", patient, session, {}, None, None)

    assert bids_names([case("sub-01", "ses-2")])["sub-01_ses-2"] == ("01", "2")
    with pytest.raises(InputError, match="would both be sub-ab in BIDS"):
        bids_names([case("a-b"), case("a_b")])
    with pytest.raises(InputError, match="no letter or digit"):
        bids_names([case("--")])
