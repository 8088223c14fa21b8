"""gzip data in the graph against Python's gzip module: what is whole, and what comes out."""
import gzip
import random
import zlib

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from export.gunzip import FIRSTS, unpack

LIMIT = 1 << 20
UNPACK = tf.function(lambda content: unpack(content, "flair", LIMIT), [tf.TensorSpec([], tf.string)], autograph=False)
WORDS = b"what a scanner says, and says again: " * 40

NOISE = random.Random(0)


def both(content: bytes) -> tuple[bytes | None, bytes | None]:
    """What Python and the graph unpack; None: they refuse."""
    try:
        want = gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        want = None
    try:
        have = UNPACK(tf.constant(content)).numpy()
    except tf.errors.InvalidArgumentError as error:
        assert "assertion failed: [flair" in error.message
        have = None
    return want, have


def empty_block() -> bytes:
    """What a BGZF file (bgzip, of samtools) ends with: a member of nothing, nine zeros its last bytes."""
    return bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


@pytest.mark.parametrize("content", [
    gzip.compress(WORDS), gzip.compress(b""), gzip.compress(WORDS) + gzip.compress(b"more") + gzip.compress(WORDS),
    gzip.compress(WORDS, 0), gzip.compress(WORDS) + bytes(1), gzip.compress(WORDS) + bytes(512),
    gzip.compress(WORDS[:5]) + bytes(7), gzip.compress(WORDS) + empty_block(), gzip.compress(WORDS) + empty_block() + bytes(100),
    gzip.compress(b"") + gzip.compress(WORDS) + gzip.compress(b"", 0) + gzip.compress(WORDS) + empty_block() + bytes(9),
    gzip.compress(bytes(256 ** 2)) + bytes(3),
    gzip.compress(NOISE.randbytes(5000)) + gzip.compress(NOISE.randbytes(300)) + bytes(30)])
def test_whole_data(content):
    want, have = both(content)
    assert want is not None
    assert have == want


@pytest.mark.parametrize("content", [
    gzip.compress(WORDS)[:-1], gzip.compress(WORDS)[:-8], gzip.compress(WORDS)[:20], gzip.compress(WORDS) + b"garbage",
    gzip.compress(WORDS) + b"\x1f", gzip.compress(WORDS) + bytes(20) + b"x", gzip.compress(WORDS) + gzip.compress(WORDS)[:-3],
    gzip.compress(WORDS)[:-8] + bytes(8), gzip.compress(NOISE.randbytes(5000))[:3000], gzip.compress(WORDS)[:-4] + bytes(4),
    b"\x1f\x8b", b"\x1f\x8b" + bytes(500), gzip.compress(WORDS) + gzip.compress(b"more")[:10]])
def test_data_that_are_not_whole(content):
    assert both(content) == (None, None)


@st.composite
def data(draw) -> bytes:
    members = [gzip.compress(WORDS[:draw(st.integers(0, 300))], draw(st.sampled_from([0, 6])), mtime=0)
               for _ in range(draw(st.integers(1, 3)))]
    content = bytearray(b"".join(members))
    for place, bit in draw(st.lists(st.tuples(st.integers(0, 10 ** 6), st.integers(0, 7)), max_size=1)):
        content[place % len(content)] ^= 1 << bit
    return bytes(content)[:draw(st.none() | st.integers(0, 400))] + bytes(draw(st.integers(0, 12)))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(content=data())
def test_as_python_takes_them(content):
    if content[:2] == b"\x1f\x8b":
        want, have = both(content)
        assert have == want


def test_a_length_that_lies():
    bomb = gzip.compress(bytes(LIMIT + 1)) + gzip.compress(b"5 bytes")
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"flair: the file has {LIMIT + 8} bytes, but {LIMIT} are taken"):
        UNPACK(tf.constant(bomb))


@pytest.mark.parametrize("beyond", [1, 4, 8, 9, 12])
def test_ends_of_members_across_the_operations_blocks(beyond):
    """TensorFlow's operation reads 256 KiB at once, and would end where such a block ends within a member's last 8 bytes."""
    for before in (0, *map(len, FIRSTS)):       # 43 bytes are a member's own, at that length
        member = gzip.compress(NOISE.randbytes(2 ** 18 + beyond - before - 43), 0)
        assert len(member) == 2 ** 18 + beyond - before
        want, have = both(member + gzip.compress(b"more"))
        assert have == want


def test_other_bytes_stay_as_they_are():
    assert UNPACK(tf.constant(b"no gzip data")).numpy() == b"no gzip data"
