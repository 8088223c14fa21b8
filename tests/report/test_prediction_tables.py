"""The tables of a folder of results."""
import csv
import json

import pytest

from synergynet_tf.report import prediction_tables
from synergynet_tf.report.prediction_tables import CASES, LESIONS, SIZES, write_tables
from synergynet_tf.storage.sealed import sealed


def lesion(label, mm3, unet=True):
    return {"label": label, "voxels": int(mm3), "volume_mm3": mm3, "inside_mm": [1.0, -2.5, label], "mean_probability": 0.75,
            "max_probability": 0.9, "detection_score": None if unet else 0.6, "global_alone": unet, "local_alone": not unet}


def write(folder, name, volumes, **more):
    rows = [lesion(i + 1, mm3, unet=i % 2 == 0) for i, mm3 in enumerate(volumes)]
    about = {"case": name, "images": {"flair": f"/scans/{name}.nii.gz"}, "count": len(rows), "volume_ml": sum(volumes) / 1000,
             "brain_ml": 1000.0, "checkpoint": {"sha256": "0123456789abcdef"}, "notes": ["flair: one", "flair: two, too"],
             "connectivity": 18, "lesions": rows, "files": {}}
    (folder / f"{name}_lesions.json").write_bytes(sealed(about | more, indent=2))


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_a_scan_and_a_row_a_lesion(tmp_path):
    write(tmp_path, "b", [2.0, 3.0, 9.5, 10.0, 249.0, 250.0, 9000.0])
    write(tmp_path, "a", [])
    write_tables(tmp_path, ["a", "b"])
    first, second = rows(tmp_path / CASES)
    assert (first["case"], first["lesions"], first["percent_of_brain"]) == ("a", "0", "0.0")
    assert [int(second[name]) for name in SIZES] == [1, 2, 1, 1, 2]
    assert float(second["volume_ml"]) == pytest.approx(9.5235)
    assert float(second["percent_of_brain"]) == pytest.approx(0.9524, abs=1e-4)
    assert (second["network"], second["notes"]) == ("0123456789ab", "flair: one; flair: two, too")
    lesions = rows(tmp_path / LESIONS)
    assert [(row["case"], row["lesion"]) for row in lesions] == [("b", str(i)) for i in range(1, 8)]
    assert [row["found_by_unet"] + row["found_by_local_branch"] for row in lesions[:2]] == ["10", "01"]
    assert (lesions[1]["box_score"], lesions[0]["box_score"], lesions[0]["y_mm"]) == ("0.6", "", "-2.5")
    assert sum(float(row["volume_mm3"]) for row in lesions) == pytest.approx(1000 * float(second["volume_ml"]))


def test_the_same_results_give_the_same_bytes_in_whatever_order_they_came(tmp_path):
    for folder, names in ((tmp_path / "one", "abc"), (tmp_path / "two", "cab")):
        folder.mkdir()
        for name in names:
            write(folder, name, [3.0])
            write_tables(folder, [name])
    for table in (CASES, LESIONS):
        assert (tmp_path / "one" / table).read_bytes() == (tmp_path / "two" / table).read_bytes()


def test_what_is_damaged_is_named_and_what_failed_is_left_out(tmp_path, caplog):
    for name in ("a", "b", "c"):
        write(tmp_path, name, [3.0])
    damaged = json.loads((tmp_path / "b_lesions.json").read_text()) | {"count": 7}
    (tmp_path / "b_lesions.json").write_text(json.dumps(damaged))
    write_tables(tmp_path, ["a", "b"], failed=["c"])
    assert [row["case"] for row in rows(tmp_path / CASES)] == ["a"] == [row["case"] for row in rows(tmp_path / LESIONS)]
    assert "b_lesions.json" in caplog.text and "it is left out of cases.csv and lesions.csv" in caplog.text


def test_a_result_of_an_earlier_version_has_no_share_of_the_brain(tmp_path):
    write(tmp_path, "a", [3.0], brain_ml=None, checkpoint=None)
    write_tables(tmp_path, ["a"])
    row, = rows(tmp_path / CASES)
    assert (row["brain_ml"], row["percent_of_brain"], row["network"]) == ("", "", "")
    assert tuple(row) == prediction_tables.CASE_COLUMNS


def test_rows_of_earlier_calls_stay_as_long_as_their_results(tmp_path, monkeypatch):
    for name in "abc":
        write(tmp_path, name, [3.0])
    write_tables(tmp_path, ["a"])       # the first call finds what lay there before
    assert [row["case"] for row in rows(tmp_path / CASES)] == ["a", "b", "c"]
    (tmp_path / "a_lesions.json").unlink()
    write(tmp_path, "c", [4.0, 5.0])
    read = prediction_tables.read_result
    monkeypatch.setattr(prediction_tables, "read_result", lambda path: read(path) if path.name[0] == "c" else pytest.fail("read"))
    write_tables(tmp_path, ["c"])
    assert [(row["case"], row["lesions"]) for row in rows(tmp_path / CASES)] == [("b", "1"), ("c", "2")]
    assert [row["case"] for row in rows(tmp_path / LESIONS)] == ["b", "c", "c"]
    write_tables(tmp_path, [], failed=["b"])
    assert [row["case"] for row in rows(tmp_path / CASES)] == ["c"]
