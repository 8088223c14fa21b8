"""Which reference a case has where two raters have drawn it: `data.raters`."""
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from synergynet_tf.data.layouts.case import COMBINATIONS, LESIONS, SECOND, Case
from synergynet_tf.errors import InputError

RATERS = ("first", "second", *COMBINATIONS, "both")


def choose_raters(cases: Sequence[Case], raters: str) -> list[Case]:
    """The cases with the reference that `raters` asks for; those without any mask, and those combined already, stay as they are.

    Args:
        cases: with the first rater's mask as `lesions` and the second's as `lesions2`.
        raters: first or second: that rater's mask; union, intersection: both masks, combined voxel by voxel when the case is
            read; both: two cases a scan, sessions suffixed r1 and r2, of the same patient.

    Raises:
        InputError: no such choice, or a case lacks a mask that it needs.
    """
    if raters not in RATERS:
        raise InputError(f"data.raters is {raters!r}, but it must be one of {', '.join(RATERS)}")
    return [chosen for case in cases for chosen in _chosen(case, raters)]


def _chosen(case: Case, raters: str) -> list[Case]:
    if case.combine is not None or (case.lesions is None and case.lesions2 is None):
        return [case]
    asked = {"first": (LESIONS,), "second": (SECOND,)}.get(raters, (LESIONS, SECOND))
    if any(name in case.doubtful for name in asked):
        return [case]       # refused by `registry.faults`, with both files
    others = {name: paths for name, paths in case.doubtful.items() if name not in (LESIONS, SECOND)}
    case = dataclasses.replace(case, doubtful=others)
    masks = [mask for mask in ({LESIONS: case.lesions, SECOND: case.lesions2}[name] for name in asked) if mask is not None]
    if len(masks) < len(asked):
        present, lacking = ("first", "second") if case.lesions2 is None else ("second", "first")
        raise InputError(f"case {case.name}: there is only the {present} rater's mask ({case.lesions or case.lesions2}), but "
                         f"data.raters is {raters}: add the {lacking} rater's, or set data.raters to {present}")
    if raters in COMBINATIONS:
        return [dataclasses.replace(case, combine=raters)]
    if raters == "both":
        return [_drawn_by(case, f"r{i}", mask) for i, mask in enumerate(masks, start=1)]
    return [dataclasses.replace(case, lesions=masks[0], lesions2=None)]


def _drawn_by(case: Case, rater: str, mask: Path) -> Case:
    session = f"{case.session}_{rater}" if case.session else rater
    return dataclasses.replace(case, name=f"{case.patient}_{session}", session=session, lesions=mask, lesions2=None)
