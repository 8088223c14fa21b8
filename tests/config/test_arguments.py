"""The types of arguments, under argparse and under jsonargparse."""
import argparse
import pathlib

import jsonargparse
import pytest

from synergynet_tf.config import arguments
from synergynet_tf.errors import InputError

TYPES = {"path": arguments.path, "share": arguments.share, "volume": arguments.volume, "workers": arguments.workers,
         "above": arguments.number(0, inner=True), "text": arguments.text, "p": arguments.probability,
         "named": arguments.named_path}


@pytest.mark.parametrize("parser", [argparse.ArgumentParser, jsonargparse.ArgumentParser])
@pytest.mark.parametrize(("kind", "text", "value"), [
    ("path", "~/x", pathlib.Path.home() / "x"), ("path", "a b", pathlib.Path("a b")), ("share", "1", 1.0),
    ("volume", "1e3", 1000.0),
    ("workers", "4", 4), ("above", "0.5", 0.5), ("named", "LST=~/x", ("LST", pathlib.Path.home() / "x")),
])
def test_what_fits_is_taken(parser, kind, text, value):
    made = parser()
    made.add_argument("--it", type=TYPES[kind])
    assert made.parse_args([f"--it={text}"]).it == value


@pytest.mark.parametrize(("kind", "text"), [
    ("path", ""), ("path", " "), ("path", "a\0b"), ("share", "2"), ("share", "nan"), ("share", "-0.1"), ("share", "x"),
    ("volume", "-1"),
    ("volume", "inf"), ("workers", "0"), ("workers", "1.5"), ("workers", "9" * 6000), ("workers", "²"), ("above", "0"),
    ("text", ""), ("p", "1"), ("p", "0"), ("p", "nan"),
    ("named", "LST"), ("named", "=x"), ("named", "LST="), ("named", "../a=x"), ("named", ".=x"),
])
def test_what_does_not_fit_is_refused_in_one_line(kind, text):
    with pytest.raises(InputError) as caught:
        TYPES[kind](text)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200
    made = arguments.Parser(prog="made")
    made.add_argument("--it", type=TYPES[kind])
    with pytest.raises(InputError, match=r"argument --it: .*; made --help tells more"):
        made.parse_args([f"--it={text}"])
