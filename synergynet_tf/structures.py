"""The conventions of the project, and the NamedTuples that travel between its parts.

Axes. Volumes are in the closest canonical orientation (RAS+): X runs left to right, Y back to front, Z bottom to top. Arrays are
[X, Y, Z], tensors [B, X, Y, Z, C]. Sizes in shapes:

    B volumes in a batch    X, Y, Z voxels    C channels    L label slots (`lesions.max_lesions`)
    N anchors of a volume   A anchor sizes    P proposals   R RoIs of a head    K detections    S cells of a mask, per axis

Boxes are [x0, y0, z0, x1, y1, z1] in voxels of the full-resolution grid, half-open: voxel i covers [i, i + 1), so a lesion in
voxels 3..5 has x0 = 3, x1 = 6. They are float32, under mixed precision too.

What varies in number travels in tensors of fixed size beside a boolean `valid`; rows that are not valid hold finite numbers
without meaning (zeros where nothing else is said) and no code reads them. `ignore` marks what counts neither for nor against.

Terms. Lesion: one connected component; instance: its label (1..L, 0 is background, slot l holds label l + 1). Anchor -> proposal
(decoded RPN box) -> RoI (proposal given to a head) -> detection (final scored box). Delta: box offsets. Objectness: RPN logit.
`gt_*` is annotation, `*_targets` is derived from it for a loss, `pred_*` is the network's output. Heads emit logits.
"""
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:       # imported by the type checker alone, so that light commands stay light
    import tensorflow as tf

Connectivity = Literal[6, 18, 26]     # voxels are of one lesion that share a face; or an edge; or a corner
Tensor: TypeAlias = "tf.Tensor"
Array: TypeAlias = Any      # NumPy's array on the host, a tensor of the same shape in the graph


class Batch(NamedTuple):
    """What the input pipeline hands to a training step: patches after augmentation and what is annotated in them."""

    image: Tensor       # float32 [B, X, Y, Z, C], z-scored, 0 outside the brain
    instances: Tensor   # int32   [B, X, Y, Z], lesion labels, 0 background
    gt_boxes: Tensor    # float32 [B, L, 6], tight boxes of what is visible of each lesion in the patch
    gt_valid: Tensor    # bool    [B, L], a small lesion, to be detected
    gt_ignore: Tensor   # bool    [B, L], visible but large or too few voxels: neither object nor background for the detector
    seed: Tensor        # int32   [B, 2], stateless seed of this (seed, epoch, case)
    case: Tensor        # int32   [B], the case's position in its split, to name a batch that fails


class Detections(NamedTuple):
    """Final boxes of the local branch, best first."""

    boxes: Tensor       # float32 [B, K, 6]
    scores: Tensor      # float32 [B, K], probability of a lesion
    valid: Tensor       # bool    [B, K]


class Prediction(NamedTuple):
    """What the network predicts for a volume, before the two branches are fused."""

    global_logits: Tensor       # float32 [B, X, Y, Z, 1], Y_u of eq. 1
    detections: Detections      # the final boxes of the local branch
    mask_logits: Tensor         # float32 [B, K, S, S, S, 1], Y_m of eq. 1 on the grid of each detection's mask box
    mask_boxes: Tensor          # float32 [B, K, 6], the detection's box with context: where its mask lies


Network: TypeAlias = Callable[[Array], Prediction]      # of an image float32 [B, X, Y, Z, C]; X, Y, Z are multiples of 8
