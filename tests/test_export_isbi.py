"""The challenge's file names, and what stops them from being written."""
import nibabel as nib
import numpy as np
import pytest

from synergynet_tf import export_isbi

SHAPE = (9, 11, 7)
LAS = np.array([[-1, 0, 0, 9], [0, 1, 0, -12], [0, 0, 1, -7], [0, 0, 0, 1.0]])
RAS = np.array([[1, 0, 0, 1], [0, 1, 0, -12], [0, 0, 1, -7], [0, 0, 0, 1.0]])        # the same grid, X the other way round


def store(path, array, affine=LAS):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, affine), path)


@pytest.fixture
def challenge(tmp_path):
    """Two test scans and their masks, the second stored in another orientation."""
    for seed, name in enumerate(("test01_01", "test02_03")):
        rng = np.random.default_rng(seed)
        store(tmp_path / "test" / name[:6] / "preprocessed" / f"{name}_flair_pp.nii", rng.random(SHAPE, np.float32))
        mask = (rng.random(SHAPE) < 0.2).astype(np.uint8)
        store(tmp_path / "predicted" / f"{name}_mask.nii.gz", mask if seed == 0 else mask[::-1], LAS if seed == 0 else RAS)
        np.save(tmp_path / f"{name}.npy", mask)
    return tmp_path


def call(folder, *more):
    return export_isbi.main(["--data", str(folder / "test"), "--predictions", str(folder / "predicted"),
                             "--out", str(folder / "out"), *more])


def test_each_scan_has_its_file(challenge, capsys):
    assert call(challenge) == 0
    assert sorted(path.name for path in (challenge / "out").iterdir()) == ["test01_01_synergynet.nii", "test02_03_synergynet.nii"]
    for name in ("test01_01", "test02_03"):
        path = challenge / "out" / f"{name}_synergynet.nii"
        image = nib.load(path)
        assert path.read_bytes()[344:348] == b"n+1\0"
        assert image.get_data_dtype() == np.uint8
        np.testing.assert_array_equal(image.affine, LAS)
        np.testing.assert_array_equal(np.asarray(image.dataobj), np.load(challenge / f"{name}.npy"))
    assert "2 masks are in" in capsys.readouterr().out


def test_the_name_of_the_tool(challenge):
    assert call(challenge, "--name", "Mine2") == 0
    assert (challenge / "out" / "test01_01_Mine2.nii").is_file()


def drop_mask(folder):
    (folder / "predicted" / "test02_03_mask.nii.gz").unlink()


def only_training(folder):
    for path in sorted((folder / "test").rglob("*test*"), reverse=True):      # files before their folders
        path.rename(path.with_name(path.name.replace("test", "training")))


def other_grid(folder):
    store(folder / "predicted" / "test01_01_mask.nii.gz", np.zeros((9, 11, 6), np.uint8))


def blocked(folder):
    (folder / "out").touch()


@pytest.mark.parametrize("damage, more, fragments", [
    (drop_mask, [], ["predicted has no <case>_mask.nii.gz for 1 of 2 scans: test02_03", "synergynet_tf.predict"]),
    (only_training, [], ["test, but its patients are all of the training part", "test01"]),
    (other_grid, [], ["test01_01_mask.nii.gz", "9 x 11 x 6", "9 x 11 x 7"]),
    (blocked, [], ["--out is", "cannot be made"]),
    (lambda folder: None, ["--name", "my_tool"], ["--name is 'my_tool'", "letters and digits"]),
    (lambda folder: None, ["--data", "/absent"], ["/absent: no such file or folder"]),
])
def test_what_stops_it(challenge, capsys, damage, more, fragments):
    damage(challenge)
    assert call(challenge, *more) == 2
    line, = capsys.readouterr().err.splitlines()
    for fragment in fragments:
        assert fragment in line
