"""Tables of scores: Markdown and CSV for files, a dictionary for JSON, a rich table for the terminal.

Every one of them states the rule by which lesions were counted and what the average precision is of, for neither can be seen from
the numbers.
"""
import csv
import dataclasses
import io
import math
from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from synergynet_tf.errors import printable
from synergynet_tf.metrics import PAPER_METRICS
from synergynet_tf.metrics.lesion import LesionRule
from synergynet_tf.metrics.scores import (
    ISBI_FORMULA,
    CaseScores,
    SizeScores,
    Statistic,
    isbi_score,
    kind_of,
    metrics_of,
    strata,
    summarise,
    summarise_sizes,
    volume_correlation,
)

Column = tuple[str, str, int]       # score, heading, decimals
LOADS: tuple[Column, ...] = (
    ("n_reference", "Lesions", 0),
    ("n_predicted", "Predicted", 0),
    ("volume_reference_ml", "Volume, ml", 2),
    ("volume_predicted_ml", "Predicted, ml", 2),
)
TERMINAL_COLUMNS: tuple[Column, ...] = (        # narrower: a terminal may have 80 columns
    *((name, metrics_of(CaseScores)[name].heading, 3) for name in PAPER_METRICS),
    ("n_reference", "Lesions", 0),
    ("n_predicted", "pred.", 0),
    ("volume_reference_ml", "ml", 2),
    ("volume_predicted_ml", "pred.", 2),
)
SIZE_COUNTS, SIZE_RATES = ("n_reference", "n_detected", "n_predicted", "n_false"), ("ltpr", "lfpr", "sn", "ppv")
UNDEFINED = "-"


def columns(scores: Sequence[CaseScores]) -> tuple[Column, ...]:
    """All metrics of the scores, then the lesions' number and volume."""
    return (*((name, metric.heading, metric.decimals) for name, metric in metrics_of(kind_of(scores)).items()), *LOADS)


def caption(scores: Sequence[CaseScores], rule: LesionRule) -> str:
    """One sentence for below a table: how lesions were counted, what AP is of, which scores some cases do not have."""
    missing = [f"{heading} in {count}" for name, heading, _ in columns(scores)      # ap_mask is undefined where ap is
               if name != "ap_mask" and (count := sum(math.isnan(getattr(case, name)) for case in scores))]
    undefined = f" Undefined, shown as {UNDEFINED} and left out of the mean: {', '.join(missing)} of {len(scores)} cases." \
        if missing else ""
    return (f"{len(scores)} cases; {rule}; AP is of {ap_source(scores)}; "
            f"SD is of the sample (n - 1).{undefined}")


def ap_source(scores: Sequence[CaseScores]) -> str:
    """What `ap` was computed from: the probability maps, the binary masks, or some of each."""
    maps = sum(case.has_probability for case in scores)
    if maps == len(scores):
        return "the probability maps"
    if maps == 0:
        return "the binary masks (no probability maps were given)"
    return f"the probability map in {maps} cases and of the binary mask in {len(scores) - maps}, which cannot be compared"


def groups(scores: Sequence[CaseScores]) -> dict[str, Sequence[CaseScores]]:
    """All cases, then the paper's strata of lesion load if both hold a case; keys are headings."""
    parts = strata(scores)
    return {"all": scores, **(parts if all(parts.values()) else {})}


def markdown(scores: Sequence[CaseScores], rule: LesionRule) -> str:
    """The cases, one a row, then mean ± SD of all and of each stratum, and the caption; a Markdown document."""
    shown = columns(scores)
    rows = [[_cell_text(printable(case.case)), *(_number(getattr(case, name), decimals) for name, _, decimals in shown)]
            for case in scores]
    for heading, members in groups(scores).items():
        summary = summarise(members)
        rows.append([f"**{heading} (n = {len(members)})**",
                     *(_mean_sd(summary[name], decimals) for name, _, decimals in shown)])
    head = ["Case", *(heading for _, heading, _ in shown)]
    return "\n".join(["# Scores", "", *markdown_table([head, *rows]), "", "Bold rows: mean ± SD. " + caption(scores, rule), "",
                      "## The cohort", "", *cohort_lines(scores), "",
                      "## By lesion size", "", *_size_rows(scores), "",
                      "Lesions by their own volume, from the first to below the second number. LTPR, LFPR, Sn and PPV: mean "
                      "of the cases that have such lesions.", ""])


def cohort_lines(scores: Sequence[CaseScores]) -> list[str]:
    """What is defined for a cohort alone, one line each: the volume correlation and the ISBI-2015-style score."""
    isbi = isbi_score(scores)
    return [f"- Volume correlation (Pearson): {_number(volume_correlation(scores), 4)}",
            f"- ISBI-2015-style score: {_number(isbi.raw, 2)} raw, {ISBI_FORMULA} of the means; {_number(isbi.normalised, 2)} "
            "normalised so that a rater has 90 (inferred, not the challenge's own)"]


def _size_rows(scores: Sequence[CaseScores]) -> list[str]:
    """A Markdown table with a row for each size class: lesions of all cases, and means of the rates."""
    rows = [["Size", "Lesions", "Found", "Predicted", "False", "LTPR", "LFPR", "Sn", "PPV"]]
    for i, (name, summary) in enumerate(summarise_sizes(scores).items()):
        totals = (sum(getattr(case.sizes[i], field) for case in scores) for field in SIZE_COUNTS)
        rows.append([name, *map(str, totals), *(_number(summary[field].mean, 4) for field in SIZE_RATES)])
    return markdown_table(rows)


def markdown_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table whose first row is the head; the first column to the left, the others to the right."""
    rule = ["---", *["---:"] * (len(rows[0]) - 1)]
    return ["| " + " | ".join(row) + " |" for row in (rows[0], rule, *rows[1:])]


def comma_separated(scores: Sequence[CaseScores], rule: LesionRule) -> str:
    """CSV at full precision: a row a case with every field of `CaseScores` but the sizes, and the rule; undefined: an empty cell.

    Without the source where no case has one.
    The column `row` is "case" there; below, the rows "mean", "sd", "median" and "defined" (cases in the mean) hold the cohort's,
    with the cases' group in place of their name.
    """
    left_out = ("sizes",) if any(case.source for case in scores) else ("sizes", "source")
    names, rules = [f.name for f in dataclasses.fields(kind_of(scores)) if f.name not in left_out], dataclasses.asdict(rule)
    text = io.StringIO()
    writer = csv.DictWriter(text, ["row", *names, *rules], lineterminator="\n")
    writer.writeheader()
    for case in scores:
        values = {name: _blank_nan(getattr(case, name)) for name in names}
        writer.writerow({"row": "case", **values, **rules})
    for heading, members in groups(scores).items():
        summary = summarise(members)
        for row in ("mean", "sd", "median", "defined"):
            values = {name: _blank_nan(getattr(value, row)) for name, value in summary.items()}
            writer.writerow({"row": row, "case": heading, **values, **rules})
    return text.getvalue()


def sizes_comma_separated(scores: Sequence[CaseScores]) -> str:
    """CSV at full precision: a row for each case and size class with every field of `SizeScores`, an empty cell for undefined."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [f.name for f in dataclasses.fields(SizeScores)]
    writer.writerow(["case", "patient", *names])
    for case in scores:
        for size in case.sizes:
            writer.writerow([case.case, case.patient, *(_blank_nan(getattr(size, name)) for name in names)])
    return text.getvalue()


def as_json(scores: Sequence[CaseScores], rule: LesionRule) -> dict:
    """What scores.json holds: strict JSON, undefined numbers as null."""
    return {
        **dataclasses.asdict(rule),
        "average_precision_of": ap_source(scores),
        "isbi_formula": ISBI_FORMULA + ", of the means; its normalisation is inferred",
        "summary": {heading: _summary(members) for heading, members in groups(scores).items()},
        "cases": [_null_undefined(_stored(case)) for case in scores],
    }


def _stored(case: CaseScores) -> dict[str, Any]:
    """All that is known of a case; its source where there is one."""
    stored = dataclasses.asdict(case)
    return stored if case.source else {name: value for name, value in stored.items() if name != "source"}


def _summary(scores: Sequence[CaseScores]) -> dict:
    numbers = {name: dataclasses.asdict(value) for name, value in summarise(scores).items()}
    sizes = {name: {field: dataclasses.asdict(value) for field, value in summary.items()}
             for name, summary in summarise_sizes(scores).items()}
    return _null_undefined({"cases": len(scores), **numbers, "volume_correlation": volume_correlation(scores),
                            "isbi": dataclasses.asdict(isbi_score(scores)), "sizes": sizes})


def terminal(scores: Sequence[CaseScores], rule: LesionRule) -> "Table":
    """The table of `markdown` for the terminal, rounded more and without `ap_mask`, mean and SD on a line each."""
    table = Table(caption=caption(scores, rule), box=None, pad_edge=False, caption_justify="left")
    table.add_column("Case", overflow="fold")
    for name, heading, _ in TERMINAL_COLUMNS:       # names may be folded, numbers must not be cut
        table.add_column(heading, justify="right", no_wrap=True, min_width=6 if name.startswith("volume") else 5)
    for case in scores:
        cells = (_number(getattr(case, name), decimals) for name, _, decimals in TERMINAL_COLUMNS)
        table.add_row(Text(printable(case.case)), *cells)
    for heading, members in groups(scores).items():
        summary = summarise(members)
        for row, label, style in (("mean", f"mean of {heading} ({len(members)})", "bold"), ("sd", "SD", None)):
            cells = (_number(getattr(summary[name], row), max(decimals, 1)) for name, _, decimals in TERMINAL_COLUMNS)
            table.add_row(label, *cells, style=style)
    return table


def _number(value: float, decimals: int) -> str:
    return UNDEFINED if math.isnan(value) else f"{value:.{decimals}f}"


def _mean_sd(value: Statistic, decimals: int) -> str:
    if not value.defined:
        return UNDEFINED
    decimals = max(decimals, 1)
    return f"{_number(value.mean, decimals)} ± {_number(value.sd, decimals)}"


def _cell_text(text: str) -> str:
    return text.replace("|", "\\|")


def _blank_nan(value: Any) -> Any:
    return "" if isinstance(value, float) and not math.isfinite(value) else value


def _null_undefined(value: Any) -> Any:
    """The same with null for every number that JSON does not have, at any depth."""
    if isinstance(value, dict):
        return {name: _null_undefined(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_null_undefined(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
