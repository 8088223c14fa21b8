"""Figures are written as every other file: whole, and marked as ours."""
import io
import warnings
from pathlib import Path

from matplotlib.figure import Figure

from synergynet_tf.storage.files import replace_file


def save_png(figure: Figure, path: Path, dpi: int) -> None:
    """Write a figure at so many dots an inch, as `files.replace_file` does.

    Raises:
        InputError: it cannot be written.
    """
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")      # a case's name may hold any letter
        figure.savefig(content, dpi=dpi, format="png")
    replace_file(path, content.getvalue())
