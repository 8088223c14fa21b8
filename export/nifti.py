"""NIfTI files inside a graph: the bytes of a file to voxels in canonical orientation (RAS+), and a mask back to a file's bytes.

The graph counterpart of `synergynet_tf.data.nifti`, of stock operations only. The bytes that are written come from
`serialize_tensor`: of a uint8 tensor it gives a TensorProto whose last field is the tensor's bytes, so that what precedes them
can be cut off.
"""
from typing import NamedTuple

import tensorflow as tf

from synergynet_tf.data.container import HEADER_ROOM
from synergynet_tf.data.nifti import TOLERANCE_MM, TOLERANCE_VOXELS

from .checks import checked
from .grid import spacing
from .gunzip import unpack
from .header import TYPES, Header, from_bytes, mask_header, read_header

Tensor = tf.Tensor


class Scan(NamedTuple):
    """A scan in canonical orientation, and what writing on its file's own grid needs."""

    array: Tensor       # float32 [X, Y, Z]
    affine: Tensor      # float64 [4, 4], voxel indices of `array` to mm
    spacing: Tensor     # float64 [3], mm; their product is the volume of a voxel
    axes: Tensor        # int32 [3], the file's axis that runs along each canonical axis
    flipped: Tensor     # bool [3], whether it runs against it
    header: Header


def read(content: Tensor, name: str, max_side: int, max_voxels: int) -> Scan:
    """Read a .nii or .nii.gz file's bytes, a string scalar.

    NaN and Inf are left to `judgement.settled`. Fails with InvalidArgument, naming `name`: corrupt gzip data, what
    `header.read_header` refuses.
    """
    content = unpack(content, name, HEADER_ROOM + 8 * max_voxels)
    header, content = read_header(content, name, max_side, max_voxels)
    stored = _voxels(content, header)
    axes, flipped = orientation(header.affine)
    array = tf.transpose(tf.reshape(stored, tf.reverse(header.shape, [0])), 2 - axes)    # the first axis is the fastest in a file
    array = _flip(tf.ensure_shape(array, [None] * 3), flipped)
    affine = _canonical_affine(header, axes, flipped)
    return Scan(array, affine, spacing(affine), axes, flipped, header)


def write_mask(mask: Tensor, scan: Scan) -> Tensor:
    """The bytes of an uncompressed NIfTI file, a string scalar, of a uint8 mask [X, Y, Z] on the canonical grid of `scan`."""
    stored = _flip(mask, scan.flipped)
    stored = tf.transpose(stored, tf.math.invert_permutation(2 - scan.axes))
    return to_string(tf.concat([mask_header(scan.header), tf.reshape(stored, [-1])], 0))


def to_string(content: Tensor) -> Tensor:
    """uint8 [n] -> a string scalar of n bytes."""
    proto, count = tf.io.serialize_tensor(content), tf.shape(content)[0]
    return tf.strings.substr(proto, tf.strings.length(proto) - count, count)


def orientation(affine: Tensor) -> tuple[Tensor, Tensor]:
    """For each canonical axis, the file's axis that is closest to it (int32 [3]), and whether it runs against it (bool [3]).

    As nibabel's io_orientation: the rotation nearest to the affine, the axes taken from the clearest to the least clear.
    """
    steps = affine[:3, :3] / tf.norm(affine[:3, :3], axis=0)
    _, u, v = tf.linalg.svd(steps)
    rotation = tf.matmul(u, v, transpose_b=True)        # [canonical, file]
    strength = tf.reduce_max(rotation ** 2, 0)
    order = tf.argsort(-strength, stable=True)
    axes, flipped, free = tf.zeros([3], tf.int32), tf.zeros([3], tf.bool), tf.ones([3], tf.bool)
    for i in range(3):
        column = tf.gather(rotation, order[i], axis=1)
        canonical = tf.argmax(tf.where(free, tf.abs(column), -1.0), output_type=tf.int32)
        here = tf.range(3) == canonical
        axes, free = tf.where(here, order[i], axes), free & ~here
        flipped = tf.where(here, column < 0, flipped)
    return axes, flipped


def check_same_grid(first: Scan, second: Scan, name: str) -> Scan:
    """`second`, once it is on the grid of `first`: equal shapes, corners at the same place. Fails with InvalidArgument."""
    sides, shape = tf.shape(first.array), tf.shape(second.array)
    shown = [tf.strings.reduce_join(tf.strings.as_string(s), separator=" x ") for s in (shape, sides)]
    shape = checked(shape, tf.reduce_all(shape == sides), f"{name}: the grid is", shown[0], "but the FLAIR has", shown[1],
                  "; resample one file onto the other's grid")
    ends = tf.cast(shape - 1, tf.float64)
    corners = tf.constant([[i >> 2, i >> 1 & 1, i & 1] for i in range(8)], tf.float64) * ends
    apart = tf.reduce_max(tf.norm(
        tf.matmul(tf.pad(corners, [[0, 0], [0, 1]], constant_values=1), first.affine - second.affine, transpose_b=True), axis=1))
    steps = tf.norm(tf.concat([first.affine[:3, :3], second.affine[:3, :3]], 1), axis=0)
    near = apart <= tf.maximum(tf.constant(TOLERANCE_MM, tf.float64), TOLERANCE_VOXELS * tf.reduce_min(steps))
    array = checked(second.array, near, f"{name}: the grid lies up to", apart, "mm from the FLAIR's; resample one file onto the "
                    "other's grid, or correct its header")
    return second._replace(array=array)


def _voxels(content: Tensor, header: Header) -> Tensor:
    """The voxels as stored, scaled: float32 [n]."""
    raw = tf.io.decode_raw(tf.strings.substr(content, header.offset, header.size), tf.uint8)
    return tf.switch_case(header.kind, [lambda dtype=dtype: _scaled(from_bytes(raw, dtype, header.big_endian), header)
                                        for dtype in TYPES.values()])


def _scaled(stored: Tensor, header: Header) -> Tensor:
    """slope * stored + inter in float64, as nibabel does under NumPy 2; float32 [n]."""
    plain = (header.slope == 1) & (header.inter == 0)
    return tf.cond(plain, lambda: tf.cast(stored, tf.float32),
                   lambda: tf.cast(tf.cast(stored, tf.float64) * header.slope + header.inter, tf.float32))


def _flip(array: Tensor, flipped: Tensor) -> Tensor:
    for axis in range(3):       # a flip of axes that are known only later has no stock operation
        array = tf.cond(flipped[axis], lambda array=array, axis=axis: tf.reverse(array, [axis]), lambda array=array: array)
    return array


def _canonical_affine(header: Header, axes: Tensor, flipped: Tensor) -> Tensor:
    columns = tf.gather(header.affine[:, :3], axes, axis=1)
    last = tf.cast(tf.gather(header.shape, axes) - 1, tf.float64)
    origin = header.affine[:, 3] + tf.reduce_sum(tf.where(flipped, columns * last, tf.zeros_like(columns)), 1)
    return tf.concat([tf.where(flipped, -columns, columns), origin[:, None]], 1)
