"""`python -m synergynet_tf.prepare`: check a cohort, fill the cache that training reads, and list the cases."""
import pathlib
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from synergynet_tf import arguments, cli, progress
from synergynet_tf.config import Config
from synergynet_tf.data import layouts
from synergynet_tf.data.layouts.sources import sources
from synergynet_tf.data.raw.config import RawConfig
from synergynet_tf.errors import InputError, command
from synergynet_tf.files import claim, keep_apart
from synergynet_tf.startup import import_tensorflow

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from synergynet_tf.data.cache import CachedCase
    from synergynet_tf.data.check import CaseCheck, Problem

DESCRIPTION = f"""Check every scan of a cohort, prepare it for training, and list the cases.

Training does this itself where it finds nothing prepared; this command does it beforehand and shows what is there. Scans are
skull-stripped, registered to one grid per case, near 1 mm. With --check nothing is prepared: every file is read once, and every
problem of every case is listed. The layouts: {layouts.describe()}.
With --raw the scans may be as they left the scanner, with skull, in any orientation and thickness; see docs/raw.md.
"""


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see DESCRIPTION."""
    config, own = cli.parse(argv, DESCRIPTION, _add_arguments, groups={"steps": RawConfig})
    if config.data.path is None:
        raise InputError("data.path is not set: name a folder of scans or a CSV manifest with --data.path")
    if own.raw and own.check:
        raise InputError(f"--raw is {own.raw}, but --check prepares nothing; give one after the other")
    if own.raw and own.preview:
        raise InputError(f"--raw is {own.raw}, but --preview draws what training reads; give one after the other")
    if own.raw:
        from synergynet_tf.raw_scans import prepare_raw

        prepare_raw(config, own)
        return
    folder = (own.preview or pathlib.Path()).resolve().parent
    if own.preview and own.preview.suffix.lower() != ".png":
        raise InputError(f"--preview is {own.preview}, but a picture is written: name it FILE.png")
    if not folder.is_dir():
        raise InputError(f"--preview is {own.preview}, but the folder {folder} does not exist; make it or name another file")
    if own.out and not own.check:
        raise InputError(f"--out is {own.out}, but it is for what --check finds; add --check, or leave it out")
    if own.check:
        _check(config, own)
    else:
        _prepare(config, own)


def _prepare(config: Config, own: Namespace) -> None:
    from rich.console import Console

    from synergynet_tf.data import cache

    cases = layouts.discover(config.data.path, config.data.layout, config.data.channels, own.require_lesions,
                             config.data.raters)
    read = sources(config.data.path, cases)
    if config.data.cache:
        keep_apart("data.cache", cache.cache_root(config), read)
    if own.preview:
        claim("--preview", [own.preview], read)
    with progress.bar("preparing", len(cases)) as advance:
        cached = cache.build_cache(cases, config, own.workers, lambda case: advance(what=f"preparing {case.name}"))
    console = Console()
    console.print(case_table(cached))
    for case in cached:
        for note in case.notes:
            console.print(f"{case.name}: {note}", markup=False, highlight=False, soft_wrap=True)
    where = cache.cache_root(config)
    console.print(f"{len(cached)} cases are prepared in {where}", markup=False, highlight=False, soft_wrap=True)
    if own.preview:
        _preview(own.preview, cached, config)
        console.print(f"the augmentation is drawn in {own.preview}", markup=False, highlight=False, soft_wrap=True)


def _check(config: Config, own: Namespace) -> None:
    """Print every problem of every case; raises InputError, after the table, where a training would refuse one."""
    from rich.console import Console

    from synergynet_tf.data import check
    from synergynet_tf.report import checks as tables
    from synergynet_tf.report.thumbnails import sheet_names

    if own.preview:
        raise InputError(f"--preview is {own.preview}, but --check prepares nothing that could be drawn; give one or the other")
    cohort = check.find_cases(config, own.require_lesions)
    if own.out:
        claim("--out", [own.out / "check.csv", *sheet_names(own.out, len(cohort.cases))],
              sources(config.data.path, cohort.cases))
    with progress.bar("checking", len(cohort.cases)) as advance:
        checked = check.check_cases(cohort.cases, config, own.workers, advance)
    problems = check.summarise(cohort, checked)
    console = Console()
    if problems:
        console.print(tables.terminal(problems))
    console.print(tables.counted(problems, checked), markup=False, highlight=False, soft_wrap=True)
    if own.out:
        _write_check(own.out, checked, problems, console)
    errors = [problem for problem in problems if problem.severity == check.ERROR]
    if errors:
        cases = len({problem.case for problem in errors if problem.case}) or len(checked)
        raise InputError(f"{config.data.path}: a training would refuse {cases} of {len(checked)} cases for the errors listed; "
                         "mend them, or leave these cases out")


def _write_check(folder: pathlib.Path, checked: "Sequence[CaseCheck]", problems: "Sequence[Problem]",
                 console: "Console") -> None:
    from synergynet_tf.files import replace_file
    from synergynet_tf.report import checks as tables
    from synergynet_tf.report.thumbnails import thumbnail_sheets

    replace_file(folder / "check.csv", tables.comma_separated(problems).encode(errors="backslashreplace"))
    sheets = thumbnail_sheets(folder, checked, problems)
    console.print(f"{folder} holds check.csv and {', '.join(sheet.name for sheet in sheets)}", markup=False, highlight=False,
                  soft_wrap=True)


def _preview(path: pathlib.Path, cached: "Sequence[CachedCase]", config: Config) -> None:
    import_tensorflow()

    from synergynet_tf.report.augmentation import augmentation_sheet

    augmentation_sheet(path, cached, config)


def case_table(cached: "Sequence[CachedCase]") -> "Table":
    """One row a case: the brain box, brain voxels, lesions, small ones, and their volume in ml ("-" without a reference mask)."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("case")
    for title in ("brain box", "mm", "brain voxels", "lesions", "small", "ml"):
        table.add_column(title, justify="right", no_wrap=True)
    for case in cached:
        side_x, side_y, side_z = case.spacing
        ml = case.table.voxels.sum() * side_x * side_y * side_z / 1000
        found = (str(len(case.table.voxels)), str(case.table.is_small.sum()), f"{ml:.2f}") if case.has_lesions else ("-",) * 3
        table.add_row(case.name, " x ".join(map(str, case.shape)), " x ".join(f"{mm:.3g}" for mm in case.spacing),
                      str(case.brain_voxels), *found)
    return table


def _add_arguments(parser) -> None:
    parser.add_argument("--check", action="store_true", help="prepare nothing: read every file once and list every problem of "
                        "every case; the exit status is 2 where a training would refuse one, 0 where there are warnings alone")
    parser.add_argument("--out", type=arguments.path, metavar="DIR",
                        help="with --check: write check.csv and a sheet of all cases, check.png, there")
    parser.add_argument("--raw", type=arguments.path, metavar="DIR", help="bring raw scans to the network's space, in this "
                        "folder, which training and prediction then take; finished steps are kept there")
    parser.add_argument("--require-lesions", action="store_true", help="refuse cases without a reference mask")
    parser.add_argument("--workers", type=arguments.workers, help="processes; default: one a core, or one in all for a few cases")
    parser.add_argument("--preview", type=arguments.path, metavar="FILE.png",
                        help="draw what the augmentation makes of a patch: each "
                        "transform alone at its strongest, and random draws of all that is switched on")


if __name__ == "__main__":
    sys.exit(main())
