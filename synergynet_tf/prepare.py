"""`python -m synergynet_tf.prepare`: check a cohort, fill the cache that training reads, and list the cases."""
import pathlib
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from synergynet_tf import cli, progress
from synergynet_tf.config import Config
from synergynet_tf.data import layouts
from synergynet_tf.errors import InputError, command
from synergynet_tf.startup import import_tensorflow

if TYPE_CHECKING:
    from rich.table import Table

    from synergynet_tf.data.cache import CachedCase

DESCRIPTION = f"""Check every scan of a cohort, prepare it for training, and list the cases.

Training does this itself where it finds nothing prepared; this command does it beforehand and shows what is there. Scans are
skull-stripped, registered to one grid per case, near 1 mm. The layouts: {layouts.describe()}.
"""


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see DESCRIPTION."""
    config, own = cli.parse(argv, DESCRIPTION, _add_arguments)
    if config.data.path is None:
        raise InputError("data.path is not set: name a folder of scans or a CSV manifest with --data.path")
    folder = pathlib.Path(own.preview or ".").resolve().parent
    if not folder.is_dir():
        raise InputError(f"--preview is {own.preview}, but the folder {folder} does not exist; make it or name another file")
    _prepare(config, own)


def _prepare(config: Config, own: Namespace) -> None:
    from rich.console import Console

    from synergynet_tf.data import cache

    cases = layouts.discover(config.data.path, config.data.layout, config.data.channels, own.require_lesions,
                             config.data.raters)
    with progress.bar("preparing", len(cases)) as advance:
        cached = cache.build_cache(cases, config, own.workers, lambda case: advance(what=f"preparing {case.name}"))
    console = Console()
    console.print(case_table(cached))
    where = cache.cache_root(config)
    console.print(f"{len(cached)} cases are prepared in {where}", markup=False, highlight=False, soft_wrap=True)
    if own.preview:
        _preview(pathlib.Path(own.preview), cached, config)
        console.print(f"the augmentation is drawn in {own.preview}", markup=False, highlight=False, soft_wrap=True)


def _preview(path: pathlib.Path, cached: "Sequence[CachedCase]", config: Config) -> None:
    """Draw a patch of the first case with lesions, or of the first."""
    import_tensorflow()

    from synergynet_tf.report.augmentation import augmentation_sheet

    augmentation_sheet(path, next((case for case in cached if len(case.table.voxels)), cached[0]), config)


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
    parser.add_argument("--require-lesions", action="store_true", help="refuse cases without a reference mask")
    parser.add_argument("--workers", type=int, help="processes; default: one a core, or one in all for a few cases")
    parser.add_argument("--preview", metavar="FILE.png", help="draw what the augmentation makes of a patch: each transform alone "
                        "at its strongest, and random draws of all that is switched on")


if __name__ == "__main__":
    sys.exit(main())
