"""A whole scan through an exported bundle beside the same scan in this process: `python -m benchmarks.serving [--run RUN] SCAN`.

Two processes, so that the peak memory of each is its own: the trained network as `predict` runs it, and the exported
`segment_nifti` through TensorFlow's C API, the way a server runs it, after its warm-up requests. What is timed is the same on
both sides: from the scan's file to the mask's file. Prints a Markdown table.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

from export.bundle import REFERENCE
from export.verify import find_version
from synergynet_tf.runtime.entry import command
from synergynet_tf.runtime.processes import peak_memory
from synergynet_tf.runtime.startup import import_tensorflow
from synergynet_tf.workflows.networks import SHIPPED

KINDS = ("in process", "exported")


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point: the table, or with --kind one side's figures as JSON."""
    given = _parser().parse_args(argv)
    if given.kind:
        print(json.dumps(measure(given)))
        return
    with tempfile.TemporaryDirectory() as folder:
        bundle = given.bundle or pathlib.Path(folder)
        if given.bundle is None:
            subprocess.run([sys.executable, "-m", "export.saved_model", "--run", str(given.run), "--out", folder], check=True,
                           stdout=subprocess.DEVNULL)
        graph = pathlib.Path(folder) / "graph.json"
        graph.write_text(json.dumps(_described(bundle)), encoding="utf-8")
        rows = {kind: _in_own_process(given, bundle, graph, kind) for kind in KINDS}
    print("| | first call, s | later calls, s | peak memory, GB |\n|---|---|---|---|")
    for kind, row in rows.items():
        print(f"| {kind} | {row['first']:.2f} | {row['later']:.2f} | {row['memory']:.2f} |")
    own, exported = rows["in process"], rows["exported"]
    print(f"\nexported, as a share of in process: {exported['later'] / own['later']:.2f} of the time, "
          f"{exported['memory'] / own['memory']:.2f} of the memory; first call after warm-up, as a share of later ones: "
          f"{exported['first'] / exported['later']:.2f}")


def measure(given: argparse.Namespace) -> dict[str, float]:
    """Call once and `given.repeats` times more; the median of the later ones."""
    with tempfile.TemporaryDirectory() as folder:
        call = (_in_process if given.kind == "in process" else _exported)(given, pathlib.Path(folder))
        seconds = []
        for _ in range(1 + given.repeats):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
    peak = peak_memory() / 2 ** 30
    return {"first": seconds[0], "later": statistics.median(seconds[1:]), "memory": peak}


def _in_process(given: argparse.Namespace, out: pathlib.Path) -> Callable[[], None]:
    import_tensorflow()
    import numpy as np

    from synergynet_tf.data import nifti
    from synergynet_tf.inference.predictor import Predictor
    from synergynet_tf.training.checkpoint import load_run
    from synergynet_tf.workflows.inputs import scan_case

    model, config = load_run(given.run)
    predictor, case = Predictor(model, config), scan_case(given.scan, None, config.data.channels)

    def call() -> None:
        prediction = predictor.predict_case(case)
        nifti.write_like(out / "mask.nii", prediction.on_grid(prediction.segmentation.mask), prediction.loaded.grid, np.uint8)

    return call


def _exported(given: argparse.Namespace, out: pathlib.Path) -> Callable[[], None]:
    import numpy as np

    from export.run_c_api import STRING, Library
    from export.sample import brain_sized

    version, library = find_version(given.bundle), Library()
    session, graph = library.load(str(version))
    signatures = json.loads(given.graph.read_text(encoding="utf-8"))["signatures"]

    def ask(name: str, inputs: dict) -> dict:
        described = signatures[name]
        fed = [(library.output(graph, info["tensor"]), library.tensor(inputs[key])) for key, info in described["inputs"].items()]
        wanted = [library.output(graph, info["tensor"]) for info in described["outputs"].values()]
        return dict(zip(described["outputs"], library.run(session, fed, wanted)))

    sample = dict(np.load(version / "assets.extra" / REFERENCE))       # its inputs are those of the small warm-up records
    for name, described in signatures.items():
        inputs = {key: sample[f"{name}/inputs/{key}"] for key in described["inputs"]}
        ask(name, {key: value.tobytes() if described["inputs"][key]["dtype"] == STRING else value
                   for key, value in inputs.items()})

    large = brain_sized(("flair",))                                # and this the large one
    ask("segment_nifti", {"flair_bytes": large["segment_nifti/inputs/flair_bytes"].tobytes()})

    def call() -> None:
        (out / "mask.nii").write_bytes(ask("segment_nifti", {"flair_bytes": given.scan.read_bytes()})["mask_bytes"].tobytes())

    return call


def _described(bundle: pathlib.Path) -> dict:
    from export.run_python import read_graph  # bars Keras and this package from being imported after it

    return read_graph(str(find_version(bundle)))


def _in_own_process(given: argparse.Namespace, bundle: pathlib.Path, graph: pathlib.Path, kind: str) -> dict[str, float]:
    arguments = ["--run", given.run, "--bundle", bundle, "--graph", graph, "--repeats", given.repeats, "--kind", kind, given.scan]
    shown = subprocess.run([sys.executable, "-m", "benchmarks.serving", *map(str, arguments)], check=True, stdout=subprocess.PIPE,
                           text=True)
    return json.loads(shown.stdout.splitlines()[-1])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("scan", type=pathlib.Path, help="a FLAIR file")
    parser.add_argument("--run", type=pathlib.Path, default=SHIPPED,
                        help="run folder, of a network that takes FLAIR alone (default: the network that ships)")
    parser.add_argument("--bundle", type=pathlib.Path, help="its export (default: it is exported first)")
    parser.add_argument("--repeats", type=int, default=5, help="calls after the first (default: %(default)s)")
    parser.add_argument("--kind", choices=KINDS, help="only this side, as JSON")
    parser.add_argument("--graph", type=pathlib.Path, help="the bundle's operations and tensors, with --kind")
    return parser


if __name__ == "__main__":
    sys.exit(main())
