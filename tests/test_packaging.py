"""What a wheel and a source archive hold, and that the locks say what the requirements say."""
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "synergynet_tf"
NOTICES = ("LICENSE", "NOTICE", "synergynet_tf/report/templates/VIEWER_LICENSES.txt")
LANES = ("requirements", "requirements-addons")


def tracked() -> list[str]:
    """The repository's files, or a skip where it is no checkout."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, cwd=ROOT)
    if listed.returncode:
        pytest.skip("not a git checkout, so that its files cannot be listed")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the repository's files: setuptools leaves its build folders beside what it builds."""
    folder = tmp_path_factory.mktemp("source")
    for name in tracked():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(source)],
                   check=True, capture_output=True)
    path, = folder.glob("*.whl")
    with zipfile.ZipFile(path) as file:
        yield file


def test_a_wheel_installs_one_name(wheel):
    names = wheel.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"synergynet_tf"}
    for expected in ("py.typed", "train.py", "tuning/__init__.py", "export/__init__.py",
                     *(f"config/presets/{file.name}" for file in (PACKAGE / "config/presets").glob("*.yaml")),
                     *(f"report/templates/{file.name}" for file in (PACKAGE / "report/templates").iterdir()),
                     *(f"export/templates/{file.name}" for file in (ROOT / "export/templates").iterdir())):
        assert f"synergynet_tf/{expected}" in names
    assert not any(name.startswith("synergynet_tf/tests") for name in names)


def test_a_wheel_says_what_it_is_and_carries_its_notices(wheel):
    names = wheel.namelist()
    info = next(name for name in names if name.endswith(".dist-info/METADATA"))
    metadata = wheel.read(info).decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Dist: tensorflow" in metadata
    assert 'extra == "serving"' in metadata
    assert re.search(r"^Requires-Dist: ray.*>=2\.52", metadata, re.MULTILINE)        # the first one with tokens
    for notice in NOTICES:
        assert any(".dist-info/" in name and name.endswith(notice) for name in names), notice


def test_a_source_archive_is_the_repository(source, tmp_path):
    subprocess.run([sys.executable, "-m", "build", "--sdist", "--outdir", str(tmp_path), str(source)], check=True,
                   capture_output=True)
    archive, = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        inside = {name.split("/", 1)[1] for name in file.getnames() if "/" in name}
    left_out = {name for name in tracked() if name not in inside}
    assert left_out <= {".gitignore"}


def test_every_picture_of_the_docs_names_its_source():
    listed = (ROOT / "docs/pictures.md").read_text(encoding="utf-8")
    scanless = {"comparison_by_load.png", "comparison_by_size.png", "real_by_load.png", "gamma.png", "search_gamma.png"}  # charts
    for picture in (ROOT / "docs").glob("*.png"):
        assert picture.name in listed or picture.name in scanless, f"docs/pictures.md does not name {picture.name}"


@pytest.mark.parametrize("lane", LANES)
def test_a_lock_pins_what_the_requirements_pin_with_hashes(lane):
    pins = (ROOT / f"{lane}.txt").read_text(encoding="utf-8")
    wanted = dict(re.findall(r"^([\w-]+)(?:\[\w+\])?==([\w.]+)", pins, re.MULTILINE))
    text = (ROOT / f"{lane}.lock").read_text(encoding="utf-8")
    pin, hashes = r"^([\w.-]+)(?:\[[\w,]+\])?==([\w.+]+)", r"[^\n]*\n(?:    --hash=sha256:[0-9a-f]{64}[^\n]*\n)+"
    entries = re.findall(pin + hashes, text, re.MULTILINE)
    assert wanted
    assert len(entries) == len(re.findall(pin, text, re.MULTILINE)), "an entry has no hash"
    locked = {name.lower(): version for name, version in entries}
    assert {name: locked.get(name.lower()) for name in wanted} == wanted
