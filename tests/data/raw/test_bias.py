"""N4: a field that was put on is taken off, and the brain keeps its mean."""
import numpy as np
import pytest

from synergynet_tf.data import nifti
from synergynet_tf.data.raw import bias
from synergynet_tf.errors import InputError
from tests.data.raw import head


def test_a_known_field_is_removed(tmp_path):
    grid = head.slices()
    clean, brain = head.view("flair", grid), head.view("brain", grid, seed=None) > 0.5
    x, y, z = (np.linspace(-1, 1, n).reshape([-1 if i == axis else 1 for i in range(3)]) for axis, n in enumerate(grid.shape))
    field = np.exp(0.4 * x + 0.3 * y * z)
    scan = nifti.read(head.save(tmp_path / "scan.nii.gz", (clean * field).astype(np.float32), grid))
    put_on, inside = (nifti.read(head.save(tmp_path / f"{name}.nii.gz", array.astype(np.float32), grid)).array
                      for name, array in (("field", field), ("brain", brain)))
    inside = inside > 0
    corrected = bias.corrected(scan, bias.log_field(scan, inside))
    left = np.log(corrected[inside] / scan.array[inside] * put_on[inside])
    assert left.std() < 0.4 * np.log(put_on[inside]).std()
    assert corrected[inside].mean() == pytest.approx(scan.array[inside].mean(), rel=0.02)


def test_a_scan_beside_the_brain_is_refused(tmp_path):
    grid = head.slices()
    scan = nifti.read(head.save(tmp_path / "scan.nii.gz", head.view("flair", grid), grid))
    with pytest.raises(InputError, match="too few for bias correction"):
        bias.log_field(scan, np.zeros(scan.array.shape, bool))
