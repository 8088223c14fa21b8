"""The template is found where an affine map has put it."""
import numpy as np
import pytest

from synergynet_tf.data.anatomy.fit import fit_template

SHAPE, AFFINE = (60, 70, 60), np.array([[3.0, 0, 0, -90], [0, 3, 0, -105], [0, 0, 3, -90], [0, 0, 0, 1]])
LUMPS = (((0, 0, 15), (58, 72, 50)), ((0, -45, -30), (45, 25, 22)), ((30, 20, -25), (18, 25, 16)), ((-30, 20, -25), (18, 25, 16)))


def brain_at(to_template: np.ndarray, affine: np.ndarray = AFFINE) -> np.ndarray:
    """A brain of lumps, which no turn brings onto itself, on a grid from whose mm a matrix leads to the lumps'."""
    mm = np.stack(np.indices(SHAPE), -1) @ affine[:3, :3].T + affine[:3, 3]
    at = mm @ to_template[:3, :3].T + to_template[:3, 3]
    return np.any([(((at - centre) / radii) ** 2).sum(-1) < 1 for centre, radii in LUMPS], axis=0)


@pytest.mark.parametrize("scale, turn, shift", [(1.0, 0.0, (0, 0, 0)), (0.85, 5.0, (6, -20, 9)), (1.1, -6.0, (-30, 4, 40))])
def test_the_map_is_recovered(scale, turn, shift):
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    matrix = np.eye(4)
    matrix[:3, :3] = scale * np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.diag([1.03, 0.97, 1.0])
    grid = AFFINE.copy()
    grid[:3, 3] += shift
    matrix[:3, 3] = shift
    fit = fit_template(brain_at(np.linalg.inv(matrix), grid), grid, brain_at(np.eye(4)), AFFINE)
    corners = np.array([[x, y, z, 1] for x in (-50, 50) for y in (-60, 60) for z in (-40, 55)])
    assert np.linalg.norm((corners @ (fit.to_scan - matrix).T)[:, :3], axis=1).max() < 2
    assert fit.dice > 0.97


def test_half_a_brain_does_not_fit():
    half = brain_at(np.eye(4))
    half[:, 30:, 25:] = False
    assert fit_template(half, AFFINE, brain_at(np.eye(4)), AFFINE).dice < 0.9
