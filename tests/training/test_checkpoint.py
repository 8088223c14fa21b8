"""Checkpoints: whole or absent, exact, readable by name, and clear about what they cannot do."""
import dataclasses
import io
import json

import keras
import numpy as np
import pytest

from synergynet_tf.config import Config
from synergynet_tf.errors import InputError
from synergynet_tf.models.synergynet import build_synergynet
from synergynet_tf.training import checkpoint
from synergynet_tf.training.checkpoint import Progress
from synergynet_tf.training.optimizer import make_optimizer
from synergynet_tf.training.stages import STAGES, trainable_variables
from tests.cohort import TINY
from tests.damage import damaged, mangled

CONFIG = Config.from_dict(TINY)


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    return build_synergynet(CONFIG)


def test_weights_optimizer_and_progress_come_back_bit_for_bit(model, tmp_path):
    optimizer = make_optimizer(CONFIG.train, 10)
    variables = trainable_variables(model, STAGES[1])
    optimizer.build(variables)
    optimizer.apply_gradients(zip([np.ones(v.shape, np.float32) for v in variables], variables))
    checkpoint.save(tmp_path / "last.npz", model, CONFIG, Progress(2, 7, 0.5), optimizer)

    read = checkpoint.load(tmp_path / "last.npz")
    assert (read.config, read.progress) == (CONFIG, Progress(2, 7, 0.5))
    other = build_synergynet(CONFIG)
    read.restore_weights(other)
    fresh = make_optimizer(CONFIG.train, 10)
    fresh.build(trainable_variables(other, STAGES[1]))
    read.restore_optimizer(fresh)
    for a, b in zip(model.weights, other.weights):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(optimizer.variables, fresh.variables):
        np.testing.assert_array_equal(a, b)
    assert not list(tmp_path.glob(".*"))


def test_averaged_weights_are_used_where_the_run_keeps_them(model, tmp_path):
    average = [np.asarray(v) + 1 for v in checkpoint.named_weights(model).values()]
    checkpoint.save(tmp_path / "best.npz", model, CONFIG, Progress(4, 1), average=average)
    loaded, config = checkpoint.load_run(tmp_path)
    assert config == CONFIG
    for a, b in zip(model.weights, loaded.weights):
        np.testing.assert_array_equal(np.asarray(a) + 1, b)


def test_names_tell_the_part_and_do_not_repeat(model):
    names = list(checkpoint.named_weights(model))
    assert len(names) == len(set(names)) == len(model.weights)
    assert "encoder/000_kernel" in names


def test_another_network_is_refused(model, tmp_path):
    checkpoint.save(tmp_path / "last.npz", model, CONFIG, Progress())
    wider = dataclasses.replace(CONFIG, unet=dataclasses.replace(CONFIG.unet, widths=(8, 8, 8, 8)))
    with pytest.raises(InputError, match=r"last\.npz: encoder/.*shape.*wants"):
        checkpoint.load(tmp_path / "last.npz").restore_weights(build_synergynet(wider))


@pytest.mark.parametrize(("content", "message"), [
    (None, "no such checkpoint"), (b"", "not a readable"), (b"PK\3\4damaged", "not a readable")])
def test_absent_and_damaged_files_are_named(tmp_path, content, message):
    if content is not None:
        (tmp_path / "last.npz").write_bytes(content)
    with pytest.raises(InputError, match=f"last.npz: {message}"):
        checkpoint.load(tmp_path / "last.npz")


def test_another_major_version_of_keras_reads_the_weights_but_does_not_resume(model, tmp_path, monkeypatch):
    checkpoint.save(tmp_path / "last.npz", model, CONFIG, Progress())
    monkeypatch.setattr(checkpoint, "_keras", lambda: 1)
    read = checkpoint.load(tmp_path / "last.npz")
    read.restore_weights(build_synergynet(CONFIG))
    with pytest.raises(InputError, match="cannot be resumed under Keras 1"):
        read.restore_optimizer(make_optimizer(CONFIG.train, 10))


@pytest.mark.parametrize("arrays", [{"x": np.zeros(2)}, {"meta": np.frombuffer(b"{}", np.uint8)}, {"meta": np.zeros(3)}])
def test_a_file_of_something_else_is_no_checkpoint(tmp_path, arrays):
    np.savez(tmp_path / "last.npz", **arrays)
    with pytest.raises(InputError, match="not a readable checkpoint"):
        checkpoint.load(tmp_path / "last.npz")


def test_a_cut_off_checkpoint_is_not_read(model, tmp_path):
    checkpoint.save(tmp_path / "last.npz", model, CONFIG, Progress())
    whole = (tmp_path / "last.npz").read_bytes()
    (tmp_path / "last.npz").write_bytes(whole[:len(whole) // 2])
    with pytest.raises(InputError, match="not a readable checkpoint"):
        checkpoint.load(tmp_path / "last.npz")


def test_a_failing_write_leaves_the_old_checkpoint(model, tmp_path, monkeypatch):
    checkpoint.save(tmp_path / "last.npz", model, CONFIG, Progress(1, 1))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("synergynet_tf.storage.files.os.replace", full)
    with pytest.raises(InputError, match="the disk is full"):
        checkpoint.save(tmp_path / "last.npz", model, CONFIG, Progress(1, 2))
    assert checkpoint.load(tmp_path / "last.npz").progress == Progress(1, 1)
    assert not list(tmp_path.glob(".*"))


def contents(model, tmp_path, count):
    """Damaged files, and files whose meta says something else."""
    checkpoint.save(tmp_path / "last.npz", model, CONFIG, Progress(2, 1, 0.5), average=[np.asarray(v) for v in model.weights])
    with np.load(tmp_path / "last.npz") as file:
        arrays = dict(file)
    yield from damaged((tmp_path / "last.npz").read_bytes(), count)
    for meta in mangled(json.loads(arrays["meta"].tobytes()), count, seed=1):
        buffer = io.BytesIO()
        np.savez(buffer, **arrays | {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)})
        yield buffer.getvalue()


def check_damage(model, tmp_path, count):
    refused, other = 0, build_synergynet(CONFIG)
    for content in contents(model, tmp_path, count):
        (tmp_path / "last.npz").write_bytes(content)
        try:
            found = checkpoint.load(tmp_path / "last.npz")
            found.restore_weights(other)
            found.average(other)
        except InputError as error:
            refused += 1
            assert str(error).startswith(str(tmp_path / "last.npz")) and "\n" not in str(error)
    assert refused > count


@pytest.mark.few
def test_a_damaged_checkpoint_is_named(model, tmp_path):
    check_damage(model, tmp_path, 20)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_400_times(model, tmp_path):
    check_damage(model, tmp_path, 200)


@pytest.fixture(scope="module")
def arrays(model, tmp_path_factory):
    """What a checkpoint holds."""
    path = tmp_path_factory.mktemp("whole") / "last.npz"
    checkpoint.save(path, model, CONFIG, Progress(2, 1, 0.5), make_built(model))
    with np.load(path) as file:
        return dict(file)


def stored(arrays, tmp_path, **changes):
    """A checkpoint with other arrays, or other meta."""
    meta = json.loads(arrays["meta"].tobytes()) | changes.pop("meta", {})
    arrays = arrays | {"meta": np.frombuffer(json.dumps(meta).encode(), np.uint8)} | changes
    np.savez(tmp_path / "last.npz", **{name: value for name, value in arrays.items() if value is not None})
    return checkpoint.load(tmp_path / "last.npz")


def make_built(model):
    optimizer = make_optimizer(CONFIG.train, 10)
    optimizer.build(trainable_variables(model, STAGES[1]))
    return optimizer


@pytest.mark.parametrize(("meta", "message"), [
    ({"format": 2}, "its format is 2"), ({"progress": {"stage": 9}}, "progress.stage is 9"), ({"config": 5}, "config is 5"),
    ({"progress": {"stage": 1, "best": float("nan")}}, "NaN"), ({"progress": {"steps": 1}}, "progress.steps"),
    ({"config": {}}, "no group data"), ({"config": CONFIG.asdict() | {"fusing": {}}}, "no group of settings 'fusing'.*fusion"),
    ({"config": CONFIG.asdict() | {"fusion": {"gama": 1}}}, "no setting fusion.gama; did you mean fusion.gamma"),
    ({"config": CONFIG.asdict() | {"fusion": {"gamma": 7}}}, "fusion.gamma is 7.0, but it must be 0 to 1"),
])
def test_what_a_checkpoint_says_of_itself_is_checked(arrays, tmp_path, meta, message):
    with pytest.raises(InputError, match=rf"last\.npz: not a readable checkpoint .*{message}"):
        stored(arrays, tmp_path, meta=meta)


def test_weights_and_states_that_do_not_fit_are_named_and_nothing_is_assigned(model, arrays, tmp_path):
    built, before = make_built(model), [np.asarray(variable) for variable in model.weights]
    restored = {"weights/encoder/000_kernel": lambda found: found.restore_weights(model),
                "optimizer/0003": lambda found: found.restore_optimizer(built)}
    for name, restore in restored.items():
        value = arrays[name]
        for changed, message in ((value[..., :1], "shape"), (None, "absent"), (value + np.nan, "finite"), (value > 0, "finite")):
            with pytest.raises(InputError, match=f"{name.removeprefix('weights/')}.*{message}"):
                restore(stored(arrays, tmp_path, **{name: changed}))
    assert all(np.array_equal(a, b) for a, b in zip(before, model.weights))
