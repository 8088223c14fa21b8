"""The commands of README and docs work as they stand there: each block is cut out of its page and run."""
import contextlib
import os
import pathlib
import shutil
import signal

import pytest

from tests.recipes import world

PAGES = [world.ROOT / "README.md", *sorted((world.ROOT / "docs").glob("*.md"))]
# Blocks that no test runs, by page and first words, and why.
LEFT_OUT = {
    ("README.md", "python3.11 -m venv .venv && . .venv/bin/activate && pip install -r requirements.txt && python -m pytest"):
        "these tests themselves; .ci/run runs it",
    ("cluster.md", "#!/bin/bash"): "a SLURM job",
    ("cluster.md", "python -m synergynet_tf.predict"): "a cluster of Ray; tests/runtime/test_cluster.py starts one",
    ("devices.md", ""): "several GPUs, or a SLURM job; tests/runtime/test_replicas.py has devices and processes",
    ("phantoms.md", "python -m synergynet_tf.phantoms"): "220 patients of full size; tests/data/phantom makes a few",
    ("phantoms.md", "PYTHONPATH=. python docs/make_phantom_figure.py"): "draws a picture from the public scans",
    ("comparison.md", "python -m synergynet_tf.experiment"): "other tools' masks; README's block compares its own systems",
    ("quality.md", "python -m benchmarks.quality learn"): "the public scans; a training does the same, which README's blocks run",
    ("raw.md", "pip install"): "scans of full size with T2 and masks; README's block prepares one, tests/data/raw others",
    ("reliability.md", "python -m tests.reliability.fuzz"): "an hour; tests/reliability tries fewer files",
    ("results.md", ""): "hours of training, with the public scans",
    ("performance.md", ""): "the better part of an hour, beside other tools",
    ("serving.md", "python -m benchmarks"): "a benchmark",
    ("serving.md", "docker compose"): "the server's image; README's block starts the tests' server in its place",
    ("serving.md", "python -m export.client --health"): "needs the server, which README's block starts",
    ("serving.md", "python -m export.saved_model"): "README's block does the same",
    ("tuning.md", "python -m tuning.search     "): "two searches; tests/tuning/test_search.py runs both kinds",
    ("tuning.md", "export KERASTUNER"): "three processes side by side; tests/tuning has them",
}


def reason(page: str, block: str) -> str | None:
    """Why a block is left out; none: it is run."""
    return next((why for (name, words), why in LEFT_OUT.items() if name == page and block.startswith(words)), None)


RECIPES = [(page, i, block) for page in PAGES for i, block in enumerate(world.blocks(page)) if not reason(page.name, block)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One folder for all blocks: later ones use what earlier ones made, as a reader would."""
    made = world.make(tmp_path_factory.mktemp("world"))
    yield made
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((made / ".server").read_text()), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize(("page", "number", "block"), RECIPES, ids=[f"{page.stem}-{i}" for page, i, _ in RECIPES])
def test_a_block_runs_as_it_stands(page: pathlib.Path, number: int, block: str, folder: pathlib.Path):
    if absent := [tool for tool in ("curl", "jq") if f"{tool} -" in block and not shutil.which(tool)]:
        pytest.skip(f"needs {' and '.join(absent)}")
    if page.name != "README.md" and "--resume" not in block.splitlines()[0]:
        world.forget(folder, block)
    done = world.run(folder, block)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Traceback" not in done.stdout


def test_every_block_left_out_is_still_there():
    for name, words in LEFT_OUT:
        page = next(page for page in PAGES if page.name == name)
        assert any(block.startswith(words) for block in world.blocks(page)), f"{name} has no block that begins with {words!r}"
