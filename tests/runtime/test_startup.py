"""Starting TensorFlow: the convolutions' library, which it reads once, as it is imported; what is not taken along."""
import os
import platform
import subprocess
import sys

import pytest

from tests.conftest import ROOT

ASKED = ("import synergynet_tf; from tensorflow.python.util import _pywrap_util_port as port; "      # no public name tells it
         "print(port.IsMklEnabled())")


def _answer(code, **settings):
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"} | settings
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="TensorFlow has oneDNN's convolutions on x86")
def test_convolutions_are_one_dnn_s_on_every_x86_processor():
    assert _answer(ASKED) == "True"


def test_who_turns_one_dnn_off_is_obeyed():
    code = "import synergynet_tf, os; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"       # which TensorFlow reads
    assert _answer(code, TF_ENABLE_ONEDNN_OPTS="0") == "0"


def test_what_only_keras_would_use_is_left_out_and_there_for_others():
    code = ("import sys; import pandas; from synergynet_tf.runtime.startup import import_tensorflow; import_tensorflow(); "
            "print(sorted({'PIL', 'h5py', 'matplotlib', 'pandas', 'sklearn', 'keras'} & set(sys.modules)), "
            "sys.modules['pandas'] is pandas); "
            "import h5py, PIL.Image, matplotlib.figure, sklearn.metrics; import keras; keras.Sequential([keras.layers.Dense(1)])")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['keras', 'pandas'] True"]


FORWARD = """
import sys
from synergynet_tf.runtime.startup import import_tensorflow
import_tensorflow()
import keras, numpy as np, tensorflow as tf
from synergynet_tf.config import Config
from synergynet_tf.models.synergynet import build_synergynet
from synergynet_tf.models.unet import build_unet
from tests.cohort import TINY
keras.utils.set_random_seed(1)
image = np.random.default_rng(0).normal(size=(1, 32, 32, 32, 1)).astype(np.float32)
model = build_unet(Config.from_dict(TINY))
out = tf.nest.flatten(model(image))
print([tensor.dtype.name for tensor in out], sum(float(tf.reduce_sum(tf.abs(tf.cast(tensor, tf.float64)))) for tensor in out))
"""


def _forward(home, code=FORWARD, **settings):
    """What a network answers in a process whose user has such a home and environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KERAS")}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment | {"HOME": str(home)} | settings,
                          capture_output=True, text=True)
    return done.stdout.strip() or done.stderr


HOSTILE = {"values": '{"floatx": "float64", "image_data_format": "channels_first", "epsilon": 0.1, "backend": "jax"}',
           "float16": '{"floatx": "float16"}', "unknown": '{"floatx": "float8"}', "text": '{"epsilon": "small"}',
           "no table": "[1]", "not JSON": "{", "an integer": '{"epsilon": 1}'}


def _write(home, content):
    (home / ".keras").mkdir()
    (home / ".keras" / "keras.json").write_text(content)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_keras_file_with_other_settings_is_not_read(tmp_path, name):
    _write(tmp_path, HOSTILE[name])
    assert _forward(tmp_path, "import synergynet_tf, os; print(os.environ['KERAS_HOME'])") == os.devnull


def test_a_keras_file_with_these_settings_is_the_user_s(tmp_path):
    _write(tmp_path, '{"floatx": "float32", "epsilon": 1e-07, "backend": "torch", "image_data_format": "channels_last"}')
    assert _forward(tmp_path, "import synergynet_tf, os; print('KERAS_HOME' in os.environ)") == "False"


@pytest.mark.slow
def test_the_user_s_own_keras_settings_change_nothing(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    plain = _forward(home)
    assert plain.startswith("['float32'")
    _write(tmp_path, HOSTILE["values"])
    assert _forward(tmp_path, KERAS_BACKEND="torch", TF_USE_LEGACY_KERAS="1") == plain
    assert (tmp_path / ".keras" / "keras.json").read_text() == HOSTILE["values"]


def test_keras_that_was_set_otherwise_before_is_said(tmp_path):
    code = "import keras; keras.backend.set_floatx('float64'); import synergynet_tf.models"
    assert "Keras has floatx float64, but float32 is needed here: import synergynet_tf before keras" in _forward(tmp_path, code)
