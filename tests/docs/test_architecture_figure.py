"""The figures of docs/architecture.md are drawn by the code beside them, and stay small."""
import pathlib
import runpy

DOCS = pathlib.Path(__file__).parents[2] / "docs"
MOST = 200_000      # bytes


def test_the_figures_are_drawn_again(tmp_path, monkeypatch):
    from matplotlib.image import imread

    monkeypatch.setattr("sys.argv", ["make_architecture_figure.py", "--out", str(tmp_path)])
    runpy.run_path(str(DOCS / "make_architecture_figure.py"), run_name="__main__")
    drawn = sorted(tmp_path.iterdir())
    assert [path.name for path in drawn] == ["network.png", "way_of_a_batch.png", "way_of_a_scan.png"]
    for path in drawn:
        assert path.stat().st_size < MOST
        assert imread(path).shape == imread(DOCS / path.name).shape
        assert path.name in (DOCS / "architecture.md").read_text(encoding="utf-8")
