"""The library's few names do what the commands do, on files and on scans in memory."""
import dataclasses
import pathlib
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest

import synergynet_tf as sn
from synergynet_tf import predict
from synergynet_tf.errors import InputError

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def fitted(tiny_cohort, tmp_path_factory):
    """A tiny U-Net, trained by the library, and its run; the tour has the library with SynergyNet."""
    from tests.cohort import TINY

    folder = tmp_path_factory.mktemp("library")
    config = sn.Config.from_dict(TINY | {"data": {"path": str(tiny_cohort), "cache": str(folder / "cache")},
                                         "train": {"system": "unet", "epochs": [0, 0, 0, 1], "steps_per_epoch": 1}})
    return sn.fit(config, folder / "run"), folder / "run"


def test_importing_it_imports_nothing_heavy():
    code = ("import sys, synergynet_tf as sn; print(sorted({'tensorflow', 'keras', 'numpy', 'nibabel'} & set(sys.modules)), "
            "sorted(set(sn.__all__) - set(dir(sn))))")
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert shown.stdout.strip() == "[] []"


def test_what_is_fitted_is_not_fitted_again(fitted):
    network, run = fitted
    before = (run / "last.npz").stat().st_mtime_ns
    sn.fit(network.config, run)
    assert (run / "last.npz").stat().st_mtime_ns == before
    with pytest.raises(InputError, match="begun with other settings"):
        other = dataclasses.replace(network.config, train=dataclasses.replace(network.config.train, seed=9))
        (run / "losses.png").rename(run / "losses.old")
        try:
            sn.fit(other, run)
        finally:
            (run / "losses.old").rename(run / "losses.png")


def test_a_scan_in_memory_is_segmented_as_the_command_segments_its_file(fitted, tiny_cohort, tmp_path):
    network, run = fitted
    path = tiny_cohort.parent / "P1_flair.nii.gz"
    image = nib.load(path)
    assert predict.main(["--run", str(run), "--out", str(tmp_path / "command"), str(path)]) == 0
    want = nib.load(tmp_path / "command" / "P1_flair_probability.nii.gz")
    for scan in (path, str(path), image, (image.get_fdata(), image.affine)):
        found = network.segment(scan)
        np.testing.assert_array_equal(found.probability, want.get_fdata(dtype=np.float32))
        np.testing.assert_array_equal(found.affine, want.affine)
        assert found.mask.dtype == bool and len(found.lesions) == 0 or found.volume_ml > 0
    files = sn.segment(path, run).save(tmp_path / "library")
    assert [file.name for file in files] == ["P1_flair_mask.nii.gz", "P1_flair_probability.nii.gz", "P1_flair_lesions.json"]
    for file in files[:2]:
        assert file.read_bytes() == (tmp_path / "command" / file.name).read_bytes()


def test_what_is_not_ours_is_not_written_over(fitted, tiny_cohort, tmp_path):
    network, _ = fitted
    (tmp_path / "P1_flair_mask.nii.gz").write_bytes(b"drawn")
    with pytest.raises(InputError, match="lies there already"):
        network.segment(tiny_cohort.parent / "P1_flair.nii.gz").save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["P1_flair_mask.nii.gz"]


def test_settings_other_than_the_run_s(fitted, tiny_cohort):
    _, run = fitted
    scan = tiny_cohort.parent / "P1_flair.nii.gz"
    assert sn.load(run, threshold=0.001).segment(scan).mask.sum() > sn.load(run, threshold=0.999).segment(scan).mask.sum()
    with pytest.raises(InputError, match="threshold"):
        sn.load(run, threshold=2.0)
    with pytest.raises(InputError, match="holds no best.npz"):
        sn.load(run.parent)


def test_scores_of_files_and_of_arrays(tiny_cohort):
    path = tiny_cohort.parent / "P2_lesions.nii.gz"
    image = nib.load(path)
    shifted = np.roll(np.asarray(image.dataobj) > 0, 1, axis=0)
    found = sn.score(path, (shifted, image.affine))
    reference = np.asarray(image.dataobj) > 0
    assert found.dsc == pytest.approx(2 * (reference & shifted).sum() / (reference.sum() + shifted.sum()))
    assert sn.score(image, path).dsc == 1
    with pytest.raises(InputError, match="grid"):
        sn.score(path, (shifted[1:], image.affine))
    with pytest.raises(InputError, match=r"an array \(2, 2\)"):
        sn.score(path, (np.zeros((2, 2)), image.affine))
