"""A call in its own process: what it raises, being killed, and the death of its parent."""
import os
import signal
import subprocess
import sys
import time
import traceback

import pytest

from synergynet_tf.errors import InputError
from tests.conftest import ROOT
from tuning.process import in_own_process


def refuse(value):
    raise InputError(f"{value} is refused")


def end_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def write_on(path):
    """Append to a file without end."""
    while True:
        with open(path, "a") as file:
            file.write("x")
        time.sleep(0.1)


def test_what_is_raised_there_is_raised_here_with_its_trace():
    with pytest.raises(InputError, match="^7 is refused$") as raised:
        in_own_process(refuse, 7)
    assert "in refuse\n" in "".join(traceback.format_exception(raised.value))


def test_a_process_that_is_killed_is_an_error_and_no_more():
    with pytest.raises(InputError, match="ended from outside, for want of memory as a rule"):
        in_own_process(end_itself)


@pytest.mark.slow
def test_it_ends_with_its_parent(tmp_path):
    path = tmp_path / "written"
    code = f"from tests.tuning.test_process import *\nif __name__ == '__main__': in_own_process(write_on, {str(path)!r})"
    script = tmp_path / "script.py"
    script.write_text(code)
    parent = subprocess.Popen([sys.executable, str(script)], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        while not path.exists():
            assert parent.poll() is None
            time.sleep(0.1)
    finally:
        parent.kill()
    size, unchanged = -1, 0
    deadline = time.monotonic() + 60
    while unchanged < 10 and time.monotonic() < deadline:
        time.sleep(0.2)
        now = path.stat().st_size
        unchanged, size = (unchanged + 1 if now == size else 0), now
    assert unchanged == 10
