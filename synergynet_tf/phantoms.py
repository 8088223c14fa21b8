"""Make phantom MS patients: `python -m synergynet_tf.phantoms --out FOLDER [--patients N] [--sessions K] ...`."""
import argparse
import pathlib
import sys

from synergynet_tf.config import PhantomConfig, arguments
from synergynet_tf.runtime import progress
from synergynet_tf.runtime.entry import command
from synergynet_tf.storage.files import keep_apart


@command
def main(argv: list[str] | None = None) -> None:
    """Write a cohort of phantoms and its manifest, with a progress bar; print the manifest's path."""
    options = _parser().parse_args(argv)
    from synergynet_tf.data.phantom.cohort import generate_cohort, session_counts

    config = PhantomConfig(options.patients, options.sessions, options.seed, options.anatomy, options.variety, options.shapes)
    keep_apart("--out", options.out, [pathlib.Path(path) for path in (config.anatomy, config.shapes) if path])
    with progress.bar("phantoms", sum(session_counts(config))) as advance:
        manifest = generate_cohort(options.out, config, options.workers, on_case=advance)
    print(manifest)


def _parser() -> argparse.ArgumentParser:
    parser = arguments.Parser(prog="python -m synergynet_tf.phantoms", description="Make phantom MS patients.",
                              formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", type=arguments.path, required=True, help="folder to write; empty, or made")
    parser.add_argument("--patients", type=arguments.whole(1, 100_000), default=10, help="how many")
    parser.add_argument("--sessions", type=arguments.whole(1, 100), default=1,
                        help="at most; each patient has 1 to this many time points")
    parser.add_argument("--seed", type=arguments.whole(0, 2 ** 32 - 1), default=0, help="the same seed gives the same files")
    parser.add_argument("--anatomy", type=arguments.text,
                        help="folder of FreeSurfer-style label maps; without it, the MNI152 template in nilearn")
    parser.add_argument("--variety", choices=("narrow", "wide"), default="narrow",
                        help="one kind of scanner, or as widely as scans of all clinics differ")
    parser.add_argument("--shapes", type=arguments.text,
                        help="of wide phantoms: an .npz file of real lesions on the MNI grid (docs/phantoms.md)")
    parser.add_argument("--workers", type=arguments.workers, help="processes; without it, the core count")
    return parser


if __name__ == "__main__":
    sys.exit(main())
