"""What a process has traced it lets go of."""
import gc
import weakref

import keras
import pytest
import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.training import graphs
from synergynet_tf.training.stages import STAGES
from synergynet_tf.training.steps import make_train_step
from synergynet_tf.training.systems import SYSTEMS
from tests.cohort import TINY, make_batch


def graph_of_a_step():
    config = Config.from_dict(TINY)
    step = make_train_step(SYSTEMS["synergynet"].build(config), keras.optimizers.SGD(0.0), STAGES[1], config)
    return weakref.ref(step.get_concrete_function(make_batch(1)).graph)


def test_a_step_that_nothing_holds_is_freed():
    before = graphs.kept()
    with graphs.released():
        held = graph_of_a_step()
        gc.collect()
        assert held() is not None, "TensorFlow frees graphs by itself now: training/graphs.py is not needed any more"
    assert held() is None and graphs.kept() == before


def test_what_was_there_before_keeps_its_gradient():
    @tf.custom_gradient
    def doubled(x):
        return 2 * x, lambda upstream: 3 * upstream     # told apart from the true one

    run = tf.function(doubled, autograph=False)
    x = tf.Variable(1.0)
    run.get_concrete_function(tf.TensorSpec((), tf.float32))
    with graphs.released():
        tf.function(doubled, autograph=False).get_concrete_function(tf.TensorSpec((), tf.float32))
    with tf.GradientTape() as tape:
        y = run(x)
    assert tape.gradient(y, x) == 3


def test_what_a_failure_leaves_is_released_too():
    before = graphs.kept()
    with pytest.raises(RuntimeError), graphs.released():
        graph_of_a_step()
        raise RuntimeError
    assert graphs.kept() == before
