"""The report's folder: it needs nothing else, its pages are sound, and they live in a browser."""
import html.parser
import pathlib
import re
import urllib.parse

import pytest

from synergynet_tf.errors import InputError
from synergynet_tf.report import html as report_html
from synergynet_tf.report.elements import Front
from synergynet_tf.report.html import measured, sort_value, viewer_file, write_report

VOID = {"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}
WITHOUT_END = VOID | {"rect", "line"}


class Page(html.parser.HTMLParser):
    """Links and ids of a page; fails where a tag is closed that is not open, or left open."""

    def __init__(self, path: pathlib.Path):
        super().__init__()
        self.open, self.links, self.ids, self.cells, self.rows = [], [], [], [], []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert not self.open, f"{path}: {self.open} left open"
        assert len(self.ids) == len(set(self.ids)), f"{path}: an id twice"

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.links += [values[name] for name in ("src", "href") if name in values]
        self.ids += [values["id"]] if "id" in values else []
        assert tag != "img" or values.get("alt"), "a picture without a text"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        assert tag in WITHOUT_END

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, tag


def pages(*folders):
    return [page for folder in folders for page in sorted(folder.rglob("*.html"))]


def test_pages_are_sound_and_link_to_nothing_outside(cohort, patient):
    names = {str(page.relative_to(folder)) for folder in (cohort, patient) for page in pages(folder)}
    assert names == {"index.html", "cases/P1.html", "cases/P 2.html", "cases/P-timeline.html", "patients/P.html",
                     "patients/Q.html", *(f"cases/{name}.html" for name in ("P_1", "P_2", "P_3", "Q_1"))}
    for folder in (cohort, patient):
        reached = set()
        for path in pages(folder):
            for link in Page(path).links:
                if link != "data:,":
                    target = (path.parent / urllib.parse.unquote(link)).resolve()
                    assert target.is_file() and folder.resolve() in target.parents, (path, link)
                    reached.add(target)
        unused = {path.resolve() for path in folder.rglob("*") if path.is_file()} - reached
        assert {path.name for path in unused} == {"VIEWER_LICENSES.txt"}


def test_nothing_is_fetched_from_the_network(cohort, patient):
    for folder in (cohort, patient):
        for path in folder.rglob("*"):
            if path.suffix in (".html", ".css", ".js") and path.name != report_html.VIEWER:
                assert not re.search(r"https?://|@import|fetch\(|XMLHttpRequest", path.read_text(encoding="utf-8")), path


def test_texts_are_escaped_and_numbers_can_be_sorted(cohort):
    index = (cohort / "index.html").read_text(encoding="utf-8")
    assert "Means &lt;all&gt;" in index and "A &lt;figure&gt;" in index and "A &amp; B" in index
    assert ">a&amp;b</td>" in index and f'<td data-value="{1 / 3!r}">0.333</td>' in index and '<td data-value="">-</td>' in index


def test_every_page_says_what_it_is_and_which_network_made_it(cohort, patient):
    for folder, network in ((cohort, "SHA-256 1234"), (patient, "0" * 64)):
        for path in pages(folder):
            text = path.read_text(encoding="utf-8")
            assert "not a medical device" in text and network in text


def test_a_scan_is_embedded_once(patient):
    names = {path.name for path in (patient / "volumes").iterdir()}
    assert names == {"P-timeline-masks.js", *(f"{name}{part}.js" for name in ("P_1", "P_2", "P_3", "Q_1")
                                              for part in ("", "-masks"))}


@pytest.mark.parametrize("cell, text, value", [(float("nan"), "-", ""), (0.0, "0", "0.0"), (1234.5, "1234", "1234.5"),
                                               (12.34, "12.3", "12.34"), (0.456, "0.46", "0.456"), (-3.0, "-3.0", "-3.0"),
                                               (7, "7", "7"), ("new", "new", "new")])
def test_cells(cell, text, value):
    assert (measured(cell), sort_value(cell)) == (text, value)


def test_a_folder_that_cannot_be_made_and_a_viewer_that_is_not_there(tmp_path, monkeypatch):
    front = Front("", "", {})
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_report(tmp_path / "file", front, [])
    monkeypatch.setattr(report_html, "VIEWER", "absent.js")
    with pytest.raises(InputError, match="nilearn"):
        viewer_file()
