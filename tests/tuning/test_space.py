"""The search space: its ranges, what it makes of a configuration, what it refuses."""
import dataclasses

import numpy as np
import pytest

from synergynet_tf.config import Config, command_line
from synergynet_tf.errors import InputError
from tuning.objective import Objective, Weights
from tuning.space import PARAMETERS, Space, apply, hyperparameters, searched

ALL = Space(learning_rate=(1e-4, 1e-2), small_box_voxels=(500, 4000), anchor_sets=((7, 9), (5, 7, 11)),
            score_threshold=(0.1, 0.6), proposal_nms=(0.1, 0.5), detection_nms=(0.1, 0.4))


def test_the_defaults_are_the_papers_values_and_stand_in_the_middle_of_their_ranges():
    found = hyperparameters(Space(), Config())
    expected = {"fusion.gamma": 0.3, "loss.alpha1": 1, "loss.alpha2": 1, "loss.alpha3": 1.3, "loss.alpha4": 1, "loss.alpha5": 1,
                "loss.alpha6": 5}
    assert {hp.name: hp.default for hp in found.space} == expected
    for hp in found.space[1:]:
        assert np.sqrt(hp.min_value * hp.max_value) == pytest.approx(hp.default)
        assert hp.sampling == "log"
    assert (found.space[0].min_value, found.space[0].max_value, found.space[0].sampling) == (0, 1, "linear")


def test_every_parameter_reaches_its_setting_and_nothing_else():
    found = hyperparameters(ALL, Config())
    assert len(found.space) == len(PARAMETERS)
    rng = np.random.default_rng(0)
    values = {hp.name: hp.random_sample(int(rng.integers(1000))) for hp in found.space}
    config = apply(Config(), values | {"tuner/epochs": 3})
    for parameter in PARAMETERS:
        value = getattr(getattr(config, parameter.group), parameter.field)
        text = " ".join(f"{size:g}" for size in value) if parameter.name == "anchor_sets" else value
        assert text == values[parameter.key]
    back = apply(config, {hp.name: hp.default for hp in hyperparameters(ALL, Config()).space} | {
        "detector.anchor_sizes": "7 9 11 15"})
    assert back == Config()


def test_numpys_numbers_become_plain_ones_that_a_file_holds(tmp_path):
    config = apply(Config(), {"fusion.gamma": np.float64(0.5), "lesions.small_box_voxels": np.int64(700)})
    command_line.save(config, tmp_path / "config.yaml")
    assert command_line.parse(["--config", str(tmp_path / "config.yaml")], "test")[0] == config


def test_what_is_null_is_not_searched_and_keeps_the_configurations_value():
    space = Space(gamma=(0.2, 0.6), alpha1=None, alpha2=None, alpha3=None, alpha4=None, alpha5=None)
    assert [parameter.name for parameter in searched(space)] == ["gamma", "alpha6"]
    base = dataclasses.replace(Config(), loss=dataclasses.replace(Config().loss, alpha3=2.0, alpha6=100.0))
    gamma, alpha6 = hyperparameters(space, base).space
    assert (gamma.min_value, gamma.max_value, gamma.default) == (0.2, 0.6, 0.3)
    assert alpha6.default == alpha6.max_value == 20     # the configuration's value lies beyond the range
    assert apply(base, {"fusion.gamma": 0.5}).loss.alpha3 == 2.0


@pytest.mark.parametrize("change, told", [
    ({"gamma": (0.5, 0.5)}, "space.gamma is [0.5, 0.5], but the first value must be below the second"),
    ({"gamma": (0.0, 1.5)}, "fusion.gamma must be 0 to 1"),
    ({"alpha6": (0.0, 5.0)}, "loss.alpha6 must be above 0"),
    ({"learning_rate": (1e-3, float("inf"))}, "space.learning_rate"),
    ({"anchor_sets": ((7.0, 9.0),)}, "space.anchor_sets"),
    ({"anchor_sets": ((7.0, 9.0), (-1.0,))}, "space.anchor_sets"),
    ({parameter.name: None for parameter in PARAMETERS}, "space searches nothing"),
])
def test_a_space_that_cannot_be_searched_is_refused(change, told):
    with pytest.raises(InputError) as raised:
        Space(**change)
    assert told in str(raised.value)


SCORES = {"dsc": 0.5, "ap": 0.25, "ltpr": 0.75, "lfpr": 0.125, "sn": 1.0}


@pytest.mark.parametrize("objective, value", [
    (Objective(), 0.5),
    (Objective("ltpr-lfpr"), 0.625),
    (Objective("weighted"), 0.5 + 0.25 + 0.75 - 0.125 + 1.0),
    (Objective("weighted", Weights(dsc=2, ap=0, ltpr=0, lfpr=4, sn=0)), 0.5),
])
def test_the_objectives_by_hand(objective, value):
    assert objective.value(SCORES) == value


def test_metrics_that_no_case_defines():
    nothing_predicted = {name: value for name, value in SCORES.items() if name != "lfpr"}
    assert Objective("ltpr-lfpr").value(nothing_predicted) == 0.75
    with pytest.raises(InputError, match="ltpr is undefined"):
        Objective("ltpr-lfpr").value({"dsc": 0.0, "lfpr": 1.0})


def test_unknown_objectives_and_weights_are_refused():
    with pytest.raises(InputError, match="--objective is 'dice', but the objectives are dsc, ltpr-lfpr, weighted"):
        Objective("dice")
    with pytest.raises(InputError, match="weights.ap is -1"):
        Weights(ap=-1)
    with pytest.raises(InputError, match="all weights are 0"):
        Weights(0, 0, 0, 0, 0)
