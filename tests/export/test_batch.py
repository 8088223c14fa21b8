"""Requests of a batch: how long they are tried again, in which threads, and what an interruption does."""
import signal
import subprocess
import sys
import threading
import time

import pytest

from export.batch import FIRST_WAIT, LONGEST_WAIT, Patience, aside, at_once
from export.http_exchange import Unavailable
from synergynet_tf.errors import InputError
from tests.export import hostile


class Clock:
    """Time that passes while one sleeps, and no other."""

    def __init__(self):
        self.now, self.waits = 0.0, []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def patience(self, seconds: float, said: list) -> Patience:
        return Patience(seconds, said.append, self.sleep, lambda: self.now)


def away() -> None:
    raise Unavailable("away")


def test_waits_grow_until_patience_is_over():
    clock, said = Clock(), []
    with pytest.raises(InputError, match="within 60 s"):
        clock.patience(60, said).ask(away)
    assert clock.now == pytest.approx(60)
    assert clock.waits[0] <= FIRST_WAIT
    assert max(clock.waits) <= LONGEST_WAIT
    assert all(later > earlier / 2 for earlier, later in zip(clock.waits, clock.waits[1:-1]))
    assert said == ["away; asked again for up to 60 s"]


def test_a_lost_server_is_waited_for_once_by_a_thousand_scans():
    clock, said = Clock(), []
    patience = clock.patience(60, said)
    for _ in range(1000):
        with pytest.raises(InputError, match="within 60 s"):
            patience.ask(away)
    assert clock.now == pytest.approx(60)
    assert len(said) == 1
    assert patience.ask(lambda: 7) == 7             # it is back: from here on it is waited for again
    with pytest.raises(InputError):
        patience.ask(away)
    assert clock.now == pytest.approx(120)


def test_one_that_is_always_refused_has_an_end_beside_others_that_are_not():
    clock, said = Clock(), []
    patience = clock.patience(60, said)

    def busy() -> None:
        patience.ask(lambda: None)                  # another scan, which is answered
        raise Unavailable("busy")

    with pytest.raises(InputError, match="busy"):
        patience.ask(busy)
    assert clock.now == pytest.approx(60)


def test_what_cannot_pass_is_not_tried_again():
    clock, asked = Clock(), []

    def hopeless() -> None:
        asked.append(1)
        raise InputError("no")

    with pytest.raises(InputError, match="^no$"):
        clock.patience(60, []).ask(hopeless)
    assert (len(asked), clock.now) == (1, 0)


def test_results_come_with_their_items_and_errors_as_results():
    assert dict(at_once(lambda n: n * n, range(50), 4)) == {n: n * n for n in range(50)}
    results = dict(at_once(lambda n: 1 / n, [0, 1, 2], 8))
    assert isinstance(results[0], ZeroDivisionError)
    assert results[2] == 0.5
    assert list(at_once(str, [], 4)) == []


def test_results_that_nobody_takes_hold_the_work_up():
    done = []
    results = at_once(done.append, range(100), 2)
    next(results)
    time.sleep(0.2)
    assert len(done) <= 6
    assert len(list(results)) == 99


def test_aside_gives_what_the_work_gives():
    assert aside(threading.current_thread) is not threading.current_thread()
    with pytest.raises(InputError, match="no"):
        aside(lambda: (_ for _ in ()).throw(InputError("no")))


CALLS = {"waiting for the state": ("silent state", []), "waiting for a mask": ("silent answer", []),
         "waiting for a mask by gRPC": ("silent answer", ["--grpc"]), "between two tries": ("absent", []),
         "health": ("silent state", ["--health"])}


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow) if "gRPC" in name else name for name in CALLS])
def test_an_interruption_ends_it_at_once(name, tmp_path):
    what, more = CALLS[name]
    over = threading.Event()
    if "--grpc" in more:
        pytest.importorskip("tensorflow_serving")
        server = hostile.Grpc(lambda *_: over.wait(60) and b"")
    else:
        server = hostile.Rest(lambda _: waits(over))
    if what == "silent state":
        server.state = waits(over)
    if what == "absent":
        server.close()
    scans = [tmp_path / f"{i}.nii" for i in range(3)]
    for path in scans:
        path.write_bytes(hostile.scan())
    running = subprocess.Popen([sys.executable, "-m", "export.client", *map(str, scans), "--url", server.url, "--out",
                                str(tmp_path / "out"), *more], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if what == "absent":
        assert "asked again for up to 300 s" in running.stderr.readline()
    while len(server.requests) < {"absent": 0, "silent state": 1, "silent answer": 2}[what] and running.poll() is None:
        time.sleep(0.02)
    begin = time.monotonic()
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=60)
    taken = time.monotonic() - begin
    over.set()
    server.close()
    assert (running.returncode, said) == (130, "interrupted\n")
    assert taken < 20       # seconds of a busy machine; patience would be 300
    assert not list(tmp_path.glob("out/[!.]*"))
    assert not list(tmp_path.glob("out/*.tmp"))


def waits(over: threading.Event):
    """An answer that does not come."""
    over.wait(60)
    yield b""
