"""Starting TensorFlow: the convolutions' library, which it reads once, as it is imported; what is not taken along."""
import os
import platform
import subprocess
import sys

import pytest

from tests.conftest import ROOT

ASKED = ("import synergynet_tf; from tensorflow.python.util import _pywrap_util_port as port; "      # no public name tells it
         "print(port.IsMklEnabled())")


def _one_dnn(**settings):
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"} | settings
    done = subprocess.run([sys.executable, "-c", ASKED], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()[-1]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="TensorFlow has oneDNN's convolutions on x86")
def test_convolutions_are_one_dnn_s_on_every_x86_processor():
    assert _one_dnn() == "True"


def test_who_turns_one_dnn_off_is_obeyed():
    assert _one_dnn(TF_ENABLE_ONEDNN_OPTS="0") == "False"


def test_what_only_keras_would_use_is_left_out_and_there_for_others():
    code = ("import sys; import pandas; from synergynet_tf.startup import import_tensorflow; import_tensorflow(); "
            "print(sorted({'PIL', 'h5py', 'matplotlib', 'pandas', 'sklearn', 'keras'} & set(sys.modules)), "
            "sys.modules['pandas'] is pandas); "
            "import h5py, PIL.Image, matplotlib.figure, sklearn.metrics; import keras; keras.Sequential([keras.layers.Dense(1)])")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['keras', 'pandas'] True"]
