"""What lesions did from scan to scan, by their labels, in the order of the scans in time."""
import nibabel as nib
import numpy as np
import pytest

from synergynet_tf.data.layouts import Case
from synergynet_tf.inference.lesions import Evidence, lesion_table
from synergynet_tf.report.follow_up import courses, follow_ups
from synergynet_tf.storage.sealed import sealed

AFFINE = np.array([[-1.0, 0, 0, 90], [0, 1, 0, -126], [0, 0, 1, -72], [0, 0, 0, 1]])     # stored LAS, compared in RAS+
BLOCKS = {"kept": (2, 6, 6), "grows": (12, 6, 6), "goes": (20, 6, 6), "comes": (28, 6, 6)}


def write(folder, name, sizes, affine=AFFINE):
    mask = np.zeros((40, 16, 16), bool)
    for block, side in sizes.items():
        x, y, z = BLOCKS[block]
        mask[x:x + side, y:y + side, z:z + side] = True
    nib.save(nib.Nifti1Image(mask.astype(np.uint8), affine), folder / f"{name}_mask.nii.gz")
    rows = lesion_table(mask, Evidence(*[mask.astype(np.float32)] * 2, mask, mask), affine, 18)
    about = {"case": name, "images": {}, "files": {}, "count": len(rows), "volume_ml": mask.sum() / 1000, "connectivity": 18,
             "threshold": 0.5, "gamma": 0.3, "coverage": "whole", "notes": [], "lesions": rows}
    (folder / f"{name}_lesions.json").write_bytes(sealed(about))
    return rows


def label_of(rows, block):
    x = AFFINE[0, 0] * (BLOCKS[block][0] + 1) + AFFINE[0, 3]
    return next(row["label"] for row in rows if abs(row["centroid_mm"][0] - x) < 3)


def case(name, session, patient="P"):
    return Case(name, patient, session, {}, None, None)


@pytest.fixture
def scans(tmp_path):
    rows = [write(tmp_path, "P_M12", {"kept": 3, "grows": 5, "comes": 2}),
            write(tmp_path, "P_M0", {"kept": 3, "grows": 3, "goes": 3})]
    return tmp_path, *rows


def test_new_enlarged_and_resolved_lesions(scans):
    folder, later, earlier = scans
    write(folder, "Q", {"kept": 3})
    found = courses(follow_ups([case("P_M12", "M12"), case("P_M0", "M0"), case("Q", "", "Q")], folder))
    assert set(found) == {"P_M0", "P_M12"}
    first, second = found["P_M0"], found["P_M12"]
    assert (first.before, first.since, second.before, second.until) == ("", {}, "P_M0", {})
    assert first.until == {label_of(earlier, "kept"): "stable", label_of(earlier, "grows"): "enlarged",
                           label_of(earlier, "goes"): "resolved"}
    assert second.since == {label_of(later, "kept"): "stable", label_of(later, "grows"): "enlarged",
                            label_of(later, "comes"): "new"}
    assert second.counts == {"new": 1, "enlarged": 1, "shrunk": 0, "resolved": 1, "stable": 1}


def test_scans_on_two_grids_have_no_course(scans):
    folder = scans[0]
    write(folder, "P_M12", {"kept": 3}, AFFINE @ np.diag([2, 1, 1, 1]))
    assert not courses(follow_ups([case("P_M12", "M12"), case("P_M0", "M0")], folder))
