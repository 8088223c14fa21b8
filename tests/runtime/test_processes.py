"""What is shared among processes is done though one of them is killed; freed memory goes back; whose peak is measured."""
import functools
import os
import pathlib
import platform
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from benchmarks.worker import memory
from synergynet_tf.errors import InputError
from synergynet_tf.runtime.processes import each, giving_back, peak_memory

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such call")
def test_it_goes_back_while_work_goes_on():
    blocks = [b"x" * 100_000 for _ in range(2000)]
    above = b"x" * 100_000
    with giving_back(0.01):
        kept = memory("VmRSS")
        del blocks
        for _ in range(500):
            if memory("VmRSS") < kept - 100:
                break
            time.sleep(0.02)
        assert memory("VmRSS") < kept - 100 and above


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have no such call")
def test_freed_memory_goes_back_to_the_system():
    blocks = [b"x" * 100_000 for _ in range(2000)]
    above = b"x" * 100_000              # else the C library would give all of it back by itself
    del blocks
    kept = memory("VmRSS")
    with giving_back():
        pass
    assert memory("VmRSS") < kept - 100 and above


@pytest.mark.skipif(platform.system() != "Linux", reason="reads /proc")
def test_the_peak_is_of_the_process_itself_and_not_of_the_one_that_started_it():
    held = np.ones(2 ** 26)     # 512 MB
    code = "import numpy as np; from synergynet_tf.runtime.processes import peak_memory; np.ones(2 ** 24); print(peak_memory())"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert 2 ** 27 < int(shown.stdout) < held.nbytes < peak_memory()


def square(item: int, once: pathlib.Path, always: int) -> int:
    """Killed at 2 the first time, at `always` each time."""
    if item == always or (item == 2 and not once.exists()):
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return item ** 2


def test_a_killed_process_costs_its_own_item_at_most(tmp_path):
    found = list(each(functools.partial(square, once=tmp_path / "once", always=5), range(9), 2, "counting"))
    assert [item for item, _ in found] == list(range(9))
    (error,) = [done for _, done in found if isinstance(done, InputError)]
    assert "the counting process was ended from outside" in str(error)
    assert [done for _, done in found if done is not error] == [i ** 2 for i in range(9) if i != 5]
