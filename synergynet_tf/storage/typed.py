"""Checks that a value has the type that an annotation names: Python does not check, and files and callers may be wrong."""
import dataclasses
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from synergynet_tf.errors import InputError

LARGEST_INT = 2 ** 63       # beyond, no array and no clock can hold it
SHOWN = 80                  # characters of a value in a message
WORDS = {int: "a whole number", float: "a finite number", str: "text", bool: "true or false", type(None): "null",
         dict: "a mapping", list: "a list"}


def require(value: Any, hint: Any, name: str) -> None:
    """Check a value, all that is in it too.

    Args:
        value: as read from JSON or YAML, or as given by a caller.
        hint: int, float (finite; whole numbers too), str, bool, None, Any, Literal, X | Y, tuple[...], list[X], dict[str, X], a
            dataclass (its fields are keys, those with a default optional), or {key: hint} for the keys that a mapping must have.
        name: what the value is called in the message.

    Raises:
        InputError: the first part that does not fit: its name, its value, and what it must be.
    """
    if isinstance(hint, dict):
        _require_keys(value, hint, set(), name)
    elif dataclasses.is_dataclass(hint):
        fields = dataclasses.fields(hint)
        optional = {f.name for f in fields if {f.default, f.default_factory} != {dataclasses.MISSING}}
        _require_keys(value, get_type_hints(hint), optional, name)
        unknown = set(value) - {f.name for f in fields}
        if unknown:
            raise InputError(f"{_part(name, sorted(unknown, key=str)[0])} is set, but there is no such field")
    elif get_origin(hint) in (list, tuple, dict):
        _require_container(value, hint, name)
    elif not fits(value, hint):
        raise InputError(f"{name or 'it'} is {shown(value)}, but it must be {described(hint)}")


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is as `require` wants it."""
    origin = get_origin(hint)
    if hint is Any:
        return True
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in get_args(hint))
    if origin in (Union, types.UnionType):
        return any(fits(value, part) for part in get_args(hint))
    if origin or isinstance(hint, dict) or dataclasses.is_dataclass(hint):
        try:
            require(value, hint, "")
        except InputError:
            return False
        return True
    if hint in (int, float):
        whole = type(value) is int and abs(value) < LARGEST_INT
        return whole or (hint is float and isinstance(value, float) and math.isfinite(value))
    return isinstance(value, type(None) if hint is None else hint)


def described(hint: Any) -> str:
    """An annotation in words."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin in (Union, types.UnionType):
        return " or ".join(described(part) for part in inner)
    if origin is tuple and Ellipsis not in inner:
        return f"a list of {len(inner)}, each {described(inner[0])}"
    if dataclasses.is_dataclass(hint):
        return f"a mapping of {', '.join(field.name for field in dataclasses.fields(hint))}"
    if origin in (list, tuple):
        return f"a list, each {described(inner[0])}"
    return WORDS.get(type(None) if hint is None else origin or hint, "a mapping")


def shown(value: Any) -> str:
    """A value for a message: on one line and not longer than one can read."""
    if isinstance(value, int) and abs(value) >= LARGEST_INT:
        return "a huge number"      # of which Python may refuse to print the digits
    text = repr(list(value) if isinstance(value, tuple) else value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _require_keys(value: Any, hints: Mapping[str, Any], optional: set[str], name: str) -> None:
    if not isinstance(value, dict):
        raise InputError(f"{name or 'it'} is {shown(value)}, but it must be a mapping")
    for key, hint in hints.items():
        if key in value:
            require(value[key], hint, _part(name, key))
        elif key not in optional:
            raise InputError(f"{_part(name, key)} is missing")


def _require_container(value: Any, hint: Any, name: str) -> None:
    origin, inner = get_origin(hint), get_args(hint)
    fixed = origin is tuple and Ellipsis not in inner
    kinds = (list, tuple) if origin is tuple else origin        # JSON and YAML know lists alone
    if not isinstance(value, kinds) or (fixed and len(value) != len(inner)):
        raise InputError(f"{name or 'it'} is {shown(value)}, but it must be {described(hint)}")
    if isinstance(value, dict):
        for key, part in value.items():
            require(key, inner[0], f"a key of {name or 'it'}")
            require(part, inner[1], _part(name, key))
    elif not all(fits(part, part_hint) for part, part_hint in zip(value, inner if fixed else inner[:1] * len(value))):
        for place, (part, part_hint) in enumerate(zip(value, inner if fixed else inner[:1] * len(value))):
            require(part, part_hint, f"{name}[{place}]")


def _part(name: str, key: Any) -> str:
    return f"{name}.{key}" if name else str(key)
