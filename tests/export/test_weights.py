"""A network as one small file."""

import numpy as np
import pytest

from export import weights
from synergynet_tf.config import Config
from synergynet_tf.data import identity, quality_range
from synergynet_tf.data.layouts import discover
from synergynet_tf.data.splits import Split
from synergynet_tf.models.synergynet import build_synergynet
from synergynet_tf.training import checkpoint
from tests.cohort import TINY, write_tiny_run


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_cohort):
    """A run of four patients, by its files: nothing was trained."""
    folder = tmp_path_factory.mktemp("run")
    write_tiny_run(folder, data={"path": str(tiny_cohort), "cache": str(folder / "cache")})
    cases = discover(tiny_cohort, "auto", ("flair",))
    identity.write(folder, identity.record_of(Split(tuple(cases[:4]), tuple(cases[4:5]), tuple(cases[5:])), ("flair",)), None)
    return folder


@pytest.fixture(scope="module")
def small(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "small.npz"
    assert weights.main(["--run", str(run), "--out", str(path)]) == 0
    return path


def test_it_has_the_averaged_weights_to_half_precision(small, run):
    model = build_synergynet(Config.from_dict(TINY))
    checkpoint.load(small).restore_weights(model, averaged=True)
    kept = checkpoint.load(run / "best.npz")
    for name, variable in checkpoint.named_weights(model).items():
        np.testing.assert_allclose(np.asarray(variable), kept.arrays[f"average/{name}"], rtol=2 ** -11, atol=1e-7)


def test_it_holds_no_path_and_no_name_of_the_data(small, run, tiny_cohort):
    assert small.stat().st_size < 0.5 * (run / "best.npz").stat().st_size
    with np.load(small) as archive:
        meta = archive["meta"].tobytes().decode()
        assert set(archive.files) == {"meta", "trained_on", *(f"weights/{name}" for name in checkpoint.named_weights(
            build_synergynet(Config.from_dict(TINY))))}
    for word in (str(tiny_cohort.parent), str(run), "P0", "/"):
        assert word not in meta
    before, now = (checkpoint.load(path).config.asdict() for path in (run / "best.npz", small))
    assert now == before | {"data": before["data"] | {"path": None, "cache": None}}


def test_the_scans_that_it_was_trained_on_are_known_again(small, tiny_cohort):
    cases = discover(tiny_cohort, "auto", ("flair",))
    assert identity.trained_on(small, Split((), (), tuple(cases))) == [case.name for case in cases[:4]]


def test_the_range_of_image_quality_goes_beside_it(run, small, tmp_path):
    assert quality_range.read([small]) is None
    quality_range.write(quality_range.place(run), [{"noise": 2.0}])
    assert weights.main(["--run", str(run), "--out", str(tmp_path / "net.npz")]) == 0
    quality_range.place(run).unlink()
    assert quality_range.read([tmp_path / "net.npz"]) == {"noise": (1.8, 2.2)}


def test_settings_of_predictions_may_be_others(run, tmp_path):
    path = tmp_path / "other.npz"
    changes = ["--threshold", "0.4", "--min-lesion", "5", "--min-peak", "0.8"]
    assert weights.main(["--run", str(run), "--out", str(path), *changes]) == 0
    infer = checkpoint.load(path).config.infer
    assert (infer.threshold, infer.min_lesion, infer.min_peak) == (0.4, 5.0, 0.8)


def test_of_several_runs_it_is_the_mean_of_their_weights_and_the_last_one_s_settings(run, tmp_path, capsys):
    other, wider, out = tmp_path / "other", tmp_path / "wider", tmp_path / "mean.npz"
    for folder, settings in ((other, {"infer": {"threshold": 0.3}}), (wider, {"unet": {"widths": [4, 4, 8, 16]}})):
        folder.mkdir()
        write_tiny_run(folder, seed=1, **settings)
        (folder / "data.json").write_bytes((run / "data.json").read_bytes())
    assert weights.main(["--run", str(run), "--run", str(other), "--out", str(out)]) == 0
    first, second, mean = (checkpoint.load(path) for path in (run / "best.npz", other / "best.npz", out))
    assert mean.config.infer.threshold == 0.3
    for name, value in mean.final_weights().items():
        both = first.final_weights()[name], second.final_weights()[name]
        np.testing.assert_allclose(value, np.mean(both, axis=0), rtol=2 ** -10, atol=1e-6)
    capsys.readouterr()
    assert weights.main(["--run", str(wider), "--run", str(run), "--out", str(tmp_path / "no.npz")]) == 2
    shown = capsys.readouterr().err
    assert "wider/best.npz: " in shown and "is of another shape than in" in shown and not (tmp_path / "no.npz").exists()


def test_wrong_arguments_are_named(run, tmp_path, capsys):
    (tmp_path / "mine.npz").write_bytes(b"mine")
    for arguments, said in (
            (["--run", str(tmp_path / "absent"), "--out", str(tmp_path / "a.npz")], "holds no best.npz"),
            (["--run", str(run), "--out", str(tmp_path / "a.h5")], "name it FILE.npz"),
            (["--run", str(run), "--out", str(tmp_path / "mine.npz")], "was not written by this program"),
            (["--run", str(run), "--out", str(run / "best.npz")], "is read, which it is or lies in")):
        assert weights.main(arguments) == 2
        shown = capsys.readouterr().err
        assert said in shown and shown.count("\n") == 1
    assert (tmp_path / "mine.npz").read_bytes() == b"mine"


def test_a_weight_beyond_half_precision_is_refused(tmp_path, capsys):
    config = Config.from_dict(TINY)
    model = build_synergynet(config)
    weight = next(iter(checkpoint.named_weights(model).values()))
    weight.assign(np.full(weight.shape, 1e6, np.float32))
    checkpoint.save(tmp_path / "best.npz", model, config, checkpoint.Progress(4, 1))
    with np.errstate(over="ignore"):
        assert weights.main(["--run", str(tmp_path), "--out", str(tmp_path / "small.npz")]) == 2
    assert "beyond half precision" in capsys.readouterr().err and not (tmp_path / "small.npz").exists()
