"""verify: a sound bundle passes, in Python and through the C API; a damaged, a wrong and an unservable one do not."""
import random
import shutil

import numpy as np
import pytest
import tensorflow as tf

from export import bundle, verify
from synergynet_tf.errors import InputError

pytest.importorskip("tensorflow_serving")


@pytest.mark.slow
def test_a_sound_bundle(toy_bundle, capsys):
    assert verify.main([str(toy_bundle)]) == 0
    shown = capsys.readouterr().out
    assert "masks identical" in shown
    assert "DecodeCompressed" in shown
    assert "C API" in shown


@pytest.fixture
def copied(toy_bundle, tmp_path):
    return shutil.copytree(toy_bundle, tmp_path / "bundle")


def test_a_changed_file_is_noticed(copied, capsys):
    (copied / "toy" / "1" / "model_card.md").write_text("Cures everything.")
    assert verify.main([str(copied)]) == 2
    assert "model_card.md absent or not as SHA256SUMS says" in capsys.readouterr().err


@pytest.mark.parametrize("damage", [
    lambda v: (v / "saved_model.pb").unlink(), lambda v: shutil.rmtree(v / "variables"),
    lambda v: (v / "SHA256SUMS").write_text(""), lambda v: (v / "SHA256SUMS").unlink(),
    lambda v: (v / "SHA256SUMS").write_bytes(b"\xff\xfe\0"),
    lambda v: (v / "extra.bin").write_bytes(b"not ours"), lambda v: (v.parents[1] / "SHA256SUMS").write_text(""),
    lambda v: (v.parents[1] / "models.config").unlink(), lambda v: (v.parent / "2").mkdir(), lambda v: shutil.rmtree(v),
    lambda v: (v / "assets.extra" / "reference.npz").write_bytes(b"PK"),
    lambda v: (v / "SHA256SUMS").write_text("\n".join((v / "SHA256SUMS").read_text().splitlines()[1:]) + "\n")])
def test_a_bundle_that_is_not_whole(copied, capsys, monkeypatch, damage):
    monkeypatch.setattr(verify, "check_answers", None)      # it is never asked what a damaged one answers
    damage(copied / "toy" / "1")
    assert verify.main([str(copied)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_hundreds_of_damaged_bundles(copied, capsys, monkeypatch):
    monkeypatch.setattr(verify, "check_answers", None)
    rng, files = random.Random(0), sorted(path for path in copied.rglob("*") if path.is_file())
    for i in range(400):
        path = files[i % len(files)]
        sound = path.read_bytes()
        if i % 3:
            place, damaged = rng.randrange(len(sound)), bytearray(sound)
            damaged[place] ^= 1 << rng.randrange(8)
        else:
            damaged = sound[:rng.randrange(len(sound))]
        path.write_bytes(damaged)
        status, shown = verify.main([str(copied)]), capsys.readouterr().err
        path.write_bytes(sound)
        assert status == 2 and shown.count("\n") == 1 and str(copied) in shown, (path, shown)
    verify.check_files(copied, copied / "toy" / "1")


@pytest.mark.slow
def test_damage_that_the_sums_agree_with(copied, capsys):
    version, rng = copied / "toy" / "1", random.Random(1)
    for name in ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001",
                 "assets.extra/reference.npz") * 2:
        path = version / name
        sound, damaged = path.read_bytes(), bytearray(path.read_bytes())
        for _ in range(20):
            damaged[rng.randrange(len(sound))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        bundle.write_sums(version)
        assert verify.main([str(copied)]) == 2, name
        assert capsys.readouterr().err.count("\n") == 1
        path.write_bytes(sound)


@pytest.mark.parametrize(("arguments", "said"), [
    (["--repeats", "-1"], "'-1' is not a whole number"), (["--run", "r"], "--run and --scan go together"),
    (["--run", "nowhere", "--scan", "s.nii"], "nowhere: holds no best.npz"), (["--name", "../toy"], "holds no ../toy")])
def test_arguments_are_looked_at_first(toy_bundle, capsys, monkeypatch, arguments, said):
    monkeypatch.setattr(verify, "check_files", None)
    assert verify.main([str(toy_bundle), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_answers_that_differ_are_refused():
    probability, mask = np.full((4, 4, 4), 0.25, np.float32), np.zeros((4, 4, 4), np.uint8)
    want = {"segment_raw/outputs/probability": probability, "segment_raw/outputs/mask": mask}
    near = want | {"segment_raw/outputs/probability": probability + 5e-5}
    assert verify.compare(want, near, "x") == pytest.approx(5e-5, rel=1e-2)
    with pytest.raises(InputError, match="probability differs from the trained network's by 0.0002"):
        verify.compare(want, want | {"segment_raw/outputs/probability": probability + 2e-4}, "x")
    with pytest.raises(InputError, match="mask differs"):
        verify.compare(want, want | {"segment_raw/outputs/mask": np.eye(4, dtype=np.uint8)[None] + mask}, "x")
    with pytest.raises(InputError, match="probability differs from the trained network's by nan"):
        verify.compare(want, want | {"segment_raw/outputs/probability": probability * np.nan}, "x")
    with pytest.raises(InputError, match="mask is absent"):
        verify.compare(want, {"segment_raw/outputs/probability": probability}, "x")


def test_python_inside_the_graph_is_refused(tmp_path):
    module = tf.Module()
    module.double = tf.function(lambda volume: {"mask": tf.numpy_function(lambda x: 2 * x, [volume], tf.float32)},
                                [tf.TensorSpec([None], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serving_default": module.double})
    np.savez(tmp_path / "answers.npz", **{"serving_default/inputs/volume": np.float32(2), verify.NEEDED: np.zeros(1, np.uint8)})
    with pytest.raises(InputError, match="run_python.py|PyFunc"):
        verify.check_answers(tmp_path / "1", tmp_path / "answers.npz", "x", 0)


def test_no_bundle(tmp_path, capsys):
    assert verify.main([str(tmp_path)]) == 2
    assert "holds no model" in capsys.readouterr().err
    for name in ("a", "b"):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "1" / "saved_model.pb").touch()
    assert verify.main([str(tmp_path)]) == 2
    assert "--name" in capsys.readouterr().err
    assert bundle.SUMS == "SHA256SUMS"
