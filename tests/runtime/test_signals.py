"""A command that is told to end, or is killed: one line, the right status, and no process of it is left."""
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="looks for processes in /proc")

POOL = """import os, sys, time
from synergynet_tf.runtime.entry import command
from synergynet_tf.runtime.processes import pool

def wait(seconds):
    os.write(1, b"working\\n")     # at once: two processes' prints may mix, where PYTHONUNBUFFERED is set
    time.sleep(seconds)

@command
def main(argv=None):
    with pool(2, "waiting") as executor:
        for job in [executor.submit(wait, 100) for _ in range(6)]:
            job.result()

if __name__ == "__main__":
    sys.exit(main())
"""
DEAF = """import hashlib, sys
from synergynet_tf.runtime import signals
from synergynet_tf.runtime.entry import command
signals.PATIENCE = 0.5

@command
def main(argv=None):
    print("working", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 500_000_000)       # minutes, of which Python hears nothing

sys.exit(main())
"""


RAY = """import sys, time
from synergynet_tf.runtime import cluster
from synergynet_tf.runtime.entry import command

def make(threads):
    return time.sleep

@command
def main(argv=None):
    with cluster.connected(2, None):
        for _ in cluster.share(make, range(1, 100), 2):
            print("working", flush=True)

if __name__ == "__main__":
    sys.exit(main())
"""


@pytest.fixture
def started(tmp_path):
    """Starts a script in a process group of its own; returns when it has begun its work."""
    running = []

    def start(code, lines):
        script = tmp_path / "script.py"
        script.write_text(code)
        process = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True)
        running.append(process)
        for _ in range(lines):
            assert process.stdout.readline() == "working\n"
        return process
    yield start
    for process in running:
        process.kill()
        process.communicate()


def alive(group):
    """The processes of a group, or session, that still run."""
    found = []
    for status in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, *own = status.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if str(group) in own and state != "Z":
            found.append(int(status.parent.name))
    return found


def gone(group, within=60.0, agents=frozenset()):
    """Whether all processes of a group end within some seconds; those of Ray's `agents` aside."""
    until = time.monotonic() + within
    while set(alive(group)) - agents and time.monotonic() < until:
        time.sleep(0.05)
    return not set(alive(group)) - agents


@pytest.mark.parametrize("name, said, whole_group", [("SIGINT", "interrupted", True), ("SIGTERM", "ended by SIGTERM", False),
                                                     ("SIGHUP", "ended by SIGHUP", True)])
def test_a_signal_ends_a_command_and_its_processes_with_one_line(started, name, said, whole_group):
    process, number = started(POOL, 2), getattr(signal, name)
    os.killpg(process.pid, number) if whole_group else process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (errors, process.returncode) == (f"{said}\n", 128 + number)
    assert gone(process.pid)


def test_processes_end_with_the_one_that_started_them(started):
    process = started(POOL, 2)
    assert len(alive(process.pid)) >= 3
    process.kill()
    process.wait()
    assert gone(process.pid)


def test_work_that_python_does_not_hear_a_signal_in_is_ended_too(started):
    process = started(DEAF, 1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert (errors, process.returncode) == ("ended by SIGTERM\n", 143)


def test_what_is_to_be_ignored_is_ignored(started):
    process = started("import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + POOL.replace("100", "1"), 2)
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("name, status, said", [("SIGINT", 130, "interrupted\n"), ("SIGTERM", 143, "ended by SIGTERM\n"),
                                                ("SIGKILL", -9, "")])
def test_a_ray_of_this_machine_ends_with_the_command(started, name, status, said):
    pytest.importorskip("ray")
    process = started(RAY, 1)
    members = alive(process.pid)
    assert len(members) >= 5
    agents = {member for member in members if b"Agent" in pathlib.Path(f"/proc/{member}/cmdline").read_bytes()}
    process.send_signal(getattr(signal, name))
    _, errors = process.communicate(timeout=30)
    assert (errors, process.returncode) == (said, status)
    assert gone(process.pid, agents=agents if name == "SIGKILL" else set())     # they ask a killed Ray for a minute first
    for agent in set(alive(process.pid)) & agents:
        os.kill(agent, signal.SIGKILL)
