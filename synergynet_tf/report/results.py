"""The figures of an experiment, from its files, and the page that holds its tables and figures."""
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from synergynet_tf.data import nifti, preprocess
from synergynet_tf.metrics.curves import precision_recall, score_counts
from synergynet_tf.report import comparison, comparison_figures
from synergynet_tf.report.comparison import Systems, Table
from synergynet_tf.training.history import read_log

FIGURES = {
    "dice_by_load": "DSC against the logarithm of each scan's lesion volume, with trend lines (the paper's figure 2)",
    "slices": "The same slices by every system: found, false and missed voxels (the paper's figure 3)",
    "precision_recall": "Precision and recall of the probability maps, the voxels of all test scans pooled",
    "rate_by_size": "Lesion true positive rate by the lesions' size",
    "learning": "Training loss and validation DSC of the trained systems, first fold",
}


def draw(folder: Path, scores: Systems, pairs: Mapping[str, Sequence], images: Mapping[str, Path], logs: Mapping[str, Path],
         examples: Sequence[float]) -> None:
    """Draw all of FIGURES into an existing folder.

    Args:
        folder: where the figures are written.
        scores: each system's scores.
        pairs: the files that they were made from (`pairs.Pair`), in the same order; the first system's are of all cases.
        images: the FLAIR file of each case.
        logs: the training log of each trained system.
        examples: places, 0 to 1, in the order of lesion volume, of the cases of each source whose slices are shown.
    """
    comparison_figures.dice_by_load(folder / "dice_by_load.png", scores)
    comparison_figures.slices(folder / "slices.png", _slice_rows(scores, pairs, images, examples))
    cases = {source: {case.case for case in next(iter(own.values()))} for source, own in comparison.by_source(scores).items()}
    curves = {source: {name: _curve(found) for name, of_system in pairs.items()
                       if (found := [pair for pair in of_system if pair.case in own]) and all(pair.probability for pair in found)}
              for source, own in cases.items()}
    comparison_figures.precision_recall_curves(folder / "precision_recall.png", curves)
    comparison_figures.rate_by_size(folder / "rate_by_size.png", scores)
    comparison_figures.learning_curves(folder / "learning.png", {name: read_log(path) for name, path in logs.items()})


def results_page(tables: Sequence[Table], division: str) -> str:
    """A Markdown page of the tables and the figures of a cohort, divided as `cross_validation` says."""
    figures = [f"![{title}](figures/{name}.png)\n\n{title}.\n" for name, title in FIGURES.items()]
    return "\n".join(["# Results", "", f"By `python -m synergynet_tf.experiment`, on {division}.", "",
                      *map(comparison.markdown, tables), "## Figures", "", *figures])


def cross_validation(folds: int, seeds: Sequence[int]) -> str:
    """How the cohort was divided, and how often each system was trained, in words."""
    division = f"{folds} folds, every patient tested once" if folds > 1 else "one split"
    of_seeds = f", each system trained with the seeds {', '.join(map(str, seeds))}; figures and pages are of seed {seeds[0]}"
    return division + (of_seeds if len(seeds) > 1 else "")


def _curve(pairs: Sequence) -> tuple[np.ndarray, np.ndarray]:
    counts = (score_counts(nifti.read_reference(pair.reference, pair.reference2, pair.combine).array,
                           nifti.read(pair.probability).array) for pair in pairs)
    return precision_recall(functools.reduce(np.add, counts))


def _slice_rows(scores: Systems, pairs: Mapping[str, Sequence], images: Mapping[str, Path],
                examples: Sequence[float]) -> list[comparison_figures.SliceRow]:
    cases, rows = next(iter(scores.values())), []
    for source in comparison.by_source(scores):
        order = sorted((i for i, case in enumerate(cases) if case.source == source), key=lambda i: cases[i].voxels_reference)
        chosen = dict.fromkeys(order[round(place * (len(order) - 1))] for place in examples)
        rows += [_slice_row(index, pairs, images)._replace(source=source) for index in chosen]
    return rows


def _slice_row(index: int, pairs: Mapping[str, Sequence], images: Mapping[str, Path]) -> comparison_figures.SliceRow:
    """The axial slice with the most reference voxels, cut to the brain's box."""
    pair = next(iter(pairs.values()))[index]
    reference = nifti.read_reference(pair.reference, pair.reference2, pair.combine).array
    flair = preprocess.read_scan(images[pair.case]).array
    counts = reference.sum(axis=(0, 1)) if reference.any() else (flair != 0).sum(axis=(0, 1))
    z = int(np.argmax(counts))
    masks = {name: nifti.read_prediction(own.prediction, own.probability)
             for name, of_system in pairs.items() for own in of_system if own.case == pair.case}
    inside = np.nonzero(flair.any(axis=2))
    box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in inside)
    cut = {name: mask.array[..., z][box] for name, mask in masks.items()}
    return comparison_figures.SliceRow(pair.case, flair[..., z][box], reference[..., z][box], cut)
