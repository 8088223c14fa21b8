"""The tables of several systems: hand-computed numbers, read back from each of the three forms."""
import csv
import io
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


def test_statistics_and_change(systems, tables):
    values = np.array([case.dsc for case in systems["good"]])
    row, = (row for row in read(tables["statistics"]) if (row["Metric"], row["System"]) == ("DSC", "good"))
    found = [float(row[name]) for name in ("Mean", "SD", "Median", "Cases")]
    assert found == pytest.approx([values.mean(), values.std(ddof=1), np.median(values), 8])
    assert float(row["95% low"]) < values.mean() < float(row["95% high"])
    change, = read(tables["change"])
    unet = np.mean([case.dsc for case in systems["unet"]])
    assert float(change["DSC"]) == pytest.approx(100 * (values.mean() - unet) / unet)


def test_tests_are_of_patients(systems, tables):
    row, = (row for row in read(tables["tests"]) if row["Metric"] == "DSC")
    means = [np.reshape([case.dsc for case in systems[name]], (4, 2)).mean(axis=1) for name in ("unet", "good")]
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
