"""YAML as settings are written in it: plain values in lists and mappings, nothing that loops, multiplies or hides."""
import functools
import re
from typing import Any

import yaml

# YAML 1.1 takes 1e-3 for text, 1:30 for ninety and 010 for eight; 1.2, and everyone who types a number, do not.
NUMBERS = {"int": re.compile(r"[-+]?(?:0|[1-9][0-9]*)$"),
           "float": re.compile(r"""[-+]?(?:[0-9]+\.[0-9]*(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?
                                   |[0-9]+[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))$|\.(?:nan|NaN|NAN)$""", re.X)}
OTHERS = ("bool", "merge", "null", "value", "yaml")     # kinds of YAML 1.1 that stay; its timestamps are text
DEEPEST = 50        # lists and mappings in one another


def load(content: str | bytes) -> Any:
    """The value of a YAML text; bytes are of UTF-8 or, with its mark, UTF-16.

    Raises:
        ValueError: it is none; the line that is wrong is said.
    """
    try:
        return yaml.load(content, _loader())        # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"line {error.problem_mark.line + 1}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from None


@functools.cache
def _loader() -> type:
    class Loader(yaml.SafeLoader):
        """SafeLoader without anchors, doubled keys and towers of brackets."""

        depth = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()
            if isinstance(event, yaml.AliasEvent) or event.anchor:
                raise yaml.constructor.ConstructorError(None, None, "anchors (&, *) are not taken: write the value out",
                                                        event.start_mark)
            if self.depth == DEEPEST:
                raise yaml.constructor.ConstructorError(None, None, f"more than {DEEPEST} lists in one another", event.start_mark)
            self.depth += 1
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_mapping(self, node: Any, deep: bool = False) -> dict:
            seen = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode) or key.value in seen:
                    named = f"{key.value} is named twice" if isinstance(key, yaml.ScalarNode) else "a list names nothing"
                    raise yaml.constructor.ConstructorError(None, None, named, key.start_mark)
                seen.add(key.value)
            return super().construct_mapping(node, deep=deep)

    _resolve_numbers(Loader)
    return Loader


def dump(value: Any) -> str:
    """A YAML text that `load`, and other readers of YAML 1.1 and 1.2, take for the same value."""
    class Dumper(yaml.SafeDumper):
        """SafeDumper that writes the text 1e-3 in quotes, and a list twice instead of a mark to it."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

    for kind, pattern in NUMBERS.items():       # beside those of 1.1, so that no reader takes a text for a number
        Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", pattern, list("-+0123456789."))
    return yaml.dump(value, Dumper=Dumper, sort_keys=False)


def _resolve_numbers(loader: Any) -> None:
    """Make a loader read as numbers what matches `NUMBERS`, and nothing else."""
    tag = "tag:yaml.org,2002:"
    loader.yaml_implicit_resolvers = {
        first: [(kind, pattern) for kind, pattern in resolvers if kind.removeprefix(tag) in OTHERS]
        for first, resolvers in loader.yaml_implicit_resolvers.items()}
    for kind, pattern in NUMBERS.items():
        loader.add_implicit_resolver(tag + kind, pattern, list("-+0123456789."))
