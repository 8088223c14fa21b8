"""The Dice terms of eq. 2: of the masks of RoIs, and of the whole volume after fusion."""
import tensorflow as tf

EPSILON = 1e-6      # voxels: nothing beside any real lesion


def dice_loss(logits: tf.Tensor, target: tf.Tensor, valid: tf.Tensor | None = None, count: tf.Tensor | None = None,
              empty: float = 0.0) -> tf.Tensor:
    """Mean over the valid rows of 1 - 2 sum(a t) / (sum a^2 + sum t^2), a the sigmoid of the logits (eq. 2).

    It is L_MASK over RoI crops, and L_U-Net over whole volumes after fusion.

    1e-6 is added above and below the fraction line: a row without a lesion in which nothing is predicted has loss 0, and one in
    which something is predicted has loss 1 and next to no gradient. The paper's volumes all have lesions, but patches need not:
    for such rows `empty` is added instead, and their loss is p / (p + empty), p = sum a^2.

    Args:
        logits: float [M, ...]; a row is a RoI crop or a volume, all other axes are its voxels.
        target: bool or number of the same shape, 0 to 1.
        valid: bool [M]; none: all. Rows that are not valid count nothing.
        count: see `mean_over_valid`.
        empty: voxels. A row without lesions in which so many are predicted has loss 1/2; 0: it has no gradient.

    Returns:
        Float32 scalar in [0, 1]; 0 with a zero gradient where no row is valid.
    """
    logits, target = tf.cast(logits, tf.float32), tf.cast(target, tf.float32)
    rows = tf.ones([tf.shape(logits)[0]], tf.bool) if valid is None else valid
    probability = tf.sigmoid(logits)
    overlap, total = probability * target, tf.square(probability) + tf.square(target)
    axes = list(range(1, logits.shape.rank))
    added = tf.where(tf.reduce_any(target > 0, axes), EPSILON, max(empty, EPSILON))
    fraction = (2.0 * tf.reduce_sum(overlap, axes) + added) / (tf.reduce_sum(total, axes) + added)
    return mean_over_valid(1.0 - fraction, rows, count)


def mean_over_valid(values: tf.Tensor, valid: tf.Tensor, count: tf.Tensor | None = None) -> tf.Tensor:
    """Mean of the float32 values whose `valid` (bool, same shape) holds; 0 with a zero gradient where none does.

    Args:
        values: float32, any shape.
        valid: bool, same shape.
        count: float32 scalar. Where the values are a part of a larger batch, how many are valid in the whole of it: the results
            of the parts then add up to the mean of the whole. None: as many as are valid here.
    """
    return tf.reduce_sum(tf.where(valid, values, 0.0)) / tf.maximum(number_of(valid) if count is None else count, 1.0)


def number_of(valid: tf.Tensor) -> tf.Tensor:
    """How many of `valid` (bool, any shape) hold: float32 scalar."""
    return tf.reduce_sum(tf.cast(valid, tf.float32))
