"""What the arguments of commands are: types for `add_argument`, so that each is checked before anything is done.

Each takes its own values too: jsonargparse gives them back to be checked.
"""
import argparse
import math
import os
import pathlib
from collections.abc import Callable
from typing import NoReturn

from synergynet_tf.config.settings import expanded
from synergynet_tf.errors import InputError


class Parser(argparse.ArgumentParser):
    """A parser whose errors are InputErrors, one line as all others."""

    def error(self, message: str) -> NoReturn:
        """Raise it."""
        raise InputError(f"{message}; {self.prog} --help tells more")


class ArgumentError(InputError, argparse.ArgumentTypeError):
    """An argument that cannot be used: the parser puts its name in front."""


def path(text: str | os.PathLike) -> pathlib.Path:
    """A file or folder, with the user's home in place of ~."""
    try:
        return pathlib.Path(expanded(os.fspath(text), "it"))
    except InputError:
        raise ArgumentError(f"{text!r} is no path; name a file or folder") from None


def named_path(text: str | tuple[str, pathlib.Path]) -> tuple[str, pathlib.Path]:
    """NAME=FOLDER; the name is of a folder that is made."""
    if isinstance(text, tuple):
        return text
    name, equals, folder = text.partition("=")
    if not (name.strip() and equals and folder) or pathlib.PurePath(name).name != name or name.startswith("."):
        raise ArgumentError(f"{text!r} is not NAME=FOLDER")
    return name, path(folder)


def whole(low: int, high: int = 10 ** 6) -> Callable[[str | int], int]:
    """Whole numbers from `low` to `high`."""

    def parse(text: str | int) -> int:
        text = str(text)
        if not text.removeprefix("-").isdecimal() or len(text) > 20 or not low <= int(text) <= high:
            raise ArgumentError(f"{text[:80]!r} is not a whole number, {low} to {high}")
        return int(text)

    return parse


def text(value: str) -> str:
    """A text that is not empty: one that is would be taken for an argument that was not given."""
    if not value.strip():
        raise ArgumentError("it is empty; give a value, or leave the argument out")
    return value


def number(low: float, high: float = math.inf, inner: bool = False) -> Callable[[str | float], float]:
    """Finite numbers from `low` to `high`; `inner`: between them."""

    def parse(text: str | float) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (low <= value <= high and math.isfinite(value)) or (inner and value in (low, high)):
            limits = f"{low:g} to {high:g}" if math.isfinite(high) else f"of {low:g} or more"
            inside = f"between {low:g} and {high:g}" if math.isfinite(high) else f"above {low:g}"
            raise ArgumentError(f"{str(text)[:80]!r} is not a number{', ' if math.isfinite(high) and not inner else ' '}"
                                f"{inside if inner else limits}")
        return value

    return parse


share = number(0, 1)
volume = number(0)          # mm3
probability = number(0, 1, inner=True)
workers = whole(1, 4096)
