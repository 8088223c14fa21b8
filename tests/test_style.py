"""The linter and the type checker have nothing to say; what they are asked stands in pyproject.toml."""
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
CHECKS = {"ruff": ["ruff", "check"], "mypy": ["mypy"]}


@pytest.mark.parametrize("name", ["ruff", pytest.param("mypy", marks=pytest.mark.slow)])
def test_checkers_have_nothing_to_say(name, tmp_path):
    cache = ["--no-cache"] if name == "ruff" else ["--cache-dir", str(tmp_path)]
    checked = subprocess.run([sys.executable, "-m", *CHECKS[name], *cache], capture_output=True, text=True, cwd=ROOT)
    assert checked.returncode == 0, checked.stdout + checked.stderr
