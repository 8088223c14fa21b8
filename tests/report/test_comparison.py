"""The tables of several systems: hand-computed numbers, read back from each of the three forms."""
import csv
import dataclasses
import io
import itertools
import math

import numpy as np
import pytest
from scipy import stats

from synergynet_tf.metrics.lesion import LesionRule
from synergynet_tf.metrics.scores import CaseScores, score_case
from synergynet_tf.report.comparison import (
    Table,
    comma_separated,
    comparison_tables,
    latex,
    markdown,
)
from synergynet_tf.runtime.costs import Cost

NAN = math.nan


@pytest.fixture(scope="module")
def systems() -> dict[str, list[CaseScores]]:
    """Two systems on eight cases of four patients; `good` finds more."""
    scores = {"unet": [], "good": []}
    for case in range(8):
        rng = np.random.default_rng(case)
        reference = np.zeros((24, 24, 12), bool)
        for _ in range(5):
            low, size = rng.integers(0, 8, 3), rng.integers(1, 5, 3)
            reference[tuple(slice(2 * a, 2 * a + n) for a, n in zip(low, size))] = True
        for name, missed in (("unet", .5), ("good", .2)):
            predicted = reference & (rng.random(reference.shape) > missed) | (rng.random(reference.shape) > .999)
            scores[name].append(score_case(reference, predicted, spacing=(1, 1, 1), case=f"P{case // 2}_{case % 2}",
                                           patient=f"P{case // 2}"))
    return scores


@pytest.fixture(scope="module")
def tables(systems) -> dict[str, Table]:
    return {table.name: table for table in comparison_tables(systems, LesionRule(), "unet")}


def read(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(comma_separated(table))))


def test_the_paper_s_table(systems, tables):
    rows = {row["System"]: row for row in read(tables["table"])}
    for name, scores in systems.items():
        for column, metric in (("DSC", "dsc"), ("AP", "ap"), ("LTPR", "ltpr"), ("LFPR", "lfpr"), ("Sn", "sn")):
            assert float(rows[name][column]) == pytest.approx(np.nanmean([getattr(case, metric) for case in scores]))
    assert "18-connected" in tables["table"].note and "binary masks" in tables["table"].note


def of_patients(scores, metric="dsc"):
    """The mean of each of the four patients' two scans."""
    return np.reshape([getattr(case, metric) for case in scores], (-1, 2)).mean(axis=1)


def test_statistics_and_change(systems, tables):
    values = of_patients(systems["good"])
    row, = (row for row in read(tables["statistics"]) if (row["Metric"], row["System"]) == ("DSC", "good"))
    found = [float(row[name]) for name in ("Mean", "SD", "Median", "Cases")]
    assert found == pytest.approx([values.mean(), values.std(ddof=1), np.median(values), 8])
    assert float(row["95% low"]) < values.mean() < float(row["95% high"])
    change, = read(tables["change"])
    unet = np.mean([case.dsc for case in systems["unet"]])
    assert float(change["DSC"]) == pytest.approx(100 * (values.mean() - unet) / unet)


def test_tests_are_of_patients(systems, tables):
    row, = (row for row in read(tables["tests"]) if row["Metric"] == "DSC")
    means = [of_patients(systems[name]) for name in ("unet", "good")]
    assert row["Patients"] == "4"
    assert float(row["p"]) == float(row["p (Holm)"]) == pytest.approx(stats.wilcoxon(*means).pvalue)
    assert float(row["First - second"]) == pytest.approx(np.mean(means[0] - means[1]))


def test_strata_sizes_and_cohort(systems, tables):
    small, large = read(tables["strata"])[:2], read(tables["strata"])[2:]
    assert [row["Cases"] for row in (*small, *large)] == ["8", "8", "0", "0"] and large[0]["DSC"] == ""
    sizes = [(row["Size"], row["System"]) for row in read(tables["sizes"])]
    assert sizes == [(size, name) for size in ("3-10 mm3", "10-50 mm3", "50-250 mm3", "250 mm3 and more") for name in systems]
    volumes = np.array([(case.volume_reference_ml, case.volume_predicted_ml) for case in systems["good"]])
    assert float(read(tables["cohort"])[1]["Volume correlation"]) == pytest.approx(stats.pearsonr(*volumes.T).statistic)


@pytest.fixture(scope="module")
def of_two(systems) -> dict[str, list[CaseScores]]:
    """The same, the first three patients of the source `far`, the last of `near`."""
    return {name: [dataclasses.replace(case, source="near" if case.patient == "P3" else "far") for case in scores]
            for name, scores in systems.items()}


def test_each_source_has_the_rows_that_it_has_alone(systems, of_two):
    tables = comparison_tables(of_two, LesionRule(), "unet")
    for source, part in (("far", slice(0, 6)), ("near", slice(6, 8))):
        alone = comparison_tables({name: scores[part] for name, scores in systems.items()}, LesionRule(), "unet")
        for table, own in zip(tables, alone):
            assert table.head == ("Source", *own.head)
            rows = [row[1:] for row in table.rows if row[0] == source]
            np.testing.assert_equal(rows, list(own.rows))
    for table in tables:
        assert [key for key, _ in itertools.groupby(row[0] for row in table.rows)] == ["far", "near", "all sources"]
        assert table.note.endswith("Patients: far 3, near 1.")


def test_all_sources_are_the_mean_of_the_sources_and_tested_within_them(of_two):
    tables = {table.name: read(table) for table in comparison_tables(of_two, LesionRule(), "unet")}
    means = {(row["Source"], row["System"]): float(row["DSC"]) for row in tables["table"]}
    for name, scores in of_two.items():
        far, near = of_patients(scores)[:3], of_patients(scores)[3:]
        assert means["far", name] == pytest.approx(far.mean()) and means["near", name] == pytest.approx(near.mean())
        assert means["all sources", name] == pytest.approx((far.mean() + near.mean()) / 2)
    tests = {row["Source"]: row for row in tables["tests"] if row["Metric"] == "DSC"}
    differences = of_patients(of_two["unet"]) - of_patients(of_two["good"])
    assert [tests[source]["Patients"] for source in ("far", "near", "all sources")] == ["3", "1", "4"]
    assert float(tests["far"]["p"]) == stats.wilcoxon(differences[:3]).pvalue == .25
    assert float(tests["near"]["p"]) == 1       # of one patient
    assert float(tests["all sources"]["p"]) == 2 / 2 ** 4       # all four differ to one side
    intervals = {row["Source"]: row["95% low"] for row in tables["statistics"]
                 if (row["Metric"], row["System"]) == ("DSC", "good")}
    assert intervals["far"] and not intervals["near"] and not intervals["all sources"]


def test_a_system_that_lacks_a_source_has_the_rows_of_the_others_and_none_of_all(of_two):
    partial = of_two | {"tool": [case for case in of_two["good"] if case.source == "near"]}
    whole = {table.name: table for table in comparison_tables(of_two, LesionRule(), "unet")}
    for table in comparison_tables(partial, LesionRule(), "unet"):
        for source in ("far", "all sources"):
            rows, expected = ([row for row in each.rows if row[0] == source] for each in (table, whole[table.name]))
            np.testing.assert_equal(rows, expected)
        of_near = {name: [case for case in scores if case.source == "near"] for name, scores in partial.items()}
        alone = next(each for each in comparison_tables(of_near, LesionRule(), "unet") if each.name == table.name)
        np.testing.assert_equal([row[1:] for row in table.rows if row[0] == "near"], list(alone.rows))
        assert any("tool" in row for row in alone.rows)


def test_a_source_without_lesions_has_no_rates_and_no_part_in_those_of_all():
    empty, full = np.zeros((2, 6, 6, 6), bool)
    full[1:4, 1:4, 1:4] = True
    scores = [dataclasses.replace(score_case(reference, full, spacing=(1, 1, 1), case=case, patient=case), source=source)
              for case, source, reference in (("H1", "healthy", empty), ("H2", "healthy", empty), ("P1", "ill", full))]
    table = {table.name: table for table in comparison_tables({"a": scores, "b": scores}, LesionRule(), "unet")}
    rates = {row["Source"]: row["LTPR"] for row in read(table["table"])}
    assert rates == {"healthy": "", "ill": "1.0", "all sources": "1.0"}
    tests = {row["Source"]: (row["Patients"], row["p"]) for row in read(table["tests"]) if row["Metric"] == "LTPR"}
    assert tests == {"healthy": ("0", ""), "ill": ("1", "1.0"), "all sources": ("1", "1.0")}
    assert "| healthy | LTPR | a | b | 0 | - | - | - |" in markdown(table["tests"])


def test_costs_stand_beside_the_scores_where_any_are_known(systems):
    without = comparison_tables(systems, LesionRule(), "unet")[0]
    assert without.head[-1] == "Sn"
    costs = {"unet": {f"P{i}_0": Cost(seconds, memory) for i, (seconds, memory) in enumerate([(9, 2), (1, NAN), (2, 2.53)])}}
    table = comparison_tables(systems, LesionRule(), "unet", costs)[0]
    assert [row[:-2] for row in table.rows] == list(without.rows) and table.head[-2:] == ("Time, s", "Memory, GB")
    assert table.rows[0][-2:] == (2, 2.53) and all(map(math.isnan, table.rows[1][-2:]))
    assert markdown(table).splitlines()[4].endswith("| 2.0 | 2.5 |") and markdown(table).splitlines()[5].endswith("| - | - |")
    assert latex(table).splitlines()[7].endswith(r"2.0 & 2.5 \\")


def test_without_the_baseline_there_is_no_change(systems):
    assert "change" not in {table.name for table in comparison_tables({"good": systems["good"]}, LesionRule(), "unet")}


def test_three_forms_of_one_table():
    table = Table("t", "50 % & more", ("Name", "Value", "N"), [("a|b_c", 1 / 3, 2), ("d", NAN, 10)], "A note.", 2)
    assert markdown(table).splitlines() == ["## 50 % & more", "", "| Name | Value | N |", "| --- | ---: | ---: |",
                                            "| a\\|b_c | 0.33 | 2 |", "| d | - | 10 |", "", "A note."]
    assert comma_separated(table) == f"Name,Value,N\na|b_c,{1 / 3!r},2\nd,,10\n"
    lines = latex(table).splitlines()
    assert r"\begin{tabular}{lrr}" in lines and r"a|b\_c & 0.33 & 2 \\" in lines and r"d & - & 10 \\" in lines
    assert r"\caption{50 \% \& more. A note.}" in lines
