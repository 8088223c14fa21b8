"""gzip data unpacked inside a graph, as Python's gzip module takes them: one member or several, zeros allowed behind the last.

TensorFlow's operation has its own ways, and this is laid around them:

- Data that end too early are no error to it. So a last member is put behind the data: its content comes out only if all before it
  was whole, since zlib holds each member to its checksum and length.
- It takes no zeros behind a member. Those that are too many are cut off.
- It stops in silence at a member of nothing, as bgzip writes one at the end, and where a member's end lies across a multiple of
  256 KiB. Members of nothing are taken out; against the other a first member is put before the data, of one length and, if need
  be, of another.
"""
import gzip

import tensorflow as tf

from .checks import checked

MAGIC = b"\x1f\x8b"
MARK = b"all members were whole"
LAST = gzip.compress(MARK, mtime=0)
ENDING_ZEROS = 9        # of a member, at most: an end of its data that is 0, checksum and length of nothing
# A member of nothing, \C being any byte: header with or without bgzip's field, no data in one of two ways, checksum and length.
EMPTY = r"\x1f\C\x08(?:\x00\C{6}|\x04\C{6}\x06\x00BC\x02\x00\x1b\x00)(?:\x03\x00|\x01\x00\x00\C\C)\x00{8}"

Tensor = tf.Tensor


def _first(name: bytes) -> bytes:
    """A member of one byte, whose header holds a file's name."""
    plain = gzip.compress(b"1", mtime=0)
    return plain[:3] + b"\x08" + plain[4:10] + name + b"\0" + plain[10:]


FIRSTS = [_first(b"-" * length) for length in (0, 29, 1013)]


def unpack(content: Tensor, name: str, limit: int) -> Tensor:
    """A file's bytes, a string scalar, unpacked where they are gzip data.

    At most `limit` bytes are taken. The length that the file itself states is looked at first; where it lies, no more than 2 GiB
    are ever unpacked, since that is the operation's own bound.

    Fails with InvalidArgument, naming `name`: corrupt or truncated data, anything but zeros behind them, too much of them.
    """
    packed = tf.strings.substr(content, 0, 2) == MAGIC
    content = tf.cond(packed, lambda: _gunzip(content, name, limit), lambda: content)
    length = tf.strings.length(content)
    return checked(content, length <= limit, f"{name}: the file has", length, f"bytes, but {limit} are taken; "
                   "send a smaller scan")


def _gunzip(content: Tensor, name: str, limit: int) -> Tensor:
    length = tf.strings.length(content)
    content = checked(content, length >= 18, f"{name}: truncated: only", length, "bytes of gzip data; send the whole file")
    stated = _stated(content, length)
    content = checked(content, stated <= limit, f"{name}: gzip data that unpack to", stated, f"bytes, but {limit} are taken; "
                      "send a smaller scan, or the whole file where this one is cut off")
    members = tf.strings.regex_replace(content, EMPTY, "")
    whole, unpacked = tf.cond(_without_zeros(members) > 0, lambda: _tried(members, limit), lambda: (True, b""))
    return checked(unpacked, whole, f"{name}: corrupt or truncated gzip data; send the whole file")


def _stated(content: Tensor, end: Tensor) -> Tensor:
    """What the four bytes before `end` say: the length of the last member's content, int64."""
    tail = tf.io.decode_raw(tf.strings.substr(content, end - 4, 4), tf.uint8)
    return tf.cast(tf.bitcast(tf.ensure_shape(tail, [4]), tf.uint32), tf.int64)


def _tried(content: Tensor, limit: int) -> tuple[Tensor, Tensor]:
    """Whether the data are whole, with some of the zeros at their end at most; and their contents then."""
    length, bare = tf.strings.length(content), _without_zeros(content)
    shorter = tf.range(bare, tf.minimum(length, bare + ENDING_ZEROS + 1))
    shorter = tf.boolean_mask(shorter, shorter >= 18)
    plausible = tf.map_fn(lambda end: _stated(content, end) <= limit, shorter, fn_output_signature=tf.bool)
    ends = tf.concat([[length], tf.boolean_mask(shorter, plausible)], 0)
    count = tf.size(ends)

    def one(i: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return i + 1, *_members(tf.gather(FIRSTS, i // count), tf.strings.substr(content, 0, ends[i % count]))

    start = (tf.constant(0), tf.constant(False), tf.constant(b""))
    return tf.while_loop(lambda i, whole, _: ~whole & (i < count * len(FIRSTS)), one, start, parallel_iterations=1)[1:]


def _without_zeros(content: Tensor) -> Tensor:
    """The length without the zeros at the end."""
    def up_to(begin: Tensor) -> Tensor:
        raw = tf.io.decode_raw(tf.strings.substr(content, begin, -1), tf.uint8)
        last = tf.reduce_max(tf.where(raw != 0, tf.range(1, tf.size(raw) + 1), 0))
        return tf.where(last > 0, begin + last, 0)

    end = up_to(tf.maximum(tf.strings.length(content) - ENDING_ZEROS - 1, 0))
    return tf.cond(end > 0, lambda: end, lambda: up_to(tf.constant(0)))


def _members(first: Tensor, content: Tensor) -> tuple[Tensor, Tensor]:
    """Whether the data are whole, and their contents.

    Damaged data raise DataLoss, of which a server makes an internal error; a dataset can leave such an element out.
    """
    data = tf.data.Dataset.from_tensors(first + content + LAST).map(lambda packed: tf.io.decode_compressed(packed, "GZIP"))
    unpacked = data.ignore_errors().reduce(tf.constant(b""), lambda _, unpacked: unpacked)
    length = tf.strings.length(unpacked)
    inner = length - 1 - len(MARK)
    whole = tf.strings.substr(unpacked, tf.clip_by_value(inner + 1, 0, length), len(MARK)) == MARK
    return whole, tf.cond(whole, lambda: tf.strings.substr(unpacked, 1, inner), lambda: b"")
