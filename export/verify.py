"""Check a bundle where none of this package runs: `python -m export.verify DIR`."""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from synergynet_tf.config import arguments
from synergynet_tf.errors import InputError
from synergynet_tf.runtime.entry import command
from synergynet_tf.runtime.startup import import_tensorflow
from synergynet_tf.storage.files import npz
from synergynet_tf.storage.readers import Stored, read_npz
from synergynet_tf.workflows.inputs import scan_case
from synergynet_tf.workflows.networks import Changes, load_networks, require_run, resolve_runs

from .bundle import EXTRA, FILES, REFERENCE, SUMS, damaged

DESCRIPTION = """Check a bundle: its files, its operations, and that every signature answers as the trained network does."""
EPILOG = """The SavedModel is run in a process that imports TensorFlow but neither Keras nor synergynet_tf, and in one that
loads it through TensorFlow's C API without Python's TensorFlow, the way a program in C++ does. Both answer to the
sample scan in the bundle, for which it holds the trained network's own answer; with --run and --scan, to real
scans too, for which the network answers here. The exit status is 0 if all agree, else 2."""
HERE = pathlib.Path(__file__).parent
NEEDED = "segment_nifti/outputs/mask_bytes"     # whatever else is compared
TOLERANCE = {"probability": 1e-4, "detection_boxes": 1e-3, "detection_scores": 1e-4, "lesion_volume_ml": 1e-3}     # else: equal
VERSION = re.compile("[0-9]+")
PYTHON_ONLY = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}      # the wheel has kernels for them, a server has no Python


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point; see DESCRIPTION."""
    options = _parser().parse_args(argv)
    _check_arguments(options)
    version = find_version(options.bundle, options.name)
    check_files(options.bundle, version)
    print(f"{version}: files as their SHA-256 sums say")
    seen = check_answers(version, version / EXTRA / REFERENCE, "sample scan", options.repeats)
    operations = seen["python"]["graph"]["ops"]
    print(f"{len(operations)} operations, all with kernels in TensorFlow {seen['c_api']['version']}: {' '.join(operations)}")
    for scan, answers in _answers_to(options) if options.scan else ():
        check_answers(version, answers, str(scan), options.repeats)


def find_version(bundle: pathlib.Path, name: str | None = None) -> pathlib.Path:
    """The newest version in a bundle, whole or not: the one that a server takes.

    Raises:
        InputError: there is none.
    """
    models = [bundle / name] if name else sorted(path for path in bundle.glob("*") if path.is_dir())
    versions = {model: [path.name for path in model.glob("*") if VERSION.fullmatch(path.name)] for model in models}
    versions = {model: numbers for model, numbers in versions.items() if numbers}
    if not versions:
        raise InputError(f"{bundle}: holds no {name or 'model'}; name the folder that `python -m export.saved_model` has written")
    if len(versions) > 1:
        raise InputError(f"{bundle}: holds {', '.join(model.name for model in versions)}; choose one with --name")
    (model, numbers), = versions.items()
    return model / max(numbers, key=int)


def check_files(bundle: pathlib.Path, version: pathlib.Path) -> None:
    """See that every file is there, and as its sum says.

    Raises:
        InputError: one is not.
    """
    for folder, names in ((bundle, FILES), (version, ())):
        bad = damaged(folder, names)
        if bad:
            raise InputError(f"{folder}: {', '.join(bad)} absent or not as {SUMS} says; copy or export it again")


def check_answers(version: pathlib.Path, answers: pathlib.Path, what: str, repeats: int = 1) -> dict[str, Any]:
    """Run a SavedModel in Python and through the C API, print what was seen, and compare.

    Args:
        version: folder of the SavedModel.
        answers: inputs and expected outputs, see reference.py.
        what: names them in messages.
        repeats: warm calls.

    Returns:
        What the two processes reported, by "python" and "c_api".

    Raises:
        InputError: an answer differs, an operation has no kernel, or one of the processes fails.
    """
    expected = read_npz(answers, "file of answers", "export the bundle again", {NEEDED: Stored("u", (None,))})
    with tempfile.TemporaryDirectory() as folder:
        out, graph = pathlib.Path(folder) / "out.npz", pathlib.Path(folder) / "graph.json"
        python = _run("run_python.py", version, answers, out, repeats)
        worst = compare(expected, dict(np.load(out)), f"{what}, Python")
        graph.write_text(json.dumps(python["graph"]), encoding="utf-8")
        c_api = _run("run_c_api.py", version, answers, out, graph)
        missing = sorted(set(c_api["without_kernel"]) | PYTHON_ONLY & set(python["graph"]["ops"]))
        if missing:
            raise InputError(f"{version}: a stock server lacks {', '.join(missing)}; export without them")
        worst = max(worst, compare(expected, dict(np.load(out)), f"{what}, C API"))
    _print_report(what, python, c_api, worst)
    return {"python": python, "c_api": c_api}


def compare(expected: "Mapping[str, np.ndarray]", answers: "Mapping[str, np.ndarray]", what: str) -> float:
    """The largest difference of a probability.

    Raises:
        InputError: an output is absent or too far from what is expected.
    """
    worst = 0.0
    for key in (key for key in expected if "/outputs/" in key):
        want, have, limit = expected[key], answers.get(key), TOLERANCE.get(key.split("/")[-1], 0)
        if have is None or have.shape != want.shape:
            raise InputError(f"{what}: {key} is {'absent' if have is None else have.shape}, but {want.shape} was expected; "
                             "export it again")
        difference = float(np.abs(want.astype(np.float64) - have.astype(np.float64)).max(initial=0))
        if not difference <= limit:      # nor where it is NaN
            raise InputError(f"{what}: {key} differs from the trained network's by {difference:g}, above {limit:g}; "
                             "export it again")
        if key.endswith("/probability"):
            worst = max(worst, difference)
    return worst


def _check_arguments(options: argparse.Namespace) -> None:
    if bool(options.run) != bool(options.scan):
        raise InputError("--run and --scan go together: the network of the run answers to the scan; give both or neither")
    if options.t2 and len(options.scan) != 1:
        raise InputError(f"--t2 is {options.t2}, but --scan is given {len(options.scan)} times: a T2 scan goes with one FLAIR "
                         "scan")
    options.run = resolve_runs(options.run) if options.run else []
    for run in options.run:
        require_run(run, options.weights)
    for scan in filter(None, [*options.scan, options.t2]):
        if not scan.is_file():
            raise InputError(f"{scan}: no such file; check the path")


def _answers_to(options: argparse.Namespace) -> Iterator[tuple[pathlib.Path, pathlib.Path]]:
    """Each scan, and a file of the runs' own answers to it."""
    import_tensorflow()

    from synergynet_tf.inference.predictor import Predictor

    from . import reference

    (model, config), *others = load_networks(options.run, options.weights, Changes())
    network = Predictor(model, config, others=others)
    with tempfile.TemporaryDirectory() as folder:
        for scan in options.scan:
            case = scan_case(scan, options.t2, config.data.channels)
            path = pathlib.Path(folder) / "answers.npz"
            path.write_bytes(npz(reference.answers(network, case.images)))
            yield scan, path


def _run(script: str, *arguments: Any) -> dict[str, Any]:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")}
    done = subprocess.run([sys.executable, "-I", str(HERE / script), *map(str, arguments)], capture_output=True, text=True,
                          env=environment)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] if done.returncode > 0 else []
        raise InputError(f"{script}: {lines[-1] if lines else f'ended with status {done.returncode}'}; export the bundle again")
    report = json.loads(done.stdout.splitlines()[-1])
    if report["imported"]:
        raise InputError(f"{script}: {', '.join(report['imported'])} was imported: this shows nothing of a server without it")
    return report


def _print_report(what: str, python: Mapping[str, Any], c_api: Mapping[str, Any], worst: float) -> None:
    graph = python["graph"]
    print(f"{what}: masks identical, probabilities within {worst:.2g} of the trained network's")
    for name in filter(python["first"].__contains__, graph["signatures"]):      # others were not asked
        warm = python["warm"][name]
        print(f"  {name}: first call {python['first'][name]:.2f} s" + ("" if warm is None else f", warm {warm:.2f} s")
              + f"; C API {c_api['first'][name]:.2f} s")
    print(f"  loaded in {python['load']:.1f} s, C API {c_api['load']:.1f} s; peak memory {python['peak_gb']:.2f} GB, "
          f"C API {c_api['peak_gb']:.2f} GB")


def _parser() -> argparse.ArgumentParser:
    parser = arguments.Parser(prog="python -m export.verify", description=DESCRIPTION, epilog=EPILOG,
                              formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=arguments.path, metavar="DIR", help="folder that `export.saved_model` has written")
    parser.add_argument("--name", help="the model, where the bundle holds several")
    parser.add_argument("--run", type=arguments.path, action="append", default=[],
                        help="run folder that was exported; for an ensemble all of them, in their order")
    parser.add_argument("--weights", choices=("best", "last"), default="best", help="of the run (default: best)")
    parser.add_argument("--scan", type=arguments.path, action="append", default=[], metavar="FILE",
                        help="FLAIR file to compare on, beside the sample; several times for several")
    parser.add_argument("--t2", type=arguments.path, metavar="FILE", help="the T2 scan that goes with --scan")
    parser.add_argument("--repeats", type=arguments.whole(1, 10_000), default=1,
                        help="warm calls, of which the median is shown (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
