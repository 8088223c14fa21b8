"""Shared fixtures: where real scans lie, and a cohort small enough to train on within a test."""
import os
import pathlib
import signal
import sys

import pytest

import synergynet_tf  # noqa: F401 - before TensorFlow, as it asks for
from tests.cohort import TINY, write_tiny_cohort

ROOT = pathlib.Path(__file__).parents[1]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# A shell's background job, and all that it starts, ignores Ctrl-C; one under nohup the end of its terminal.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that processes that share the files out (--no-loadscope-reorder) end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_make_parametrize_id(val, argname: str) -> str | None:
    """Bytes are named after their argument: gzip data hold the time, and processes that share tests must name them alike."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(autouse=True, scope="module")
def _graphs_end_with_their_module():
    """Free what a module's tests have traced: else a process that runs many of them takes 10 GB."""
    yield
    if "tensorflow" in sys.modules:
        from synergynet_tf.training import graphs

        if names := graphs.kept():      # most modules leave none, and the collection of garbage takes half a second
            graphs.release(names)


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """The folder of real scans; tests that ask for it are skipped where it is absent."""
    folder = pathlib.Path(os.environ.get("SYNERGYNET_DATA", ROOT / ".." / "shared" / "data")).resolve()
    if not (folder / "open_ms").is_dir():
        pytest.skip(f"no real scans in {folder}; set SYNERGYNET_DATA to a folder with open_ms and mslesseg")
    return folder


@pytest.fixture(scope="session")
def tiny_cohort(tmp_path_factory) -> pathlib.Path:
    """Manifest of six tiny patients."""
    return write_tiny_cohort(tmp_path_factory.mktemp("cohort"), 6)


@pytest.fixture
def tiny_config(tiny_cohort, tmp_path):
    """A configuration whose training takes seconds, on the tiny cohort."""
    from synergynet_tf.config import Config

    return Config.from_dict(TINY | {"data": {"path": str(tiny_cohort), "cache": str(tmp_path / "cache")}})


@pytest.fixture(scope="session")
def settings(tiny_cohort, tmp_path_factory) -> pathlib.Path:
    """A YAML file for a run of two steps in each stage, on the tiny cohort."""
    from synergynet_tf.config import Config, command_line

    folder = tmp_path_factory.mktemp("settings")
    config = Config.from_dict(TINY | {"data": {"path": str(tiny_cohort), "cache": str(folder / "cache")}})
    command_line.save(config, folder / "tiny.yaml")
    return folder / "tiny.yaml"
