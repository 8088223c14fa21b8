"""What stands on a report's pages."""
import dataclasses
import math

import nibabel as nib
import numpy as np
import pytest

from synergynet_tf.data.layouts import Case
from synergynet_tf.metrics.lesion import LesionRule, match_lesions
from synergynet_tf.report import pages
from synergynet_tf.report.follow_up import follow_ups
from synergynet_tf.report.pages import comparison_head, comparison_pages, comparison_rows, prediction_pages, system_colours
from synergynet_tf.report.prediction_tables import result_of
from synergynet_tf.report.sheets import MOST_SCANS, patient_sheets
from synergynet_tf.report.timeline import change_table, timeline_pages
from synergynet_tf.workflows.scoring import score_pairs
from tests.report.scans import AFFINE, BRIDGE, A, B, C, comparison, flair, mask, timeline, write, write_prediction


@pytest.fixture
def compared(tmp_path):
    pairs, images = comparison(tmp_path)
    scores = {name: score_pairs(found, workers=1) for name, found in pairs.items()}
    return list(comparison_pages(pairs, images, LesionRule(), scores))


def voxel(mm):
    """Where a place lies in the stored grid."""
    return tuple(np.round(nib.affines.apply_affine(np.linalg.inv(AFFINE), mm)).astype(int))


def test_lesions_of_a_comparison(compared):
    page = compared[0]
    assert page.head == ("Lesion", "mm³", "unet", "synergynet")
    assert [row.cells for row in page.rows] == [(1, 96.0, "found", "found"), (2, 36.0, "missed", "found"),
                                                ("", 4.0, "", "false")]
    assert [row.kind for row in page.rows] == ["found", "found", "false"]       # by synergynet
    assert page.views == ["synergynet", "unet"]
    for row, box in zip(page.rows, (B, A, C)):
        assert mask(box)[voxel(row.mm)]
    layers = page.scans[0].layers
    assert [(layer.name, layer.shown) for layer in layers] == [("reference", True), ("unet", False), ("synergynet", True)]
    assert page.summary[:2] == (2, pytest.approx(0.132))


def test_a_case_without_a_lesion(compared):
    assert [row.cells for row in compared[1].rows] == [("", 4.0, "", "false")]
    assert compared[1].summary == (0, 0.0, 1.0, 0.0)


def test_a_case_of_several_sources_names_its_own(tmp_path):
    pairs, images = comparison(tmp_path)
    pairs = {name: [pair._replace(source=f"from {pair.case}") for pair in found] for name, found in pairs.items()}
    scores = {name: score_pairs(found, workers=1) for name, found in pairs.items()}
    page = list(comparison_pages(pairs, images, LesionRule(), scores))[1]
    assert page.facts[0] == ("Source", "from P 2") and page.summary == ("from P 2", 0, 0.0, 1.0, 0.0)
    assert comparison_head(scores) == ("Case", "Source", "Lesions", "Volume, ml", "DSC, unet", "DSC, synergynet")


def test_a_system_without_the_case_has_no_column_on_its_page_and_no_score_in_the_list(tmp_path):
    pairs, images = comparison(tmp_path)
    pairs = {"unet": pairs["unet"], "tool": pairs["unet"][1:], "synergynet": pairs["synergynet"]}
    scores = {name: score_pairs(found, workers=1) for name, found in pairs.items()}
    without, whole = comparison_pages(pairs, images, LesionRule(), scores)
    assert without.head == ("Lesion", "mm³", "unet", "synergynet") and whole.head[2:] == ("unet", "tool", "synergynet")
    assert without.views == ["synergynet", "unet"] and whole.views == ["synergynet", "unet", "tool"]
    assert [math.isnan(cell) for cell in without.summary[2:]] == [False, True, False]
    assert whole.summary[2:] == tuple(scores[name][-1].dsc for name in pairs)


def test_the_least_of_many_false_lesions_are_left_out(monkeypatch):
    monkeypatch.setattr(pages, "MOST_FALSE", 2)
    rows, omitted = comparison_rows({"one": match_lesions(mask(), mask(A, B, C)), "two": match_lesions(mask(), mask(C))},
                                    "two", np.eye(4))
    assert omitted == 1 and [row.cells for row in rows] == [("", 48.0, "false", ""), ("", 18.0, "false", ""),
                                                           ("", 2.0, "", "false")]
    assert [row.kind for row in rows] == ["", "", "false"]


def test_systems_differ_in_colour_and_the_main_one_is_always_the_same():
    for systems in (["unet", "synergynet", "LST"], ["synergynet"], ["LST", "nnU-Net"]):
        colours = system_colours(systems)
        assert list(colours) == systems and len(set(colours.values())) == len(systems)
    assert system_colours(["unet", "synergynet"])["synergynet"] == system_colours(["LST"])["LST"] == pages.PREDICTED[0]


def test_lesions_of_a_segmented_scan(tmp_path):
    cases = timeline(tmp_path)
    found = {page.name: page for page in prediction_pages(cases, tmp_path)}
    assert list(found) == ["P_3", "Q_1", "P_1", "P_2"]
    assert [row.cells for row in found["P_1"].rows] == [(1, 36.0, "", 0.75, 0.9, "local branch"),
                                                        (2, 4.0, "", 0.75, 0.9, "local branch")]
    assert mask(A)[voxel(found["P_1"].rows[0].mm)]
    assert ("Threshold", "0.5") in found["P_1"].facts
    assert "flair: 3 voxels were clipped" in found["P_1"].note


def test_what_a_scan_s_reference_adds(tmp_path):
    case = timeline(tmp_path)[2]
    page, = prediction_pages([type(case)("P_1", "P", "1", case.images, write(tmp_path / "r.nii.gz", mask(A, B)), None)], tmp_path)
    assert ("DSC with the reference", f"{2 * 18 / (20 + 66):.3f}") in page.facts
    assert [row.kind for row in page.rows] == ["predicted", "predicted", "missed"]
    assert mask(B)[voxel(page.rows[2].mm)]
    assert [layer.name for layer in page.scans[0].layers] == ["reference", "predicted"]


def test_three_scans_of_a_patient(tmp_path):
    cases = timeline(tmp_path)
    patients = follow_ups(cases, tmp_path)
    assert {name: [case.session for case in own.scans] for name, own in patients.items()} == {"P": ["1", "2", "3"], "Q": ["1"]}
    page, = timeline_pages(patients, tmp_path)
    merged = float((mask(A, B, BRIDGE)).sum() * 2)
    assert [(row.cells, row.scan) for row in page.rows] == [
        (("1 → 2", "new", 0.0, 96.0, 96.0, "0 → 1"), 1), (("1 → 2", "stable", 36.0, 36.0, 0.0, "1 → 1"), 1),
        (("1 → 2", "resolved", 4.0, 0.0, -4.0, "1 → 0"), 1),
        (("2 → 3", "enlarged", 132.0, merged, merged - 132, "2 → 1"), 2), (("2 → 3", "new", 0.0, 4.0, 4.0, "0 → 1"), 2)]
    for row, box in zip(page.rows, (B, A, C, BRIDGE, C)):
        assert mask(box)[voxel(row.mm)]
    second = {layer.name: layer.mask.sum() for layer in page.scans[1].layers}
    assert second == {"new": 48, "enlarged": 0, "shrunk": 0, "resolved": 2, "stable": 18}
    assert [sum(ml for _, ml in bar.parts) for bar in page.chart] == pytest.approx([0.04, 0.132, (merged + 4) / 1000])
    sheet, other = patient_sheets(patients, tmp_path)
    assert sheet.summary[:-1] == (3, pytest.approx(0.04), pytest.approx((merged + 4) / 1000), 2, 1, 0, 1)
    assert [row[4:] for row in sheet.tables[0].rows[1:]] == [(1, 0, 0, 1), (1, 1, 0, 0)]
    assert other.summary[:3] == (1, 0.004, 0.004) and other.pages == [("1", "Q_1")]
    table = change_table(patients)
    assert [row[:3] for row in table.rows] == [("P", "1 → 2", "1 (+0.10 ml)"), ("P", "2 → 3", "1 (+0.00 ml)")]


def test_the_course_of_a_disease_is_that_of_the_months_not_of_their_text(tmp_path):
    """M0, M12, M6 as text has the lesion of month 12 resolved."""
    cases = []
    for session, boxes in (("M0", [A]), ("M6", [A, B]), ("M12", [A, B, C])):
        image = write(tmp_path / f"P_{session}_flair.nii.gz", flair())
        write_prediction(tmp_path, f"P_{session}", mask(*boxes))
        cases.append(Case(f"P_{session}", "P", session, {"flair": image}, None, None))
    rows = change_table(follow_ups(cases, tmp_path)).rows
    assert [row[1] for row in rows] == ["M0 → M6", "M6 → M12"]
    assert [row[2][0] for row in rows] == ["1", "1"] and [row[5] for row in rows] == ["0", "0"]
    unclear = [dataclasses.replace(case, session={"M0": "old", "M6": "new", "M12": "x"}[case.session]) for case in cases]
    page, = timeline_pages(follow_ups(unclear, tmp_path), tmp_path)
    assert "not certain: the sessions do not say" in dict(page.facts)["Order in time"]


def test_scans_on_other_grids_are_not_compared(tmp_path):
    cases = timeline(tmp_path)
    write_prediction(tmp_path, "P_2", mask(A), AFFINE + np.eye(4, k=3) * 9)
    write(tmp_path / "P_2_flair.nii.gz", flair(), AFFINE + np.eye(4, k=3) * 9)
    patients = follow_ups(cases, tmp_path)
    assert [row[:2] for row in change_table(patients).rows] == [("P", "not compared: the scans are not on one grid")]
    assert list(timeline_pages(patients, tmp_path)) == []
    sheet, _ = patient_sheets(patients, tmp_path)
    assert np.isnan(sheet.summary[3:7]).all() and "not on one grid" in sheet.notes[0]
    assert change_table(follow_ups(cases[:2], tmp_path)) is None        # one scan of each patient


def test_volumes_of_raw_scans_are_those_of_their_own_space(tmp_path):
    """Prepared, a head of 1.2 litres and one of 1.5 have one size: what was measured on that grid is scaled back."""
    cases = timeline(tmp_path)[2:]
    for case, scale in zip(cases, (0.5, 0.25)):
        write_prediction(tmp_path, case.name, mask(A, B), own_space_scale=scale)
    patients = follow_ups(cases, tmp_path)
    assert patients["P"].volumes == [0.066, 0.033]
    page, = timeline_pages(patients, tmp_path)
    assert [sum(ml for _, ml in bar.parts) for bar in page.chart] == pytest.approx([0.066, 0.033])
    sheet, = patient_sheets(patients, tmp_path)
    assert dict(sheet.facts)["Lesion volume"] == "0.03 ml" and dict(sheet.facts)["Brain"] == "2 ml"
    page = next(iter(prediction_pages(cases, tmp_path)))
    assert [row.cells[1] for row in page.rows] == [48.0, 18.0] and page.summary[1] == 0.066


def test_image_quality_is_on_the_sheet_and_what_is_unusual_in_the_lists(tmp_path):
    case = timeline(tmp_path)[2]
    quality = [{"measure": "noise", "value": 12.0, "unit": "%", "range": [0.1, 8.0], "flagged": True},
               {"measure": "motion", "value": None, "unit": "%", "range": None, "flagged": False}]
    write_prediction(tmp_path, case.name, mask(A, B), quality=quality)
    sheet, = patient_sheets(follow_ups([case], tmp_path), tmp_path)
    assert sheet.tables[1].rows == [("noise", "12 %", "at most 8 %", "outside"), ("motion", "not measured", "not known", "")]
    page, = prediction_pages([case], tmp_path)
    assert sheet.summary[-1] == page.summary[-1] == "noise"


def test_lesions_are_listed_with_their_regions_and_counted_by_them(tmp_path):
    case = timeline(tmp_path)[2]
    write_prediction(tmp_path, case.name, mask(A, B))
    rows = result_of(tmp_path, case.name)["lesions"]
    for lesion, region in zip(rows, ("deep", "periventricular")):
        lesion["region"] = region
    met = {"count": 1, "names": ["periventricular"], "definition": "of three"}
    write_prediction(tmp_path, case.name, mask(A, B), lesions=rows, regions_met=met)
    page, = prediction_pages([case], tmp_path)
    assert [row.cells[1:3] for row in page.rows] == [(96.0, "periventricular"), (36.0, "deep")]
    sheet, = patient_sheets(follow_ups([case], tmp_path), tmp_path)
    table, = (table for table in sheet.tables if table.name == "regions")
    assert {row[0]: row[1:] for row in table.rows} == {"periventricular": (1, 0.096), "deep": (1, 0.036),
                                                       "juxtacortical": (0, 0), "infratentorial": (0, 0)}
    assert table.note == "1 of three."
    write_prediction(tmp_path, case.name, mask(A, B), places_note="places are unknown")
    sheet, = patient_sheets(follow_ups([case], tmp_path), tmp_path)
    assert "1: places are unknown" in sheet.notes and [table.name for table in sheet.tables] == ["scans"]


def test_of_many_scans_the_last_are_on_the_sheet(tmp_path):
    cases = []
    for month in range(MOST_SCANS + 3):
        image = write(tmp_path / f"P_M{month}_flair.nii.gz", flair())
        write_prediction(tmp_path, f"P_M{month}", mask(A))
        cases.append(Case(f"P_M{month}", "P", f"M{month}", {"flair": image}, None, None))
    sheet, = patient_sheets(follow_ups(cases, tmp_path), tmp_path)
    assert [row[0] for row in sheet.tables[0].rows] == [f"M{month}" for month in range(3, MOST_SCANS + 3)]
    assert len(sheet.chart) == MOST_SCANS and sheet.notes[0].startswith("The 3 first scans") and sheet.summary[0] == 15
