"""`segment_nifti` against `predict`: the same bytes for every form of file, and a clean error for what is no scan."""
import gzip

import numpy as np
import pytest
import tensorflow as tf

FORMS = {
    "int16.nii": {}, "int16.nii.gz": {}, "uint8.nii.gz": {"dtype": "<u1"}, "float32.nii": {"dtype": "<f4"},
    "float64.nii.gz": {"dtype": "<f8"}, "int8.nii": {"dtype": "<i1", "scale": (2, 0)}, "int32.nii": {"dtype": "<i4"},
    "uint16.nii": {"dtype": "<u2"}, "big16.nii.gz": {"dtype": ">i2"}, "bigfloat.nii": {"dtype": ">f4"},
    "big64.nii": {"dtype": ">f8"}, "scaled.nii.gz": {"scale": (0.5, 0)}, "shifted.nii": {"scale": (0.25, -16)},
    "bigscaled.nii": {"dtype": ">i2", "scale": (0.5, 8)}, "las.nii.gz": {"axes": "LAS"}, "lps.nii": {"axes": "LPS"},
    "permuted.nii": {"axes": "SPL"}, "permuted2.nii.gz": {"axes": "AIR"},
    "qform.nii": {"form": "qform", "axes": "LPI"}, "noform.nii": {"form": "none"},
    "extended.nii": {"extension": b"what a scanner says"}, "padded.nii": {"extension": b"x" * 40 + b"\0" * 30, "dtype": ">i2"},
}


def send(signatures, content: bytes) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in signatures["segment_nifti"](flair_bytes=tf.constant([content])).items()}


@pytest.mark.parametrize("name", FORMS)
def test_what_predict_writes(toy_signatures, predict, make_file, name):
    path = make_file(name, **FORMS[name])
    mask, summary = predict(path)
    have = send(toy_signatures[0], path.read_bytes())
    assert summary["count"] > 0
    assert have["mask_bytes"][0] == mask
    assert have["lesion_count"][0] == summary["count"]
    assert have["lesion_volume_ml"][0] == pytest.approx(summary["volume_ml"], rel=1e-5)


def test_a_batch_of_two_sizes(toy_signatures, make_file, brain):
    signatures, _, _ = toy_signatures
    paths = [make_file("one.nii"), make_file("other.nii.gz", values=brain[:, 3:-2], axes="LPS")]
    contents = [path.read_bytes() for path in paths]
    together = signatures["segment_nifti"](flair_bytes=tf.constant(contents))
    for i, content in enumerate(contents):
        assert together["mask_bytes"][i].numpy() == send(signatures, content)["mask_bytes"][0]


@pytest.mark.parametrize(("change", "message"), [
    (lambda c: b"", "not a NIfTI file"),
    (lambda c: b"hello, world", "not a NIfTI file"),
    (lambda c: b"\x1f\x8b" + b"no gzip data at all" * 3, "flair"),
    (lambda c: c[:400], "truncated"),
    (lambda c: gzip.compress(c)[:-9], "gzip"),
    (lambda c: gzip.compress(c)[:-8] + b"\0\0\0\0" + gzip.compress(c)[-4:], "gzip"),
    (lambda c: c[:40] + np.array([4, 30, 36, 28, 2], "<i2").tobytes() + c[50:], "3 axes"),
    (lambda c: c[:40] + np.array([3, 32767, 32767, 32767], "<i2").tobytes() + c[48:], "32767 x 32767 x 32767"),
    (lambda c: c[:42] + np.array([0], "<i2").tobytes() + c[44:], "voxels"),
    (lambda c: c[:70] + np.array([32, 64], "<i2").tobytes() + c[74:], "type 32"),
    (lambda c: c[:108] + np.array([np.nan], "<f4").tobytes() + c[112:], "vox_offset"),
    (lambda c: c[:280] + np.zeros(12, "<f4").tobytes() + c[328:], "no grid"),
    (lambda c: c[:352] + bytes(len(c) - 352), "no brain"),
    (lambda c: c[:352] + np.ones((len(c) - 352) // 2, "<i2").tobytes(), "no brain"),
    (lambda c: c[:352] + (np.frombuffer(c, "<i2", offset=352) > 0).astype("<i2").tobytes(), "the same"),
])
def test_a_clear_error(toy_signatures, make_file, change, message):
    signatures, _, _ = toy_signatures
    with pytest.raises(tf.errors.InvalidArgumentError, match="flair.*") as error:
        send(signatures, change(make_file("plain.nii").read_bytes()))
    assert message in error.value.message


def test_gzip_data_as_predict_takes_them(toy_signatures, predict, make_file, tmp_path):
    content, path = make_file("members.nii").read_bytes(), tmp_path / "members.nii.gz"
    path.write_bytes(gzip.compress(content[:9000]) + gzip.compress(content[9000:]) + bytes(512))
    assert send(toy_signatures[0], path.read_bytes())["mask_bytes"][0] == predict(path)[0]


def test_a_gzip_bomb_is_not_unpacked(toy_signatures):
    signatures, _, _ = toy_signatures
    with pytest.raises(tf.errors.InvalidArgumentError, match="unpack to 200000000 bytes"):
        send(signatures, gzip.compress(bytes(200_000_000), 1))
