"""Groups of settings: frozen dataclasses, checked when they are made by their annotations, their limits and their rules."""
import dataclasses
import functools
import os
import types
from collections.abc import Mapping
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

from synergynet_tf.errors import InputError
from synergynet_tf.storage import typed


@dataclasses.dataclass(frozen=True)
class Settings:
    """Base of a group. What does not fit raises InputError: the field, its value, and what it must be."""

    GROUP: ClassVar[str]                                            # its name in messages, in YAML and on the command line
    LIMITS: ClassVar[Mapping[str, tuple[float, float]]] = {}        # lowest and highest value of a number, and of each in a list
    PATHS: ClassVar[tuple[str, ...]] = ()                           # files and folders, whose ~ is the user's home

    def __post_init__(self) -> None:
        for name, hint in hints(type(self)).items():
            value = getattr(self, name)
            typed.require(value, hint, f"{self.GROUP}.{name}")
            if name in self.PATHS and value is not None:
                value = expanded(value, f"{self.GROUP}.{name}")
            value = normal(value, hint)
            object.__setattr__(self, name, value)
            numbers = value if isinstance(value, tuple) else (value,)
            low, high = self.LIMITS.get(name, (0, 0))
            if name in self.LIMITS and any(number is not None and not low <= number <= high for number in numbers):
                self.require(False, name, f"{'each' if value is numbers else 'it'} must be {low:g} to {high:.12g}")
        self.check()

    def check(self) -> None:
        """The rules that concern several fields of the group."""

    def require(self, condition: bool, name: str, rule: str) -> None:
        """See that the condition holds.

        Raises:
            InputError: it does not; the field's value and the rule are said.
        """
        if not condition:
            raise InputError(f"{self.GROUP}.{name} is {typed.shown(getattr(self, name))}, but {rule}")


def normal(value: Any, hint: Any) -> Any:
    """A value that fits its annotation, as Python has it: tuples for lists, floats for whole numbers where floats are wanted."""
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if isinstance(value, list | tuple):
        inner = get_args(next(kind for kind in kinds if get_origin(kind) is tuple))
        parts = inner[:1] * len(value) if Ellipsis in inner else inner
        return tuple(normal(part, part_hint) for part, part_hint in zip(value, parts))
    return float(value) if type(value) is int and float in kinds else value


def hints(group: type) -> dict[str, Any]:
    """The annotations of a group's fields by name."""
    return _hints(group)


@functools.cache
def _hints(group: type) -> dict[str, Any]:
    annotations = get_type_hints(group)
    return {field.name: annotations[field.name] for field in dataclasses.fields(group)}


def expanded(path: str, name: str) -> str:
    """A path with the user's home in place of ~.

    Raises:
        InputError: no file can be called so; the error calls it `name`.
    """
    if not path.strip() or "\0" in path:
        raise InputError(f"{name} is {path!r}, but it must be a path")
    return os.path.expanduser(path)
