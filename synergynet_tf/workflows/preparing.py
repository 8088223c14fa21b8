"""Preparing a cohort for training, checking every file of it, and drawing what the augmentation makes of it."""
import pathlib
from argparse import Namespace
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from synergynet_tf.config import Config
from synergynet_tf.data import cache, check, layouts
from synergynet_tf.data.cache import CachedCase
from synergynet_tf.data.check import CaseCheck, Problem
from synergynet_tf.data.layouts.sources import sources
from synergynet_tf.errors import InputError
from synergynet_tf.report import check_tables
from synergynet_tf.report.thumbnails import sheet_names, thumbnail_sheets
from synergynet_tf.runtime import progress
from synergynet_tf.runtime.startup import import_tensorflow
from synergynet_tf.storage.files import claim, keep_apart, replace_file


def prepare(config: Config, options: Namespace) -> None:
    """Fill the cache with a cohort, list its cases, and draw the augmentation where `own.preview` asks for it.

    Raises:
        InputError: a case cannot be used, or a place to write is an input.
    """
    cases = layouts.discover(config.data.source, config.data.layout, config.data.channels, options.require_lesions,
                             config.data.raters)
    read = sources(config.data.source, cases)
    if config.data.cache:
        keep_apart("data.cache", cache.cache_root(config), read)
    if options.preview:
        claim("--preview", [options.preview], read)
    with progress.bar("preparing", len(cases)) as advance:
        cached = cache.build_cache(cases, config, options.workers, lambda case: advance(what=f"preparing {case.name}"))
    console = Console()
    console.print(case_table(cached))
    for case in cached:
        for note in case.notes:
            console.print(f"{case.name}: {note}", markup=False, highlight=False, soft_wrap=True)
    where = cache.cache_root(config)
    console.print(f"{len(cached)} cases are prepared in {where}", markup=False, highlight=False, soft_wrap=True)
    if options.preview:
        _preview(options.preview, cached, config)
        console.print(f"the augmentation is drawn in {options.preview}", markup=False, highlight=False, soft_wrap=True)


def check_cohort(config: Config, options: Namespace) -> None:
    """Print every problem of every case; raises InputError, after the table, where a training would refuse one."""
    if options.preview:
        raise InputError(f"--preview is {options.preview}, but --check prepares nothing that could be drawn; give one or "
                         "the other")
    cohort = check.find_cases(config, options.require_lesions)
    if options.out:
        claim("--out", [options.out / "check.csv", *sheet_names(options.out, len(cohort.cases))],
              sources(config.data.source, cohort.cases))
    with progress.bar("checking", len(cohort.cases)) as advance:
        checked = check.check_cases(cohort.cases, config, options.workers, advance)
    problems = check.summarise(cohort, checked)
    console = Console()
    if problems:
        console.print(check_tables.terminal(problems))
    console.print(check_tables.counted(problems, checked), markup=False, highlight=False, soft_wrap=True)
    if options.out:
        _write_check(options.out, checked, problems, console)
    errors = [problem for problem in problems if problem.severity == check.ERROR]
    if errors:
        cases = len({problem.case for problem in errors if problem.case}) or len(checked)
        raise InputError(f"{config.data.path}: a training would refuse {cases} of {len(checked)} cases for the errors listed; "
                         "mend them, or leave these cases out")


def _write_check(folder: pathlib.Path, checked: Sequence[CaseCheck], problems: Sequence[Problem],
                 console: Console) -> None:
    replace_file(folder / "check.csv", check_tables.comma_separated(problems).encode(errors="backslashreplace"))
    sheets = thumbnail_sheets(folder, checked, problems)
    console.print(f"{folder} holds check.csv and {', '.join(sheet.name for sheet in sheets)}", markup=False, highlight=False,
                  soft_wrap=True)


def _preview(path: pathlib.Path, cached: Sequence[CachedCase], config: Config) -> None:
    import_tensorflow()

    from synergynet_tf.report.preview import augmentation_sheet

    augmentation_sheet(path, cached, config)


def case_table(cached: Sequence[CachedCase]) -> Table:
    """One row a case: the brain box, brain voxels, lesions, small ones, and their volume in ml ("-" without a reference mask)."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("case")
    for title in ("brain box", "mm", "brain voxels", "lesions", "small", "ml"):
        table.add_column(title, justify="right", no_wrap=True)
    for case in cached:
        side_x, side_y, side_z = case.spacing
        ml = case.table.voxels.sum() * side_x * side_y * side_z / 1000
        texts = (str(len(case.table.voxels)), str(case.table.is_small.sum()), f"{ml:.2f}") if case.has_lesions else ("-",) * 3
        table.add_row(case.name, " x ".join(map(str, case.shape)), " x ".join(f"{mm:.3g}" for mm in case.spacing),
                      str(case.brain_voxels), *texts)
    return table
