"""The comparison of systems on one cohort: the division into folds, their results, and the tables, figures and pages of them."""
import dataclasses
import itertools
import json
import pathlib
from collections import ChainMap
from collections.abc import Sequence

from synergynet_tf.config import Config
from synergynet_tf.data import identity, layouts, nifti, splits
from synergynet_tf.data.cache import cache_root
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.splits import Split
from synergynet_tf.errors import InputError
from synergynet_tf.metrics.lesion import LesionRule
from synergynet_tf.metrics.scores import CaseScores
from synergynet_tf.report import comparison
from synergynet_tf.report.elements import Front
from synergynet_tf.report.html import write_report
from synergynet_tf.report.pages import comparison_head, comparison_pages
from synergynet_tf.report.results import FIGURES, cross_validation, draw, results_page
from synergynet_tf.runtime import costs
from synergynet_tf.storage.files import claim, make_own, replace_file
from synergynet_tf.storage.readers import read_json
from synergynet_tf.training.systems import SYSTEMS
from synergynet_tf.workflows.fold import Fold
from synergynet_tf.workflows.networks import identity as network_identity
from synergynet_tf.workflows.pairs import Pair, find_pairs, log_names, pairs_of_sources
from synergynet_tf.workflows.scoring import score_pairs, write_scores

BASELINE = "unet"
FOLDERS = ("scores", "tables", "figures", "report")
EXAMPLES = (0.1, 0.5, 0.9)      # figure 3 shows the test cases at these places in the order of lesion volume


def divide(config: Config, out: pathlib.Path) -> list[Split]:
    """Divide the cohort into parts, of each fold; nothing is written. Of an experiment that has begun, see that it is as it was.

    Raises:
        InputError: without a test case, or where a patient or a scan is in two parts of a fold, or has joined, left or moved.
    """
    data, digests = config.data, identity.Digests(cache_root(config) / identity.INDEX)
    cases = layouts.discover(data.source, data.layout, data.channels, require_lesions=True, raters=data.raters)
    if data.folds:
        parts = splits.folds(cases, data.folds, data.split, data.split_seed)
    else:
        parts = [splits.split_cases(cases, data.split, data.split_seed)]
    for number, split in enumerate(parts):
        if not split.test:
            raise InputError(f"{data.path}: the split leaves no test case; give more patients, or set data.split or --folds")
        identity.require_apart(split, digests)
        written = out / f"fold{number}" / "manifest.csv"
        if _has_begun(out) and written.exists():
            identity.require_same(out, identity.members(splits.load(written)), identity.members(split))
    require_sources([case for split in parts for case in split.test])
    digests.save()
    return parts


def require_sources(cases: Sequence[Case]) -> None:
    """See that all cases that are scored name the source that they are of, or none does, and that a patient is of one.

    Raises:
        InputError: it is not so; or a source has the name that the tables give to all of them.
    """
    of_patient: dict[str, Case] = {}
    for case in cases:
        first = of_patient.setdefault(case.patient, case)
        if bool(case.source) != bool(cases[0].source):
            named, other = (case, cases[0]) if case.source else (cases[0], case)
            raise InputError(f"case {named.name} has the source {named.source!r}, but case {other.name} has none; give every "
                             "test case a source, or none")
        if case.source != first.source:
            raise InputError(f"patient {case.patient}: {first.name} has the source {first.source!r}, but {case.name} "
                             f"{case.source!r}; a patient is of one source: where these are two people, name them differently "
                             "(a row with a path: by its column patient)")
        if case.source == comparison.ALL:
            raise InputError(f"case {case.name} has the source {case.source!r}, but the tables call all of them together so; "
                             "choose another name")


def check_external(external: dict[str, pathlib.Path], cases: Sequence[Case]) -> None:
    """See that other tools' results of the test cases are there and can be scored: now, and not after the training.

    A tool may lack a source, all its cases. What it lacks is logged.

    Raises:
        InputError: another one is missing, cannot be read, or is on another grid than its reference; or as `costs.read`.
    """
    for folder in external.values():
        pairs = pairs_of_sources(cases, folder)
        log_names(f"{folder} has no prediction for {{}}, and is left out there: {{}}",
                  sorted({case.source for case in cases} - {pair.source for pair in pairs}), "source", "sources")
        for pair in pairs:
            reference = nifti.read_reference(pair.reference, pair.reference2, pair.combine)
            nifti.check_same_grid(reference, nifti.read_prediction(pair.prediction, pair.probability))
        others = costs.read(folder).keys() - {case.name for case in cases}
        log_names(f"{folder / costs.FILE}: {{}} of no test case: {{}}", sorted(others), "row is", "rows are")


def make_folds(config: Config, out: pathlib.Path, parts: Sequence[Split] | None = None, seeds: int = 1) -> list[Fold]:
    """Write the manifest of each fold of the cohort, as it was divided, or else as `divide` does; for each seed all folds."""
    parts, folds = list(parts or divide(config, out)), []
    for number, (name, split) in enumerate(zip(_fold_names(config, seeds), parts * seeds)):
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        splits.save(split, folder / "manifest.csv")
        data = dataclasses.replace(config.data, path=str((folder / "manifest.csv").resolve()), layout="manifest", folds=0, fold=0)
        train = dataclasses.replace(config.train, seed=config.train.seed + number // len(parts))
        folds.append(Fold(folder, split, dataclasses.replace(config, data=data, train=train)))
    return folds


def _fold_names(config: Config, seeds: int) -> list[str]:
    """Of the folders of all folds with the first seed, then with each other one."""
    ends = ["", *(f"_seed{config.train.seed + n}" for n in range(1, seeds))]
    return [f"fold{number}{end}" for end in ends for number in range(config.data.folds or 1)]


def _has_begun(out: pathlib.Path) -> bool:
    """Whether a network was trained, or anything fitted: before, an experiment may still be begun with other data."""
    return any(next(out.glob(f"fold*/*/{name}"), None) for name in ("run/last.npz", "lpa.npz"))


def find_results(folds: Sequence[Fold], systems: Sequence[str], external: dict[str, pathlib.Path]) -> dict[str, list[Pair]]:
    """The files that score each system, the test cases of all folds in one order; of another tool those of its sources.

    Raises:
        InputError: one is missing.
    """
    own = {name: [pair for fold, folder in zip(folds, results)
                  for pair in find_pairs(fold.folder / "manifest.csv", folder, "test")]
           for name, results in _folders(folds, systems, {}).items()}
    return own | {name: [pair for fold in folds for pair in pairs_of_sources(fold.split.test, folder, _names(fold.split))]
                  for name, folder in external.items()}


def _names(split: Split) -> list[str]:
    return [case.name for part in (split.train, split.validation, split.test) for case in part]


def _folders(folds: Sequence[Fold], systems: Sequence[str], external: dict[str, pathlib.Path]) -> dict[str, list[pathlib.Path]]:
    """Where each system's results of each fold are."""
    own = {name: [fold.folder / name / "predictions" for fold in folds] for name in systems}
    return own | {name: [folder] * len(folds) for name, folder in external.items()}


def report(folds: Sequence[Fold], systems: Sequence[str], external: dict[str, pathlib.Path], rule: LesionRule,
           out: pathlib.Path) -> None:
    """Score every system and write tables, figures, results.md and the report."""
    first, *others = _by_seed(folds)
    pairs, scores = _scored(first, systems, external, rule, out)
    fixed = {name: scores[name] for name in external}       # other tools' are of no seed
    of_all = [scores, *(_scored(own, systems, {}, rule, out)[1] | fixed for own in others)]
    known = {name: dict(ChainMap(*map(costs.read, folders))) for name, folders in _folders(folds, systems, external).items()}
    together = {name: [case for of_seed in of_all for case in of_seed[name]] for name in scores}
    tables = comparison.comparison_tables(together, rule, BASELINE, known)
    for table in tables:
        for kind, write in (("md", comparison.markdown), ("csv", comparison.comma_separated), ("tex", comparison.latex)):
            replace_file(out / "tables" / f"{table.name}.{kind}", write(table).encode())
    images = {case.name: case.images["flair"] for fold in first for case in fold.split.test}
    logs = {name: first[0].folder / name / "run" / "log.jsonl" for name in systems if name in SYSTEMS}
    draw(out / "figures", scores, pairs, images, logs, EXAMPLES)
    division = cross_validation(len(first), [own[0].config.train.seed for own in (first, *others)])
    replace_file(out / "results.md", results_page(tables, division).encode())
    sources = [source for source in comparison.by_source(scores) if source]
    of_sources = f" of {', '.join(sources)}" if sources else ""
    front = Front("Comparison", f"{', '.join(pairs)} on {len(images)} test cases{of_sources}, {division}.",
                  {"Cases": comparison_head(scores)}, tables[:1], tables[1:],
                  [(caption, out / "figures" / f"{name}.png") for name, caption in FIGURES.items()], _networks(folds, systems))
    write_report(out / "report", front, comparison_pages(pairs, images, rule, scores))


def _by_seed(folds: Sequence[Fold]) -> list[list[Fold]]:
    """The folds of each seed."""
    return [list(own) for _, own in itertools.groupby(folds, lambda fold: fold.config.train.seed)]


def _scored(folds: Sequence[Fold], systems: Sequence[str], external: dict[str, pathlib.Path], rule: LesionRule,
            out: pathlib.Path) -> tuple[dict[str, list[Pair]], dict[str, list[CaseScores]]]:
    """The files and scores of each system with one seed; the scores are written."""
    pairs = find_results(folds, systems, external)
    scores = {name: score_pairs(of_system, rule) for name, of_system in pairs.items()}
    end = folds[0].folder.name.removeprefix("fold0")
    for name, cases in scores.items():
        folder = out / "scores" / f"{name}{end}"
        folder.mkdir(parents=True, exist_ok=True)
        write_scores(cases, rule, folder)
    return pairs, scores


def _networks(folds: Sequence[Fold], systems: Sequence[str]) -> list[tuple[str, str]]:
    """What identifies the trained networks: the SHA-256 of each checkpoint."""
    return [(f"{name}, {fold.folder.name}", f"SHA-256 {network_identity(fold.folder / name / 'run', 'best')['sha256']}")
            for name in systems if name in SYSTEMS for fold in folds]


def record_of(out: pathlib.Path, config: Config, budget: str, seeds: int = 1) -> bytes:
    """The content of experiment.json, which may be gone on with by more seeds or fewer.

    Raises:
        InputError: another experiment lies in the folder.
    """
    about, path = {"budget": budget, "config": config.asdict()}, out / "experiment.json"
    folders = [out / name for name in (*FOLDERS, *_fold_names(config, seeds))]
    claim("--out", [path, out / "results.md", *folders])
    for folder in folders:
        make_own(folder)
    content = (json.dumps(about, indent=2) + "\n").encode()
    if not path.exists():
        return content
    before = read_json(path, "record of an experiment", "name another --out", {"budget": str, "config": dict[str, dict]})
    record = json.loads(content)
    if before["budget"] != budget:
        raise InputError(f"{out}: was begun with --budget {before['budget']}, not {budget}; give the same, or another --out")
    for group, fields in record["config"].items():
        for name, value in fields.items():
            was = before["config"].get(group, {}).get(name)
            if was != value:
                raise InputError(f"{out}: was begun with {group}.{name} {was}, not {value}; give the same, or another --out")
    return content
