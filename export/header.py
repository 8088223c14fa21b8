"""The header of a NIfTI-1 file, read and written inside a graph, byte by byte.

A header is taken as nibabel takes it, since `predict` reads with nibabel and a served mask has to be the same file: the byte
order is told by dim[0], what nibabel mends (a voxel's size that is 0 or negative, a code that does not exist) is mended alike,
and what it refuses is refused. Fields are cut out of uint8 tensors, and turned round where the file is big-endian. The layout is
that of the standard, https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h.
"""
from typing import NamedTuple

import tensorflow as tf

from .checks import checked

SIZE = 348                      # bytes of a header; the extension flag, 4 bytes, follows
FIRST_VOXEL = 352               # the least offset of the voxels
XFORM_CODES = 5                 # sform and qform codes above it do not exist
W_THRESHOLD = 3 * 2.0 ** -23    # a squared quaternion w this near 0 is 0: the precision of the float32 that are stored
UINT8 = 2                       # NIfTI's code of that type

Tensor = tf.Tensor


class Header(NamedTuple):
    """What a file's header says."""

    raw: Tensor             # uint8 [348], mended
    big_endian: Tensor      # bool
    shape: Tensor           # int32 [3], voxels
    datatype: Tensor        # int32, NIfTI's code
    offset: Tensor          # int32, bytes before the voxels
    slope: Tensor           # float64; value = slope * stored + inter
    inter: Tensor           # float64
    affine: Tensor          # float64 [4, 4], from voxels as stored to mm
    extensions: Tensor      # uint8 [E], as they will be written


def read_header(content: Tensor, name: str, max_side: int, max_voxels: int) -> Header:
    """The header at the start of a file's bytes (a string scalar, unpacked).

    Fails with InvalidArgument, naming `name`: not NIfTI-1 in one file, not three axes, larger than the limits, an affine that is
    no grid, damaged extensions.
    """
    length = tf.strings.length(content)
    content = checked(content, length >= FIRST_VOXEL, f"{name}: not a NIfTI file: it holds only", length,
                      "bytes; send the bytes of a .nii or .nii.gz file")
    magic = tf.strings.substr(content, SIZE - 4, 4)
    nifti2 = tf.equal(tf.strings.substr(content, 4, 4), b"n+2\0")
    content = checked(content, ~nifti2 | tf.equal(magic, b"n+1\0"), f"{name}: a NIfTI-2 file, but NIfTI-1 is taken; convert it")
    content = checked(content, tf.equal(magic, b"n+1\0"), f"{name}: not a NIfTI file; send the bytes of a .nii or .nii.gz file")
    raw = tf.ensure_shape(tf.io.decode_raw(tf.strings.substr(content, 0, SIZE), tf.uint8), [SIZE])
    big_endian = _is_big_endian(raw)
    raw = _mended(raw, big_endian)
    shape = _shape(raw, big_endian, name, max_side, max_voxels)
    offset = _numbers(raw, 108, 1, tf.float32, big_endian)[0]
    sound = tf.math.is_finite(offset) & (offset >= FIRST_VOXEL) & (offset < 2.0 ** 30)
    offset = tf.cast(checked(offset, sound, f"{name}: the voxels begin at byte", offset, "(vox_offset): the header is damaged"),
                     tf.int32)
    slope, inter = _scaling(raw, big_endian, name)
    affine = _affine(raw, big_endian, shape, name)
    return Header(raw, big_endian, shape, tf.cast(_numbers(raw, 70, 1, tf.int16, big_endian)[0], tf.int32), offset, slope, inter,
                  affine, _extensions(content, offset, big_endian, name))


def mask_header(header: Header) -> Tensor:
    """The bytes before the voxels of a mask on the grid of `header`'s file: uint8 [352 + E].

    The file's own, but for the type (uint8, unscaled), the offset, and the display range, which belonged to other values.
    """
    big_endian, extended = header.big_endian, tf.shape(header.extensions)[0] > 0
    offset = tf.cast(FIRST_VOXEL + tf.shape(header.extensions)[0], tf.float32)
    fields = {
        70: _bytes(tf.constant([UINT8, 8], tf.int16), big_endian),          # datatype, bitpix
        108: _bytes(tf.stack([offset, 1.0, 0.0]), big_endian),              # vox_offset, scl_slope, scl_inter
        124: tf.zeros([8], tf.uint8),                                       # cal_max, cal_min
    }
    flag = tf.where(extended, tf.constant([1, 0, 0, 0], tf.uint8), tf.zeros([4], tf.uint8))
    return tf.concat([_with_fields(header.raw, fields), flag, header.extensions], 0)


def _numbers(raw: Tensor, begin: int, count: int, dtype: tf.DType, big_endian: Tensor) -> Tensor:
    """`count` numbers of `dtype` that lie at byte `begin` of uint8 [n]."""
    return from_bytes(raw[begin:begin + count * dtype.size], dtype, big_endian)


def from_bytes(raw: Tensor, dtype: tf.DType, big_endian: Tensor) -> Tensor:
    """uint8 [n * size] -> [n] of `dtype`."""
    if dtype.size == 1:
        return tf.bitcast(raw, dtype)
    rows = tf.reshape(raw, [-1, dtype.size])
    return tf.bitcast(tf.cond(big_endian, lambda: tf.reverse(rows, [1]), lambda: rows), dtype)


def _bytes(numbers: Tensor, big_endian: Tensor) -> Tensor:
    """[n] of any type -> uint8 [n * size]. Inverse of `from_bytes`."""
    rows = tf.bitcast(numbers, tf.uint8)
    return tf.reshape(tf.where(big_endian, tf.reverse(rows, [1]), rows), [-1])


def _with_fields(raw: Tensor, fields: dict[int, Tensor]) -> Tensor:
    """uint8 [348] with other bytes from each of the positions on."""
    parts, position = [], 0
    for begin in sorted(fields):
        parts += [raw[position:begin], fields[begin]]
        position = begin + fields[begin].shape[0]
    return tf.concat([*parts, raw[position:]], 0)


def _is_big_endian(raw: Tensor) -> Tensor:
    """By dim[0], which is 1 to 7 in the right order."""
    axes = tf.bitcast(raw[40:42], tf.int16)
    swapped_size = tf.reduce_all(raw[:4] == tf.constant([0, 0, 1, 92], tf.uint8))
    return tf.where(axes == 0, swapped_size, (axes < 1) | (axes > 7))


def _mended(raw: Tensor, big_endian: Tensor) -> Tensor:
    """The header with what nibabel's own checks put right."""
    qfac, steps = tf.split(_numbers(raw, 76, 4, tf.float32, big_endian), [1, 3])
    qfac = tf.where((qfac == 1) | (qfac == -1), qfac, 1.0)
    steps = tf.where(tf.reduce_any(steps < 0), tf.abs(tf.where(steps == 0, 1.0, steps)), tf.where(steps == 0, 1.0, steps))
    codes = _numbers(raw, 252, 2, tf.int16, big_endian)
    codes = tf.where((codes >= 0) & (codes <= XFORM_CODES), codes, tf.zeros_like(codes))
    fields = {0: _bytes(tf.constant([SIZE], tf.int32), big_endian), 76: _bytes(tf.concat([qfac, steps], 0), big_endian),
              252: _bytes(codes, big_endian)}
    return _with_fields(raw, {begin: tf.ensure_shape(value, [size]) for (begin, value), size in zip(fields.items(), (4, 16, 4))})


def _shape(raw: Tensor, big_endian: Tensor, name: str, max_side: int, max_voxels: int) -> Tensor:
    dim = tf.cast(_numbers(raw, 40, 8, tf.int16, big_endian), tf.int32)
    axes, shape, rest = dim[0], dim[1:4], dim[4:]
    flat = tf.reduce_all((rest == 1) | (tf.range(4, 8) > axes))
    shape = checked(shape, (axes >= 3) & (axes <= 7) & flat, f"{name}: dim is", tf.strings.reduce_join(
        tf.strings.as_string(dim), separator=" "), "but a scan has 3 axes; extract one volume")
    sides = tf.strings.reduce_join(tf.strings.as_string(shape), separator=" x ")
    voxels = tf.reduce_prod(tf.cast(shape, tf.int64))
    fits = tf.reduce_all((shape >= 1) & (shape <= max_side)) & (voxels <= max_voxels)
    return checked(shape, fits, f"{name}: the scan has", sides, f"voxels, but sides of 1 to {max_side} and {max_voxels} voxels "
                   "in all are taken; resample it to 1 mm, or export with larger limits")


def _scaling(raw: Tensor, big_endian: Tensor, name: str) -> tuple[Tensor, Tensor]:
    factors = _numbers(raw, 112, 2, tf.float32, big_endian)
    bits = tf.bitwise.bitwise_and(tf.bitcast(factors, tf.int32), 0x7fffffff)
    tiny = tf.reduce_any((bits > 0) & (bits < 0x00800000))      # below 1e-38, which TensorFlow takes for 0
    slope, inter = tf.unstack(factors)
    scaled = tf.math.is_finite(slope) & (slope != 0)
    inter = checked(inter, ~tiny & (~scaled | tf.math.is_finite(inter)), f"{name}: scl_slope and scl_inter are", slope, inter,
                    ": the header is damaged")
    return tf.cast(tf.where(scaled, slope, 1.0), tf.float64), tf.cast(tf.where(scaled, inter, 0.0), tf.float64)


def _affine(raw: Tensor, big_endian: Tensor, shape: Tensor, name: str) -> Tensor:
    """The affine in force: sform, else qform, else the voxel sizes about the middle, X to the left."""
    codes = _numbers(raw, 252, 2, tf.int16, big_endian)
    srow = tf.cast(tf.reshape(_numbers(raw, 280, 12, tf.float32, big_endian), [3, 4]), tf.float64)
    top = tf.cond(codes[1] != 0, lambda: srow,
                  lambda: tf.cond(codes[0] != 0, lambda: _qform(raw, big_endian, name), lambda: _base(raw, big_endian, shape)))
    lengths = tf.reduce_prod(tf.norm(top[:, :3], axis=0))
    finite = tf.reduce_all(tf.math.is_finite(top))
    determinant = tf.abs(tf.linalg.det(tf.where(finite, top[:, :3], tf.eye(3, dtype=tf.float64))))
    top = checked(top, finite & (determinant > 1e-6 * lengths),
                  f"{name}: the affine is no grid (NaN, or axes that fall together): correct the header")
    return tf.concat([top, tf.constant([[0, 0, 0, 1]], tf.float64)], 0)


def _qform(raw: Tensor, big_endian: Tensor, name: str) -> Tensor:
    b, c, d, *origin = tf.unstack(tf.cast(_numbers(raw, 256, 6, tf.float32, big_endian), tf.float64))
    qfac, *steps = tf.unstack(tf.cast(_numbers(raw, 76, 4, tf.float32, big_endian), tf.float64))
    w2 = 1 - (b * b + c * c + d * d)
    w2 = checked(w2, w2 > -W_THRESHOLD, f"{name}: the quaternion (qform) is longer than 1: the header is damaged")
    a = tf.where(tf.abs(w2) < W_THRESHOLD, tf.zeros_like(w2), tf.sqrt(tf.maximum(w2, 0)))
    s = 2 / (a * a + b * b + c * c + d * d)
    rotation = [[1 - s * (c * c + d * d), s * (b * c - a * d), s * (b * d + a * c)],
                [s * (b * c + a * d), 1 - s * (b * b + d * d), s * (c * d - a * b)],
                [s * (b * d - a * c), s * (c * d + a * b), 1 - s * (b * b + c * c)]]
    scale = tf.stack([steps[0], steps[1], steps[2] * qfac])
    return tf.concat([tf.convert_to_tensor(rotation) * scale, tf.stack(origin)[:, None]], 1)


def _base(raw: Tensor, big_endian: Tensor, shape: Tensor) -> Tensor:
    steps = tf.cast(_numbers(raw, 80, 3, tf.float32, big_endian), tf.float64) * tf.constant([-1, 1, 1], tf.float64)
    origin = -steps * (tf.cast(shape, tf.float64) - 1) / 2
    return tf.concat([tf.linalg.diag(steps), origin[:, None]], 1)


def _extensions(content: Tensor, offset: Tensor, big_endian: Tensor, name: str) -> Tensor:
    """The header extensions, each without trailing zeros but filled up to a multiple of 16 bytes: uint8 [E]."""
    flagged = tf.not_equal(tf.strings.substr(content, SIZE, 1), b"\0")
    length = tf.strings.length(content)

    def more(left: Tensor, *_: Tensor) -> Tensor:
        return left >= 16

    def one(left: Tensor, position: Tensor, done: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        position = checked(position, position + 8 <= length, f"{name}: truncated within its header extensions")
        begin = tf.io.decode_raw(tf.strings.substr(content, position, 8), tf.uint8)
        size = _numbers(tf.ensure_shape(begin, [8]), 0, 1, tf.int32, big_endian)[0]
        size = checked(size, (size >= 8) & (size <= length - position), f"{name}: a header extension of", size,
                       "bytes: the file is damaged")
        value = tf.io.decode_raw(tf.strings.substr(content, position + 8, size - 8), tf.uint8)
        used = tf.reduce_max(tf.concat([[0], tf.where(value != 0, tf.range(1, size - 7), 0)], 0))
        filled = (used + 23) // 16 * 16
        again = [_bytes(filled[None], big_endian), begin[4:], value[:used], tf.zeros([filled - used - 8], tf.uint8)]
        return left - size, position + size, tf.concat([done, *again], 0)

    left = tf.where(flagged, offset - FIRST_VOXEL, 0)
    start = (left, tf.constant(FIRST_VOXEL), tf.zeros([0], tf.uint8))
    invariants = (left.shape, tf.TensorShape([]), tf.TensorShape([None]))
    return tf.while_loop(more, one, start, shape_invariants=invariants)[2]
