"""A training that begins with another run's weights: what it takes over, and what it refuses."""
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from synergynet_tf import train
from synergynet_tf.config import DataConfig, UNetConfig, command_line
from synergynet_tf.errors import InputError
from synergynet_tf.models.synergynet import build_synergynet
from synergynet_tf.training import checkpoint

STILL = ["--train.learning_rate", "1e-12"]      # a step that changes nothing to speak of


@pytest.fixture(scope="module")
def run(settings, tmp_path_factory):
    """What --init reads of a run: its checkpoints, here of a network that nothing has trained, with averaged weights."""
    folder = tmp_path_factory.mktemp("run")
    config, _ = command_line.parse(["--config", str(settings), "--train.average", "0.5"], "test")
    keras.utils.set_random_seed(3)
    model = build_synergynet(config)
    averages = [np.asarray(variable) + 0.01 for variable in checkpoint.named_weights(model).values()]
    for name in ("best.npz", "last.npz"):
        checkpoint.save(folder / name, model, config, checkpoint.Progress(4, 1), average=averages)
    return folder


def weights(run, group="weights"):
    return {name: value for name, value in checkpoint.load(run / "last.npz").arrays.items() if name.startswith(group)}


def begin(run, settings, folder, *options):
    return train.main(["--run", str(folder), "--config", str(settings), "--init", str(run), "--train.epochs", "[0,0,0,1]",
                       *options])


@pytest.mark.slow
def test_it_begins_with_the_averaged_weights_and_averages_from_there(run, settings, tmp_path, capsys):
    first_stage = ["--train.epochs", "[1,0,0,0]"]       # traced in a fifth of the last one's time
    assert begin(run, settings, tmp_path, *STILL, *first_stage, "--train.average", "0.9") == 0
    assert f"begins with the weights of {run / 'best.npz'}: encoder, decoder" in capsys.readouterr().out
    for group in ("weights", "average"):
        for name, value in weights(tmp_path, group).items():
            expected = weights(run, "average")["average/" + name.split("/", 1)[1]]
            np.testing.assert_allclose(value, expected, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_another_system_takes_over_the_parts_that_it_shares(run, settings, tmp_path, capsys):
    assert begin(run, settings, tmp_path, *STILL, "--train.system", "unet") == 0
    assert "encoder, decoder, global_head\n" in capsys.readouterr().out
    theirs = weights(run, "average")
    for name, value in weights(tmp_path).items():
        np.testing.assert_allclose(value, theirs["average/" + name.split("/", 1)[1]], atol=1e-6, err_msg=name)


@pytest.mark.parametrize("changed, words", [
    ({"unet": UNetConfig((4, 4, 8, 16))}, r"encoder/\d+_\w+ is \(3, 3, 3, 8, 8\) in it and \(3, 3, 3, 8, 16\) in this"),
    ({"data": DataConfig(channels=("flair", "t2"))}, r"encoder/000_kernel is .* set data\.channels, unet, detector"),
    ({"unet": UNetConfig((4, 4, 8, 8), convolutions=3)}, r"encoder/006_kernel is .* and \(3, 3, 3, 4, 4\) in this")])
def test_a_network_of_another_shape_is_refused(run, changed, words):
    given = checkpoint.load(run / "last.npz")
    model = build_synergynet(replace(given.config, **changed))
    before = [np.asarray(variable) for variable in model.weights]
    with pytest.raises(InputError, match=words):
        given.begin(model)
    assert all((now == was).all() for now, was in zip(map(np.asarray, model.weights), before))


def test_a_network_without_a_common_part_is_refused(run):
    given = checkpoint.load(run / "last.npz")
    with pytest.raises(InputError, match="no part of this network is in it"):
        given.begin(SimpleNamespace())


def test_what_is_no_run_is_refused_before_anything_is_made(settings, tmp_path, capsys):
    assert begin(tmp_path / "nothing", settings, tmp_path / "new") == 2
    assert "nothing/best.npz: no such checkpoint" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_a_run_that_goes_on_has_begun_already(run, settings, capsys):
    assert train.main(["--run", str(run), "--init", str(run), "--resume"]) == 2
    assert "--init is given with --resume" in capsys.readouterr().err
