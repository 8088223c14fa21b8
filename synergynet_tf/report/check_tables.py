"""Tables of what a check of a cohort has found: a rich table for the terminal, CSV for a file."""
import csv
import io
from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from synergynet_tf.data.check import ERROR, WARNING, CaseCheck, Problem

STYLES = {ERROR: "bold red", WARNING: "yellow"}
WHOLE = "(all cases)"


def terminal(problems: Sequence[Problem]) -> "Table":
    """One row a problem, under its case; in the order given."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("case", overflow="fold", min_width=8)
    for title in ("", "check", "file"):
        table.add_column(title, no_wrap=True)
    table.add_column("problem", overflow="fold", ratio=1)
    last = None
    for problem in problems:
        name = "" if problem.case == last else problem.case or WHOLE
        style = STYLES[problem.severity]
        table.add_row(Text(name), Text(problem.severity, style), problem.kind, Text(problem.file), Text(problem.text))
        last = problem.case
    return table


def comma_separated(problems: Sequence[Problem]) -> str:
    """CSV: case (empty: of all cases), severity, check, file, path, problem; a row a problem."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("case", "severity", "check", "file", "path", "problem"))
    for problem in problems:
        writer.writerow((problem.case, problem.severity, problem.kind, problem.file, problem.path or "", problem.text))
    return text.getvalue()


def counted(problems: Sequence[Problem], checks: Sequence[CaseCheck]) -> str:
    """One sentence: how much was read, and what was found."""
    read = f"{len(checks)} case{'' if len(checks) == 1 else 's'} read: "
    if not problems:
        return read + "no problem found"
    severities = Counter(problem.severity for problem in problems)
    cases = len({problem.case for problem in problems if problem.case})
    counts = [f"{severities[severity]} {severity}{'' if severities[severity] == 1 else 's'}" for severity in (ERROR, WARNING)
             if severities[severity]]
    return read + " and ".join(counts) + f", in {cases} case{'' if cases == 1 else 's'}"
