"""YAML as settings are written in it: plain values in lists and mappings, nothing that loops, multiplies or hides."""
import functools
import re
from typing import Any

# YAML 1.1 takes 1e-3 for text, for want of a dot; 1.2 and everyone who types a learning rate take it for a number.
FLOAT = re.compile(r"""[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9_]+(?:[eE][-+]?[0-9]+)?
                       |[0-9][0-9_]*[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)""", re.X)
DEEPEST = 50        # lists and mappings in one another


def load(content: str | bytes) -> Any:
    """The value of a YAML text; bytes are of UTF-8 or, with its mark, UTF-16. Raises ValueError with the line that is wrong."""
    import yaml

    try:
        return yaml.load(content, _loader())        # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise ValueError(f"line {error.problem_mark.line + 1}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from None


@functools.cache
def _loader() -> type:
    import yaml

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

    resolvers = {first: [(tag, pattern) for tag, pattern in own if tag not in ("tag:yaml.org,2002:float",
                                                                               "tag:yaml.org,2002:timestamp")]
                 for first, own in yaml.SafeLoader.yaml_implicit_resolvers.items()}
    Loader.yaml_implicit_resolvers = resolvers
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", FLOAT, list("-+0123456789."))
    return Loader
