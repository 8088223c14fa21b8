"""The definitions of regions, on distances that are known."""
import numpy as np
import pytest

from synergynet_tf.data.anatomy.regions import (
    CORTEX_MM,
    JUXTACORTICAL_MM,
    PERIVENTRICULAR_MM,
    TOO_FAR_MM,
    WALL_MM,
    Distances,
    measure,
    place_of,
)
from synergynet_tf.data.anatomy.scan import Anatomy

NEAR, FAR = 0.5, 20.0


def lesion(ventricle, cortex, below=(False, False), x=(20, 22)):
    mni = np.array([(x[0], 0, 20), (x[1], 0, 20)], float)
    return Distances(np.array(ventricle, float), np.array(cortex, float), np.array(below), mni)


@pytest.mark.parametrize("ventricle, cortex, below, region, reached", [
    ((NEAR, FAR), (FAR, FAR), (False, False), "periventricular", ("periventricular",)),
    ((FAR, FAR), (FAR, NEAR), (False, False), "juxtacortical", ("juxtacortical",)),
    ((NEAR, FAR), (FAR, NEAR), (False, False), "periventricular", ("periventricular", "juxtacortical")),
    ((FAR, FAR), (FAR, FAR), (False, False), "deep", ()),
    ((PERIVENTRICULAR_MM + 0.1, FAR), (JUXTACORTICAL_MM + 0.1, FAR), (False, False), "deep", ()),
    ((FAR, FAR), (NEAR, NEAR), (True, True), "infratentorial", ("infratentorial",)),
    ((FAR, FAR), (NEAR, FAR), (True, False), "infratentorial", ("infratentorial",)),
])
def test_regions_and_their_precedence(ventricle, cortex, below, region, reached):
    place = place_of(lesion(ventricle, cortex, below))
    assert (place.region, place.reached) == (region, reached)
    assert (place.ventricle_mm, place.cortex_mm) == (min(ventricle), min(cortex))


@pytest.mark.parametrize("x, side", [((-30, -20), "left"), ((10, 30), "right"), ((-8, 8), "midline")])
def test_the_side_is_that_of_mni_space(x, side):
    assert place_of(lesion((FAR, FAR), (FAR, FAR), x=x)).side == side


def test_distances_are_those_of_the_scans_own_space():
    to_mni = np.diag([1.25, 1.25, 1.25, 1.0])
    anatomy = Anatomy(to_mni, np.array([[0.0, 0, 20]]), np.array([[50.0, 0, 20]]), np.array([[48.0, 0, 20]]), 20.0)
    found = measure(np.array([[10.0, 0, 20], [44, 0, 20], [49, 0, 20]]), anatomy, scale=0.8)
    assert found.ventricle_mm == pytest.approx(np.array([8.0, 35.2, 39.2]) - WALL_MM)
    grey, surface = np.array([30.4, 3.2, 0.8]), np.array([32, 4.8, 0.8])
    expected = np.maximum((grey + np.maximum(surface - CORTEX_MM, 0)) / 2 - TOO_FAR_MM, 0)
    assert found.cortex_mm == pytest.approx(expected)
    assert found.mni[0] == pytest.approx([12.5, 0, 25])
