"""All cases: found without stopping at the first fault, checked in parallel, compared with one another."""
import dataclasses
import functools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from synergynet_tf.config import Config
from synergynet_tf.data import layouts, splits
from synergynet_tf.data.check.case import check_case
from synergynet_tf.data.check.problem import ERROR, SECOND, WARNING, CaseCheck, Findings, Problem, files_of
from synergynet_tf.data.identity import members
from synergynet_tf.data.layouts import LESIONS, Case
from synergynet_tf.errors import InputError, of_case
from synergynet_tf.runtime.processes import each

NAMED = 8       # cases in a row about all of them


@dataclass(frozen=True)
class Cohort:
    """The cases that a path holds, and what can be said against them before a scan is opened."""

    cases: tuple[Case, ...]
    problems: tuple[Problem, ...]
    parts: dict[str, str]       # of the split that a training would make, by case; empty where there is none


def find_cases(config: Config, require_lesions: bool = False) -> Cohort:
    """Find the cases as a training would, noting what it would refuse them for.

    Raises:
        InputError: there is nothing to check: no such path, no case, a table that cannot be read.
    """
    cases: list[Case] = []
    problems: list[Problem] = []
    parts: dict[str, str] = {}
    for case in layouts.find(config.data.source, config.data.layout):
        try:
            cases += layouts.choose_raters([case], config.data.raters)
        except InputError as error:
            problems += _noted(case, config, "file", str(error))
            cases.append(dataclasses.replace(case, lesions=case.lesions or case.lesions2, lesions2=None))
    cases.sort(key=lambda case: case.name)
    faults = list(layouts.faults(cases, config.data.channels, require_lesions))
    for fault in faults:
        problems += _noted(fault.case, config, fault.kind, fault.message)
    without = [case.name for case in cases if case.lesions is None]
    if without and not require_lesions:
        named = ", ".join(without[:NAMED]) + (f" and {len(without) - NAMED} more" if len(without) > NAMED else "")
        problems.append(_of_all(WARNING, "file", f"{len(without)} of {len(cases)} cases have no reference mask and cannot be "
                                f"trained on: {named}"))
    if not any(fault.kind == "split" for fault in faults):
        try:
            parts = {name: entry["split"] for name, entry in members(splits.divide(cases, config.data)).items()}
        except InputError as error:
            problems.append(_of_all(ERROR, "split", str(error)))
    return Cohort(tuple(cases), tuple(problems), parts)


def check_cases(cases: Sequence[Case], config: Config, workers: int | None = None,
                on_case: Callable[[], None] | None = None) -> list[CaseCheck]:
    """Check the cases, in their order.

    Args:
        cases: of `find_cases`.
        config: its data and lesions settings are used.
        workers: processes, as of `processes.each`.
        on_case: called after each case.
    """
    done = each(functools.partial(_check, config=config), cases, workers, "checking")
    return [_counted(_failed(case, config, outcome) if isinstance(outcome, InputError) else outcome, on_case)
            for case, outcome in done]


def _check(case: Case, config: Config) -> CaseCheck:
    """What `check_case` finds; where it fails itself, that is the case's error, and the others are still checked."""
    try:
        return check_case(case, config)
    except Exception as error:
        return _failed(case, config, error)


def _failed(case: Case, config: Config, error: Exception) -> CaseCheck:
    return CaseCheck(case, tuple(_noted(case, config, "file", str(of_case(case.name, error)))), {}, None, None, None, None)


def summarise(cohort: Cohort, checks: Sequence[CaseCheck]) -> list[Problem]:
    """All problems: the cases' in their order, a case's errors first; then the cohort's."""
    every = [*cohort.problems, *(problem for check in checks for problem in check.problems), *_duplicates(checks, cohort.parts)]
    place = {case.name: i for i, case in enumerate(cohort.cases)}
    return sorted(every, key=lambda problem: (place.get(problem.case, len(place)), problem.severity != ERROR))


def _duplicates(checks: Sequence[CaseCheck], parts: dict[str, str]) -> list[Problem]:
    """The same voxels in two files: of two cases, or of one. One file under two cases of one patient (two raters) is none.

    A FLAIR scan in two parts of the split is an error: see `identity.require_apart`.
    """
    same = defaultdict(list)
    for check in checks:
        paths = files_of(check.case)
        for file, digest in check.digests.items():
            path = paths[file]
            if digest is not None and path is not None:
                same[file in (LESIONS, SECOND), digest].append((check.case, file, path))
    problems = []
    for files in same.values():
        distinct: dict[tuple[str, Path], tuple[Case, str, Path]] = {}
        for case, file, path in files:
            distinct.setdefault((case.patient, path.resolve()), (case, file, path))
        (known, known_file, _), *others = distinct.values()
        for case, file, path in others:
            where = known_file if case is known else f"{known_file} of {known.name}"
            patient = "" if case.patient == known.patient else f" (patient {known.patient})"
            text = f"the same voxels as {where}{patient}: keep one"
            apart = file == known_file == "flair" and parts.get(case.name) != parts.get(known.name)
            problems.append(Problem(case.name, ERROR if apart else WARNING, "duplicate", file, path, text))
    return problems


def _counted(check: CaseCheck, on_case: Callable[[], None] | None) -> CaseCheck:
    if on_case:
        on_case()
    return check


def _noted(case: Case, config: Config, kind: str, message: str) -> list[Problem]:
    findings = Findings(case, config.data.channels)
    findings.error(kind, "", message)
    return findings.problems


def _of_all(severity: str, kind: str, text: str) -> Problem:
    return Problem("", severity, kind, "", None, text)
