"""What the documents name is there: links and their anchors, files, and names in files."""
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
FOLDERS = (ROOT, ROOT / "synergynet_tf")            # a path in a document begins in one of them, or beside the document
SOURCES = [path for folder in ("synergynet_tf", "tuning", "export", "benchmarks", "tests")
           for kind in ("py", "yaml") for path in sorted((ROOT / folder).rglob(f"*.{kind}"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|md|yaml)|\w+\.(?:py|cff|toml))(?::(\w+))?`")   # a bare .md or .yaml is a result
FOLDER = re.compile(r"`((?:synergynet_tf|tests|docs|export|tuning|benchmarks|data|config|models)/[\w./-]*/)`")
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
DRAWN = re.compile(r"\b((?:[a-z_]+/)+[a-z_]+\.py)\b")


def text_of(page: pathlib.Path) -> str:
    """A page without its blocks of code."""
    return BLOCK.sub("", page.read_text(encoding="utf-8"))


def anchors(page: pathlib.Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def found(name: str, page: pathlib.Path) -> pathlib.Path | None:
    return next((folder / name for folder in (page.parent, *FOLDERS) if (folder / name).exists()), None)


def lost(link: str, page: pathlib.Path) -> bool:
    """Whether a link to a file or an anchor leads nowhere; links to other hosts are not followed."""
    if "://" in link:
        return False
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    return not target.exists() or bool(anchor) and anchor not in anchors(target)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    assert not [link for link in LINK.findall(text_of(page)) if lost(link, page)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_are_there(page):
    text = text_of(page)
    named = {name for name, _ in PATH.findall(text)} | set(FOLDER.findall(text))
    assert not sorted(name for name in named if not found(name, page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_in_files_are_there(page):
    for name, inside in PATH.findall(text_of(page)):
        if inside:
            source = found(name, page).read_text(encoding="utf-8")
            assert re.search(rf"^\s*(?:def|class)? ?{inside}\b", source, re.MULTILINE), f"{name} has no {inside}"


def test_files_in_the_figures_are_there():
    figures = ROOT / "docs/make_architecture_figure.py"
    names = set(DRAWN.findall(figures.read_text(encoding="utf-8").replace(r"\n", "\n")))
    assert len(names) > 20
    assert not sorted(name for name in names if not found(name, figures))


def test_documents_that_sources_name_are_there():
    for source in SOURCES:
        for name, anchor in re.findall(r"\b(docs/\w+\.md)(?:#([\w-]+))?", source.read_text(encoding="utf-8")):
            assert (ROOT / name).exists() and (not anchor or anchor in anchors(ROOT / name)), f"{source} names {name}#{anchor}"
