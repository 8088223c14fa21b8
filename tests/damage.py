"""Damage as disks, kills and hands do it to a file, the same for the same seed."""
import json
import random
from collections.abc import Iterator
from typing import Any

STRANGE = (None, True, -1, 0, 10 ** 30, 1e308, float("nan"), float("inf"), "", "x", "../../x", [], [[]], {}, {"": None})


def damaged(content: bytes, count: int, seed: int = 0) -> Iterator[bytes]:
    """`count` damaged versions of a file: flipped bits, ends cut off, zeroed blocks, bytes from elsewhere, appended ones."""
    rng = random.Random(seed)
    for _ in range(count):
        broken, start = bytearray(content), rng.randrange(len(content))
        kind = rng.randrange(5)
        if kind == 0:
            for _ in range(rng.choice((1, 1, 8))):
                broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del broken[start:]
        elif kind == 2:
            end = min(start + rng.choice((1, 64, 4096)), len(broken))
            broken[start:end] = bytes(end - start)
        elif kind == 3:
            broken[start:start + 16] = rng.randbytes(16)
        else:
            broken += rng.randbytes(rng.choice((1, 100)))
        yield bytes(broken)


def mangled(value: Any, count: int, seed: int = 0) -> Iterator[Any]:
    """`count` versions of a JSON value in which a part is another value, or gone."""
    rng = random.Random(seed)
    for _ in range(count):
        changed = json.loads(json.dumps(value))
        holder, key = rng.choice(list(_places(changed)))
        if rng.random() < 0.2:
            del holder[key]
        else:
            holder[key] = rng.choice(STRANGE)
        yield changed


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield value, key
        yield from _places(part)
