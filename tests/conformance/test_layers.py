"""What every part of the network must bear: tracing with free sizes, XLA, export, mixed precision, and named weights."""
import keras
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.config import UNetConfig
from synergynet_tf.models.box_head import BoxHead
from synergynet_tf.models.mask_head import MaskHead, MaskProjections
from synergynet_tf.models.rpn import RPNHead
from synergynet_tf.models.unet import UNet


class EveryDelta(RPNHead):
    """The RPN with the deltas of all its anchors, from last to first."""

    def call(self, d1):
        objectness, cells = super().call(d1)
        batch, count = tf.unstack(tf.shape(objectness))
        return objectness, self.deltas_at(cells, tf.tile(tf.range(count)[None, ::-1], [batch, 1]))


# A part, the shapes of its inputs, and how many of each input's axes after the batch are free.
PARTS = {
    "unet": (lambda: UNet(UNetConfig(widths=(3, 4, 5, 6), convolutions=1)), [(2, 8, 8, 16, 1)], 3),
    "rpn stride 2": (lambda: EveryDelta(4, 2, 2), [(2, 4, 2, 6, 3)], 3),
    "rpn stride 4": (lambda: EveryDelta(4, 2, 4), [(2, 4, 2, 6, 3)], 3),
    "box head": (lambda: BoxHead(8), [(2, 4, 4, 4, 3)], 0),
    "projections": (lambda: MaskProjections(4), [(2, 8, 8, 8, 3), (2, 4, 4, 4, 4), (2, 2, 2, 2, 5)], 3),
    "mask head": (lambda: MaskHead(4), [(2, 4, 4, 4, 4)] * 3, 3),
}


class Exported(tf.Module):
    """A part as it is exported: with free sizes."""

    def __init__(self, part, specs):
        super().__init__()
        self.part = part
        self.run = tf.function(lambda *inputs: tf.nest.flatten(part(pack(inputs))), input_signature=specs)


def pack(inputs):
    return inputs[0] if len(inputs) == 1 else tuple(inputs)


def path(weight):
    return getattr(weight, "path", weight.name)


@pytest.fixture(params=PARTS)
def case(request):
    make, shapes, free = PARTS[request.param]
    keras.utils.set_random_seed(7)
    inputs = [tf.random.stateless_normal(shape, seed=[i, 1]) for i, shape in enumerate(shapes)]
    specs = [tf.TensorSpec([None] * (1 + free) + list(shape[1 + free:])) for shape in shapes]
    return make, inputs, specs


def same(left, right, tolerance=1e-5):
    for a, b in zip(tf.nest.flatten(left), tf.nest.flatten(right), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance)


def test_weights_exist_after_one_call_with_names_that_repeat(case):
    make, inputs, _ = case
    part = make()
    part(pack(inputs))
    names = [path(w) for w in part.variables]
    part(pack(inputs))
    assert [path(w) for w in part.variables] == names and len(set(names)) == len(names)
    again = make()
    again(pack(inputs))
    assert [path(w) for w in again.variables] == names


def test_first_call_inside_a_traced_function(case):
    make, inputs, _ = case
    part = make()
    traced = tf.function(lambda *inputs: part(pack(inputs)))
    same(traced(*inputs), part(pack(inputs)))


def test_one_seed_gives_one_network(case):
    make, inputs, _ = case
    outputs = []
    for seed in (3, 3, 4):
        keras.utils.set_random_seed(seed)
        outputs.append(make()(pack(inputs)))
    same(outputs[0], outputs[1], 0)
    assert any(np.any(a != b) for a, b in zip(tf.nest.flatten(outputs[0]), tf.nest.flatten(outputs[2]), strict=True))


def test_traced_with_free_sizes(case):
    make, inputs, specs = case
    part = make()
    expected = part(pack(inputs))
    exported = Exported(part, specs)
    same(exported.run(*inputs), expected)
    same(exported.run(*[x[:1] for x in inputs]), tf.nest.map_structure(lambda y: y[:1], expected))


def test_compiled_with_xla(case):
    make, inputs, _ = case
    part = make()
    part(pack(inputs))

    def step(*inputs):
        with tf.GradientTape() as tape:
            outputs = part(pack(inputs), training=True) if isinstance(part, UNet) else part(pack(inputs))
            loss = tf.add_n([tf.reduce_mean(tf.square(y)) for y in tf.nest.flatten(outputs)])
        return [loss, *tape.gradient(loss, part.trainable_variables)]

    same(tf.function(step, jit_compile=True)(*inputs), step(*inputs), 1e-3)


def test_saved_model_round_trip(case, tmp_path):
    make, inputs, specs = case
    part = make()
    expected = part(pack(inputs))
    tf.saved_model.save(Exported(part, specs), str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    same(loaded.run(*inputs), expected)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_float32_weights_and_heads(case, policy):
    make, inputs, _ = case
    exact = tf.nest.flatten(make()(pack(inputs)))
    keras.mixed_precision.set_global_policy(policy)
    try:
        keras.utils.set_random_seed(7)
        part = make()
        outputs = tf.nest.flatten(part(pack(inputs)))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert all(tf.as_dtype(w.dtype) == tf.float32 for w in part.variables)
    narrow = isinstance(part, MaskProjections)          # features keep the compute dtype; logits and deltas do not
    for y, x in zip(outputs, exact, strict=True):
        assert (y.dtype == tf.float32) != narrow
        np.testing.assert_allclose(tf.cast(y, tf.float32), x, atol=0.03 * max(1.0, np.max(np.abs(x))))
