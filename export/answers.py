"""What a server may answer to a scan: each part's type and length. `masks` compares it with the scan."""
from collections.abc import Mapping
from typing import Any, NamedTuple

from synergynet_tf.errors import InputError
from synergynet_tf.storage import typed

NOTES, LINE = 2 ** 14, 400           # letters of the notes, and of one, at most


class Answer(NamedTuple):
    """What the server says of a scan."""

    mask: bytes             # of an uncompressed NIfTI file
    lesions: int
    volume_ml: float
    notes: tuple[str, ...]  # what was mended in the scan, a line each


def malformed(what: str) -> InputError:
    """The error for an answer that is not as it should be."""
    return InputError(f"a malformed answer: {what}; is the server TF Serving with an exported network?")


def one_line(text: str, most: int) -> str:
    """A text from outside as one line of `most` letters that does nothing to a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in " ".join(text[:2 * most].split()))[:most]


def require(value: Any, hint: Any) -> None:
    """See that a part of an answer is what `typed.require` asks for.

    Raises:
        InputError: it is not.
    """
    try:
        typed.require(value, hint, "")
    except InputError as error:
        raise malformed(str(error)) from None


def answer_of(parts: Mapping[str, Any]) -> Answer:
    """An answer from the outputs of the signature by name.

    Raises:
        InputError: one is absent or not of its type.
    """
    require(parts, {"mask_bytes": bytes, "lesion_count": int, "lesion_volume_ml": float})
    notes = parts.get("notes", "")
    require(notes, str)
    lines = tuple(one_line(line, LINE) for line in notes[:NOTES].splitlines() if line.strip())
    return Answer(parts["mask_bytes"], parts["lesion_count"], float(parts["lesion_volume_ml"]), lines)
