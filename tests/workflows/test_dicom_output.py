"""The region of each lesion in the scan's own space, where lesions of the network's grid may have merged or split."""
import numpy as np
import pytest
from scipy import ndimage

pytest.importorskip("highdicom")
from synergynet_tf.workflows.dicom_output import regions_of  # noqa: E402

AFFINE = np.array([[0, -2.0, 0, 30], [1, 0, 0, -10], [0, 0, 3, 5], [0, 0, 0, 1]])


def lesion(voxel, region, volume):
    """As in a case's JSON file; the voxel is of the own space."""
    return {"own_mm": list(AFFINE[:3, :3] @ voxel + AFFINE[:3, 3]), "region": region, "volume_mm3": volume}


def found(mask, lesions):
    labels, count = ndimage.label(mask)
    return regions_of(labels, count, AFFINE, lesions)


def test_a_component_is_of_the_largest_lesion_in_it_or_else_of_the_nearest():
    mask = np.zeros((20, 20, 10), bool)
    mask[2:5, 2:5, 2] = mask[10:14, 3:12, 5] = mask[17, 17, 8] = True
    lesions = [lesion((3, 3, 2), "infratentorial", 9.0), lesion((11, 4, 5), "deep", 3.0),
               lesion((12, 10, 5), "juxtacortical", 30.0)]
    assert found(mask, lesions) == ["infratentorial", "juxtacortical", "juxtacortical"]
    assert found(mask, lesions[:2]) == ["infratentorial", "deep", "deep"]


def test_without_places_the_region_is_unknown():
    mask = np.zeros((5, 5, 5), bool)
    assert found(mask, []) == []
    mask[2, 2, 2] = True
    assert found(mask, []) == found(mask, [lesion((2, 2, 2), None, 1.0)]) == [""]
