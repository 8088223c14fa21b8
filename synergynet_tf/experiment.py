"""`python -m synergynet_tf.experiment`: the paper's comparison on any cohort: train, segment, score, and set side by side.

    <out>/experiment.json                       what the experiment is; a second call must be the same one
    <out>/fold<k>/manifest.csv                  the split
    <out>/fold<k>/<system>/run/                 its training, resumed where it was stopped
    <out>/fold<k>/<system>/predictions/         its masks and maps of the test cases
    <out>/scores/<system>/                      as `evaluate` writes them
    <out>/tables/*.{md,csv,tex}, figures/*.png, results.md
    <out>/report/index.html                     the same for a browser, with a viewer for each case
"""
import dataclasses
import json
import pathlib
import re
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from synergynet_tf import arguments, cli, locks
from synergynet_tf.config import Config
from synergynet_tf.errors import InputError, command
from synergynet_tf.files import claim, make_folder, make_own, replace_file
from synergynet_tf.fold import TRAINED, Fold, run_system
from synergynet_tf.names import require_name
from synergynet_tf.stored import read_json

if TYPE_CHECKING:
    from synergynet_tf.data.layouts import Case
    from synergynet_tf.data.splits import Split
    from synergynet_tf.pairs import Pair

DESCRIPTION = """Compare systems on one cohort as the paper does: train each, segment the test patients, score, and write
tables (Markdown, CSV, LaTeX) and figures.

The systems: unet, mask_rcnn, synergynet; ensemble (of the trained unet and mask_rcnn, fused after the fact); lpa (a lesion
prediction algorithm in the spirit of LST's: logistic regression on FLAIR and place). Other tools' results join by --predictions.
Stopped, it goes on where it was when the same command is given again. Without --data.path, phantom patients are made.
"""
SYSTEMS = ("unet", "mask_rcnn", "ensemble", "synergynet", "lpa")        # in the order of the paper's tables
BASELINE = "unet"
FOLDERS = ("scores", "tables", "figures", "report")
EXAMPLES = (0.1, 0.5, 0.9)      # figure 3 shows the test cases at these places in the order of lesion volume


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see DESCRIPTION."""
    words = [re.sub("^--data(?==|$)", "--data.path", word) for word in (sys.argv[1:] if argv is None else argv)]
    chosen = any(word.split("=")[0] in ("--data.path", "--config", "--preset") for word in words)
    config, own = cli.parse(words, DESCRIPTION, _add_arguments, preset=None if chosen else "experiment")
    systems, external = chosen_systems(own.systems), external_systems(own.predictions)
    if own.folds:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, folds=own.folds))
    out = own.out
    from rich.console import Console

    from synergynet_tf.data.layouts.sources import keep_data_apart
    from synergynet_tf.train import with_phantoms

    console = Console()
    keep_data_apart("--out", out, config, external.values())
    make_folder(out, "--out")
    with locks.held(out, "name another folder with --out"):
        about = _identity(out, config, own.budget)
        if not config.data.path:
            config = with_phantoms(config, out, console)
        parts = divide(config, out)
        check_external(external, [case for split in parts for case in split.test])
        replace_file(out / "experiment.json", about)    # not before: a refused call must not stand in the corrected one's way
        folds = make_folds(config, out, parts)
        for fold in folds:
            for system in (name for name in (*TRAINED, "lpa", "ensemble") if name in systems):      # the ensemble's parts first
                run_system(system, fold, own.budget, console)
        report(folds, systems, external, own, out)
    console.print(f"{out} holds results.md, tables, figures, scores and report/index.html", markup=False, highlight=False,
                  soft_wrap=True)


def chosen_systems(names: str) -> list[str]:
    """The systems of a list with commas, in the order of the paper's tables. Raises InputError for others."""
    given = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in given if name not in SYSTEMS]
    if unknown or not given:
        raise InputError(f"--systems is {names!r}, but it must be of {', '.join(SYSTEMS)}; other tools join by --predictions")
    if "ensemble" in given and not {"unet", "mask_rcnn"} <= set(given):
        raise InputError(f"--systems is {names!r}, but the ensemble is of unet and mask_rcnn: name these too")
    return [name for name in SYSTEMS if name in given]


def external_systems(predictions: Sequence[str]) -> dict[str, pathlib.Path]:
    """Other tools' folders by name, from NAME=FOLDER. Raises InputError for another form, a taken name or no folder."""
    found: dict[str, pathlib.Path] = {}
    for text in predictions:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder) or name in SYSTEMS or name in found:
            raise InputError(f"--predictions is {text!r}, but NAME=FOLDER is needed, with a name of its own")
        require_name(f"--predictions is {text!r}, but", name, also=" +")
        folder = arguments.path(folder)
        if not folder.is_dir():
            raise InputError(f"--predictions is {text!r}, but {folder} is no folder: name the one that holds its masks")
        found[name] = folder
    return found


def divide(config: Config, out: pathlib.Path) -> "list[Split]":
    """Divide the cohort into parts, of each fold; nothing is written. Of an experiment that has begun, see that it is as it was.

    Raises InputError without a test case, or where a patient or a scan is in two parts of a fold, or has joined, left or moved.
    """
    from synergynet_tf.data import identity, layouts, splits
    from synergynet_tf.data.cache import cache_root

    data, digests = config.data, identity.Digests(cache_root(config) / identity.INDEX)
    found = layouts.discover(data.path, data.layout, data.channels, require_lesions=True, raters=data.raters)
    if data.folds:
        parts = splits.folds(found, data.folds, data.split, data.split_seed)
    else:
        parts = [splits.split_cases(found, data.split, data.split_seed)]
    for number, split in enumerate(parts):
        if not split.test:
            raise InputError(f"{data.path}: the split leaves no test case; give more patients, or set data.split or --folds")
        identity.require_apart(split, digests)
        written = out / f"fold{number}" / "manifest.csv"
        if _has_begun(out) and written.exists():
            identity.require_same(out, identity.members(splits.load(written)), identity.members(split))
    digests.save()
    return parts


def check_external(external: dict[str, pathlib.Path], cases: "Sequence[Case]") -> None:
    """See that other tools' results of the test cases are there and can be scored: now, and not after the training.

    Raises InputError where one is missing, cannot be read, or is on another grid than its reference.
    """
    from synergynet_tf.data import nifti
    from synergynet_tf.pairs import pairs_of

    for folder in external.values():
        for pair in pairs_of(cases, folder):
            reference = nifti.read_reference(pair.reference, pair.reference2, pair.combine)
            nifti.check_same_grid(reference, nifti.read_prediction(pair.prediction, pair.probability))


def make_folds(config: Config, out: pathlib.Path, parts: "Sequence[Split] | None" = None) -> list[Fold]:
    """Write the manifest of each fold of the cohort, as it was divided, or else as `divide` does."""
    from synergynet_tf.data import splits

    data, folds = config.data, []
    for number, split in enumerate(parts or divide(config, out)):
        folder = out / f"fold{number}"
        folder.mkdir(parents=True, exist_ok=True)
        splits.save(split, folder / "manifest.csv")
        own = dataclasses.replace(data, path=str((folder / "manifest.csv").resolve()), layout="manifest", folds=0, fold=0)
        folds.append(Fold(folder, split, dataclasses.replace(config, data=own)))
    return folds


def _has_begun(out: pathlib.Path) -> bool:
    """Whether a network was trained, or anything fitted: before, an experiment may still be begun with other data."""
    return any(next(out.glob(f"fold*/*/{name}"), None) for name in ("run/last.npz", "lpa.npz"))


def find_results(folds: Sequence[Fold], systems: Sequence[str], external: dict[str, pathlib.Path]) -> "dict[str, list[Pair]]":
    """The files that score each system, the test cases of all folds in one order. Raises InputError where one is missing."""
    from synergynet_tf.pairs import find_pairs

    folders = {name: [fold.folder / name / "predictions" for fold in folds] for name in systems}
    folders |= {name: [folder] * len(folds) for name, folder in external.items()}
    return {name: [pair for fold, folder in zip(folds, own) for pair in find_pairs(fold.folder / "manifest.csv", folder, "test")]
            for name, own in folders.items()}


def report(folds: Sequence[Fold], systems: Sequence[str], external: dict[str, pathlib.Path], own: Namespace,
           out: pathlib.Path) -> None:
    """Score every system and write tables, figures, results.md and the report."""
    from synergynet_tf.evaluate import score_pairs, write_scores
    from synergynet_tf.metrics.lesion import LesionRule
    from synergynet_tf.report import comparison
    from synergynet_tf.report.experiment import FIGURES, cross_validation, draw, results_page
    from synergynet_tf.report.html import Front, write_report
    from synergynet_tf.report.pages import comparison_pages

    rule = LesionRule(folds[0].config.lesions.connectivity, own.overlap, own.min_lesion)
    pairs = find_results(folds, systems, external)
    scores = {name: score_pairs(found, rule) for name, found in pairs.items()}
    for name, cases in scores.items():
        (out / "scores" / name).mkdir(parents=True, exist_ok=True)
        write_scores(cases, rule, out / "scores" / name)
    tables = comparison.comparison_tables(scores, rule, BASELINE)
    for table in tables:
        for kind, write in (("md", comparison.markdown), ("csv", comparison.comma_separated), ("tex", comparison.latex)):
            replace_file(out / "tables" / f"{table.name}.{kind}", write(table).encode())
    images = {case.name: case.images["flair"] for fold in folds for case in fold.split.test}
    logs = {name: folds[0].folder / name / "run" / "log.jsonl" for name in systems if name in TRAINED}
    draw(out / "figures", scores, pairs, images, logs, EXAMPLES)
    replace_file(out / "results.md", results_page(tables, len(folds)).encode())
    front = Front("Comparison", f"{', '.join(pairs)} on {len(images)} test cases, {cross_validation(len(folds))}.",
                  {"Cases": ("Case", "Lesions", "Volume, ml", *(f"DSC, {name}" for name in pairs))}, tables,
                  [(caption, out / "figures" / f"{name}.png") for name, caption in FIGURES.items()], _networks(folds, systems))
    write_report(out / "report", front, comparison_pages(pairs, images, rule, scores))


def _networks(folds: Sequence[Fold], systems: Sequence[str]) -> list[tuple[str, str]]:
    """What names the trained networks for good: the SHA-256 of each one's checkpoint."""
    from synergynet_tf.networks import identity

    return [(f"{name}, {fold.folder.name}", f"SHA-256 {identity(fold.folder / name / 'run', 'best')['sha256']}")
            for name in systems if name in TRAINED for fold in folds]


def _identity(out: pathlib.Path, config: Config, budget: str) -> bytes:
    """The content of experiment.json. Raises InputError where another experiment lies in the folder."""
    about, path = {"budget": budget, "config": config.asdict()}, out / "experiment.json"
    folders = [out / name for name in (*FOLDERS, *(f"fold{number}" for number in range(config.data.folds or 1)))]
    claim("--out", [path, out / "results.md", *folders])
    for folder in folders:
        make_own(folder)
    content = (json.dumps(about, indent=2) + "\n").encode()
    if not path.exists():
        return content
    before = read_json(path, "record of an experiment", "name another --out", {"budget": str, "config": dict[str, dict]})
    now = json.loads(content)
    if before["budget"] != budget:
        raise InputError(f"{out}: was begun with --budget {before['budget']}, not {budget}; give the same, or another --out")
    for group, fields in now["config"].items():
        for name, value in fields.items():
            was = before["config"].get(group, {}).get(name)
            if was != value:
                raise InputError(f"{out}: was begun with {group}.{name} {was}, not {value}; give the same, or another --out")
    return content


def _add_arguments(parser) -> None:
    parser.add_argument("--out", type=arguments.path, default="runs/experiment",
                        help="folder, made if absent (default: %(default)s)")
    parser.add_argument("--systems", default=",".join(SYSTEMS), help="what is compared, with commas (default: %(default)s)")
    parser.add_argument("--folds", type=arguments.whole(2, 1000),
                        help="cross-validation by patient of as many folds; every patient is tested once (default: one split)")
    parser.add_argument("--predictions", nargs="+", default=[], metavar="NAME=FOLDER",
                        help="another tool's results of the test cases: <case>.nii.gz or <case>_mask.nii.gz, "
                             "<case>_probability.nii.gz")
    parser.add_argument("--budget", choices=("paper", "equal"), default="paper",
                        help="paper: each stage has its own count of train.epochs, so that the U-Net has the last one; "
                             "equal: every system has all of SynergyNet's epochs (default: %(default)s)")
    parser.add_argument("--overlap", type=arguments.share, default=0.0,
                        help="share of a lesion that must be covered for it to be found (default: any touch)")
    parser.add_argument("--min_lesion", type=arguments.volume, default=0.0,
                        help="mm3: smaller lesions are not counted (default: all are)")


if __name__ == "__main__":
    sys.exit(main())
