"""The network as a whole: what it returns, how its parts agree, that it takes any batch and size and survives export."""
import keras
import numpy as np
import pytest
import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.models import synergynet
from synergynet_tf.models.synergynet import Features, Proposals, build_synergynet, fused_logits, paste_masks, per_sample
from synergynet_tf.ops import anchors, boxes
from synergynet_tf.structures import Detections, Prediction
from tests.cohort import TINY

CONFIG = Config.from_dict(TINY | {"detector": TINY["detector"] | {"score_threshold": 0.0}})


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(4)
    return build_synergynet(CONFIG)


@pytest.fixture(scope="module")
def image():
    return tf.random.stateless_normal((2, 32, 40, 24, 1), (1, 2))


@pytest.fixture(scope="module")
def prediction(model, image):
    return model(image)


def test_the_network_is_whole_before_its_first_call(image):
    config = Config.from_dict(TINY)
    network = build_synergynet(config)
    made = [variable.shape for variable in network.variables]
    network(image)
    assert [variable.shape for variable in network.variables] == made


def test_shapes(prediction):
    assert prediction.global_logits.shape == (2, 32, 40, 24, 1)
    assert prediction.detections.boxes.shape == prediction.mask_boxes.shape == (2, 8, 6)
    assert prediction.mask_logits.shape == (2, 8, 8, 8, 8, 1)
    assert prediction.detections.valid.dtype == tf.bool


def test_detections_are_sorted_and_do_not_overlap(prediction):
    for i in range(2):
        valid = prediction.detections.valid[i].numpy()
        assert valid.any()
        scores, found = prediction.detections.scores[i].numpy()[valid], prediction.detections.boxes[i].numpy()[valid]
        assert (np.diff(scores) <= 0).all()
        iou = boxes.pairwise_iou(found, found).numpy() - np.eye(len(found))
        assert iou.max(initial=0) <= CONFIG.detector.final_nms_iou + 1e-5


def test_the_mask_box_is_the_detection_with_context(prediction):
    np.testing.assert_allclose(prediction.mask_boxes, boxes.scale(prediction.detections.boxes, CONFIG.mask.context), atol=1e-4)


def test_only_valid_patches_are_segmented(model, image, monkeypatch):
    monkeypatch.setattr(synergynet, "CHUNK", 2)
    features, valid = model.features(image), np.array([[True, True, False, True], [False, False, False, False]])
    mask_boxes = tf.constant([[[2.0 * i, 3, 4, 2 * i + 9, 12, 14] for i in range(4)]] * 2)
    every, some = model.mask_logits(features, mask_boxes), model.valid_mask_logits(features, mask_boxes, tf.constant(valid))
    np.testing.assert_allclose(some.numpy()[valid], every.numpy()[valid], atol=1e-6)
    assert not some.numpy()[~valid].any() and every.numpy()[~valid].any()


def test_gamma_0_is_the_u_net_and_gamma_1_the_patches_where_they_are(prediction):
    local, covered = paste_masks(prediction, CONFIG.mask.window)
    assert covered.numpy().any() and not covered.numpy().all()
    np.testing.assert_array_equal(fused_logits(prediction, 0.0, CONFIG.mask.window), prediction.global_logits)
    only_local = fused_logits(prediction, 1.0, CONFIG.mask.window).numpy()
    np.testing.assert_allclose(only_local[covered.numpy()], local.numpy()[covered.numpy()], atol=1e-6)
    np.testing.assert_array_equal(only_local[~covered.numpy()], prediction.global_logits.numpy()[~covered.numpy()])


def test_a_sample_is_predicted_alike_alone_and_in_a_batch(model, image, prediction):
    alone = model(image[1:])
    np.testing.assert_allclose(alone.global_logits[0], prediction.global_logits[1], atol=1e-4)
    np.testing.assert_allclose(alone.detections.boxes[0], prediction.detections.boxes[1], atol=1e-3)
    np.testing.assert_allclose(alone.mask_logits[0], prediction.mask_logits[1], atol=1e-3)


def test_free_batch_and_size_in_one_trace(model, image, prediction):
    call = tf.function(lambda x: model(x), input_signature=[tf.TensorSpec((None, None, None, None, 1))], autograph=False)
    traced = call(image)
    np.testing.assert_allclose(traced.global_logits, prediction.global_logits, atol=1e-4)
    np.testing.assert_allclose(traced.mask_boxes, prediction.mask_boxes, atol=1e-3)
    assert call(tf.zeros((1, 16, 16, 24, 1))).global_logits.shape == (1, 16, 16, 24, 1)
    assert call.experimental_get_tracing_count() == 1


@pytest.mark.slow
def test_compiled_by_xla(model, image):
    one = image[:1]
    plain, compiled = model(one), tf.function(lambda x: model(x), jit_compile=True, autograph=False)(one)
    for a, b in zip(tf.nest.flatten(plain), tf.nest.flatten(compiled)):
        np.testing.assert_allclose(tf.cast(a, tf.float32), tf.cast(b, tf.float32), atol=1e-3)


def test_survives_a_saved_model_round_trip(model, image, prediction, tmp_path):
    module = tf.Module()
    module.variables_ = [getattr(v, "value", v) if not isinstance(v, tf.Variable) else v for v in model.weights]
    module.predict = tf.function(lambda x: model(x)._asdict(), input_signature=[tf.TensorSpec((None, None, None, None, 1))],
                                 autograph=False)
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    again = loaded.predict(image)
    np.testing.assert_allclose(again["global_logits"], prediction.global_logits, atol=1e-4)
    np.testing.assert_allclose(again["mask_logits"], prediction.mask_logits, atol=1e-3)


def test_an_image_of_zeros_gives_finite_numbers(model):
    for tensor in tf.nest.flatten(model(tf.zeros((1, 32, 32, 32, 1)))):
        assert np.isfinite(tf.cast(tensor, tf.float32)).all()


def test_proposals_are_the_best_anchors_decoded(model, monkeypatch):
    """A network that moves one confident anchor by half its side: the first proposal is that box."""
    grid = anchors.anchor_grid((8, 8, 8), 2, CONFIG.detector.anchor_sizes).numpy()
    row = 4 * (8 * (8 * 3 + 4) + 5) + 1         # cell (3, 4, 5), second size
    objectness = np.full((1, len(grid)), -5.0, np.float32)
    objectness[0, row] = 3.0
    deltas = np.zeros((1, len(grid), 6), np.float32)
    deltas[0, row, 0] = 0.5
    monkeypatch.setattr(model.rpn, "deltas_at", lambda cells, rows: tf.gather(deltas, rows, axis=1, batch_dims=1))
    cells = tf.zeros((1, 8, 8, 8, CONFIG.detector.rpn_width))
    proposals = model.propose(tf.constant(objectness), cells, tf.zeros((1, 16, 16, 16, 1)), 0.5)
    centre, side = np.array([7.0 + 4.5, 9, 11]), 9.0
    expected = np.clip(np.concatenate([centre - side / 2, centre + side / 2]), 0, 16)
    np.testing.assert_allclose(proposals.boxes[0, 0], expected, atol=1e-4)
    assert bool(proposals.valid[0, 0])


def test_detections_below_the_score_threshold_are_not_valid(model):
    strict = build_synergynet(Config.from_dict(TINY | {"detector": TINY["detector"] | {"score_threshold": 0.9}}))
    proposals = Proposals(tf.constant([[[0.0, 0, 0, 5, 5, 5], [9, 9, 9, 14, 14, 14]]]), tf.constant([[True, True]]))
    logits = tf.constant([[1.0, 4.0]])          # probabilities 0.73 and 0.98
    found = strict.detect(proposals, logits, tf.zeros((1, 2, 6)), tf.zeros((1, 12, 16, 16, 1)), 2)
    np.testing.assert_array_equal(found.valid, [[True, False]])
    np.testing.assert_allclose(found.boxes[0, 0], [9, 9, 9, 12, 14, 14], atol=1e-5)     # cut to the image
    np.testing.assert_allclose(found.scores[0, 0], 1 / (1 + np.exp(-4)), rtol=1e-5)


def test_rois_are_cropped_at_their_stride():
    """On a map of stride 2 that holds each cell's own centre, a crop holds its own cell centres."""
    centres = (np.indices((12, 12, 12)) + 0.5) * 2
    level = tf.constant(np.moveaxis(centres, 0, -1)[None], tf.float32)
    crops = synergynet.crop_rois(level, tf.constant([[[4.0, 6, 8, 12, 14, 16]]]), 2, 4, 15.0)
    np.testing.assert_allclose(crops[0, :, 0, 0, 0], [5, 7, 9, 11], atol=1e-4)
    np.testing.assert_allclose(crops[0, 0, 0, :, 2], [9, 11, 13, 15], atol=1e-4)


@pytest.mark.parametrize("samples", [1, 3, None])
def test_per_sample_is_the_function_of_each_sample(samples):
    @tf.function(input_signature=[tf.TensorSpec((samples, 4)), tf.TensorSpec((samples,), tf.int32)], autograph=False)
    def call(values, counts):
        return per_sample(lambda v, c: Proposals(v * tf.cast(c, tf.float32), v > 1), (values, counts),
                          Proposals(tf.float32, tf.bool))

    values, counts = tf.reshape(tf.range(4.0 * (samples or 2)), (-1, 4)), tf.range(1, (samples or 2) + 1)
    found = call(values, counts)
    np.testing.assert_allclose(found.boxes, values.numpy() * counts.numpy()[:, None])
    np.testing.assert_array_equal(found.valid, values.numpy() > 1)


def test_no_valid_detection_leaves_the_global_branch():
    nothing = Detections(tf.zeros((1, 2, 6)), tf.zeros((1, 2)), tf.zeros((1, 2), tf.bool))
    prediction = Prediction(tf.random.stateless_normal((1, 8, 8, 8, 1), (0, 0)), nothing, tf.ones((1, 2, 4, 4, 4, 1)),
                            tf.constant([[[0.0, 0, 0, 8, 8, 8]] * 2]))
    np.testing.assert_array_equal(fused_logits(prediction, 0.9, 16), prediction.global_logits)


def test_features_carry_their_strides(model, image):
    features = model.features(image)
    assert isinstance(features, Features)
    assert [tuple(f.shape[1:4]) for f in features] == [(32, 40, 24), (16, 20, 12), (8, 10, 6), (4, 5, 3)]
