"""Tables of scores: Markdown and CSV for files, a dictionary for JSON, a rich table for the terminal.

Every one of them states the connectivity and what the average precision is of, for neither can be seen from the numbers.
"""
import csv
import dataclasses
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from synergynet_tf.metrics.scores import CaseScores, Statistic, strata, summarise

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = (     # score, heading, decimals
    ("dsc", "DSC", 4),
    ("ap", "AP", 4),
    ("ap_mask", "AP of mask", 4),
    ("ltpr", "LTPR", 4),
    ("lfpr", "LFPR", 4),
    ("sn", "Sn", 4),
    ("n_reference", "Lesions", 0),
    ("n_predicted", "Predicted", 0),
    ("volume_reference_ml", "Volume, ml", 2),
    ("volume_predicted_ml", "Predicted, ml", 2),
)
TERMINAL_COLUMNS = (        # narrower: a terminal may have 80 columns
    *((name, heading, 3) for name, heading, decimals in COLUMNS if decimals == 4 and name != "ap_mask"),
    ("n_reference", "Lesions", 0),
    ("n_predicted", "pred.", 0),
    ("volume_reference_ml", "ml", 2),
    ("volume_predicted_ml", "pred.", 2),
)
UNDEFINED = "-"


def caption(scores: Sequence[CaseScores], connectivity: int) -> str:
    """One sentence for below a table: how lesions were counted, what AP is of, which scores some cases do not have."""
    missing = [f"{heading} in {count}" for name, heading, _ in COLUMNS      # ap_mask is undefined where ap is
               if name != "ap_mask" and (count := sum(math.isnan(getattr(case, name)) for case in scores))]
    undefined = f" Undefined, shown as {UNDEFINED} and left out of the mean: {', '.join(missing)} of {len(scores)} cases." \
        if missing else ""
    return (f"{len(scores)} cases; lesions are {connectivity}-connected; AP is of {ap_source(scores)}; "
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


def markdown(scores: Sequence[CaseScores], connectivity: int) -> str:
    """The cases, one a row, then mean ± SD of all and of each stratum, and the caption; a Markdown document."""
    rows = [[_cell_text(case.case), *(_number(getattr(case, name), decimals) for name, _, decimals in COLUMNS)]
            for case in scores]
    for heading, members in groups(scores).items():
        summary = summarise(members)
        rows.append([f"**{heading} (n = {len(members)})**",
                     *(_mean_sd(summary[name], decimals) for name, _, decimals in COLUMNS)])
    head = ["Case", *(heading for _, heading, _ in COLUMNS)]
    rule = ["---", *("---:" for _ in COLUMNS)]
    lines = ["| " + " | ".join(row) + " |" for row in (head, rule, *rows)]
    return "\n".join(["# Scores", "", *lines, "", "Bold rows: mean ± SD. " + caption(scores, connectivity), ""])


def comma_separated(scores: Sequence[CaseScores], connectivity: int) -> str:
    """CSV at full precision: a row a case with every field of `CaseScores` and the connectivity, an empty cell for undefined.

    The column `row` is "case" there; below, the rows "mean", "sd" and "defined" (cases in the mean) hold the cohort's, with the
    cases' group in place of their name.
    """
    names = [f.name for f in dataclasses.fields(CaseScores)]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["row", *names, "connectivity"], lineterminator="\n")
    writer.writeheader()
    for case in scores:
        values = {name: _blank_nan(value) for name, value in dataclasses.asdict(case).items()}
        writer.writerow({"row": "case", **values, "connectivity": connectivity})
    for heading, members in groups(scores).items():
        summary = summarise(members)
        for row in ("mean", "sd", "defined"):
            values = {name: _blank_nan(getattr(value, row)) for name, value in summary.items()}
            writer.writerow({"row": row, "case": heading, **values, "connectivity": connectivity})
    return text.getvalue()


def as_json(scores: Sequence[CaseScores], connectivity: int) -> dict:
    """What scores.json holds: strict JSON, undefined numbers as null."""
    return {
        "connectivity": connectivity,
        "average_precision_of": ap_source(scores),
        "summary": {heading: {"cases": len(members), **{name: _null_nan(dataclasses.asdict(value))
                                                        for name, value in summarise(members).items()}}
                    for heading, members in groups(scores).items()},
        "cases": [_null_nan(dataclasses.asdict(case)) for case in scores],
    }


def terminal(scores: Sequence[CaseScores], connectivity: int) -> "Table":
    """The table of `markdown` for the terminal, rounded more and without `ap_mask`, mean and SD on a line each."""
    from rich.table import Table
    from rich.text import Text

    table = Table(caption=caption(scores, connectivity), box=None, pad_edge=False, caption_justify="left")
    table.add_column("Case", overflow="fold")
    for name, heading, _ in TERMINAL_COLUMNS:       # names may be folded, numbers must not be cut
        table.add_column(heading, justify="right", no_wrap=True, min_width=6 if name.startswith("volume") else 5)
    for case in scores:
        table.add_row(Text(case.case), *(_number(getattr(case, name), decimals) for name, _, decimals in TERMINAL_COLUMNS))
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


def _blank_nan(value):
    return "" if isinstance(value, float) and math.isnan(value) else value


def _null_nan(values: dict) -> dict:
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}
