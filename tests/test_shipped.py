"""The network that comes with the package: how a scan is stored does not matter to it, nor small changes of the scan."""
import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

import synergynet_tf as sn
from synergynet_tf.data.phantom import make_patient
from synergynet_tf.workflows.networks import SHIPPED

pytestmark = pytest.mark.slow       # six whole scans
ALIKE = 0.9     # Dice of two samplings of one phantom, half of whose lesions have less than 10 voxels; it was 0.94 and 0.92


@pytest.fixture(scope="module")
def network():
    return sn.load()


@pytest.fixture(scope="module")
def phantom():
    """A patient that no network was trained on: those that it was trained with have other brains."""
    session, = make_patient(2024, 2, 1)
    return session


@pytest.fixture(scope="module")
def mask(network, phantom):
    return network.segment((phantom.flair, phantom.affine)).mask


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_it_finds_a_phantoms_lesions(mask, phantom):
    assert dice(mask, phantom.lesions > 0) > 0.8


def test_neither_a_shift_nor_the_orientation_of_the_file_matters(network, phantom, mask):
    shifted = np.pad(phantom.flair, ((5, 0), (0, 3), (7, 2)))
    image = nib.Nifti1Image(shifted, phantom.affine).as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(phantom.affine), nib.orientations.axcodes2ornt("PIR")))
    turned = network.segment(image)
    back = nib.orientations.ornt_transform(nib.io_orientation(image.affine), nib.io_orientation(phantom.affine))
    assert turned.mask.shape != shifted.shape
    assert np.array_equal(nib.orientations.apply_orientation(turned.mask, back)[5:, :-3, 7:-2], mask)


def test_neither_another_scale_of_intensities_nor_a_mild_bias_matters(network, phantom, mask):
    place = np.linspace(-1, 1, phantom.flair.shape[1], dtype=np.float32)[:, None]
    assert dice(network.segment((phantom.flair * 3.7 * np.exp(0.1 * place), phantom.affine)).mask, mask) >= 0.95


def test_a_mirrored_brain_has_mirrored_lesions(network, phantom, mask):
    assert dice(network.segment((phantom.flair[::-1], phantom.affine)).mask[::-1], mask) >= 0.99


@pytest.mark.parametrize("side", [0.8, 1.2])
def test_voxels_of_another_size_give_the_same_lesions(network, phantom, mask, side):
    """The scan is resampled inside its brain, so that no grey is drawn out into the background."""
    brain = phantom.flair > 0
    shape = [round(n / side) for n in brain.shape]
    grid = np.meshgrid(*(np.arange(n) * side for n in shape), indexing="ij")
    weight = ndimage.map_coordinates(brain.astype(np.float32), grid, order=1)
    flair = ndimage.map_coordinates(phantom.flair, grid, order=1) / np.maximum(weight, 0.5) * (weight >= 0.5)
    affine = phantom.affine @ np.diag([side, side, side, 1])
    probability = network.segment((flair, affine)).probability
    back = np.meshgrid(*(np.arange(n) / side for n in brain.shape), indexing="ij")
    assert dice(ndimage.map_coordinates(probability, back, order=1) > network.config.infer.threshold, mask) >= ALIKE


def test_the_file_is_small_and_names_no_place():
    assert SHIPPED.stat().st_size < 4e6
    with np.load(SHIPPED) as archive:
        assert "/" not in archive["meta"].tobytes().decode()
