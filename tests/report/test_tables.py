"""Tables of scores: what stands in them, read back."""
import csv
import io
import json
import math
import statistics

import pytest
from rich.console import Console

from synergynet_tf.metrics.scores import SUMMARISED, CaseScores
from synergynet_tf.report.tables import COLUMNS, ap_source, as_json, caption, comma_separated, markdown, terminal

NAN = math.nan


def case(name: str, dsc: float, ltpr: float = .5, load: int = 100, probability: bool = True) -> CaseScores:
    values = {"dsc": dsc, "ap": .25, "ap_mask": .125, "ltpr": ltpr, "lfpr": .75, "sn": .375, "n_reference": 12,
              "voxels_reference": load, "volume_reference_ml": load / 1000, "volume_predicted_ml": 2.5}
    return CaseScores(case=name, has_probability=probability, **{**dict.fromkeys(SUMMARISED, 1), **values})


CASES = [case("a", .5), case("b|[red]", .7, ltpr=NAN), case("c", .9, ltpr=.1, load=5000)]


def markdown_rows(text: str) -> list[list[str]]:
    lines = [line.replace("\\|", "\0") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip().replace("\0", "|") for cell in line.strip("|").split("|")] for line in lines]


def test_markdown_rows():
    head, rule, *rows = markdown_rows(markdown(CASES, 18))
    assert head == ["Case", *(heading for _, heading, _ in COLUMNS)]
    assert all(len(row) == len(head) for row in (rule, *rows))
    assert rows[0][:7] == ["a", "0.5000", "0.2500", "0.1250", "0.5000", "0.7500", "0.3750"]
    assert rows[1][0] == "b|[red]" and rows[1][4] == "-"
    assert rows[2][7:] == ["12", "1", "5.00", "2.50"]


def test_markdown_summary():
    rows = {row[0]: row[1:] for row in markdown_rows(markdown(CASES, 18))}
    whole = rows["**all (n = 3)**"]
    assert whole[0] == f"{statistics.mean([.5, .7, .9]):.4f} ± {statistics.stdev([.5, .7, .9]):.4f}"
    assert whole[3] == f"{statistics.mean([.5, .1]):.4f} ± {statistics.stdev([.5, .1]):.4f}"       # without the undefined one
    assert rows["**under 2048 voxels (n = 2)**"][0] == f"0.6000 ± {statistics.stdev([.5, .7]):.4f}"
    assert rows["**2048 voxels and more (n = 1)**"][0] == "0.9000 ± -"


def test_strata_only_where_both_hold_a_case():
    assert "voxels" not in markdown(CASES[:2], 18)
    assert list(as_json(CASES[2:], 18)["summary"]) == ["all"]


@pytest.mark.parametrize("connectivity", [6, 18, 26])
def test_connectivity_is_stated_everywhere(connectivity):
    stated = f"{connectivity}-connected"
    assert stated in markdown(CASES, connectivity)
    console = Console(width=200, file=io.StringIO())
    console.print(terminal(CASES, connectivity))
    assert stated in console.file.getvalue()
    assert as_json(CASES, connectivity)["connectivity"] == connectivity
    rows = csv.DictReader(io.StringIO(comma_separated(CASES, connectivity)))
    assert {row["connectivity"] for row in rows} == {str(connectivity)}


def test_caption_counts_what_is_undefined():
    assert "LTPR in 1 of 3 cases" in caption(CASES, 18)
    assert "Undefined" not in caption([CASES[0], CASES[2]], 18)


def test_source_of_ap():
    masks = [case("m", .5, probability=False)]
    assert ap_source(CASES) == "the probability maps"
    assert "binary masks" in ap_source(masks) and "probability maps were" in ap_source(masks)
    assert "3 cases" in ap_source(CASES + masks) and "cannot be compared" in ap_source(CASES + masks)


def test_csv_is_exact():
    rows = list(csv.DictReader(io.StringIO(comma_separated([case("x", 1 / 3), CASES[1]], 18))))
    assert [row["row"] for row in rows] == ["case", "case", "mean", "sd", "defined"]
    assert float(rows[0]["dsc"]) == 1 / 3 and rows[1]["case"] == "b|[red]" and rows[1]["ltpr"] == ""
    assert float(rows[2]["dsc"]) == pytest.approx((1 / 3 + .7) / 2) and float(rows[2]["ltpr"]) == .5
    assert float(rows[3]["dsc"]) == pytest.approx(statistics.stdev([1 / 3, .7])) and rows[3]["ltpr"] == ""
    assert rows[4]["dsc"] == "2" and rows[4]["ltpr"] == "1"


def test_json_is_strict():
    content = json.loads(json.dumps(as_json(CASES, 18), allow_nan=False))
    assert [row["case"] for row in content["cases"]] == ["a", "b|[red]", "c"]
    assert content["cases"][1]["ltpr"] is None and content["cases"][0]["dsc"] == .5
    assert content["summary"]["all"]["cases"] == 3
    assert content["summary"]["all"]["ltpr"] == {"mean": pytest.approx(.3), "sd": pytest.approx(statistics.stdev([.5, .1])),
                                                 "defined": 2, "undefined": 1}
    assert content["summary"]["2048 voxels and more"]["dsc"]["sd"] is None


@pytest.mark.parametrize("width", [80, 160])
def test_terminal_cuts_no_number(width):
    console = Console(width=width, file=io.StringIO())
    console.print(terminal([case("patient12_session3", .123456, load=123456), *CASES], 18))
    text = console.file.getvalue()
    assert "…" not in text and all(len(line) <= width for line in text.splitlines())
    for number in ("0.123", "123.46", "0.250", "0.750", "0.375"):
        assert number in text
    assert "b|[red]" in text
