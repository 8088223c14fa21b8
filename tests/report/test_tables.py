"""Tables of scores: what stands in them, read back."""
import csv
import io
import json
import math
import statistics

import pytest
from rich.console import Console

from synergynet_tf.metrics.lesion import LesionRule
from synergynet_tf.metrics.scores import CaseScores, SizeScores, numbers_of
from synergynet_tf.report.tables import (
    ap_source,
    as_json,
    caption,
    columns,
    comma_separated,
    markdown,
    sizes_comma_separated,
    terminal,
)

NAN = math.nan


SIZES = (SizeScores(3.0, 10.0, 4, 1, 3, 2, .25, 2 / 3, .5, NAN), SizeScores(250.0, math.inf, 2, 2, 1, 0, 1.0, 0.0, .75, .5))


def case(name: str, dsc: float, ltpr: float = .5, load: int = 100, probability: bool = True) -> CaseScores:
    values = {"dsc": dsc, "ap": .25, "ap_mask": .125, "ltpr": ltpr, "lfpr": .75, "sn": .375, "n_reference": 12,
              "voxels_reference": load, "volume_reference_ml": load / 1000, "volume_predicted_ml": 2.5}
    values = dict.fromkeys(numbers_of(CaseScores), 1) | values
    return CaseScores(case=name, patient=name, sizes=SIZES, has_probability=probability, **values)


CASES = [case("a", .5), case("b|[red]", .7, ltpr=NAN), case("c", .9, ltpr=.1, load=5000)]


def markdown_rows(text: str) -> list[list[str]]:
    """Of the text's first table."""
    lines = [line.replace("\\|", "\0") for line in text.split("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip().replace("\0", "|") for cell in line.strip("|").split("|")] for line in lines]


def test_markdown_rows():
    head, rule, *rows = markdown_rows(markdown(CASES, LesionRule()))
    assert head == ["Case", *(heading for _, heading, _ in columns(CASES))]
    assert all(len(row) == len(head) for row in (rule, *rows))
    assert rows[0][:7] == ["a", "0.5000", "0.2500", "0.1250", "0.5000", "0.7500", "0.3750"]
    assert rows[1][0] == "b|[red]" and rows[1][4] == "-"
    assert rows[2][7:] == ["1.0000", "1.0000", "1.0000", "1.00", "1.00", "12", "1", "5.00", "2.50"]


def test_markdown_summary():
    rows = {row[0]: row[1:] for row in markdown_rows(markdown(CASES, LesionRule()))}
    whole = rows["**all (n = 3)**"]
    assert whole[0] == f"{statistics.mean([.5, .7, .9]):.4f} ± {statistics.stdev([.5, .7, .9]):.4f}"
    assert whole[3] == f"{statistics.mean([.5, .1]):.4f} ± {statistics.stdev([.5, .1]):.4f}"       # without the undefined one
    assert rows["**under 2048 voxels (n = 2)**"][0] == f"0.6000 ± {statistics.stdev([.5, .7]):.4f}"
    assert rows["**2048 voxels and more (n = 1)**"][0] == "0.9000 ± -"


def test_strata_only_where_both_hold_a_case():
    assert "voxels" not in markdown(CASES[:2], LesionRule())
    assert list(as_json(CASES[2:], LesionRule())["summary"]) == ["all"]


@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_connectivity_is_stated_everywhere(connectivity):
    stated = f"{connectivity}-connected"
    assert stated in markdown(CASES, LesionRule(connectivity))
    console = Console(width=200, file=io.StringIO())
    console.print(terminal(CASES, LesionRule(connectivity)))
    assert stated in console.file.getvalue()
    assert as_json(CASES, LesionRule(connectivity))["connectivity"] == connectivity
    rows = csv.DictReader(io.StringIO(comma_separated(CASES, LesionRule(connectivity))))
    assert {row["connectivity"] for row in rows} == {str(connectivity)}


def test_caption_counts_what_is_undefined():
    assert "LTPR in 1 of 3 cases" in caption(CASES, LesionRule())
    assert "Undefined" not in caption([CASES[0], CASES[2]], LesionRule())


def test_source_of_ap():
    masks = [case("m", .5, probability=False)]
    assert ap_source(CASES) == "the probability maps"
    assert "binary masks" in ap_source(masks) and "probability maps were" in ap_source(masks)
    assert "3 cases" in ap_source(CASES + masks) and "cannot be compared" in ap_source(CASES + masks)


def test_csv_is_exact():
    rows = list(csv.DictReader(io.StringIO(comma_separated([case("x", 1 / 3), CASES[1]], LesionRule()))))
    assert [row["row"] for row in rows] == ["case", "case", "mean", "sd", "median", "defined"]
    assert float(rows[0]["dsc"]) == 1 / 3 and rows[1]["case"] == "b|[red]" and rows[1]["ltpr"] == ""
    assert float(rows[2]["dsc"]) == pytest.approx((1 / 3 + .7) / 2) and float(rows[2]["ltpr"]) == .5
    assert float(rows[3]["dsc"]) == pytest.approx(statistics.stdev([1 / 3, .7])) and rows[3]["ltpr"] == ""
    assert rows[5]["dsc"] == "2" and rows[5]["ltpr"] == "1"


def test_json_is_strict():
    content = json.loads(json.dumps(as_json(CASES, LesionRule()), allow_nan=False))
    assert [row["case"] for row in content["cases"]] == ["a", "b|[red]", "c"]
    assert content["cases"][1]["ltpr"] is None and content["cases"][0]["dsc"] == .5
    assert content["summary"]["all"]["cases"] == 3
    assert content["summary"]["all"]["ltpr"] == {"mean": pytest.approx(.3), "sd": pytest.approx(statistics.stdev([.5, .1])),
                                                 "median": pytest.approx(.3), "defined": 2, "undefined": 1}
    assert content["summary"]["2048 voxels and more"]["dsc"]["sd"] is None


def test_sizes_by_hand():
    text = markdown(CASES, LesionRule())
    rows = {row[0]: row[1:] for row in markdown_rows(text.split("## By lesion size")[1])}
    assert rows["3-10 mm3"] == ["12", "3", "9", "6", "0.2500", "0.6667", "0.5000", "-"]
    assert rows["250 mm3 and more"] == ["6", "6", "3", "0", "1.0000", "0.0000", "0.7500", "0.5000"]
    exact = list(csv.DictReader(io.StringIO(sizes_comma_separated(CASES))))
    assert len(exact) == 6 and exact[0]["lfpr"] == repr(2 / 3) and exact[0]["ppv"] == exact[1]["high"] == ""
    assert as_json(CASES, LesionRule())["summary"]["all"]["sizes"]["3-10 mm3"]["ppv"]["defined"] == 0


def test_the_formula_of_the_challenge_is_printed_and_its_normalisation_called_inferred():
    text = markdown(CASES, LesionRule())
    assert "DSC/8 + PPV/8 + LTPR/4 + (1 - LFPR)/4 + Corr/4" in text and "inferred" in text


@pytest.mark.parametrize("rule, stated", [
    (LesionRule(), "found when touched by one voxel"), (LesionRule(overlap=.25), "found when covered to 25%"),
    (LesionRule(min_mm3=3), "smaller ones than 3 mm3 not counted")])
def test_the_rule_is_stated(rule, stated):
    assert stated in caption(CASES, rule)


@pytest.mark.parametrize("width", [80, 160])
def test_terminal_cuts_no_number(width):
    console = Console(width=width, file=io.StringIO())
    console.print(terminal([case("patient12_session3", .123456, load=123456), *CASES], LesionRule()))
    text = console.file.getvalue()
    assert "…" not in text and all(len(line) <= width for line in text.splitlines())
    for number in ("0.123", "123.46", "0.250", "0.750", "0.375"):
        assert number in text
    assert "b|[red]" in text
