"""The head is found where it was put, whatever lies around the brain; what is no head is refused."""
import pathlib

import numpy as np
import pytest
import SimpleITK as sitk

from synergynet_tf.data import nifti
from synergynet_tf.data.raw import registration, skull, tools
from synergynet_tf.data.raw.grid import MNI, grid_of, resample
from synergynet_tf.errors import InputError
from tests.data.raw import head


def read(folder: pathlib.Path, array, grid) -> nifti.Volume:
    return nifti.read(head.save(folder / "scan.nii.gz", array, grid))


@pytest.mark.parametrize(("channel", "mm", "least"), [
    ("flair", 2, 0.97), pytest.param("t1", 4, 0.88, marks=pytest.mark.slow)])       # the T1's scalp is four times as bright
def test_the_template_s_brain_is_found_in_a_head(tmp_path, channel, mm, least):
    grid = head.slices()
    scan = read(tmp_path, head.view(channel, grid), grid)
    matrix = registration.to_template(scan)
    places = MNI.affine @ np.vstack([np.argwhere(registration.template_brain())[::5000].T, np.ones((1, 378))])
    assert np.linalg.norm(((matrix - head.FROM_MNI) @ places)[:3], axis=0).mean() < mm
    found = skull.brain(skull.Aligned({"flair": scan}, {}, matrix), "template")
    known = resample(head.anatomy()["brain"], head.HALF, grid_of(scan), np.linalg.inv(head.FROM_MNI)) > 0.5
    assert head.dice(found, known) > least


def test_a_fit_that_squeezed_the_brain_is_stretched_again(tmp_path):
    grid = head.slices("LPS", (2.0, 2.0, 6.0), (100, 110, 28))      # on thick slices the vertex may be given up for scalp
    scan = read(tmp_path, head.view("flair", grid), grid)
    squeezed = head.FROM_MNI @ np.diag([1, 1, 0.9, 1]) @ head.turn(0, 2, (0, 2.0, -3.0))
    places = MNI.affine @ np.vstack([np.argwhere(registration.template_brain())[::5000].T, np.ones((1, 378))])
    matrix = registration._refined(squeezed, registration.ranks(scan), scan)
    before, after = (np.linalg.norm(((found - head.FROM_MNI) @ places)[:3], axis=0).mean() for found in (squeezed, matrix))
    assert after < 2 < 4 < before


def test_the_scalp_can_be_taken_off():
    ranked = np.zeros((40, 40, 10), np.float32)
    y, x = np.ogrid[:40, :40]
    ranked[(x - 20) ** 2 + (y - 20) ** 2 < 18 ** 2] = 200
    ranked[18:22, 18:22] = 0                                        # dark inside is no air
    ranked[1, 1, 1] = 50                                            # nor is a speck a head
    inner = registration.without_scalp(ranked, (2.0, 2.0, 7.0))
    assert not inner[(x - 20) ** 2 + (y - 20) ** 2 > 14.5 ** 2].any()
    assert (inner[((x - 20) ** 2 + (y - 20) ** 2 < 12.5 ** 2) & (ranked[:, :, 5] > 0)] == 200).all()      # in all slices
    full = np.ones((4, 4, 4), np.float32)
    assert registration.without_scalp(full, (1.0, 1.0, 1.0)) is full


def test_a_fit_as_large_as_the_head_is_tried_again_without_scalp(tmp_path, monkeypatch):
    grid, fits = head.slices(), []

    def fit(ranked, scan):
        fits.append(np.count_nonzero(ranked))
        return (1.15 * np.eye(4), 0.2) if len(fits) == 1 else (0.95 * np.eye(4), 0.3)

    monkeypatch.setattr(registration, "_fit", fit)
    monkeypatch.setattr(registration, "_refined", lambda matrix, ranked, scan: matrix)
    assert registration.to_template(read(tmp_path, head.view("flair", grid), grid))[0, 0] == 0.95
    assert fits[1] < fits[0]
    fits[:] = [0]
    assert registration.to_template(read(tmp_path, head.view("flair", grid), grid))[0, 0] == 0.95
    assert len(fits) == 2                                           # what fits at once is not tried again


@pytest.mark.slow
def test_noise_is_no_head(tmp_path):
    grid = head.slices()
    noise = np.random.default_rng(0).normal(100, 10, grid.shape).astype(np.float32)
    with pytest.raises(InputError, match="no brain found"):
        registration.to_template(read(tmp_path, noise, grid))


def test_a_scan_of_one_grey_is_refused(tmp_path):
    grid = head.slices()
    with pytest.raises(InputError, match="every voxel is"):
        registration.to_template(read(tmp_path, np.full(grid.shape, 7, np.float32), grid))


def test_a_moved_channel_is_brought_to_the_flair(tmp_path):
    grid, moved = head.slices(), head.slices("LPS", (2.0, 2.0, 3.0), (95, 110, 60))
    motion = head.turn(3, 2, (2.0, -3.0, 4.0))
    flair = read(tmp_path / "a", head.view("flair", grid), grid)
    other = read(tmp_path / "b", head.view("t1", moved, motion @ head.FROM_MNI, 1), moved)
    matrix = registration.to_flair(flair, other)
    voxels = np.argwhere(flair.array > 100)[::500]
    places = flair.affine @ np.vstack([voxels.T, np.ones(len(voxels))])
    assert np.linalg.norm(((matrix - motion) @ places)[:3], axis=0).mean() < 1


def test_the_rigid_part_turns_and_keeps_the_middle():
    stretched = head.turn(10, -5, (3.0, 4.0, 5.0)) @ np.diag([0.8, 0.9, 0.85, 1])
    rigid = registration.rigid_part(stretched)
    np.testing.assert_allclose(rigid[:3, :3] @ rigid[:3, :3].T, np.eye(3), atol=1e-9)
    middle = MNI.affine @ [*np.argwhere(registration.template_brain()).mean(axis=0), 1]
    np.testing.assert_allclose(rigid @ middle, stretched @ middle, atol=1e-6)


def test_images_and_transforms_keep_their_places():
    affine = head.turn(20, 10, (5.0, -6.0, 7.0)) @ np.diag([-1.0, 2, 3, 1])
    array = np.arange(24.0).reshape(2, 3, 4)
    image = tools.to_image(array, affine)
    np.testing.assert_allclose(image.TransformIndexToPhysicalPoint((1, 2, 3)), [-1, -1, 1] * (affine @ [1, 2, 3, 1])[:3])
    np.testing.assert_array_equal(tools.to_array(image), array)
    transform = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, 0.3, (4.0, 5.0, 6.0))
    expected = transform.TransformPoint((-10.0, -20.0, 30.0))
    np.testing.assert_allclose((tools.to_matrix(transform) @ [10, 20, 30, 1])[:3], np.multiply(expected, [-1, -1, 1]))
    again = tools.to_transform(tools.to_matrix(transform), np.array([9.0, 8, 7]))
    np.testing.assert_allclose(again.TransformPoint((-10.0, -20.0, 30.0)), expected)
    assert again.GetCenter() == (-9, -8, 7)


def test_a_missing_tool_says_how_to_install_it(monkeypatch):
    def missing(name):
        raise ImportError(f"No module named {name}")

    monkeypatch.setattr(tools.importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"pip install synergynet_tf\[prepare\]"):
        tools.load("SimpleITK")
