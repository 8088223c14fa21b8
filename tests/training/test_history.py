"""The log of a run: it only grows, and what is read of it is what the run did."""
import json

import pytest
from rich.console import Console

from synergynet_tf.errors import InputError
from synergynet_tf.training.history import LOG, History, read_log
from synergynet_tf.training.stages import STAGES
from tests.damage import damaged

RPN = STAGES[0]


@pytest.fixture
def begun(tmp_path):
    """Begin a run, or go on with it, and write the records of these epochs of stage 1."""

    def run(done, *epochs):
        history = History(tmp_path, done, Console(quiet=True))
        for epoch in epochs:
            history.record(RPN, epoch, 2 * epoch + 1, 1.0, {"rpn": 0.5})
            history.record(RPN, epoch, 2 * epoch + 2, 1.0, {"rpn": 0.5}, {"loss": 2.0, "dsc": float("nan")}, 3.0)
        history.close()
        return tmp_path / LOG

    return run


def steps(path):
    return [record["step"] for record in read_log(path)]


def test_records_come_back_and_a_metric_without_a_value_is_left_out(begun):
    path = begun((1, 0), 0, 1)
    assert steps(path) == [1, 2, 3, 4]
    assert read_log(path)[1] == {"stage": 1, "epoch": 0, "step": 2, "loss": 1.0, "parts": {"rpn": 0.5},
                                 "validation": {"loss": 2.0}, "seconds": 3.0}


@pytest.mark.parametrize(("done", "then", "expected"), [
    ((1, 2), (2,), [1, 2, 3, 4, 5, 6]), ((1, 1), (1,), [1, 2, 3, 4]), ((1, 0), (0,), [1, 2]), ((2, 0), (), [1, 2, 3, 4])])
def test_a_run_that_goes_on_keeps_every_line_and_drops_what_comes_again(begun, done, then, expected):
    """The checkpoint may be as old as the log, older (a kill, or an older file put back), or absent."""
    before = begun((1, 0), 0, 1).read_bytes()
    path = begun(done, *then)
    assert path.read_bytes().startswith(before)
    assert steps(path) == expected


def test_a_line_torn_by_a_kill_is_set_apart_wherever_it_was_cut(begun):
    path = begun((1, 0), 0)
    first, last = path.read_bytes().splitlines(keepends=True)
    for cut in range(1, len(last) + 1):
        path.write_bytes(first + last[:cut])
        assert steps(path)[:1] == [1]
        begun((1, 0), 0)
        assert path.read_bytes().startswith(first + last[:cut])
        assert steps(path) == [1, 2]
        assert all(line.startswith(b"{") for line in path.read_bytes().splitlines())


def test_a_damaged_log_is_named_before_the_training_and_left_as_it_is(begun):
    path = begun((1, 0), 0, 1, 2)
    whole, refused = path.read_bytes(), 0
    for content in damaged(whole, 60):
        path.write_bytes(content)
        try:
            read_log(path)
        except InputError as error:
            refused += 1
            assert str(error).startswith(f"{path}: not a readable log") and "\n" not in str(error)
            with pytest.raises(InputError):
                begun((1, 1), 1)
            assert path.read_bytes() == content
    assert refused > 20


def test_a_log_of_something_else(tmp_path):
    for text in ("[]", "{}", '{"stage": 1}', json.dumps({"resumed": "x"})):
        (tmp_path / LOG).write_text(text + "\n\n{}\n")
        with pytest.raises(InputError, match=r"log\.jsonl: not a readable log"):
            read_log(tmp_path / LOG)


def test_a_full_disk_is_called_so(tmp_path, monkeypatch):
    history = History(tmp_path, (1, 0), Console(quiet=True))
    monkeypatch.setattr("synergynet_tf.training.history.json.dumps", lambda *_, **__: "x" * 100_000)
    history._file.close()
    with open("/dev/full", "ab") as full:
        history._file = full
        with pytest.raises(InputError, match=r"log\.jsonl: cannot be written .the disk is full.; make room"):
            history.record(RPN, 0, 1, 1.0, {})
        history._file = None


@pytest.mark.parametrize("validation, said", [({"loss": 2.0, "dsc": 0.5}, "; validation loss 2.0000  dsc 0.5000"), ({}, "")])
def test_a_line_says_which_loss_is_the_training_s(tmp_path, capsys, validation, said):
    history = History(tmp_path, (1, 0), Console())
    history.record(RPN, 0, 2, 1.0, {"rpn": 0.5}, validation, 3.0)
    history.close()
    assert capsys.readouterr().out == f"stage 1 ({RPN.name}) epoch 1: training loss 1.0000{said}  (3 s)\n"
