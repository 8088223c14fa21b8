"""The help of the settings: each with the comment beside its field, in groups, the most important ones first."""
import argparse
import inspect
import io
import json
import tokenize
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from synergynet_tf.config.settings import Settings, hints
from synergynet_tf.storage.typed import described

FIRST = ("data", "train", "patch", "augment", "loss", "infer")      # the most important groups; the others follow


def comments(group: type[Settings]) -> dict[str, str]:
    """The comment of each field of a group, from its source: on the field's line, or on lines of their own before it."""
    texts: dict[str, str] = {}
    names = {field.name for field in fields(group)}
    before: list[str] = []      # comments on lines of their own
    statement: list[str] = []   # its words so far
    for token in tokenize.generate_tokens(io.StringIO(inspect.getsource(group)).readline):
        field = statement[0] if statement[1:2] == [":"] and statement[0] in names else None
        if token.type == tokenize.COMMENT and (field or not statement):
            before.append(token.string.lstrip("# "))
        elif token.type == tokenize.NEWLINE:
            if field and before:
                texts[field] = " ".join(before)
            before, statement = [], []
        elif token.string.strip():
            statement.append(token.string)
    return texts


def add_settings(parser: Any, groups: Mapping[str, type[Settings]]) -> None:
    """Add the settings to a parser that is to show its help; their values are read elsewhere (`texts.ChosenSettings`)."""
    parser.usage = "%(prog)s [--preset NAME] [--config FILE] [--GROUP.SETTING VALUE ...] [options]"
    for name in sorted(groups, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST))):
        group, texts = groups[name], comments(groups[name])
        section = parser.add_argument_group(f"--{name}", " ".join((group.__doc__ or "").split()))
        for field in fields(group):
            section.add_argument(f"--{name}.{field.name}", metavar="VALUE", default=argparse.SUPPRESS,
                                 help=_help(group, field, texts.get(field.name, "")).replace("%", "%%"))


def _help(group: type[Settings], field: Field, comment: str) -> str:
    """The comment, what is allowed, and the default as it is typed."""
    allowed = described(hints(group)[field.name])
    if field.name in group.LIMITS:
        low, high = group.LIMITS[field.name]
        allowed += f", {low:g} to {high:.12g}"
    default = json.dumps(None if field.default is MISSING else field.default).strip('"')
    return f"{comment} ({allowed}; default: {default})"
