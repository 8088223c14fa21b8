"""What is left of a search: the importance of parameters, the table, figures, HParams."""
import csv

import pytest

from synergynet_tf.config import Config, command_line
from tests.tuning.planted import SPACE, search
from tuning import report
from tuning.board import Board
from tuning.gamma_scan import GAMMAS, THRESHOLDS, Curve, Scan
from tuning.objective import Objective
from tuning.settings import Settings
from tuning.space import PARAMETERS, Space

FOUND = Scan(*(Curve(values, tuple({"dsc": 1 - (v - 0.4) ** 2, "sn": 0.5} for v in values),
                     tuple(1 - (v - 0.4) ** 2 for v in values)) for values in (GAMMAS, THRESHOLDS)))


def only_gamma(config, folder, parent):
    """Scores that hang on gamma alone."""
    return {"dsc": 1 - (config.fusion.gamma - 0.7) ** 2, "sn": 0.5}


@pytest.fixture(scope="module")
def tuner(tmp_path_factory):
    return search(tmp_path_factory.mktemp("report") / "search", Settings("random", 24), only_gamma)


def test_importance_is_that_of_the_parameter_which_matters(tuner):
    weighed = report.importance(list(tuner.oracle.trials.values()), SPACE)
    assert weighed.loss["fusion.gamma"] > 10 * abs(weighed.loss["loss.alpha6"])
    assert weighed.r2 > 0.3
    assert report.importance(list(tuner.oracle.trials.values())[:7], SPACE) is None


def test_what_is_written(tuner, tmp_path):
    trials = list(tuner.oracle.trials.values())
    report.write(tmp_path, trials, SPACE, Config(), Objective(), FOUND, True)
    best = report.best_trial(trials)
    assert best.score == max(trial.score for trial in trials)
    chosen, _ = command_line.parse(["--config", str(tmp_path / "best.yaml")], "test")
    assert chosen.fusion.gamma == best.hyperparameters.values["fusion.gamma"]
    assert chosen.loss.alpha6 == best.hyperparameters.values["loss.alpha6"]
    for name in ("gamma.png", "parallel.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "summary.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| trial")]
    assert rows[0].split("|")[1].strip() == best.trial_id       # best first
    assert "the loss weights acted in stage 4 alone" in text
    assert "at gamma 0.4" in text
    with open(tmp_path / "scan.csv", newline="") as file:
        written = list(csv.DictReader(file))
    assert len(written) == 200
    assert max((row for row in written if row["setting"] == "gamma"), key=lambda row: float(row["objective"]))["value"] == "0.4"


def test_places_in_a_range():
    space = Space(alpha6=(1.0, 100.0), anchor_sets=((7.0, 9.0), (5.0, 7.0), (3.0,)))
    of = {parameter.name: parameter for parameter in PARAMETERS}
    assert report.place(of["alpha6"], space, 10.0) == pytest.approx(0.5)
    assert report.place(of["gamma"], space, 0.25) == 0.25
    assert report.place(of["anchor_sets"], space, "5 7") == 0.5


def test_the_table_sets_the_best_trial_off(tuner):
    from rich.console import Console

    console = Console(width=120, record=True)
    table = Board(tuner.trial_folder("00").parent, "dsc", console).table(tuner.oracle.trials)
    best = report.best_trial(list(tuner.oracle.trials.values()))
    assert [row.style for row in table.rows].count("bold") == 1
    console.print(table)
    text = console.export_text()
    assert f"{best.score:.4f}" in text and "24 of 24 trials completed" in text


def test_tensorboard_gets_the_values_and_the_objective(tuner):
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    trial = tuner.oracle.trials["05"]
    events = EventAccumulator(str(tuner.trial_folder("05").parent / "tensorboard" / "05"))
    events.Reload()
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    session = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert session.hparams["fusion.gamma"].number_value == pytest.approx(trial.hyperparameters.values["fusion.gamma"])
    value, = events.Tensors("dsc")
    assert tf.make_ndarray(value.tensor_proto) == pytest.approx(trial.score)
