"""Progress in a log: lines that tell the time left, few, and none of what is soon done; on a terminal a bar."""
import io

import pytest
from rich.console import Console

from synergynet_tf.runtime import progress


def lines(seconds_a_step, total, done=0):
    """What a log holds of a work whose steps take so long."""
    now, said = [0.0], []
    log = progress.Lines("segmenting", total, done, lambda: now[0], said.append)
    for _ in range(total - done):
        now[0] += seconds_a_step
        log.advance()
    return said


def test_hours_are_a_few_lines_with_the_time_left():
    said = lines(36, 1000)
    assert said[0] == "segmenting: 17 of 1000 (2%) in 10 min, about 9 h 49 min left"
    assert len(said) == 58      # ten hours, a line in ten minutes
    assert said[-1].endswith("about 8 min 24 s left")


def test_minutes_are_a_line_a_tenth():
    said = lines(10, 100)
    assert [line.split(" (")[0] for line in said] == [f"segmenting: {n} of 100" for n in range(10, 100, 10)]
    assert said[4] == "segmenting: 50 of 100 (50%) in 8 min 20 s, about 8 min 20 s left"


@pytest.mark.parametrize("seconds, total", [(0.5, 100), (59, 1), (0, 5), (50, 2)])
def test_what_is_soon_done_is_not_told(seconds, total):
    assert lines(seconds, total) == []


def test_what_was_done_before_is_not_taken_for_fast():
    assert lines(60, 100, done=80)[0] == "segmenting: 90 of 100 (90%) in 10 min, about 10 min left"


def test_steps_without_end_in_sight_and_of_several_at_once():
    now, said = [0.0], []
    log = progress.Lines("phantoms", 20, 0, lambda: now[0], said.append)
    now[0] = 100
    log.advance(5, "phantoms of P005")
    log.advance(5)
    assert said == ["phantoms of P005: 5 of 20 (25%) in 1 min 40 s, about 5 min 0 s left"]


def test_a_log_gets_lines_on_stderr_and_a_terminal_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with progress.bar("scoring", 2) as advance:
        advance()
    shown = capsys.readouterr()
    assert shown.out == "" and shown.err.startswith("scoring: 1 of 2 (50%) in 0 s, about 0 s left")
    terminal = Console(file=io.StringIO(), force_terminal=True)
    with progress.bar("scoring", 2, console=terminal) as advance:
        advance()
    assert "scoring" in terminal.file.getvalue()
    with progress.bar("scoring", 2, console=Console(quiet=True)) as advance:
        advance()
    assert capsys.readouterr() == ("", "")
