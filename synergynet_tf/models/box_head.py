"""The R-CNN sub-network's head (paper, 2.1): each RoI's crop of d1 is a lesion or not, and its box is refined.

    crops [R, s, s, s, C], s = detector.roi_size -> logits [R], deltas [R, 6]

There is no normalisation: d1 is normalised already, and statistics over a crop would take away its level, which helps to
distinguish a lesion from its absence.
"""
import keras
import tensorflow as tf

from synergynet_tf.models.blocks import BuiltByCalling

CLASS_SPREAD = 0.01     # standard deviation of the first weights of the class and box layers (Girshick 2015, 3.1): first boxes
BOX_SPREAD = 0.001      # are the proposals


class BoxHead(BuiltByCalling, keras.Model):
    """crops [R, s, s, s, C] -> (logits float32 [R], deltas float32 [R, 6]); R is free, s and C are fixed by the first call.

    Args:
        width: of the dense layer; the two convolutions have a quarter of it, the second strides by 2.
    """

    def __init__(self, width: int, name: str = "box_head"):
        super().__init__(name=name)
        self.convs = [
            keras.layers.Conv3D(max(1, width // 4), 3, strides=stride, padding="same", activation="relu",
                                kernel_initializer="he_normal", name=f"conv{i}")
            for i, stride in enumerate((1, 2))]
        self.flatten = keras.layers.Flatten(name="flatten")
        self.dense = keras.layers.Dense(width, activation="relu", kernel_initializer="he_normal", name="dense")
        self.logits = keras.layers.Dense(
            1, kernel_initializer=keras.initializers.RandomNormal(stddev=CLASS_SPREAD), dtype="float32", name="logits")
        self.deltas = keras.layers.Dense(
            6, kernel_initializer=keras.initializers.RandomNormal(stddev=BOX_SPREAD), dtype="float32", name="deltas")

    def call(self, crops: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """RoI crops [N, S, S, S, C] -> logits [N, 1] and deltas [N, 6]."""
        x = crops
        for conv in self.convs:
            x = conv(x)
        x = self.dense(self.flatten(x))
        return tf.squeeze(self.logits(x), axis=-1), self.deltas(x)
