"""Places in MNI space: structures by their known coordinates, and 20 labelled brains."""
import nibabel as nib
import numpy as np
import pytest

from synergynet_tf.data.anatomy.template import from_line, infratentorial

# Textbook MNI coordinates, mm.
BELOW = {"pons": (0, -28, -32), "midbrain": (0, -30, -12), "medulla": (0, -40, -50), "vermis": (0, -64, -22),
         "dentate nucleus": (15, -57, -33), "crus I": (-40, -62, -32), "middle cerebellar peduncle": (22, -38, -34)}
ABOVE = {"thalamus": (-11, -19, 8), "hippocampus": (28, -21, -15), "occipital pole": (-14, -98, 0), "splenium": (0, -38, 12),
         "lingual gyrus": (14, -72, -2), "inferior temporal gyrus": (54, -30, -24), "fusiform gyrus": (-36, -45, -16),
         "centrum semiovale": (26, -20, 36)}


@pytest.mark.parametrize("names, below", [(BELOW, True), (ABOVE, False)])
def test_structures_lie_on_their_side_of_the_tentorium(names, below):
    for name, found in zip(names, infratentorial(np.array([*names.values()], float))):
        assert found == below, name


def test_distance_to_a_bent_line():
    line = ((0, 0, 0), (10, 0, 0), (10, 10, 0))
    assert from_line(np.array([(5.0, 3, 0), (13, 5, 4), (-3, 4, 0), (10, 0, 0)]), line) == pytest.approx([3, 5, 5, 0])


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 9, 17, 20])      # wide and narrow ventricles; 17 and 20 are for tests alone
def test_labelled_brains_agree(real_data, number):
    from synergynet_tf.data.anatomy.fit import fit_template
    from synergynet_tf.data.anatomy.template import template
    from synergynet_tf.data.phantom import atlas

    path = real_data / f"anatomy/seg_{number:02d}.nii.gz"
    image = nib.as_closest_canonical(nib.load(path))
    labels = np.asarray(image.dataobj)
    brain = atlas._closed((labels > 0) & (labels != 24), 4)
    fit = fit_template(brain, image.affine, template().brain, atlas.AFFINE)
    to_mni = np.linalg.inv(fit.to_scan) @ image.affine

    def places(*codes):
        return np.argwhere(np.isin(labels, codes))[::20] @ to_mni[:3, :3].T + to_mni[:3, 3]

    assert fit.dice > 0.94
    assert infratentorial(places(7, 46, 8, 47)).mean() > 0.95 and infratentorial(places(16)).mean() > 0.9
    assert infratentorial(places(2, 41, 3, 42, 10, 49, 11, 50, 12, 51)).mean() < 0.015
    assert (places(2, 3)[:, 0] < 0).mean() > 0.985 and (places(41, 42)[:, 0] > 0).mean() > 0.985
