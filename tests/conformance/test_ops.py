"""What every op must bear: tracing, free leading sizes, XLA, export, and inputs in which there is nothing.

An op joins by a line in CASES. The layers are held to the same in test_layers.py.
"""
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.models.fusion import fuse
from synergynet_tf.ops import anchors, boxes, matching, nms, roi, sampling

GRID, STRIDE, SIZES = (6, 5, 4), 2, (3.0, 5.0)
ANCHORS = 6 * 5 * 4 * 2
MAP = (12, 10, 8)


class Case(NamedTuple):
    op: Callable
    inputs: Callable[[np.random.Generator], tuple]      # an ordinary example
    nothing: Callable[[np.random.Generator], tuple]     # no lesion, no valid row, or degenerate boxes
    free: tuple = ()                                    # for each input, how many of its leading axes may be free


def some_boxes(rng: np.random.Generator, *lead: int) -> np.ndarray:
    begin = rng.uniform(0, 6, (*lead, 3))
    return np.concatenate([begin, begin + rng.uniform(2, 6, (*lead, 3))], -1).astype(np.float32)


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.normal(size=shape).astype(np.float32)


def some(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.uniform(size=shape) < 0.5


def none(*shape: int) -> np.ndarray:
    return np.zeros(shape, bool)


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def which(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.integers(0, 2, count).astype(np.int32)


def crop(method: str, cells: tuple[int, int, int]) -> Case:
    return Case(lambda volume, box, index: roi.crop_and_resize_3d(volume, box, index, cells, method),
                lambda rng: (normal(rng, 2, 6, 5, 7, 3), rng.uniform(-0.2, 1.2, (9, 6)).astype(np.float32), which(rng, 9)),
                lambda rng: (normal(rng, 2, 6, 5, 7, 3), zeros(9, 6), np.zeros(9, np.int32)), (4, 1, 1))


CASES = {
    "count voxels": Case(boxes.count_voxels, lambda rng: (some_boxes(rng, 7), some(rng, *MAP)),
                         lambda rng: (zeros(7, 6), none(*MAP)), (1, 3)),
    "volumes": Case(boxes.volumes, lambda rng: (some_boxes(rng, 3, 4),), lambda rng: (zeros(3, 4, 6),), (2,)),
    "expand": Case(lambda b: boxes.expand(b, 2.0), lambda rng: (some_boxes(rng, 7),), lambda rng: (zeros(7, 6),), (1,)),
    "scale": Case(lambda b: boxes.scale(b, 1.5), lambda rng: (some_boxes(rng, 7),), lambda rng: (zeros(7, 6),), (1,)),
    "clip": Case(lambda b: boxes.clip(b, MAP), lambda rng: (some_boxes(rng, 7),), lambda rng: (zeros(7, 6),), (1,)),
    "pairwise_iou": Case(boxes.pairwise_iou, lambda rng: (some_boxes(rng, 4), some_boxes(rng, 5)),
                         lambda rng: (zeros(4, 6), zeros(5, 6)), (1, 1)),
    "encode": Case(boxes.encode, lambda rng: (some_boxes(rng, 7), some_boxes(rng, 7)), lambda rng: (zeros(7, 6),) * 2, (1, 1)),
    "decode": Case(boxes.decode, lambda rng: (normal(rng, 7, 6), some_boxes(rng, 7)), lambda rng: (zeros(7, 6),) * 2, (1, 1)),
    "from_instances": Case(lambda i: boxes.from_instances(i, 6), lambda rng: (rng.integers(0, 5, MAP).astype(np.int32),),
                           lambda rng: (np.zeros(MAP, np.int32),)),
    "anchor_grid": Case(lambda shape: anchors.anchor_grid(GRID, STRIDE, SIZES) + 0.0 * tf.reduce_sum(shape),
                        lambda rng: (normal(rng, 1),), lambda rng: (zeros(1),), (1,)),
    "match_anchors": Case(lambda b, valid: matching.match_anchors(GRID, STRIDE, SIZES, b, valid, 0.5, 0.1),
                          lambda rng: (some_boxes(rng, 5), some(rng, 5)), lambda rng: (zeros(5, 6), none(5))),
    "match_rois": Case(matching.match_rois, lambda rng: (some_boxes(rng, 7), some(rng, 7), some_boxes(rng, 5), some(rng, 5)),
                       lambda rng: (zeros(7, 6), none(7), zeros(5, 6), none(5)), (1, 1, 1, 1)),
    "touches": Case(lambda mask: matching.touches(mask, STRIDE, SIZES), lambda rng: (some(rng, *MAP),),
                    lambda rng: (none(*MAP),)),
    "sample_balanced": Case(lambda p, n, seed: sampling.sample_balanced(p, n, 8, 0.5, seed),
                            lambda rng: (some(rng, 40), some(rng, 40), np.array([1, 2], np.int32)),
                            lambda rng: (none(40), none(40), np.array([1, 2], np.int32)), (1, 1)),
    "nms_3d": Case(lambda b, s, valid: nms.nms_3d(b, s, valid, 0.3, 6),
                   lambda rng: (some_boxes(rng, 30), normal(rng, 30), some(rng, 30)),
                   lambda rng: (zeros(30, 6), zeros(30), none(30)), (1, 1, 1)),
    "crop trilinear": crop("trilinear", (3, 2, 4)),
    "crop one cell": crop("trilinear", (1, 1, 1)),
    "crop nearest": crop("nearest", (3, 2, 4)),
    "to_normalised": Case(lambda b: roi.to_normalised(b, GRID, STRIDE, (4, 4, 1)), lambda rng: (some_boxes(rng, 2, 7),),
                          lambda rng: (zeros(2, 7, 6),), (2,)),
    "paste_3d": Case(lambda p, b, i, valid: roi.paste_3d(p, b, i, valid, (2, *MAP), 6),
                     lambda rng: (normal(rng, 9, 3, 3, 3, 1), some_boxes(rng, 9), which(rng, 9), some(rng, 9)),
                     lambda rng: (normal(rng, 9, 3, 3, 3, 1), zeros(9, 6), which(rng, 9), none(9)), (1, 1, 1, 1)),
    "fuse": Case(lambda u, m, covered: fuse(u, m, covered, 0.3),
                 lambda rng: (normal(rng, 2, 4, 3, 2, 1), normal(rng, 2, 4, 3, 2, 1), some(rng, 2, 4, 3, 2)),
                 lambda rng: (normal(rng, 2, 4, 3, 2, 1), zeros(2, 4, 3, 2, 1), none(2, 4, 3, 2)), (4, 4, 4)),
}


def named(letter: str, tensors: list[tf.Tensor]) -> dict[str, tf.Tensor]:
    return {f"{letter}{i:02}": tensor for i, tensor in enumerate(tensors)}


class Exported(tf.Module):
    """An op as the body of a SavedModel's signature."""

    def __init__(self, case: Case, specs: list[tf.TensorSpec]):
        super().__init__()
        self.run = tf.function(lambda *inputs: named("y", tf.nest.flatten(case.op(*inputs))), input_signature=specs,
                               autograph=False)


@pytest.fixture(params=CASES)
def case(request) -> Case:
    return CASES[request.param]


def example(make: Callable) -> list[tf.Tensor]:
    return [tf.constant(value) for value in make(np.random.default_rng(17))]


def specs_of(case: Case, inputs: list[tf.Tensor]) -> list[tf.TensorSpec]:
    free = case.free + (0,) * (len(inputs) - len(case.free))
    return [tf.TensorSpec([None] * n + x.shape[n:].as_list(), x.dtype, f"x{i:02}") for i, (n, x) in enumerate(zip(free, inputs))]


def same(left: object, right: object, tolerance: float = 1e-4) -> None:
    for a, b in zip(tf.nest.flatten(left), tf.nest.flatten(right), strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        if a.dtype.is_floating:
            np.testing.assert_allclose(a, b, atol=tolerance)
        else:
            np.testing.assert_array_equal(a, b)


def test_traced_exported_and_loaded_again(case, tmp_path):
    """With its free axes, and through the signature by which a model server calls it."""
    inputs, nothing = example(case.inputs), example(case.nothing)
    expected = case.op(*inputs)
    module = Exported(case, specs_of(case, inputs))
    same(module.run(*inputs), expected)
    tf.saved_model.save(module, str(tmp_path), signatures=module.run.get_concrete_function())
    loaded = tf.saved_model.load(str(tmp_path)).signatures["serving_default"]
    same(loaded(**named("x", inputs)), expected)
    same(loaded(**named("x", nothing)), case.op(*nothing))


def test_free_sizes_may_change(case):
    """Axes declared free hold other sizes in the same trace: what they all can be is twice as long."""
    if not any(case.free):
        pytest.skip("no free axis: the op takes static shapes")
    inputs = example(case.inputs)
    twice = [tf.concat([x, x], 0) if n else x for x, n in zip(inputs, case.free + (0,) * (len(inputs) - len(case.free)))]
    traced = Exported(case, specs_of(case, inputs))
    same(traced.run(*inputs), case.op(*inputs))
    same(traced.run(*twice), case.op(*twice))
    assert traced.run.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("kind", ["inputs", "nothing"])
def test_compiled_with_xla(case, kind):
    inputs = example(getattr(case, kind))
    compiled = tf.function(lambda *given: tf.nest.flatten(case.op(*given)), jit_compile=True, autograph=False)
    same(compiled(*inputs), case.op(*inputs))


def test_nothing_gives_finite_numbers_and_gradients(case):
    inputs = example(case.nothing)
    floating = [x for x in inputs if x.dtype.is_floating]
    with tf.GradientTape() as tape:
        tape.watch(floating)
        outputs = [y for y in tf.nest.flatten(case.op(*inputs)) if y.dtype.is_floating]
        total = tf.add_n([tf.reduce_sum(y) for y in outputs]) if outputs else tf.constant(0.0)
    for tensor in [*outputs, *(g for g in tape.gradient(total, floating) if g is not None)]:
        assert np.isfinite(tf.convert_to_tensor(tensor)).all()


@pytest.mark.parametrize("name", ["crop trilinear", "crop nearest", "paste_3d", "decode", "fuse"])
def test_gradients_agree_under_xla(name):
    """The ops that a training step differentiates."""
    case = CASES[name]
    inputs = example(case.inputs)

    def gradients(*given: tf.Tensor) -> list[tf.Tensor]:
        floating = [x for x in given if x.dtype.is_floating]
        with tf.GradientTape() as tape:
            tape.watch(floating)
            outputs = [tf.reduce_sum(y * y) for y in tf.nest.flatten(case.op(*given)) if y.dtype.is_floating]
            total = tf.add_n(outputs)
        return [g for g in tape.gradient(total, floating) if g is not None]

    eager = gradients(*inputs)
    assert eager and any(np.any(g != 0) for g in eager)
    same(tf.function(gradients, jit_compile=True, autograph=False)(*inputs), eager, 1e-3)
