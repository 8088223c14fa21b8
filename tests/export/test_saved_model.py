"""The bundle: versions, what is in it, ensembles, the real network behind all signatures."""
import dataclasses
import errno
import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from export import bundle, reference, saved_model, verify
from export.settings import Limits
from export.signatures import DETECTIONS, Member, Segmenter
from export.writing import export_networks
from synergynet_tf.config import Config
from synergynet_tf.errors import InputError
from synergynet_tf.inference.predictor import Predictor
from tests.cohort import TINY
from tests.export.toy import Toy, toy_config

pytest.importorskip("tensorflow_serving")
WHO = {"run": "toy", "weights": "best", "sha256": "0" * 64}


def test_what_a_bundle_holds(toy_bundle):
    from tensorflow_serving.config import model_server_config_pb2

    version = toy_bundle / "toy" / "1"
    listed = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=version, capture_output=True, text=True, check=True).stdout
    assert {"saved_model.pb: OK", "assets.extra/tf_serving_warmup_requests: OK", "model_card.md: OK"} <= set(listed.splitlines())
    subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=toy_bundle, capture_output=True, check=True)
    served = text_format.Parse((toy_bundle / "models.config").read_text(), model_server_config_pb2.ModelServerConfig())
    model, = served.model_config_list.config
    assert (model.name, model.base_path) == ("toy", "/bundle/toy")
    card = (version / "model_card.md").read_text()
    for expected in ("Intended use", "no medical device", "### Data", "### Scores", "widths:", "0" * 64):
        assert expected in card
    for file in ("Dockerfile", "compose.yaml"):
        text = (toy_bundle / file).read_text()
        assert "tensorflow/serving" in text and "--rest_api_timeout_in_ms" in text and tf.__version__ in text
        assert "TF_ENABLE_ONEDNN_OPTS" in text
    assert 'max_batch_size { value: 1 }' in (toy_bundle / "batching.config").read_text()
    assert "prometheus_config" in (toy_bundle / "monitoring.config").read_text()


def test_warmup_records_are_requests_that_the_signatures_take(toy_bundle):
    from tensorflow_serving.apis import prediction_log_pb2

    version = toy_bundle / "toy" / "1"
    loaded = tf.saved_model.load(str(version)).signatures
    seen = []
    for record in tf.data.TFRecordDataset(str(version / "assets.extra" / "tf_serving_warmup_requests")):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        seen.append(request.model_spec.signature_name)
        assert request.model_spec.name == "toy"
        outputs = loaded[seen[-1]](**{name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()})
        assert all(value.shape[0] == 1 for value in outputs.values())
    assert sorted(seen) == ["segment_nifti", "segment_nifti", "segment_raw", "serving_default"]     # small, and as a brain


def test_versions_are_never_written_over(tmp_path, monkeypatch):
    monkeypatch.setattr("export.writing.write_saved_model", lambda folder, *_: folder.mkdir())
    networks = [(Toy(), toy_config())]

    def export():
        return export_networks(networks, [WHO], tmp_path, "toy", Limits(), [tmp_path])

    assert export().name == "1"
    first = (tmp_path / "toy" / "1" / "SHA256SUMS").read_bytes()
    assert export().name == "2"
    (tmp_path / "toy" / "7").mkdir()
    (tmp_path / "toy" / "notes").mkdir()
    assert export().name == "8"
    assert (tmp_path / "toy" / "1" / "SHA256SUMS").read_bytes() == first
    monkeypatch.setattr("export.writing.write_model_card", lambda *_: (_ for _ in ()).throw(InputError("no room")))
    with pytest.raises(InputError):
        export()
    assert sorted(path.name for path in (tmp_path / "toy").iterdir()) == ["1", "2", "7", "8", "notes"]


@pytest.mark.slow
def test_an_ensemble_of_two_channels_mirrored(make_file, brain):
    members = [(Toy(gain), toy_config(("flair", "t2"), mirror=True, min_lesion=40.0, min_peak=0.7)) for gain in (3.0, 1.5)]
    signatures = Segmenter([Member(toy, toy.weights, config) for toy, config in members], Limits()).signatures()
    files = {"flair": make_file("flair.nii"), "t2": make_file("t2.nii.gz", values=brain[::-1] * 2, axes="LAS", dtype=">f4")}
    together = reference.answers(Predictor(*members[0], others=members[1:]), files)
    alone = [reference.answers(Predictor(*member), files) for member in members]
    key = "segment_raw/outputs/probability"
    np.testing.assert_allclose(together[key], (alone[0][key] + alone[1][key]) / 2, atol=1e-7)
    assert np.abs(alone[0][key] - alone[1][key]).max() > 0.1
    verify.compare(together, ask(signatures, together), "ensemble")
    small = make_file("small.nii", values=brain[1:])
    contents = {f"{name}_bytes": tf.constant([path.read_bytes()]) for name, path in (("flair", files["flair"]), ("t2", small))}
    with pytest.raises(tf.errors.InvalidArgumentError, match="t2: the grid is 29 x 36 x 28 but the FLAIR has 30 x 36 x 28"):
        signatures["segment_nifti"](**contents)


def test_runs_that_do_not_agree_make_no_ensemble():
    members = [Member(Toy(), [], toy_config()), Member(Toy(), [], toy_config(threshold=0.4))]
    with pytest.raises(InputError, match="infer.threshold is 0.4 in one run, but 0.5"):
        Segmenter(members, Limits())


@pytest.mark.slow
def test_the_network_itself(make_file):
    from synergynet_tf.models.synergynet import build_synergynet

    config = Config.from_dict(TINY)
    config = dataclasses.replace(config, detector=dataclasses.replace(config.detector, score_threshold=0.0))
    model = build_synergynet(config)
    rng = np.random.default_rng(0)
    for weight in model.weights:        # untrained logits are all alike
        weight.assign(rng.normal(0, 0.3, weight.shape))
    signatures = Segmenter([Member(model, model.weights, config)], Limits()).signatures()
    want = reference.answers(Predictor(model, config), {"flair": make_file("network.nii.gz", axes="LPS")})
    assert want["segment_raw/outputs/detection_valid"].any()
    assert 0 < want["segment_raw/outputs/mask"].mean() < 0.5
    verify.compare(want, ask(signatures, want), "the network")
    volume = np.concatenate([want["serving_default/inputs/z_scored_volume"][None]] * 2)
    outputs = signatures["serving_default"](z_scored_volume=tf.constant(volume))
    assert outputs["detection_boxes"].shape == (2, DETECTIONS, 6)
    np.testing.assert_array_equal(outputs["probability"][0], outputs["probability"][1])


def ask(signatures, answers) -> dict[str, np.ndarray]:
    """What the signatures answer to the inputs of `answers`, in its form."""
    found = {}
    for name, signature in signatures.items():
        inputs = {key.split("/")[-1]: tf.constant([value.tobytes()]) if key.endswith("_bytes") else tf.constant(value[None])
                  for key, value in answers.items() if key.startswith(f"{name}/inputs/")}
        for key, value in signature(**inputs).items():
            value = value.numpy()[0]
            found[f"{name}/outputs/{key}"] = np.frombuffer(value, np.uint8) if isinstance(value, bytes) else value
    return found


@pytest.fixture
def run(tmp_path):
    """A folder that looks like a run."""
    (tmp_path / "run").mkdir()
    for file in ("best.npz", "config.yaml"):
        (tmp_path / "run" / file).write_bytes(b"no checkpoint")
    return tmp_path / "run"


@pytest.mark.parametrize(("arguments", "said"), [
    (["--name", "a/b"], "--name is 'a/b'"), (["--max-side", "0"], "--max-side is 0"),
    (["--max-voxels", "999999999999"], "--max-voxels is 999999999999"), (["--threshold", "nan"], "'nan' is not a number"),
    (["--gamma", "inf"], "'inf' is not a number"), (["--threshold", "1.5"], "'1.5' is not a number"),
    (["--weights", "last"], "last.npz"), (["--run", "nowhere"], "nowhere: holds no best.npz")])
def test_the_command_names_what_is_wrong_before_any_work(run, tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.setattr(saved_model, "import_tensorflow", None)
    assert saved_model.main(["--run", str(run), "--out", str(tmp_path / "out"), *arguments]) == 2
    shown = capsys.readouterr().err
    assert said in shown and shown.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_folders_that_are_not_ours_are_left_alone(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(saved_model, "import_tensorflow", None)
    (tmp_path / "mine" / "synergynet").mkdir(parents=True)
    (tmp_path / "mine" / "synergynet" / "thesis.tex").touch()
    (tmp_path / "server").mkdir()
    (tmp_path / "server" / "models.config").write_text("by hand")
    for out, more in ((run, []), (run.parent, []), (tmp_path / "mine", []), (tmp_path / "server", []),
                      (tmp_path / "new", ["--run", str(run)])):
        before = sorted(tmp_path.rglob("*"))
        assert saved_model.main(["--run", str(run), "--out", str(out), *more]) == 2
        assert capsys.readouterr().err.count("\n") == 1
        assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("error", [
    tf.errors.ResourceExhaustedError(None, None, "/x/saved_model.pb; No space left on device\n more"),
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))])
def test_a_full_disk_is_called_full(tmp_path, monkeypatch, error):
    monkeypatch.setattr("export.writing.write_saved_model", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(InputError, match="the disk is full"):
        export_networks([(Toy(), toy_config())], [WHO], tmp_path / "out", "toy", Limits(), [tmp_path])
    assert list((tmp_path / "out" / "toy").iterdir()) == []


@pytest.mark.parametrize("name", ["saved_model", "verify", "client"])
def test_help_and_light_imports(name):
    code = f"import sys, export.{name}; print([m for m in ('tensorflow', 'keras', 'nibabel', 'grpc') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    shown = subprocess.run([sys.executable, "-m", f"export.{name}", "--help"], capture_output=True, text=True, check=True).stdout
    assert "usage: python -m export." in shown


def test_sums_notice_a_changed_file(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    bundle.write_sums(tmp_path)
    assert hashlib.sha256(b"1").hexdigest() in (tmp_path / bundle.SUMS).read_text()
    assert bundle.damaged(tmp_path) == []
    (tmp_path / "a").write_bytes(b"2")
    assert bundle.damaged(tmp_path) == ["a"]
