"""Tables that set several systems beside one another on the same cases, as Markdown, CSV and LaTeX.

A `Table` holds numbers; the writers round them, CSV not at all. `comparison_tables` makes the paper's tables 1 and 2 and what a
reviewer asks for beside them.
"""
import csv
import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
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
from synergynet_tf.metrics.statistics import (
    LEVEL,
    RESAMPLES,
    bootstrap_interval,
    cohort_mean,
    compare,
    patient_means,
    relative_change,
)
from synergynet_tf.report.tables import UNDEFINED, ap_source, markdown_table
from synergynet_tf.runtime.costs import Cost

Cell = str | int | float
Cells = tuple[Cell, ...]
Systems = Mapping[str, Sequence[CaseScores]]        # each system's scores, the cases in one order
METRICS = {name: (metric.heading, metric.decimals) for name, metric in metrics_of(CaseScores).items() if name != "ap_mask"}
Costs = Mapping[str, Mapping[str, Cost]]            # by system and case
COST_COLUMNS = ("Time, s", "Memory, GB")
COST_NOTE = (" Time: median seconds a scan by the clock, from its files to the mask. Memory: the most that the process held, GB "
             "of 2^30 bytes. Both on this machine; of other tools as their times.csv says.")
ALL = "all sources"
PATIENTS = " Scans of a patient are averaged first: means and their spread are of patients."
MEANS = f"{ALL.capitalize()}: the mean of the sources' means, so that each counts alike."
OVER_SOURCES = {        # what the rows of all sources hold, by table
    **dict.fromkeys(("table", "change", "strata", "sizes"), MEANS),
    "statistics": f"{MEANS} Its draws are within each source; SD and median are of all together. Where a source has fewer than "
                  "two patients there is no interval.",
    "tests": f"{ALL.capitalize()}: stratified; ranks within each source over its number of patients + 1, summed; the difference "
             "is the mean of the sources' differences. n patients allow no p below 2 / 2^n: five none below 0.0625.",
    "cohort": f"{ALL.capitalize()}: of their cases together."}
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
    coarse: tuple[str, ...] = ()            # columns that one decimal is enough for

    def texts(self, row: Cells) -> list[str]:
        """A row's cells as a reader sees them."""
        return [cell_text(cell, 1 if name in self.coarse else self.decimals) for name, cell in zip(self.head, row)]


def by_source(systems: Systems) -> dict[str, Systems]:
    """The systems' scores of each source, in the order of the sources' names; of a source those that have scores in it."""
    sources = sorted({case.source for case in next(iter(systems.values()))})
    return {source: {name: own for name, scores in systems.items() if (own := [case for case in scores if case.source == source])}
            for source in sources}


def comparison_tables(systems: Systems, rule: LesionRule, baseline: str, costs: Costs | None = None) -> list[Table]:
    """All the tables; where the cases are of several sources, each table has the rows of each source and of all of them.

    Args:
        systems: at least one; every system scored on the same cases, in one order, as often as there are seeds. All but the
            first may lack sources, each with all its cases: they have rows where they have scores, and none of all sources.
        rule: by which they were scored.
        baseline: the system that the relative change is to; without it there is no such table.
        costs: what is known of the time and the memory that each system took.
    """
    paper = functools.partial(paper_table, rule=rule, costs=costs or {})
    makers: list[Callable[[Systems], Table]] = [paper, statistics_table, pairs_table]
    if baseline in systems:
        makers.append(functools.partial(change_table, baseline=baseline))
    return [_of_each_source(make, systems) for make in (*makers, strata_table, size_table, cohort_table)]


def _of_each_source(make: Callable[[Systems], Table], systems: Systems) -> Table:
    sources, cases = by_source(systems), next(iter(systems.values()))
    table = make({name: scores for name, scores in systems.items() if len(scores) == len(cases)})
    table = table._replace(note=f"{table.note}{_seeds(cases)}")
    if len(sources) == 1:
        return table
    tables = {source: make(of_source) for source, of_source in sources.items()} | {ALL: table}
    rows = [(source, *row) for source, of_source in tables.items() for row in of_source.rows]
    patients = (f"{source} {len({case.patient for case in cases if case.source == source})}" for source in sources)
    note = f"{table.note} {OVER_SOURCES[table.name]} Patients: {', '.join(patients)}."
    return table._replace(head=("Source", *table.head), rows=rows, note=note)


def paper_table(systems: Systems, rule: LesionRule, costs: Costs) -> Table:
    """The paper's tables 1 and 2: the mean of its five metrics for each system; and its costs, where any are known."""
    known = any(costs.values())
    rows: list[Cells] = [(name, *(_mean(scores, metric) for metric in PAPER_METRICS),
                          *(_cost(scores, costs.get(name, {})) if known else ())) for name, scores in systems.items()]
    sources = {name: ap_source(scores) for name, scores in systems.items()}
    same = set(sources.values())
    ap = f"of {same.pop()}" if len(same) == 1 else "; ".join(f"{name}: of {source}" for name, source in sources.items())
    cases = {case.case for case in next(iter(systems.values()))}
    note = (f"{len(cases)} cases; {rule}. AP is {ap}. A metric that a case does not define is left out of its mean: see the "
            f"statistics.{_unit(systems)}{COST_NOTE if known else ''}")
    head = ("System", *(METRICS[metric][0] for metric in PAPER_METRICS), *(COST_COLUMNS if known else ()))
    return Table("table", "Means over the test cases", head, rows, note, coarse=COST_COLUMNS)


def statistics_table(systems: Systems) -> Table:
    """Mean with its bootstrap interval, SD and median of every metric and system."""
    rows = []
    for metric, (heading, _) in METRICS.items():
        for name, scores in systems.items():
            values, (patients, sources) = [getattr(case, metric) for case in scores], _origin(scores)
            interval = bootstrap_interval(values, patients, sources=sources)
            spread = statistic(list(patient_means(values, patients).values()))
            rows.append((heading, name, _mean(scores, metric), *interval, spread.sd, spread.median, statistic(values).defined))
    level = f"{LEVEL:.0%}"
    head = ("Metric", "System", "Mean", f"{level} low", f"{level} high", "SD", "Median", "Cases")
    return Table("statistics", "Statistics", head, rows,
                 f"Interval: percentile bootstrap of the mean, {RESAMPLES} draws of patients with all their cases. SD is of the "
                 f"sample of cases (n - 1). Cases: those in which the metric is defined.{_unit(systems)}")


def pairs_table(systems: Systems) -> Table:
    """Paired tests between all pairs of systems."""
    rows, origin = [], _origin(next(iter(systems.values())))
    for metric, (heading, _) in METRICS.items():
        comparisons = compare({name: [getattr(case, metric) for case in scores] for name, scores in systems.items()}, *origin)
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
                 f"Load: voxels of the reference in all.{_unit(systems)}")


def size_table(systems: Systems) -> Table:
    """Lesion scores by size class."""
    rows: list[Cells] = []
    for name, scores in systems.items():
        for number, (size, summary) in enumerate(summarise_sizes(scores).items()):
            totals = [round(summary[count].mean * summary[count].defined) for count in ("n_reference", "n_predicted")]
            rates = ([getattr(case.sizes[number], rate) for case in scores] for rate in ("ltpr", "lfpr", "sn", "ppv"))
            rows.append((size, name, *totals, *(cohort_mean(values, *_origin(scores)) for values in rates)))
    rows.sort(key=lambda row: float(str(row[0]).split("-")[0].split()[0]))
    return Table("sizes", "By lesion size", ("Size", "System", "Lesions", "Predicted", "LTPR", "LFPR", "Sn", "PPV"), rows,
                 "Lesions by their own volume, from the first to below the second number. Rates: mean of the cases that have "
                 f"such lesions.{_unit(systems)}")


def cohort_table(systems: Systems) -> Table:
    """What is defined for a cohort alone."""
    rows = [(name, volume_correlation(scores), *_isbi(scores)) for name, scores in systems.items()]
    return Table("cohort", "Over the cohort", ("System", "Volume correlation", "ISBI raw", "ISBI normalised"), rows,
                 f"ISBI-2015-style score: raw is {ISBI_FORMULA} of the means; how it is normalised, so that a rater has 90, is "
                 "inferred, not the challenge's own.")


def markdown(table: Table) -> str:
    """Title, table, note."""
    rows = [[text.replace("|", "\\|") for text in table.texts(row)] for row in (table.head, *table.rows)]
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
    def line(cells: Cells) -> str:
        return " & ".join(map(_escape, table.texts(cells))) + r" \\"

    texts = sum(all(isinstance(row[i], str) for row in table.rows) for i in range(len(table.head)))
    return "\n".join([r"\begin{table}", r"\centering", rf"\caption{{{_escape(table.title)}. {_escape(table.note)}}}",
                      rf"\begin{{tabular}}{{{'l' * texts}{'r' * (len(table.head) - texts)}}}", r"\toprule", line(table.head),
                      r"\midrule", *map(line, table.rows), r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _mean(scores: Sequence[CaseScores], metric: str) -> float:
    return cohort_mean([getattr(case, metric) for case in scores], *_origin(scores))


def _cost(scores: Sequence[CaseScores], costs: Mapping[str, Cost]) -> tuple[float, float]:
    """Median seconds and most memory of those cases of which they are known."""
    known = [costs[case.case] for case in scores if case.case in costs]
    memory = [cost.peak_gb for cost in known if not math.isnan(cost.peak_gb)]
    return statistic([cost.seconds for cost in known]).median, max(memory, default=math.nan)


def _origin(scores: Sequence[CaseScores]) -> tuple[list[str], list[str]]:
    """The patient and the source of each case."""
    return [case.patient for case in scores], [case.source for case in scores]


def _unit(systems: Systems) -> str:
    """What to add to a note where patients have several scans."""
    cases = next(iter(systems.values()))
    return PATIENTS if len({case.patient for case in cases}) < len(cases) else ""


def _seeds(cases: Sequence[CaseScores]) -> str:
    """What to add to a note where systems were trained with several seeds."""
    times = len(cases) // len({case.case for case in cases})
    return f" Each scan counts {times} times, once for each seed; other tools' are the same each time." if times > 1 else ""


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
