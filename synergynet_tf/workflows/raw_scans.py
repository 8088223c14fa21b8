"""`prepare --raw`: what the command does with raw scans, around `data.raw.preparation`."""
import pathlib
from argparse import Namespace

from rich.console import Console

from synergynet_tf.config import Config
from synergynet_tf.data.layouts import Case
from synergynet_tf.data.layouts.registry import Fault
from synergynet_tf.data.layouts.sources import sources
from synergynet_tf.data.raw import cases, preparation, record
from synergynet_tf.data.raw.record import Record
from synergynet_tf.errors import InputError, of_case, print_error
from synergynet_tf.runtime import progress
from synergynet_tf.runtime.processes import cores
from synergynet_tf.storage import locks
from synergynet_tf.storage.files import claim, keep_apart


def prepare_raw(config: Config, options: Namespace) -> None:
    """Bring the raw scans at data.path to the network's space, in the folder `options.raw`.

    A case that fails is named on stderr and the others go on.

    Raises:
        InputError: at the end, if any failed.
    """
    usable, wrong = cases.find(config.data.source, config.data.layout, config.data.raters)
    out = options.raw
    keep_apart("--raw", out, sources(config.data.source, usable))
    claim("--raw", [out / "manifest.csv", *(out / case.name for case in usable)])
    with locks.held(out, "name another folder with --raw"):
        _prepare(usable, wrong, out, options)


def _prepare(usable: list[Case], wrong: list[Fault], out: pathlib.Path, options: Namespace) -> None:
    workers = min(options.workers or max(1, cores() // 2), len(usable) or 1)     # two cores a scan: SimpleITK's threads use them
    failed, console, total = [fault.case.name for fault in wrong], Console(), len(usable) + len(wrong)
    for fault in wrong:
        print_error(fault.message)
    with progress.bar("preparing raw scans", len(usable)) as advance:
        for case, result in preparation.prepare_cases(usable, out, options.steps, workers):
            error, notes = (result, None) if isinstance(result, InputError) else (draw_prepared(case, out, result), result.notes)
            if error:
                failed.append(case.name)
                print_error(str(of_case(case.name, error)))
            else:
                lines = [f"{case.name}: {out / case.name}", *(notes or [])]
                console.print("\n    ".join(lines), markup=False, highlight=False, soft_wrap=True)
            preparation.write_manifest(out, failed)
            advance(what=f"prepared {case.name}")
    if failed:
        others = f"; {out} holds the others" if len(failed) < total else ""
        raise InputError(f"{len(failed)} of {total} raw scans could not be prepared: {', '.join(sorted(failed))}{others}")
    console.print(f"{len(usable)} cases are in {out}; look at each one's qc.png, then: train --data.path {out}, or predict {out}",
                  markup=False, highlight=False, soft_wrap=True)


def draw_prepared(case: Case, out: pathlib.Path, known: Record) -> InputError | None:
    """Draw the case's picture where it is not newer than its record; the error, if it cannot be drawn."""
    folder = out / case.name
    drawn = folder / record.PICTURE
    if drawn.is_file() and drawn.stat().st_mtime_ns >= (folder / record.FILE).stat().st_mtime_ns:
        return None
    from synergynet_tf.report import preparation as pictures

    try:
        pictures.preparation_picture(folder, known)
    except Exception as error:      # the picture alone is lost
        return of_case(case.name, error)
    return None
