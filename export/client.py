"""Segment scans on a TF Serving host: `python -m export.client flair.nii.gz --url http://HOST:8501 -o mask.nii.gz`."""
import argparse
import gzip
import os
import pathlib
import stat
import sys
from collections.abc import Mapping

from synergynet_tf.config import arguments
from synergynet_tf.errors import InputError, of_case, print_error, printable, reason
from synergynet_tf.runtime import progress
from synergynet_tf.runtime.entry import command
from synergynet_tf.storage.files import claim, replace_file
from synergynet_tf.storage.names import NIFTI_ENDINGS, stem
from synergynet_tf.workflows.inputs import case_name

from .answers import Answer
from .batch import Patience, aside, at_once
from .http_exchange import Unavailable
from .transport import Transport, connect

DESCRIPTION = """Segment scans on a server that holds an exported network."""
EPILOG = """One FLAIR file with -o FILE, or any number with --out DIR, where each becomes <name>_mask.nii.gz. While the server
is away or busy a request is tried again, ever more slowly, until --patience is over. A scan that the server refuses, or
answers wrongly, is named on stderr, and the others are still segmented: a mask is written once it is known to be one of
the scan. The exit status is 0 if all were, 2 if any was not. docs/serving.md says what travels, and to whom."""
COMPRESSION = 4                             # of gzip, as `predict` writes
LARGEST = 2 ** 30                           # bytes of a scan's file: a request in base64 is near what a server takes then
LONGEST = 7 * 24 * 3600                     # seconds that may be asked for
MOST_PARALLEL = 64                          # the server's queue holds 128
LONGEST_NAME, LONGEST_LINE = 255, 8192      # bytes of a file's name, and of a header
LOADING = ("START", "LOADING")              # states of a version that will answer


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see DESCRIPTION."""
    options = _parser().parse_args(argv)
    authorization = _line(options.authorization) if options.authorization else ""
    server = connect(options.url, options.grpc, options.model, options.timeout, authorization)
    if options.health:
        aside(lambda: _print_health(server, options.model))
        return
    jobs = _jobs(options)
    claim("-o" if options.mask else "--out", jobs.values(), _inputs(options))
    patience = Patience(options.patience, lambda line: print(printable(line), file=sys.stderr))
    aside(lambda: patience.ask(lambda: _require_available(server, options.model)))      # before files are read
    failed = segment_all(server, patience, jobs, options.t2, options.parallel)
    if failed:
        raise InputError(f"{failed} of {len(jobs)} scans could not be segmented")


def segment_all(server: Transport, patience: Patience, jobs: Mapping[pathlib.Path, pathlib.Path], t2: pathlib.Path | None,
                parallel: int) -> int:
    """Send the scans, `parallel` at a time, and write each mask as it comes; how many failed.

    Whatever goes wrong with a scan is the error of that scan.

    Raises:
        InputError: there is no other.
    """
    from rich.console import Console

    failed, console = 0, Console(stderr=True)
    with progress.bar("segmenting", len(jobs), console=console) as advance:
        for scan, answer in at_once(lambda scan: _segment_one(server, patience, scan, t2), jobs, parallel):
            try:
                if isinstance(answer, Exception):
                    raise answer
                _write(jobs[scan], answer)
            except Exception as error:
                failed += 1
                message = _of_scan(scan, error)
                if len(jobs) == 1:
                    raise InputError(message) from None
                print_error(message)
            advance()
    return failed


def _of_scan(scan: pathlib.Path, error: Exception) -> str:
    message = str(error) if isinstance(error, InputError) else str(of_case(str(scan), error))
    return message if str(scan) in message else f"{scan}: {message}"


def _segment_one(server: Transport, patience: Patience, scan: pathlib.Path, t2: pathlib.Path | None) -> Answer:
    from .masks import check, grid_of

    files = {"flair": _content(scan)} | ({"t2": _content(t2)} if t2 else {})
    grid = grid_of(scan)
    answer = patience.ask(lambda: server.segment(files, grid.limit))
    check(answer, grid)
    return answer


def _write(mask: pathlib.Path, answer: Answer) -> None:
    replace_file(mask, gzip.compress(answer.mask, COMPRESSION, mtime=0) if mask.name.endswith(".gz") else answer.mask)
    lines = [f"{mask}: {answer.lesions} lesion{'' if answer.lesions == 1 else 's'}, {answer.volume_ml:.2f} ml",
             *(f"  {note}" for note in answer.notes)]
    for line in lines:
        print(printable(line), flush=True)


def _content(path: pathlib.Path) -> bytes:
    """The bytes of a scan's file, which may be gone or another since it was named."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST:
            raise InputError(f"{path}: {about.st_size} bytes, but a file of at most {LARGEST} is sent; give a NIfTI file")
        return path.read_bytes()
    except OSError as error:
        what, remedy = reason(error)
        raise InputError(f"{path}: cannot be read ({what}); {remedy}") from None


def _line(path: pathlib.Path) -> str:
    """The one line of a file, which is not shown. Raises InputError."""
    line = _content(path)[:LONGEST_LINE].decode("latin-1").strip()
    if not (line and line.isascii() and line.isprintable()):
        raise InputError(f"{path}: must hold one line of plain letters, as `Bearer TOKEN` or `Basic ENCODED`")
    return line


def _inputs(options: argparse.Namespace) -> list[pathlib.Path]:
    return [*options.scan, *([options.t2] if options.t2 else [])]


def _jobs(options: argparse.Namespace) -> dict[pathlib.Path, pathlib.Path]:
    """Each scan and the file that its mask goes to. Raises InputError."""
    if not options.scan:
        raise InputError("no scan is given; name FLAIR files, or ask for --health")
    if bool(options.mask) == bool(options.out):
        raise InputError("give either -o FILE, for one scan, or --out DIR")
    if (options.mask or options.t2) and len(options.scan) > 1:
        raise InputError(f"{'-o' if options.mask else '--t2'} goes with one scan, but {len(options.scan)} are given; "
                         "use --out DIR, one call for each patient where there is a T2")
    for path in _inputs(options):
        if path.is_dir():
            raise InputError(f"{path}: is a folder; name the files in it, as {path}/*.nii.gz")
        if not path.is_file():
            raise InputError(f"{path}: no such file; check the path")
    if options.mask:
        if not options.mask.name.endswith(NIFTI_ENDINGS):
            raise InputError(f"{options.mask}: a mask is written as .nii.gz or .nii; change the name")
        return {options.scan[0]: options.mask}
    jobs = {scan: options.out / f"{case_name(stem(scan), scan)}_mask.nii.gz" for scan in options.scan}
    sources: dict[pathlib.Path, pathlib.Path] = {}
    for scan in options.scan:
        mask = jobs[scan]
        if mask in sources:
            raise InputError(f"{scan}: {sources[mask]} would be written as {mask} too; send them into different folders")
        if len(os.fsencode(mask.name)) > LONGEST_NAME:
            raise InputError(f"{mask}: the name is longer than {LONGEST_NAME} bytes, which no file can have; rename {scan}")
        sources[mask] = scan
    return jobs


def _require_available(server: Transport, model: str) -> dict[str, str]:
    """The states of a model's versions, of which one answers. Raises Unavailable while one is loaded, else InputError."""
    states = server.states()
    if "AVAILABLE" not in states.values():
        if set(LOADING) & set(states.values()):
            raise Unavailable(f"{model}: no version is available yet, one is being loaded")
        raise InputError(f"{model}: no version is available; look at the server's log")
    return states


def _print_health(server: Transport, model: str) -> None:
    try:
        states = server.states()
        for version, state in sorted(states.items()):
            print(printable(f"{model} version {version}: {state}"))
        _require_available(server, model)
        print(f"takes: {', '.join(server.channels())}")
    except Unavailable as error:
        raise InputError(f"{error}: the server does not answer; is it running, and is --url right?") from None


def _parser() -> argparse.ArgumentParser:
    parser = arguments.Parser(prog="python -m export.client", description=DESCRIPTION, epilog=EPILOG,
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scan", nargs="*", type=arguments.path, metavar="FLAIR", help="NIfTI files, .nii or .nii.gz")
    parser.add_argument("--url", default="http://localhost:8501",
                        help="http://HOST:8501, or with --grpc HOST:8500 (default: %(default)s)")
    parser.add_argument("--grpc", action="store_true", help="protocol buffers in place of JSON: a third less to send")
    parser.add_argument("--authorization", type=arguments.path, metavar="FILE",
                        help="a file with one line, sent as the Authorization header to a reverse proxy by https: `Bearer TOKEN`")
    parser.add_argument("--model", default="synergynet", help="the model's name on the server (default: %(default)s)")
    parser.add_argument("-o", dest="mask", type=arguments.path, metavar="FILE", help="where the mask of one scan goes")
    parser.add_argument("--out", type=arguments.path, metavar="DIR", help="folder for the masks; made if absent")
    parser.add_argument("--t2", type=arguments.path, metavar="FILE",
                        help="the T2 scan that goes with one FLAIR, if the model takes T2")
    parser.add_argument("--parallel", type=arguments.whole(1, MOST_PARALLEL), default=2, metavar="N",
                        help="requests under way at once: one is computed, the others wait (default: %(default)s)")
    parser.add_argument("--timeout", type=arguments.number(0.1, LONGEST), default=600, metavar="S",
                        help="of one request, from its first byte to the answer's last, seconds (default: %(default)s)")
    parser.add_argument("--patience", type=arguments.number(0, LONGEST), default=300, metavar="S",
                        help="how long a server that is away or busy is asked again, seconds (default: %(default)s)")
    parser.add_argument("--health", action="store_true", help="only ask whether the model is loaded, and what it takes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
