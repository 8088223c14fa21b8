"""The header of a NIfTI-1 file, read and written inside a graph, byte by byte.

A header is taken as nibabel takes it, since `predict` reads with nibabel and a served mask has to be the same file: the byte
order is told by dim[0], what nibabel mends (a voxel's size that is 0 or negative, a code that does not exist) is mended alike,
and what it refuses is refused. Fields are cut out of uint8 tensors, and turned round where the file is big-endian. The layout is
that of the standard, https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h.
"""
from typing import NamedTuple

import tensorflow as tf

from synergynet_tf.data.container import HEADER_ROOM, PADDING, TINY

from . import grid
from .checks import checked
from .notes import general, listed, note

SIZE = 348                      # bytes of a header; the extension flag, 4 bytes, follows
FIRST_VOXEL = 352               # the least offset of the voxels
XFORM_CODES = 5                 # sform and qform codes above it do not exist
TYPES = {2: tf.uint8, 4: tf.int16, 8: tf.int32, 16: tf.float32, 64: tf.float64, 256: tf.int8, 512: tf.uint16, 768: tf.uint32,
         1024: tf.int64, 1280: tf.uint64}       # by NIfTI's code
UINT8 = 2

Tensor = tf.Tensor


class Header(NamedTuple):
    """What a file's header says."""

    raw: Tensor             # uint8 [348], mended
    big_endian: Tensor      # bool
    shape: Tensor           # int32 [3], voxels
    kind: Tensor            # int32, which of TYPES the voxels are of
    offset: Tensor          # int32, bytes before the voxels
    size: Tensor            # int32, bytes of the voxels
    slope: Tensor           # float64; value = slope * stored + inter
    inter: Tensor           # float64
    affine: Tensor          # float64 [4, 4], from voxels as stored to mm
    extensions: Tensor      # uint8 [E], as they will be written
    notes: tuple[Tensor, ...]   # strings: what was mended or taken for granted, empty where nothing was


def read_header(content: Tensor, name: str, max_side: int, max_voxels: int) -> tuple[Header, Tensor]:
    """The header at the start of a file's bytes (a string scalar, unpacked), and the bytes up to the end of the voxels.

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
    raw, mended = _mended(raw, big_endian)
    shape = _shape(raw, big_endian, name, max_side, max_voxels)
    offset = _numbers(raw, 108, 1, tf.float32, big_endian)[0]
    sound = tf.math.is_finite(offset) & (offset >= FIRST_VOXEL) & (offset <= HEADER_ROOM)
    offset = tf.cast(checked(offset, sound, f"{name}: the voxels begin at byte", offset, "(vox_offset): the header is damaged"),
                     tf.int32)
    slope, inter = _scaling(raw, big_endian, name)
    affine, taken = _affine(raw, big_endian, shape, name)
    kind, size = _type(raw, big_endian, name)
    size *= tf.reduce_prod(shape)
    content = _up_to(content, tf.cast(offset, tf.int64) + tf.cast(size, tf.int64), name)
    extensions = _extensions(content, offset, big_endian, name)
    return Header(raw, big_endian, shape, kind, offset, size, slope, inter, affine, extensions, mended + taken), content


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


def _wide(raw: Tensor, begin: int, count: int, big_endian: Tensor) -> Tensor:
    """`count` float32 numbers as float64, those below 1e-38 too, which TensorFlow's own arithmetic takes for 0."""
    bits = _numbers(raw, begin, count, tf.int32, big_endian)
    least = tf.cast(tf.bitwise.bitwise_and(bits, 0x7fffff), tf.float64) * tf.constant(2.0 ** -149, tf.float64)
    tiny = tf.bitwise.bitwise_and(bits, 0x7f800000) == 0
    return tf.where(tiny, tf.where(bits < 0, -least, least), tf.cast(tf.bitcast(bits, tf.float32), tf.float64))


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


def _mended(raw: Tensor, big_endian: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The header with what nibabel's own checks put right, and notes in nibabel's words."""
    size = _numbers(raw, 0, 1, tf.int32, big_endian)[0]
    qfac, steps = tf.split(_numbers(raw, 76, 4, tf.float32, big_endian), [1, 3])
    qfac = tf.where((qfac == 1) | (qfac == -1), qfac, 1.0)
    sizes = _wide(raw, 80, 3, big_endian)
    zero, negative = tf.reduce_any(sizes == 0), tf.reduce_any(sizes < 0)
    steps = tf.where(sizes == 0, 1.0, steps)
    steps = tf.where(negative, tf.abs(steps), steps)
    codes = _numbers(raw, 252, 2, tf.int16, big_endian)
    real = (codes >= 0) & (codes <= XFORM_CODES)
    offset = _numbers(raw, 108, 1, tf.float32, big_endian)[0]
    notes = [
        note(size != SIZE, f"sizeof_hdr should be {SIZE}; set sizeof_hdr to {SIZE}"),
        note(zero | negative, note(zero, "pixdim[1,2,3] should be non-zero"), note(zero & negative, " and "),
             note(negative, "pixdim[1,2,3] should be positive"), "; ", note(zero, "setting 0 dims to 1"),
             note(zero & negative, " and "), note(negative, "setting to abs of pixdim values")),
        note(offset % 16 != 0, "vox offset (=", general(offset), ") not divisible by 16, not SPM compatible; leaving at current "
             "value"),
        *(note(~real[i], f"{name}form_code ", tf.strings.as_string(codes[i]), " not valid; setting to 0")
          for i, name in enumerate("qs"))]
    fields = {0: _bytes(tf.constant([SIZE], tf.int32), big_endian), 76: _bytes(tf.concat([qfac, steps], 0), big_endian),
              252: _bytes(tf.where(real, codes, tf.zeros_like(codes)), big_endian)}
    fields = {begin: tf.ensure_shape(value, [count]) for (begin, value), count in zip(fields.items(), (4, 16, 4))}
    return _with_fields(raw, fields), tuple(listed([text], "the header is damaged: ") for text in notes)


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


def _type(raw: Tensor, big_endian: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Which of TYPES the voxels are of, and the bytes of one."""
    code = tf.cast(_numbers(raw, 70, 1, tf.int16, big_endian)[0], tf.int32)
    same = tf.constant(list(TYPES)) == code
    code = checked(code, tf.reduce_any(same), f"{name}: the voxels are of type", code, "of NIfTI, but one real number of 8 to 64 "
                   "bits is needed; convert the file")
    with tf.control_dependencies([code]):
        kind = tf.argmax(tf.cast(same, tf.int32), output_type=tf.int32)
    return kind, tf.gather(tf.constant([dtype.size for dtype in TYPES.values()]), kind)


def _up_to(content: Tensor, needed: Tensor, name: str) -> Tensor:
    """The content up to the end of the voxels."""
    length = tf.cast(tf.strings.length(content), tf.int64)
    content = checked(content, length >= needed, f"{name}: truncated:", length, "bytes, but the header asks for", needed,
                      "; send the whole file")
    content = checked(content, length <= needed + PADDING, f"{name}: more bytes than the", needed, "that the header asks for: "
                      "the header or the file is damaged; replace the file")
    return tf.strings.substr(content, 0, tf.cast(needed, tf.int32))


def _scaling(raw: Tensor, big_endian: Tensor, name: str) -> tuple[Tensor, Tensor]:
    slope, inter = tf.unstack(_wide(raw, 112, 2, big_endian))
    tiny = tf.reduce_any([(number != 0) & (tf.abs(number) < TINY) for number in (slope, inter)])
    scaled = tf.math.is_finite(slope) & (slope != 0)
    sound = ~tiny & ~tf.math.is_inf(slope) & (~scaled | tf.math.is_finite(inter))
    inter = checked(inter, sound, f"{name}: scl_slope and scl_inter are", general(slope), general(inter), ": the header is "
                    "damaged")
    return tf.where(scaled, slope, 1.0), tf.where(scaled, inter, 0.0)


def _affine(raw: Tensor, big_endian: Tensor, shape: Tensor, name: str) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The affine in force, in mm: sform, else qform, else the voxel sizes about the middle, X to the left; and notes."""
    codes = _numbers(raw, 252, 2, tf.int16, big_endian)
    qfac, *steps = tf.unstack(_wide(raw, 76, 4, big_endian))
    quaternion, origin = tf.split(_wide(raw, 256, 6, big_endian), 2)
    srow = tf.reshape(_wide(raw, 280, 12, big_endian), [3, 4])
    top = tf.cond(codes[1] != 0, lambda: srow, lambda: tf.cond(
        codes[0] != 0, lambda: grid.from_qform(quaternion, origin, qfac, tf.stack(steps), name),
        lambda: grid.about_the_middle(tf.stack(steps), shape)))
    affine, units = grid.straight_grid(top, name)
    return affine, (units, note(tf.reduce_all(codes == 0), "the header states no orientation (sform and qform codes are 0); "
                                "taken as LAS"))


def _extensions(content: Tensor, offset: Tensor, big_endian: Tensor, name: str) -> Tensor:
    """The header extensions, each without trailing zeros but filled up to a multiple of 16 bytes: uint8 [E]."""
    flagged = tf.not_equal(tf.strings.substr(content, SIZE, 1), b"\0")

    def more(left: Tensor, *_: Tensor) -> Tensor:
        return left >= 16

    def one(left: Tensor, position: Tensor, done: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        begin = tf.io.decode_raw(tf.strings.substr(content, position, 8), tf.uint8)
        size = _numbers(tf.ensure_shape(begin, [8]), 0, 1, tf.int32, big_endian)[0]
        size = checked(size, (size >= 8) & (size <= left), f"{name}: a header extension of", size, "bytes, but there are", left,
                       "before the voxels: the header is damaged")
        value = tf.io.decode_raw(tf.strings.substr(content, position + 8, size - 8), tf.uint8)
        used = tf.reduce_max(tf.concat([[0], tf.where(value != 0, tf.range(1, size - 7), 0)], 0))
        filled = (used + 23) // 16 * 16
        again = [_bytes(filled[None], big_endian), begin[4:], value[:used], tf.zeros([filled - used - 8], tf.uint8)]
        return left - size, position + size, tf.concat([done, *again], 0)

    left = tf.where(flagged, offset - FIRST_VOXEL, 0)
    start = (left, tf.constant(FIRST_VOXEL), tf.zeros([0], tf.uint8))
    invariants = (left.shape, tf.TensorShape([]), tf.TensorShape([None]))
    return tf.while_loop(more, one, start, shape_invariants=invariants)[2]
