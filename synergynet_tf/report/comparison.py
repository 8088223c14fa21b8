"""Tables that set several systems beside one another on the same cases, as Markdown, CSV and LaTeX.

A `Table` holds numbers; the writers round them, CSV not at all. `comparison_tables` makes the paper's tables 1 and 2 and what a
reviewer asks for beside them.
"""
import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from synergynet_tf.metrics import PAPER_METRICS
from synergynet_tf.metrics.lesion import LesionRule
from synergynet_tf.metrics.scores import (
    ISBI_FORMULA,
    CaseScores,
    isbi_score,
    metrics_of,
    statistic,
    strata,
    summarise_sizes,
    volume_correlation,
)
from synergynet_tf.metrics.statistics import LEVEL, RESAMPLES, bootstrap_interval, compare, relative_change
from synergynet_tf.report.tables import UNDEFINED, ap_source, markdown_table

Cell = str | int | float
Cells = tuple[Cell, ...]
Systems = Mapping[str, Sequence[CaseScores]]        # each system's scores, the cases in one order
METRICS = {name: (metric.heading, metric.decimals) for name, metric in metrics_of(CaseScores).items() if name != "ap_mask"}
LATEX_SPECIAL = {"%": r"\%", "_": r"\_", "&": r"\&", "#": r"\#", "±": r"$\pm$", "<": r"$<$", ">": r"$>$", "^": r"\^{}",
                 "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\~{}", "\\": r"\textbackslash{}"}


class Table(NamedTuple):
    """Rows of text and numbers below a head; floats are rounded to `decimals` where a reader, not a program, reads them."""

    name: str                               # of its files
    title: str
    head: tuple[str, ...]
    rows: Sequence[Cells]
    note: str
    decimals: int = 4


def comparison_tables(systems: Systems, rule: LesionRule, baseline: str) -> list[Table]:
    """All the tables.

    Args:
        systems: at least one; every system scored on the same cases, in one order.
        rule: by which they were scored.
        baseline: the system that the relative change is to; without it there is no such table.
    """
    tables = [paper_table(systems, rule), statistics_table(systems), pairs_table(systems)]
    if baseline in systems:
        tables.append(change_table(systems, baseline))
    return [*tables, strata_table(systems), size_table(systems), cohort_table(systems)]


def paper_table(systems: Systems, rule: LesionRule) -> Table:
    """The paper's tables 1 and 2: the mean of its five metrics for each system."""
    rows: list[Cells] = [(name, *(_mean(scores, metric) for metric in PAPER_METRICS)) for name, scores in systems.items()]
    sources = {name: ap_source(scores) for name, scores in systems.items()}
    same = set(sources.values())
    ap = f"of {same.pop()}" if len(same) == 1 else "; ".join(f"{name}: of {source}" for name, source in sources.items())
    cases = len(next(iter(systems.values())))
    note = f"{cases} cases; {rule}. AP is {ap}. A metric that a case does not define is left out of its mean: see the statistics."
    return Table("table", "Means over the test cases", ("System", *(METRICS[metric][0] for metric in PAPER_METRICS)), rows, note)


def statistics_table(systems: Systems) -> Table:
    """Mean with its bootstrap interval, SD and median of every metric and system."""
    rows = []
    for metric, (heading, _) in METRICS.items():
        for name, scores in systems.items():
            values = [getattr(case, metric) for case in scores]
            summary = statistic(values)
            interval = bootstrap_interval(values, [case.patient for case in scores])
            rows.append((heading, name, summary.mean, *interval, summary.sd, summary.median, summary.defined))
    level = f"{LEVEL:.0%}"
    head = ("Metric", "System", "Mean", f"{level} low", f"{level} high", "SD", "Median", "Cases")
    return Table("statistics", "Statistics", head, rows,
                 f"Interval: percentile bootstrap of the mean, {RESAMPLES} draws of patients with all their cases. SD is of the "
                 "sample of cases (n - 1). Cases: those in which the metric is defined.")


def pairs_table(systems: Systems) -> Table:
    """Paired tests between all pairs of systems."""
    rows = []
    for metric, (heading, _) in METRICS.items():
        patients = [case.patient for case in next(iter(systems.values()))]
        comparisons = compare({name: [getattr(case, metric) for case in scores] for name, scores in systems.items()}, patients)
        rows += [(heading, c.first, c.second, c.patients, c.difference, c.p, c.p_holm) for c in comparisons]
    return Table("tests", "Paired tests", ("Metric", "First", "Second", "Patients", "First - second", "p", "p (Holm)"), rows,
                 "Two-sided Wilcoxon signed-rank tests of the patients' means; Holm's correction over one metric's pairs.", 5)


def change_table(systems: Systems, baseline: str) -> Table:
    """Each system's mean relative to the baseline's, in per cent, as the paper reports it."""
    rows: list[Cells] = [
        (name, *(100 * relative_change(_mean(scores, metric), _mean(systems[baseline], metric)) for metric in METRICS))
        for name, scores in systems.items() if name != baseline]
    return Table("change", f"Change relative to {baseline}, %", ("System", *(heading for heading, _ in METRICS.values())), rows,
                 f"(mean - mean of {baseline}) / mean of {baseline}.", 2)


def strata_table(systems: Systems) -> Table:
    """Means of every metric in the paper's strata of lesion load."""
    rows: list[Cells] = []
    for heading in strata([]):
        for name, scores in systems.items():
            members = strata(scores)[heading]
            rows.append((heading, name, len(members), *(_mean(members, metric) for metric in METRICS)))
    return Table("strata", "By lesion load", ("Load", "System", "Cases", *(heading for heading, _ in METRICS.values())), rows,
                 "Load: voxels of the reference in all.")


def size_table(systems: Systems) -> Table:
    """Lesion scores by size class."""
    rows: list[Cells] = []
    for name, scores in systems.items():
        for size, summary in summarise_sizes(scores).items():
            totals = [round(summary[count].mean * summary[count].defined) for count in ("n_reference", "n_predicted")]
            rows.append((size, name, *totals, *(summary[rate].mean for rate in ("ltpr", "lfpr", "sn", "ppv"))))
    rows.sort(key=lambda row: float(str(row[0]).split("-")[0].split()[0]))
    return Table("sizes", "By lesion size", ("Size", "System", "Lesions", "Predicted", "LTPR", "LFPR", "Sn", "PPV"), rows,
                 "Lesions by their own volume, from the first to below the second number. Rates: mean of the cases that have "
                 "such lesions.")


def cohort_table(systems: Systems) -> Table:
    """What is defined for a cohort alone."""
    rows = [(name, volume_correlation(scores), *_isbi(scores)) for name, scores in systems.items()]
    return Table("cohort", "Over the cohort", ("System", "Volume correlation", "ISBI raw", "ISBI normalised"), rows,
                 f"ISBI-2015-style score: raw is {ISBI_FORMULA} of the means; how it is normalised, so that a rater has 90, is "
                 "inferred, not the challenge's own.")


def markdown(table: Table) -> str:
    """Title, table, note."""
    rows = [[cell_text(cell, table.decimals).replace("|", "\\|") for cell in row] for row in (table.head, *table.rows)]
    return "\n".join([f"## {table.title}", "", *markdown_table(rows), "", table.note, ""])


def comma_separated(table: Table) -> str:
    """Head and rows at full precision; undefined: an empty cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.head)
    writer.writerows([["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in row] for row in table.rows])
    return text.getvalue()


def latex(table: Table) -> str:
    """A table environment with rules of the package booktabs."""
    def line(cells: Sequence[Cell]) -> str:
        return " & ".join(_escape(cell_text(cell, table.decimals)) for cell in cells) + r" \\"

    texts = sum(all(isinstance(row[i], str) for row in table.rows) for i in range(len(table.head)))
    return "\n".join([r"\begin{table}", r"\centering", rf"\caption{{{_escape(table.title)}. {_escape(table.note)}}}",
                      rf"\begin{{tabular}}{{{'l' * texts}{'r' * (len(table.head) - texts)}}}", r"\toprule", line(table.head),
                      r"\midrule", *map(line, table.rows), r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _mean(scores: Sequence[CaseScores], metric: str) -> float:
    return statistic([getattr(case, metric) for case in scores]).mean


def _isbi(scores: Sequence[CaseScores]) -> tuple[float, float]:
    score = isbi_score(scores)
    return score.raw, score.normalised


def cell_text(cell: Cell, decimals: int) -> str:
    """A cell as a reader sees it."""
    if not isinstance(cell, float):
        return str(cell)
    return UNDEFINED if math.isnan(cell) else f"{cell:.{decimals}f}"


def _escape(text: str) -> str:
    return "".join(LATEX_SPECIAL.get(letter, letter) for letter in text)
