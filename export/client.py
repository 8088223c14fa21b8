"""Segment scans on a TF Serving host: `python -m export.client flair.nii.gz --url http://HOST:8501 -o mask.nii.gz`."""
import argparse
import gzip
import pathlib
import random
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, TypeVar

from synergynet_tf import progress
from synergynet_tf.errors import InputError, command
from synergynet_tf.files import replace_file

from .transport import Answer, Transport, Unavailable, connect

DESCRIPTION = """Segment scans on a server that holds an exported network."""
EPILOG = """One FLAIR file with -o FILE, or any number with --out DIR, where each becomes <name>_mask.nii.gz. While the server
is away or busy a request is tried again, ever more slowly, until --patience is over. A scan that the server refuses
is named on stderr, and the others are still segmented. The exit status is 0 if all were, 2 if any was not."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0        # seconds between two tries
COMPRESSION = 4                             # of gzip, as `predict` writes
SUFFIXES = (".nii.gz", ".nii")

T = TypeVar("T")


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see DESCRIPTION."""
    given = _parser().parse_args(argv)
    server = connect(given.url, given.grpc, given.model, given.timeout)
    if given.health:
        _print_health(server, given.model)
        return
    jobs = _jobs(given)
    patiently(server.states, given.patience)        # an absent server or model is told before files are read
    failed = segment_all(server, jobs, given)
    if failed:
        raise InputError(f"{failed} of {len(jobs)} scans could not be segmented")


def segment_all(server: Transport, jobs: dict[pathlib.Path, pathlib.Path], given: argparse.Namespace) -> int:
    """Send the scans, `given.parallel` at a time, and write each mask as it comes; how many failed."""
    from rich.console import Console

    failed, console = 0, Console(stderr=True)
    with progress.bar("segmenting", len(jobs), console=console) as advance, ThreadPoolExecutor(given.parallel) as pool:
        running = {pool.submit(_segment_one, server, scan, mask, given): scan for scan, mask in jobs.items()}
        for done in as_completed(running):
            scan = running[done]
            try:
                answer = done.result()
            except InputError as error:
                failed += 1
                if len(jobs) == 1:
                    raise
                print(f"error: {scan}: {error}", file=sys.stderr)
            else:
                print(f"{jobs[scan]}: {answer.lesions} lesion{'' if answer.lesions == 1 else 's'}, {answer.volume_ml:.2f} ml",
                      flush=True)
            advance()
    return failed


def patiently(ask: Callable[[], T], patience: float, sleep: Callable[[float], Any] = time.sleep,
              clock: Callable[[], float] = time.monotonic) -> T:
    """What `ask` answers, asked again while it raises Unavailable.

    Waits grow from FIRST_WAIT to LONGEST_WAIT seconds, twofold, each times 0.5 to 1 by chance, so that clients which lost one
    server do not come back at once.

    Raises:
        InputError: it was still unavailable after `patience` seconds.
    """
    begin, wait = clock(), FIRST_WAIT
    while True:
        try:
            return ask()
        except Unavailable as error:
            left = patience - (clock() - begin)
            if left <= 0:
                raise InputError(f"{error}; the server did not answer within {patience:g} s: is it running, "
                                 "and is --url right?") from None
            sleep(min(wait * random.uniform(0.5, 1), left))
            wait = min(2 * wait, LONGEST_WAIT)


def _segment_one(server: Transport, scan: pathlib.Path, mask: pathlib.Path, given: argparse.Namespace) -> Answer:
    files = {"flair": scan.read_bytes()} | ({"t2": given.t2.read_bytes()} if given.t2 else {})
    answer = patiently(lambda: server.segment(files), given.patience)
    packed = gzip.compress(answer.mask, COMPRESSION, mtime=0) if mask.name.endswith(".gz") else answer.mask
    replace_file(mask, packed)
    return answer


def _jobs(given: argparse.Namespace) -> dict[pathlib.Path, pathlib.Path]:
    """Each scan and the file that its mask goes to. Raises InputError."""
    if not given.scan:
        raise InputError("no scan is given; name FLAIR files, or ask for --health")
    if bool(given.mask) == bool(given.out):
        raise InputError("give either -o FILE, for one scan, or --out DIR")
    if (given.mask or given.t2) and len(given.scan) > 1:
        raise InputError(f"{'-o' if given.mask else '--t2'} goes with one scan, but {len(given.scan)} are given; "
                         "use --out DIR, one call for each patient where there is a T2")
    for path in [*given.scan, *([given.t2] if given.t2 else [])]:
        if not path.is_file():
            raise InputError(f"{path}: no such file; check the path")
    if given.mask:
        if not given.mask.name.endswith(SUFFIXES):
            raise InputError(f"{given.mask}: a mask is written as .nii.gz or .nii; change the name")
        return {given.scan[0]: given.mask}
    given.out.mkdir(parents=True, exist_ok=True)
    jobs: dict[pathlib.Path, pathlib.Path] = {}
    for scan in given.scan:
        mask = given.out / f"{_case(scan)}_mask.nii.gz"
        if mask in jobs.values():
            raise InputError(f"{scan}: another scan would be written as {mask} too; send them into different folders")
        jobs[scan] = mask
    return jobs


def _case(scan: pathlib.Path) -> str:
    """As `predict` names a case: after the file, or after its folder where the file is only called flair."""
    stem = scan.name.removesuffix(".gz").removesuffix(".nii")
    return (scan.resolve().parent.name if stem.lower() == "flair" else stem) or stem


def _print_health(server: Transport, model: str) -> None:
    try:
        states = server.states()
    except Unavailable as error:
        raise InputError(f"{error}: the server does not answer; is it running, and is --url right?") from None
    for version, state in sorted(states.items()):
        print(f"{model} version {version}: {state}")
    if "AVAILABLE" not in states.values():
        raise InputError(f"{model}: no version is available; look at the server's log")
    print(f"takes: {', '.join(server.channels())}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m export.client", description=DESCRIPTION, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", nargs="*", type=pathlib.Path, metavar="FLAIR", help="NIfTI files, .nii or .nii.gz")
    parser.add_argument("--url", default="http://localhost:8501",
                        help="http://HOST:8501, or with --grpc HOST:8500 (default: %(default)s)")
    parser.add_argument("--grpc", action="store_true", help="protocol buffers in place of JSON: a third less to send")
    parser.add_argument("--model", default="synergynet", help="the model's name on the server (default: %(default)s)")
    parser.add_argument("-o", dest="mask", type=pathlib.Path, metavar="FILE", help="where the mask of one scan goes")
    parser.add_argument("--out", type=pathlib.Path, metavar="DIR", help="folder for the masks; made if absent")
    parser.add_argument("--t2", type=pathlib.Path, metavar="FILE",
                        help="the T2 scan that goes with one FLAIR, if the model takes T2")
    parser.add_argument("--parallel", type=int, default=2, metavar="N",
                        help="requests under way at once: one is computed, the others wait (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=600, metavar="S", help="of one request, seconds (default: %(default)s)")
    parser.add_argument("--patience", type=float, default=300, metavar="S",
                        help="how long a request is tried again while the server is away, seconds (default: %(default)s)")
    parser.add_argument("--health", action="store_true", help="only ask whether the model is loaded, and what it takes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
