"""The total loss: eq. 2 of the paper."""
import tensorflow as tf

from synergynet_tf.config import LossConfig

# Each part's weight in eq. 2. A stage of the training that does not compute a part leaves it out (paper, 2.3).
WEIGHTS = {
    "rpn_objectness": "alpha1",
    "rpn_boxes": "alpha2",
    "rcnn_class": "alpha3",
    "rcnn_boxes": "alpha4",
    "mask": "alpha5",
    "global": "alpha6",
}

LossParts = dict[str, tf.Tensor]    # float32 scalars by a name of WEIGHTS


def total_loss(parts: LossParts, config: LossConfig) -> tuple[tf.Tensor, LossParts]:
    """Weight the parts and add them (eq. 2).

    Args:
        parts: scalars under names of `WEIGHTS`; an absent one counts nothing.
        config: the weights alpha1 to alpha6.
    Returns: (total float32 scalar, the weighted parts under the same names and in the order given), so that total = their sum.
    Raises: ValueError if a name is none of `WEIGHTS`, or if there is no part at all.
    """
    unknown = sorted(set(parts) - set(WEIGHTS))
    if unknown or not parts:
        raise ValueError(f"loss parts are {sorted(parts)}, but one or more of {sorted(WEIGHTS)} are needed")
    weighted = {name: getattr(config, WEIGHTS[name]) * tf.cast(value, tf.float32) for name, value in parts.items()}
    return sum(weighted.values()), weighted
