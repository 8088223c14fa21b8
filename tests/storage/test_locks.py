"""Locks of folders: between processes, threads, and after a kill."""
import errno
import fcntl
import importlib
import os
import signal
import subprocess
import sys
import threading

import pytest

from synergynet_tf.errors import InputError
from synergynet_tf.storage import locks

HOLD = "import sys, time; from synergynet_tf.storage import locks; from pathlib import Path\n" \
       "with locks.held(Path(sys.argv[1]), ''): print('held', flush=True); time.sleep(60)"


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder's lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_command_is_told_who_works_there_and_a_killed_one_blocks_nobody(holder, tmp_path):
    with pytest.raises(InputError, match=rf"{tmp_path}: another command works there \(process {holder.pid} on .*\); wait for "
                       "its end, stop it, or name another folder"), locks.held(tmp_path, "name another folder"):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locks.held(tmp_path, ""):
        assert (tmp_path / locks.FILE).read_text().startswith(f"process {os.getpid()} on ")
    assert not list(tmp_path.iterdir())     # nothing is left behind


def test_what_the_body_raises_is_raised_and_the_lock_is_free_again(tmp_path):
    for error in (BlockingIOError(errno.EWOULDBLOCK, "busy"), InputError("bad")):
        with pytest.raises(type(error)), locks.held(tmp_path, ""):
            raise error
    assert not list(tmp_path.iterdir())


def test_turns_never_overlap(tmp_path):
    inside, most = [], []

    def work():
        for _ in range(20):
            with locks.turn(tmp_path):
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 80 and max(most) == 1


def test_a_turn_that_never_comes_is_said(holder, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE_S", 0.1)
    with pytest.raises(InputError, match=f"does not end .process {holder.pid}"), locks.turn(tmp_path):
        pass


def test_a_file_system_without_locks_is_said_and_the_work_goes_on(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locks.held(tmp_path, ""):
        pass
    assert "cannot be locked (No locks available); going on" in capsys.readouterr().err


@pytest.mark.parametrize("command, option", [("synergynet_tf.experiment", "--out"), ("tuning.search", "--project"),
                                             ("synergynet_tf.prepare", "--raw")])
def test_a_second_command_in_one_folder_is_refused(command, option, tmp_path, tiny_cohort, settings, capsys):
    folder = tmp_path / "folder"
    folder.mkdir()
    given = ["--data.path", str(tiny_cohort)] if option == "--raw" else ["--config", str(settings)]
    with locks.held(folder, ""):
        assert importlib.import_module(command).main([*given, option, str(folder)]) == 2
    assert f"error: {folder}: another command works there (process {os.getpid()} on" in capsys.readouterr().err
    assert not [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
