"""Every command by one name."""
import pathlib
import subprocess
import sys

import pytest

from synergynet_tf import __main__, __version__

ROOT = pathlib.Path(__file__).parents[1]


@pytest.mark.parametrize("command", __main__.COMMANDS)
def test_each_command_answers(command):
    shown = subprocess.run([sys.executable, "-m", "synergynet_tf", command, "--help"], capture_output=True, text=True, cwd=ROOT)
    assert shown.returncode == 0 and "usage" in shown.stdout


def test_all_are_listed(capsys):
    assert __main__.main([]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name}" in listed and what in listed for name, (what, _) in __main__.COMMANDS.items())
    assert __main__.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_what_is_no_command(capsys):
    assert __main__.main(["predct"]) == 2
    assert "no command 'predct'" in capsys.readouterr().err


def test_a_command_s_error_is_its_own(capsys):
    assert __main__.main(["predict", "--run", "absent", "--out", "out", "scan.nii"]) == 2
    assert "absent: holds no best.npz" in capsys.readouterr().err
