"""The files of `templates/`, which are Jinja's, filled in."""
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

ENVIRONMENT = Environment(loader=FileSystemLoader(Path(__file__).with_name("templates")), autoescape=False, trim_blocks=True,
                          keep_trailing_newline=True, undefined=StrictUndefined)


def rendered(template: str, values: Mapping[str, Any]) -> bytes:
    """A template with its values by name, as the bytes of a file."""
    return ENVIRONMENT.get_template(template).render(values).encode()
