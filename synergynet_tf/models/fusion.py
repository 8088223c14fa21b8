"""Global-local fusion on logits: eq. 1 of the paper."""
import tensorflow as tf


def fuse(global_logits: tf.Tensor, local_logits: tf.Tensor, covered: tf.Tensor, gamma: float) -> tf.Tensor:
    """Y_u <- gamma * Y_m + (1 - gamma) * Y_u where a mask covers the voxel, Y_u elsewhere (eq. 1).

    Args:
        global_logits: float [B, X, Y, Z, 1], Y_u.
        local_logits: float [B, X, Y, Z, 1], Y_m, the mean over the masks that cover a voxel; not read where none does.
        covered: bool [B, X, Y, Z].
        gamma: weight of the local branch, 0 to 1 (paper: 0.3).

    Returns:
        Float [B, X, Y, Z, 1]. Where not covered the gradient of the local logits is zero.
    """
    return tf.where(covered[..., tf.newaxis], gamma * local_logits + (1.0 - gamma) * global_logits, global_logits)
