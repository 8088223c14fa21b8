"""The pages of a report of an experiment, and of one of segmented scans."""
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from synergynet_tf.data import nifti, preprocess, quality_range
from synergynet_tf.data.layouts import Case
from synergynet_tf.metrics.lesion import LesionMatch, LesionRule, Lesions, match_lesions
from synergynet_tf.metrics.scores import CaseScores
from synergynet_tf.metrics.voxel import dice
from synergynet_tf.report.comparison import Cell
from synergynet_tf.report.elements import Kind, Page, Row
from synergynet_tf.report.prediction_tables import ENDING, case_row, result_of
from synergynet_tf.report.volumes import Layer, Scan, world
from synergynet_tf.storage import typed
from synergynet_tf.storage.readers import reading

REFERENCE = "#2ec4b6"
PREDICTED = ("#ff9f1c", "#56b4e9", "#ee3377", "#f0e442", "#aa66ff", "#8bc34a", "#c8804f")     # the first: the main system
MAIN = "synergynet"             # the system shown when a page opens; without it, the first
FOUND, MISSED, FALSE = Kind("found", "#1f8f63"), Kind("missed", "#b0399f"), Kind("false", "#c4620a")
NETWORK = {"run": str, "weights": str, "sha256": str}
SCAN_HEAD = ("Scan", "Lesions", "Volume, ml", "% of brain", "Flags")       # of the first page's list of scans
FOUND_BY = {(True, True): "both", (True, False): "U-Net", (False, True): "local branch", (False, False): "together"}
MOST_FALSE = 200                # false lesions of each system in a table: a page of thousands helps nobody


def comparison_pages(pairs: Mapping[str, Sequence], images: Mapping[str, Path], rule: LesionRule,
                     scores: Mapping[str, Sequence[CaseScores]]) -> Iterator[Page]:
    """A page for each case of an experiment: every reference lesion and who found it, then every system's false lesions.

    Args:
        pairs: the files of each system's results (`pairs.Pair`); the first's and `MAIN`'s are of all cases.
        images: the FLAIR file of each case.
        rule: by which lesions were scored.
        scores: each system's scores, in the order of the pairs.
    """
    colours = system_colours(list(pairs))
    main = next(name for name, colour in colours.items() if colour == PREDICTED[0])
    by_case = {name: {pair.case: pair for pair in own} for name, own in pairs.items()}
    for pair in next(iter(pairs.values())):
        files = {name: own[pair.case] for name, own in by_case.items() if pair.case in own}
        case_scores = {name: next(score for score in scores[name] if score.case == pair.case) for name in files}
        flair = preprocess.read_scan(images[pair.case])
        reference = nifti.read_reference(pair.reference, pair.reference2, pair.combine)
        masks = {name: nifti.read_prediction(own.prediction, own.probability).array for name, own in files.items()}
        matches = {name: match_lesions(reference.array, mask, reference.spacing, rule) for name, mask in masks.items()}
        rows, omitted = comparison_rows(matches, main, reference.affine)
        layers = [Layer("reference", reference.array, REFERENCE),
                  *(Layer(name, mask, colours[name], name == main) for name, mask in masks.items())]
        any_score = case_scores[main]
        origin = [("Source", any_score.source)] if any_score.source else []
        facts = [*origin, ("Reference", f"{any_score.n_reference} lesions, {any_score.volume_reference_ml:.2f} ml"),
                 *((f"DSC, {name}", f"{score.dsc:.3f}") for name, score in case_scores.items())]
        left_out = f" {omitted} more false lesions, the smallest, are not listed." if omitted else ""
        yield Page(pair.case, pair.case, facts, [Scan(pair.case, "FLAIR", flair, layers)], ("Lesion", "mm³", *files), rows,
                   f"{str(rule).capitalize()}.{left_out}", (FOUND, MISSED, FALSE), "Cases",
                   (*(source for _, source in origin), any_score.n_reference, any_score.volume_reference_ml,
                    *(case_scores[name].dsc if name in case_scores else math.nan for name in pairs)),
                   views=[main, *(name for name in files if name != main)])


def comparison_head(scores: Mapping[str, Sequence[CaseScores]]) -> tuple[str, ...]:
    """The head of the first page's list of the pages of `comparison_pages`."""
    has_sources = any(case.source for case in next(iter(scores.values())))
    return ("Case", *(["Source"] if has_sources else []), "Lesions", "Volume, ml", *(f"DSC, {name}" for name in scores))


def comparison_rows(matches: Mapping[str, LesionMatch], main: str, affine: np.ndarray) -> tuple[list[Row], int]:
    """The reference's lesions, largest first, and which systems found each; then every system's false lesions.

    A row's kind is what the lesion is to the main system.

    Returns:
        The rows, and how many false lesions were left out.
    """
    sides = [largest_first(match.reference) for match in matches.values()]
    rows = []
    for i, volume in enumerate(sides[0].mm3):
        cells = {name: FOUND.name if side.met[i] else MISSED.name for name, side in zip(matches, sides)}
        rows.append(Row((i + 1, float(volume), *cells.values()), world(affine, sides[0].place[i]), cells[main]))
    omitted = 0
    for name, match in matches.items():
        side = largest_first(match.predicted)
        false = np.flatnonzero(~side.met)
        omitted += max(0, len(false) - MOST_FALSE)
        cells = {other: FALSE.name if other == name else "" for other in matches}
        rows += [Row(("", float(side.mm3[i]), *cells.values()), world(affine, side.place[i]), cells[main])
                 for i in false[:MOST_FALSE]]
    return rows, omitted


def prediction_pages(cases: Sequence[Case], folder: Path) -> Iterator[Page]:
    """A page for each segmented scan, from what `predict` wrote into a folder; with the reference where the case has one."""
    for case in cases:
        about = lesion_file(folder, case)
        flair, mask = preprocess.read_scan(case.images["flair"]), nifti.read_mask(folder / f"{case.name}_mask.nii.gz")
        scale = about.get("own_space_scale", 1.0)       # volumes are those in the space that the scan was taken in
        rows = [Row((lesion["label"], scale * lesion["volume_mm3"], lesion.get("region") or "", lesion["mean_probability"],
                     _score(lesion), _branches(lesion)), tuple(lesion["inside_mm"]), "predicted") for lesion in about["lesions"]]
        rows.sort(key=lambda row: -float(row.cells[1]))
        facts = [("Lesions", str(about["count"])), ("Volume", f"{scale * about['volume_ml']:.2f} ml"), *_settings(about)]
        layers, kinds = [Layer("predicted", mask.array, PREDICTED[0])], [Kind("predicted", PREDICTED[0])]
        if case.lesions:
            reference = nifti.read_reference(case.lesions, case.lesions2, case.combine)
            missed = match_lesions(reference.array, mask.array, mask.spacing, LesionRule(about["connectivity"])).reference
            rows += [Row(("", scale * float(missed.mm3[i]), "", "", "", MISSED.name), world(mask.affine, missed.place[i]),
                         MISSED.name) for i in np.flatnonzero(~missed.met)]
            layers.insert(0, Layer("reference", reference.array, REFERENCE))
            kinds.append(MISSED)
            facts.insert(2, ("DSC with the reference", f"{dice(reference.array, mask.array):.3f}"))
        caption = " ".join([*notes_on(about), f"Lesions are {about['connectivity']}-connected. Found by: the branch that alone "
                            "is above the threshold somewhere in the lesion; together: neither is."])
        yield Page(case.name, case.name, facts, [Scan(case.name, "FLAIR", flair, layers)],
                   ("Lesion", "mm³", "Region", "Mean probability", "Box score", "Found by"), rows, caption, kinds, "Scans",
                   scan_summary(about))


def lesion_file(folder: Path, case: Case) -> dict[str, Any]:
    """What `predict` wrote of a case beside its mask.

    Raises:
        InputError: it is damaged.
    """
    about = result_of(folder, case.name)
    with reading(folder / f"{case.name}{ENDING}", "list of lesions", "segment the scan again"):
        typed.require(about.get("checkpoint") or dict.fromkeys(NETWORK, ""), NETWORK, "checkpoint")
    return about


def scan_summary(about: Mapping[str, Any]) -> tuple[Cell, ...]:
    """A scan's line on the first page, by `SCAN_HEAD`, without its name."""
    row = case_row(about)
    share = row["percent_of_brain"]
    return row["lesions"], row["volume_ml"], float("nan") if share is None else share, flags(about)


def flags(about: Mapping[str, Any]) -> str:
    """What a reader should know of a scan before trusting its result: measures of image quality that are unusual, or notes."""
    unusual = [row.name for row in quality_range.from_stored(about) if row.flagged]
    return ", ".join(unusual) or ("notes" if notes_on(about) else "")


def notes_on(about: Mapping[str, Any]) -> list[str]:
    """What was noted of a scan; that its lesions' places are unknown, too."""
    return [*about["notes"], *filter(None, [about.get("places_note")])]


def network_facts(about: Mapping) -> list[tuple[str, str]]:
    """Which network made a segmentation, from its lesion file."""
    checkpoint = about.get("checkpoint")
    if not checkpoint:
        return []
    return [("Network", f"{checkpoint['run']}, {checkpoint['weights']} weights"), ("SHA-256", checkpoint["sha256"])]


def system_colours(systems: Sequence[str]) -> dict[str, str]:
    """A colour for each system; `MAIN`, or the first, has the first."""
    main = MAIN if MAIN in systems else systems[0]
    others = [name for name in systems if name != main]
    colours = {name: PREDICTED[1 + i % (len(PREDICTED) - 1)] for i, name in enumerate(others)} | {main: PREDICTED[0]}
    return {name: colours[name] for name in systems}


def largest_first(side: Lesions) -> Lesions:
    """In an order that the lesions alone decide, for labels depend on what else is in the scan."""
    order = np.lexsort((*side.place.T, -side.mm3))
    return Lesions(*(column[order] for column in side))


def _settings(about: Mapping) -> list[tuple[str, str]]:
    return [("Threshold", f"{about['threshold']:g}"), ("γ", f"{about['gamma']:g}"), ("Coverage", about["coverage"])]


def _score(lesion: Mapping) -> Cell:
    score = lesion["detection_score"]
    return "" if score is None else score


def _branches(lesion: Mapping) -> str:
    return FOUND_BY[lesion["global_alone"], lesion["local_alone"]]
