"""A network that costs nothing, so that tests of what surrounds it are quick: it marks what is bright."""
import dataclasses

import tensorflow as tf

from synergynet_tf.config import Config
from synergynet_tf.structures import Detections, Prediction
from tests.cohort import TINY

COUNT, CELLS = TINY["detector"]["max_detections"], TINY["mask"]["size"]


class Toy:
    """image [1, X, Y, Z, C] -> Prediction: logits that depend on the place in the window too, boxes about its brightest spots."""

    def __init__(self, gain: float = 3.0):
        self.gain = tf.Variable(gain)
        self.weights = [self.gain]

    def __call__(self, image: tf.Tensor) -> Prediction:
        shape = tf.shape(image)[1:4]
        bright = tf.reduce_mean(image, -1)[0]
        ramp = tf.cast(tf.range(shape[0]), tf.float32)[:, None, None] / 40
        logits = self.gain * (bright - 1.0) + ramp
        smooth = tf.nn.avg_pool3d(bright[None, ..., None], 5, 1, "SAME")[0, ..., 0]
        scores, places = tf.math.top_k(tf.reshape(smooth, [-1]), COUNT)
        centres = tf.cast(tf.transpose(tf.unravel_index(places, shape)), tf.float32)
        boxes = tf.concat([centres - 3.0, centres + 4.0], -1)
        patches = tf.tile(tf.reshape(scores, [COUNT, 1, 1, 1, 1]) - 1.0, [1, CELLS, CELLS, CELLS, 1])
        detections = Detections(boxes[None], tf.sigmoid(scores)[None], (scores > 0.5)[None])
        return Prediction(logits[None, ..., None], detections, patches[None], tf.concat([centres - 5.0, centres + 6.0], -1)[None])


def toy_config(channels: tuple[str, ...] = ("flair",), **infer) -> Config:
    """The tiny configuration, with `infer` as given."""
    config = Config.from_dict(TINY | {"data": {"channels": list(channels)}})
    return dataclasses.replace(config, infer=dataclasses.replace(config.infer, **infer))
