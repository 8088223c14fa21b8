"""What the system says of files, in words."""
import errno

import pytest

from synergynet_tf.errors import InputError, disk_full, unwritable
from synergynet_tf.runtime.entry import command
from synergynet_tf.storage.files import make_folder, replace_file


@pytest.mark.parametrize(("code", "words"), [
    (errno.ENOSPC, "the disk is full"), (errno.EDQUOT, "quota"), (errno.EROFS, "file system is read-only"),
    (errno.EMFILE, "too many files are open"), (errno.ENAMETOOLONG, "name is too long"), (errno.EACCES, "permission denied"),
    (errno.EIO, "check the disk")])
def test_each_is_called_by_its_name(code, words, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise OSError(code, "strange", str(tmp_path / "x"))

    assert words in str(unwritable("x", OSError(code, "strange")))
    assert command(fail)([]) == 2
    told = capsys.readouterr().err
    assert words in told and str(tmp_path / "x") in told and told.count("\n") == 1
    with monkeypatch.context() as patched:
        patched.setattr("synergynet_tf.storage.files.os.replace", fail)
        with pytest.raises(InputError, match=words):
            replace_file(tmp_path / "x", b"")
    assert not [path for path in tmp_path.iterdir() if path.name != ".synergynet"]


def test_a_long_name_and_a_file_in_the_way(tmp_path):
    with pytest.raises(InputError, match="the name is too long"):
        replace_file(tmp_path / ("a" * 300), b"")
    (tmp_path / "file").touch()
    for path, words in ((tmp_path / "file", "a file lies there"), (tmp_path / "file" / "x", "a part of the path is a file"),
                        (tmp_path / ("a" * 300), "the name is too long")):
        with pytest.raises(InputError, match=f"--out is {path}, but it cannot be made or written .{words}"):
            make_folder(path, "--out")


def test_a_full_disk_in_the_words_of_others():
    assert disk_full("RESOURCE_EXHAUSTED: a/b.v2; No space left on device")
    assert not disk_full("OOM when allocating tensor")
