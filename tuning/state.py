"""What Keras Tuner keeps of a search, `trial_<number>/trial.json` and `oracle.json`, checked before it is believed.

It reads them as they come; what is wrong with one would show as a KeyError in the middle of a search, or as a wrong best trial.
"""
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import keras_tuner
from keras_tuner.engine.trial import Trial

from synergynet_tf.storage.readers import parse_json, read_json, reading

REMEDY = "put a copy of the project folder back, or begin the search anew in another one (--project)"
SPACE = {"space": list, "values": dict[str, int | float | str | None]}
OBSERVATION: Any = {"value": list[float], "step": int}
HISTORY: Any = {"direction": Literal["min", "max"], "observations": list[OBSERVATION]}
TRIAL = {"trial_id": str, "hyperparameters": SPACE, "metrics": {"metrics": dict[str, HISTORY]}, "score": float | None,
         "best_step": int | None, "status": Literal["RUNNING", "IDLE", "INVALID", "STOPPED", "COMPLETED", "FAILED"],
         "message": str | None}
ORACLE = {"ongoing_trials": dict[str, str], "hyperparameters": SPACE, "start_order": list[str], "end_order": list[str],
          "run_times": dict[str, int], "retry_queue": list[str], "seed": int, "seed_state": int, "tried_so_far": list[str],
          "id_to_hash": dict[str, str | None],
          "display": {"search_start": None, "trial_start": dict[str, str], "trial_number": dict[str, int]}}
PLACE: Any = {"past_id": str | None, "id": str}
BRACKET: Any = {"bracket_num": int, "rounds": list[list[PLACE]]}
HYPERBAND = {"hyperband_iterations": int, "max_epochs": int, "min_epochs": int, "factor": int, "current_bracket": int,
             "current_iteration": int, "brackets": list[BRACKET]}


def read_trial(path: Path, oracle: keras_tuner.Oracle) -> Trial:
    """A trial from its own file.

    Raises:
        InputError: it cannot be one of this oracle's search.
    """
    value = read_json(path, "record of a trial", REMEDY, TRIAL)
    with reading(path, "record of a trial", REMEDY):
        _require_equal("trial_id", value["trial_id"], path.parent.name.removeprefix("trial_"))
        _require_values(value["hyperparameters"], oracle)
        trial = Trial.from_state(value)
        if trial.status == "COMPLETED":
            _require_equal("score", trial.score, trial.metrics.get_best_value(oracle.objective.name))
        return trial


def check_oracle(path: Path, oracle: keras_tuner.Oracle) -> None:
    """See that the file holds the state of this oracle, whose trials have been read.

    Raises:
        InputError: it does not.
    """
    hyperband = HYPERBAND if isinstance(oracle, keras_tuner.oracles.HyperbandOracle) else {}
    value = read_json(path, "state of a search", REMEDY, ORACLE | hyperband)
    with reading(path, "state of a search", REMEDY):
        ours = parse_json(json.dumps(oracle.get_state()))
        _require_equal("hyperparameters", value["hyperparameters"]["space"], ours["hyperparameters"]["space"])
        for name in ("seed", "hyperband_iterations", "max_epochs", "min_epochs", "factor"):
            _require_equal(name, value.get(name), ours.get(name))
        unknown = sorted(set(_named(value)) - set(oracle.trials))
        if unknown:
            raise ValueError(f"it names trial {unknown[0]}, of which there is no file")
        for bracket in value.get("brackets", ()):
            _require_equal("rounds of a bracket", len(bracket["rounds"]), bracket["bracket_num"] + 1)


def _named(state: dict[str, Any]) -> Iterator[str]:
    """The trials that an oracle's state names."""
    yield from (*state["ongoing_trials"].values(), *state["start_order"], *state["end_order"], *state["retry_queue"])
    for bracket in state.get("brackets", ()):
        for entry in (entry for entries in bracket["rounds"] for entry in entries):
            yield entry["id"]
            if entry["past_id"] is not None:
                yield entry["past_id"]


def _require_values(stored: dict[str, Any], oracle: keras_tuner.Oracle) -> None:
    """Raise ValueError unless a trial's values are of the oracle's space."""
    space = oracle.get_space()
    _require_equal("hyperparameters.space", stored["space"], parse_json(json.dumps(space.get_config()))["space"])
    for parameter in space.space:
        value = stored["values"].get(parameter.name)
        if isinstance(parameter, keras_tuner.engine.hyperparameters.Choice):
            fits = value in parameter.values
        else:
            fits = isinstance(value, int | float) and parameter.min_value <= value <= parameter.max_value
        if not fits:
            raise ValueError(f"{parameter.name} is {value!r}, which is not of the search's space")


def _require_equal(name: str, value: Any, wanted: Any) -> None:
    same = math.isclose(value, wanted) if isinstance(value, float) and isinstance(wanted, float) else value == wanted
    if not same:
        raise ValueError(f"{name} is {value!r}, but it must be {wanted!r}")
