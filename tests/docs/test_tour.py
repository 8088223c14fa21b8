"""The tour's blocks of Python run in their order, as a reader would type them."""
import pathlib
import re

import pytest

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "tour.md"


@pytest.mark.slow
def test_the_tour_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = PAGE.read_text(encoding="utf-8")
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    assert len(blocks) >= 8
    names: dict = {"__name__": "tour"}
    for block in blocks:
        above = page.count("\n", 0, block.start(1))         # so that a traceback has the page's lines
        exec(compile("\n" * above + block[1], str(PAGE), "exec"), names)
    assert (tmp_path / "masks" / "P1_flair_mask.nii.gz").is_file()
