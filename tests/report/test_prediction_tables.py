"""The tables of a folder of results."""
import csv
import json

import pytest

from synergynet_tf.report import prediction_tables
from synergynet_tf.report.prediction_tables import CASES, LESIONS, SIZES, Course, write_tables
from synergynet_tf.storage.sealed import sealed


def lesion(label, mm3, unet=True):
    return {"label": label, "voxels": int(mm3), "volume_mm3": mm3, "inside_mm": [1.0, -2.5, label], "mean_probability": 0.75,
            "max_probability": 0.9, "detection_score": None if unet else 0.6, "global_alone": unet, "local_alone": not unet}


def write(folder, name, volumes, **more):
    rows = [lesion(i + 1, mm3, unet=i % 2 == 0) for i, mm3 in enumerate(volumes)]
    about = {"case": name, "images": {"flair": f"/scans/{name}.nii.gz"}, "count": len(rows), "volume_ml": sum(volumes) / 1000,
             "brain_ml": 1000.0, "checkpoint": {"sha256": "0123456789abcdef"}, "notes": ["flair: one", "flair: two, too"],
             "connectivity": 18, "threshold": 0.5, "gamma": 0.3, "coverage": "whole", "lesions": rows, "files": {}}
    (folder / f"{name}_lesions.json").write_bytes(sealed(about | more, indent=2))     # without places, as earlier versions did


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_a_scan_and_a_row_a_lesion(tmp_path):
    write(tmp_path, "b", [2.0, 3.0, 9.5, 10.0, 249.0, 250.0, 9000.0])
    write(tmp_path, "a", [])
    write_tables(tmp_path, ["a", "b"])
    first, second = rows(tmp_path / CASES)
    assert (first["case"], first["lesions"], first["percent_of_brain"]) == ("a", "0", "0.0")
    assert [int(second[f"lesions_{size}"]) for size in SIZES] == [1, 2, 1, 1, 2]
    assert [float(second[f"ml_{size}"]) for size in SIZES] == [0.002, 0.0125, 0.01, 0.249, 9.25]
    assert list(second)[4:6] == ["lesions_below_3_mm3", "ml_below_3_mm3"]
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
    assert row["regions_met"] == row["lesions_deep"] == row["ventricle_ml"] == row["lesions_split"] == ""


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


def test_places_of_lesions_and_of_the_parts_of_a_confluent_one(tmp_path):
    write(tmp_path, "a", [8.0, 100.0], own_space_scale=0.5, ventricle_ml=30.0, count_split=3, places_note=None,
          regions_met={"count": 2, "names": ["periventricular", "juxtacortical"], "definition": ""})
    about = json.loads((tmp_path / "a_lesions.json").read_text())
    place = {"side": "left", "ventricle_mm": 2.5, "cortex_mm": 9.0, "mni_mm": [-20.0, 4.0, 30.0], "own_mm": [-17.0, 3.0, 26.0]}
    parts = [{"region": "periventricular", "voxels": 60, "volume_mm3": 60.0},
             {"region": "juxtacortical", "voxels": 40, "volume_mm3": 40.0}]
    del about["digest"]
    about["lesions"][0] |= place | {"region": "deep", "parts": None}
    about["lesions"][1] |= place | {"region": "periventricular", "parts": parts}
    (tmp_path / "a_lesions.json").write_bytes(sealed(about, indent=2))
    write_tables(tmp_path, ["a"])
    row, = rows(tmp_path / CASES)
    by_region = {name: (row[f"lesions_{name}"], row[f"ml_{name}"]) for name in ("deep", "periventricular", "juxtacortical",
                                                                               "infratentorial")}
    assert by_region == {"deep": ("1", "0.004"), "periventricular": ("1", "0.03"), "juxtacortical": ("1", "0.02"),
                         "infratentorial": ("0", "0.0")}
    assert (row["lesions"], row["lesions_split"], row["ventricle_ml"]) == ("2", "3", "15.0")
    assert (row["regions_met"], row["regions"]) == ("2", "periventricular; juxtacortical")
    deep, confluent = rows(tmp_path / LESIONS)
    assert (deep["region"], deep["parts"], confluent["region"], confluent["parts"]) == ("deep", "", "periventricular", "2")
    assert [float(deep[f"{space}{axis}_mm"]) for space in ("", "mni_", "own_") for axis in "xyz"] == [
        1, -2.5, 1, -20, 4, 30, -17, 3, 26]


def test_where_places_are_unknown_columns_are_empty_and_a_note_says_why(tmp_path):
    write(tmp_path, "a", [8.0], places_note="places of lesions are unknown: why", regions_met=None, ventricle_ml=None)
    write_tables(tmp_path, ["a"])
    row, = rows(tmp_path / CASES)
    assert row["lesions_deep"] == row["ml_deep"] == row["regions_met"] == row["ventricle_ml"] == ""
    assert row["notes"] == "flair: one; flair: two, too; places of lesions are unknown: why"


def test_what_lesions_did_from_scan_to_scan(tmp_path):
    write(tmp_path, "a", [8.0, 9.0])
    write(tmp_path, "b", [9.0])
    counts = {"new": 0, "enlarged": 0, "shrunk": 0, "resolved": 1, "stable": 1}
    write_tables(tmp_path, ["a", "b"], courses={"a": Course(until={1: "resolved", 2: "stable"}),
                                                "b": Course("a", counts, {1: "stable"})})
    first, second = rows(tmp_path / CASES)
    assert (first["compared_with"], first["new"], first["resolved"]) == ("", "", "")
    assert (second["compared_with"], second["new"], second["resolved"]) == ("a", "0", "1")
    assert [(row["since_scan_before"], row["until_next_scan"]) for row in rows(tmp_path / LESIONS)] == [
        ("", "resolved"), ("", "stable"), ("stable", "")]
