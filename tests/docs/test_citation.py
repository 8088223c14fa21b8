"""The citation is in the form that tools read, and of this version."""
import pathlib

import yaml

import synergynet_tf

FILE = pathlib.Path(__file__).parents[2] / "CITATION.cff"


def test_it_has_what_the_format_asks_for():
    citation = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    paper = citation["preferred-citation"]
    assert citation["cff-version"] == "1.2.0"
    assert all({"title", "authors"} <= set(work) for work in (citation, paper)) and citation["message"]
    assert all(set(author) in ({"name"}, {"family-names", "given-names"}) for author in citation["authors"] + paper["authors"])
    assert citation["version"] == synergynet_tf.__version__
