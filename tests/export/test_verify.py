"""verify: a sound bundle passes, in Python and through the C API; a damaged, a wrong and an unservable one do not."""
import shutil

import numpy as np
import pytest
import tensorflow as tf

from export import bundle, verify
from synergynet_tf.errors import InputError

pytest.importorskip("tensorflow_serving")


def test_a_sound_bundle(toy_bundle, capsys):
    assert verify.main([str(toy_bundle)]) == 0
    shown = capsys.readouterr().out
    assert "masks identical" in shown
    assert "DecodeCompressed" in shown
    assert "C API" in shown


@pytest.fixture
def copied(toy_bundle, tmp_path):
    return shutil.copytree(toy_bundle, tmp_path / "bundle")


def test_a_changed_file_is_noticed(copied, capsys):
    (copied / "toy" / "1" / "model_card.md").write_text("Cures everything.")
    assert verify.main([str(copied)]) == 2
    assert "model_card.md absent or not as SHA256SUMS says" in capsys.readouterr().err


def test_answers_that_differ_are_refused():
    probability, mask = np.full((4, 4, 4), 0.25, np.float32), np.zeros((4, 4, 4), np.uint8)
    want = {"segment_raw/outputs/probability": probability, "segment_raw/outputs/mask": mask}
    near = want | {"segment_raw/outputs/probability": probability + 5e-5}
    assert verify.compare(want, near, "x") == pytest.approx(5e-5, rel=1e-2)
    with pytest.raises(InputError, match="probability differs from the trained network's by 0.0002"):
        verify.compare(want, want | {"segment_raw/outputs/probability": probability + 2e-4}, "x")
    with pytest.raises(InputError, match="mask differs"):
        verify.compare(want, want | {"segment_raw/outputs/mask": np.eye(4, dtype=np.uint8)[None] + mask}, "x")
    with pytest.raises(InputError, match="mask is absent"):
        verify.compare(want, {"segment_raw/outputs/probability": probability}, "x")


def test_python_inside_the_graph_is_refused(tmp_path):
    module = tf.Module()
    module.double = tf.function(lambda volume: {"mask": tf.numpy_function(lambda x: 2 * x, [volume], tf.float32)},
                                [tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serving_default": module.double})
    np.savez(tmp_path / "answers.npz", **{"serving_default/inputs/volume": np.float32(2)})
    with pytest.raises(InputError, match="run_python.py|PyFunc"):
        verify.check_answers(tmp_path / "1", tmp_path / "answers.npz", "x", 0)


def test_no_bundle(tmp_path, capsys):
    assert verify.main([str(tmp_path)]) == 2
    assert "holds no model" in capsys.readouterr().err
    for name in ("a", "b"):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "1" / "saved_model.pb").touch()
    assert verify.main([str(tmp_path)]) == 2
    assert "--name" in capsys.readouterr().err
    assert bundle.SUMS == "SHA256SUMS"
