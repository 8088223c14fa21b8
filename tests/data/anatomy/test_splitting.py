"""What has grown together is told apart by its necks, and nothing else is divided."""
import numpy as np

from synergynet_tf.data.anatomy.splitting import basins


def balls(*centres, radius=5, shape=(30, 30, 16)):
    grid = np.stack(np.indices(shape), -1)
    return np.argwhere(np.any([((grid - centre) ** 2).sum(-1) <= radius ** 2 for centre in centres], axis=0))


def test_two_balls_that_touch_are_two_and_each_has_its_half():
    centres = np.array([(7, 8, 8), (16, 8, 8)])
    voxels = balls(*centres)
    part = basins(voxels, (1.0, 1.0, 1.0))
    assert set(part) == {0, 1}
    nearer = ((voxels[:, None] - centres) ** 2).sum(-1)
    clear = abs(nearer[:, 0] - nearer[:, 1]) > 20
    assert len(set(zip(part[clear], nearer[clear].argmin(1)))) == 2


def test_one_ball_a_rod_and_a_voxel_are_one():
    rod = np.argwhere(np.ones((20, 2, 2), bool))
    for voxels in (balls((8, 8, 8)), rod, np.array([[3, 4, 5]])):
        assert not basins(voxels, (1.0, 1.0, 1.0)).any()


def test_millimetres_decide_not_voxels():
    voxels = balls((7, 8, 8), (14, 8, 8))           # the neck is 1 voxel less deep than the middles
    assert set(basins(voxels, (2.0, 2.0, 2.0))) == {0, 1}
    assert set(basins(voxels, (0.5, 0.5, 0.5))) == {0}
