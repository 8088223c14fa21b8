"""Ventricles, surface and cortex of a scan: of a brain made by hand, and of a phantom, whose own are known."""
import numpy as np
import pytest
from scipy import ndimage

from synergynet_tf.data.anatomy import scan
from synergynet_tf.data.anatomy.regions import Distances, measure, place_of
from synergynet_tf.data.anatomy.template import Template

SHAPE, AFFINE = (56, 68, 52), np.array([[3.0, 0, 0, -82.5], [0, 3, 0, -100.5], [0, 0, 3, -76.5], [0, 0, 0, 1]])
MM = np.stack(np.indices(SHAPE), -1) * 3 + AFFINE[:3, 3]


def ellipsoid(centre, radii):
    return (((MM - centre) / radii) ** 2).sum(-1) < 1


BRAIN = ellipsoid((0, 0, 0), (66, 84, 60))
NARROW, WIDE = ellipsoid((0, 5, 10), (9, 30, 12)), ellipsoid((0, 5, 10), (16, 36, 18))      # the template's ventricle, the scan's
HORNS = np.array([[0.0, 42, 12], [40, -20, -20]])       # of the template: the scan's ventricle reaches the first only


@pytest.fixture
def template(monkeypatch):
    zone = (ndimage.distance_transform_edt(~NARROW, sampling=3) / 12).astype(np.float32)
    depth = ndimage.distance_transform_edt(BRAIN, sampling=3)
    grey = np.where(depth > 9, 0.1, 0.9).astype(np.float32)
    monkeypatch.setattr(scan, "template", lambda: Template(BRAIN, zone, grey, AFFINE, HORNS))
    monkeypatch.setattr(scan, "AFFINE", AFFINE)
    return depth


def test_the_scans_ventricles_are_found_and_other_dark_places_are_not(template):
    vessel, sulcus = ellipsoid((0, -60, 10), (5, 5, 5)), ellipsoid((64, 0, 0), (14, 5, 20)) & BRAIN
    grey = (template <= 9) & BRAIN
    flair = np.where(grey, 1.3, 1.0) + np.random.default_rng(0).normal(0, 0.05, SHAPE)
    flair = np.where(BRAIN, np.where(WIDE | vessel | sulcus, 0.1, flair), 0).astype(np.float32)
    found = scan.find_anatomy(flair, BRAIN, np.zeros(SHAPE, bool), AFFINE)
    assert found.ventricle_ml == pytest.approx(WIDE.sum() * 0.027, rel=0.01)
    inner = ndimage.binary_erosion(WIDE)
    assert {tuple(point) for point in found.ventricles[:-1]} == {tuple(point) for point in MM[WIDE & ~inner]}
    np.testing.assert_allclose(found.ventricles[-1], HORNS[1], atol=1)      # what the scan does not show of the template's horns
    np.testing.assert_allclose(found.to_mni, np.eye(4), atol=0.02)
    assert np.abs(found.surface - (64, 0, 0)).sum(1).min() < 20      # the sulcus is a part of the surface
    inside = [tuple(np.round((point - AFFINE[:3, 3]) / 3).astype(int)) for point in found.cortex]
    assert np.mean([grey[at] for at in inside]) > 0.95


def test_where_nothing_is_dark_the_ventricles_are_the_templates(template):
    flair = np.where(BRAIN, 1 + np.random.default_rng(0).normal(0, 0.05, SHAPE), 0).astype(np.float32)
    found = scan.find_anatomy(flair, BRAIN, np.zeros(SHAPE, bool), AFFINE)
    assert found.ventricle_ml == pytest.approx(NARROW.sum() * 0.027, rel=0.1)


def test_half_a_brain_has_no_known_places(template):
    half = BRAIN & (MM[..., 1] < 25) & (MM[..., 2] < 30)
    why = scan.find_anatomy(half.astype(np.float32), half, half & False, AFFINE)
    assert why.startswith("places of lesions are unknown: the MNI152 template's brain, fitted to this one, has a Dice of 0.")


@pytest.mark.slow
@pytest.mark.parametrize("variety", ["narrow", "wide"])
def test_regions_of_a_phantoms_lesions(variety):
    import cc3d

    from synergynet_tf.data.phantom import atlas, patient

    session, = patient.make_patient(102 if variety == "narrow" else 100, 0, 1, None, variety)
    brain, _ = patient._patient(102 if variety == "narrow" else 100, 0, None, variety, None)
    anatomy = patient._anatomy(brain)
    box = anatomy.box
    flair, lesions = session.flair[box][::-1], session.lesions[box][::-1] > 0      # RAS+
    affine = session.affine @ np.diag([-1, 1, 1, 1])
    affine[:3, 3] = session.affine[:3, :3] @ [box[0].stop - 1, box[1].start, box[2].start] + session.affine[:3, 3]
    found = scan.find_anatomy(flair, flair != 0, lesions, affine)
    labels, count = cc3d.connected_components(lesions, connectivity=18, return_N=True)
    voxels = np.argwhere(labels)
    own, distances = labels[tuple(voxels.T)], measure(voxels @ affine[:3, :3].T + affine[:3, 3], found)
    regions = anatomy.regions[::-1]
    to = {region: ndimage.distance_transform_edt(regions != region)[tuple(voxels.T)]
          for region in (atlas.VENTRICLE, atlas.CORTEX)}
    below = np.isin(regions[tuple(voxels.T)], (atlas.CEREBELLUM, atlas.BRAINSTEM))
    truth = Distances(to[atlas.VENTRICLE], to[atlas.CORTEX], below, distances.mni)
    same = [place_of(Distances(*(values[own == i] for values in distances))).region
            == place_of(Distances(*(values[own == i] for values in truth))).region for i in range(1, count + 1)]
    assert count > 20 and np.mean(same) > 0.75
    assert found.ventricle_ml == pytest.approx((regions == atlas.VENTRICLE).sum() / 1000, rel=0.35)
