"""Where a trial's training begins: from scratch, a shared checkpoint, another trial's, or its own; the trainer is not run."""
import dataclasses

import pytest

from synergynet_tf.config import Config
from synergynet_tf.data.splits import Split
from synergynet_tf.errors import InputError
from synergynet_tf.models.synergynet import build_synergynet
from synergynet_tf.training import checkpoint
from synergynet_tf.training.checkpoint import Progress
from tests.cohort import TINY
from tuning import trials
from tuning.trials import StagedTraining, best_scores, check_shared

CONFIG = Config.from_dict(TINY | {"train": {"epochs": [3, 2, 1, 4]}})
LINE = '{"stage": %d, "epoch": %d, "step": 1, "loss": 1.0, "parts": {}, "validation": {%s}}\n'


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A checkpoint at the end of stage 3."""
    path = tmp_path_factory.mktemp("shared") / "last.npz"
    checkpoint.save(path, build_synergynet(CONFIG), CONFIG, Progress(3, 1))
    return path


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Train a trial up to where the trainer would begin; the progress that it would go on from."""

    def run(training, name="trial", parent=None):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)

        def fit(config, split, folder, console):
            (folder / "log.jsonl").write_text(LINE % (4, 0, '"dsc": 0.5'))

        monkeypatch.setattr(trials, "fit", fit)
        training(CONFIG, folder, parent)
        last = folder / "last.npz"
        return checkpoint.load(last).progress if last.exists() else None

    return run


def test_a_cold_trial_begins_with_nothing(started):
    assert started(StagedTraining(Split((), (), ()))) is None


def test_a_warm_trial_begins_where_stage_3_ends(started, shared, tmp_path):
    assert started(StagedTraining(Split((), (), ()), shared)) == Progress(3, 1)
    assert {path.name for path in (tmp_path / "trial").iterdir()} == {"config.yaml", "manifest.csv", "last.npz", "train.log",
                                                                      "log.jsonl"}


def test_a_continued_trial_begins_where_its_parent_ended_with_its_best_and_its_log(started, shared, tmp_path):
    training = StagedTraining(Split((), (), ()), shared)
    parent = tmp_path / "parent"
    parent.mkdir()
    checkpoint.save(parent / "last.npz", build_synergynet(CONFIG), CONFIG, Progress(4, 2, 0.4))
    (parent / "best.npz").write_bytes(b"best of the parent")
    (parent / "log.jsonl").write_text(LINE % (4, 1, '"dsc": 0.4'))
    assert started(training, parent=parent) == Progress(4, 2, 0.4)
    assert (tmp_path / "trial" / "best.npz").read_bytes() == b"best of the parent"


def test_a_killed_trial_goes_on_from_its_own(started, shared, tmp_path):
    training = StagedTraining(Split((), (), ()), shared)
    started(training)
    own = dataclasses.replace(Progress(4, 3), best=0.6)
    checkpoint.save(tmp_path / "trial" / "last.npz", build_synergynet(CONFIG), CONFIG, own)
    assert started(training) == own


def test_scores_are_those_of_the_best_checkpoint(tmp_path):
    lines = [LINE % (3, 0, '"loss": 1.0'), LINE % (4, 0, '"loss": 2.0, "dsc": 0.5, "sn": 0.1'), LINE % (4, 1, '"loss": 2.0'),
             LINE % (4, 2, '"loss": 3.0, "dsc": 0.7, "sn": 0.2'), LINE % (4, 3, '"loss": 1.0, "dsc": 0.7, "sn": 0.3')]
    (tmp_path / "log.jsonl").write_text("".join(lines))
    assert best_scores(tmp_path) == {"dsc": 0.7, "sn": 0.2}     # the trainer keeps the first of equals
    (tmp_path / "log.jsonl").write_text(lines[0])
    with pytest.raises(InputError, match="no epoch of stage 4 was validated"):
        best_scores(tmp_path)


def test_a_shared_checkpoint_of_another_run(shared, tmp_path):
    ours = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, epochs=(9, 9, 9, 7)))
    assert check_shared(shared, ours).train.epochs == (3, 2, 1, 7)
    wider = dataclasses.replace(CONFIG, unet=dataclasses.replace(CONFIG.unet, convolutions=3))
    with pytest.raises(InputError, match="was trained with unet.convolutions 2, but the search has 3"):
        check_shared(shared, wider)
    checkpoint.save(tmp_path / "last.npz", build_synergynet(CONFIG), CONFIG, Progress(4, 2))
    with pytest.raises(InputError, match="stands at stage 4, epoch 2, but trials start from the end of stage 3"):
        check_shared(tmp_path / "last.npz", CONFIG)
