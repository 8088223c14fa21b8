"""The phantom cohort of the experiment: `python -m benchmarks.phantom_cohort --anatomy FOLDER --out phantoms`.

Test patients have brains of their own: of the folder's label maps, in the order of their names, the last four are for the test
split alone; training and validation patients have the others' and, every third of them, the MNI152 template's. Then:

    python -m synergynet_tf.experiment --preset experiment --data phantoms/manifest.csv --budget equal --out runs/experiment
"""
import argparse
import csv
import pathlib
import tempfile

from synergynet_tf.config import PhantomConfig
from synergynet_tf.data.phantom import generate_cohort
from synergynet_tf.data.phantom.atlas import anatomy_files
from synergynet_tf.runtime.entry import command
from synergynet_tf.storage.files import replace_file

HELD_OUT = 4        # label maps that only test patients have
COLUMNS = ("patient", "session", "flair", "t2", "lesions", "split")


@command
def main(argv: list[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--anatomy", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--patients", type=int, nargs=3, default=(48, 12, 40), metavar=("TRAIN", "VALIDATION", "TEST"))
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    maps = anatomy_files(given.anatomy)
    train, validation, test = given.patients
    template = (train + validation) // 3
    parts = (("brains", train + validation - template, maps[:-HELD_OUT], given.seed), ("mni", template, None, given.seed + 1),
             ("test", test, maps[-HELD_OUT:], given.seed + 2))
    rows = []
    for name, patients, files, seed in parts:
        rows += [(name, row) for row in make_part(given.out / name, patients, files, seed)]
    known = [index for index, (name, _) in enumerate(rows) if name != "test"]
    chosen = set(known[::max(len(known) // validation, 1)][:validation]) if validation else set()
    write_manifest(given.out / "manifest.csv", rows, chosen)
    print(given.out / "manifest.csv")


def make_part(folder: pathlib.Path, patients: int, files: list[pathlib.Path] | None, seed: int) -> list[dict[str, str]]:
    """Make one part's patients with these brains (none: the template's), unless they are there; its manifest's rows."""
    if not (folder / "manifest.csv").exists():
        with tempfile.TemporaryDirectory() as anatomy:
            for path in files or ():
                (pathlib.Path(anatomy) / path.name).symlink_to(path.resolve())
            generate_cohort(folder, PhantomConfig(patients=patients, seed=seed, anatomy=anatomy if files else None))
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write_manifest(path: pathlib.Path, rows: list[tuple[str, dict[str, str]]], validation: set[int]) -> None:
    """One manifest of all parts, with their splits; patients are named with their part."""
    lines = [",".join(COLUMNS)]
    for index, (part, row) in enumerate(rows):
        split = "test" if part == "test" else "validation" if index in validation else "train"
        files = [f"{part}/{row[name]}" for name in ("flair", "t2", "lesions")]
        lines.append(",".join([f"{part}{row['patient']}", row["session"], *files, split]))
    replace_file(path, ("\n".join(lines) + "\n").encode())


if __name__ == "__main__":
    raise SystemExit(main())
