"""Files that are damaged, made to do harm, or no NIfTI: one InputError that names the file, in little memory."""
import gzip
import io
import json
import os
import struct
import tarfile
import tracemalloc
import warnings
import zipfile

import nibabel as nib
import numpy as np
import pytest

from synergynet_tf.data import container, nifti
from synergynet_tf.errors import InputError

SHAPE = (5, 6, 7)
EXTENSION = nib.nifti1.Nifti1Extension("comment", b"scanned on a Monday, which is all that is known of it")


def content(kind=nib.Nifti1Image, extensions=()):
    image = kind(np.arange(210, dtype=np.int16).reshape(SHAPE), np.diag([1.0, 1.0, 1.2, 1.0]))
    image.header.extensions.extend(extensions)
    return image.to_bytes()


def changed(place, kind, *values, data=None):
    """The bytes of a sound file with other numbers from one of them on."""
    data = bytearray(content() if data is None else data)
    struct.pack_into(kind, data, place, *values)
    return bytes(data)


def refused(path, data):
    """The one line that is said of a file of these bytes."""
    path.write_bytes(data)
    with warnings.catch_warnings(), pytest.raises(InputError) as caught:
        warnings.simplefilter("error")
        nifti.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message.removeprefix(f"{path}: ")


def bomb(head):
    """Gzip data that unpack to 64 MiB of zeros after a beginning."""
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as file:
        file.write(head)
        for _ in range(32):
            file.write(bytes(2 ** 21))
    return packed.getvalue()


BOMBS = {
    "behind a small scan": (lambda: bomb(content()), ["more bytes than the", "asks for"]),
    "zeros alone": (lambda: bomb(b""), ["not a NIfTI file, but all zeros"]),
    "before the voxels": (lambda: bomb(changed(108, "<f", 2.0 ** 30)), ["vox_offset", "damaged"]),
    "of a giant": (lambda: bomb(changed(42, "<3h", 32767, 32767, 32767)), ["32767 x 32767 x 32767 voxels", "at most"]),
    "a size that the file cannot hold": (lambda: gzip.compress(changed(42, "<3h", 600, 600, 600)), ["truncated", "432000352"]),
    "a plain file of that size": (lambda: changed(42, "<3h", 600, 600, 600), ["truncated: 772 bytes", "432000352"]),
}


@pytest.mark.parametrize("title", BOMBS)
def test_a_bomb_is_refused_in_little_memory(tmp_path, title):
    make, fragments = BOMBS[title]
    data = make()
    tracemalloc.start()
    try:
        message = refused(tmp_path / "scan.nii.gz", data)
        assert tracemalloc.get_traced_memory()[1] < 12 * 2 ** 20
    finally:
        tracemalloc.stop()
    for fragment in fragments:
        assert fragment in message, message


def packed_zip(data):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("scan.nii", data)
    return packed.getvalue()


def packed_tar(data):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as file:
        about = tarfile.TarInfo("scan.nii")
        about.size = len(data)
        file.addfile(about, io.BytesIO(data))
    return packed.getvalue()


FOREIGN = {
    "LFS": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n", ["Git LFS pointer", "lfs pull"]),
    "annex": (lambda: b"/annex/objects/MD5E-s123--0cc1.nii.gz\n", ["git-annex pointer", "git annex get"]),
    "HTML": (lambda: b"\n<!DOCTYPE html>\n<html><head><title>Login</title>", ["web page", "download"]),
    "zip": (lambda: packed_zip(content()), ["zip archive", "unpack"]),
    "tar": (lambda: packed_tar(content()), ["tar archive", "unpack"]),
    "packed twice": (lambda: gzip.compress(gzip.compress(content())), ["more than once", "unpack"]),
    "DICOM": (lambda: bytes(128) + b"DICM" + bytes(500), ["DICOM", "dcm2niix"]),
    "JSON": (lambda: json.dumps({"EchoTime": 0.1}, indent=1).encode(), ["JSON"]),
    "MGZ": (lambda: nib.MGHImage(np.zeros(SHAPE, np.float32), np.eye(4)).to_bytes(), ["FreeSurfer", "mri_convert"]),
    "Analyze": (lambda: nib.AnalyzeHeader().binaryblock, ["Analyze", "convert"]),
    "SPM": (lambda: nib.Spm99AnalyzeHeader(endianness=">").binaryblock, ["Analyze", "convert"]),
    "a pair": (lambda: content()[:344] + b"ni1\0" + bytes(4), ["pair (.hdr and .img)", "one file"]),
    "NRRD": (lambda: b"NRRD0004\ntype: short\n", ["NRRD"]),
    "text": (lambda: b"404: Not Found", ["text ('404: Not Found')"]),
    "picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), ["PNG"]),
    "zeros": (lambda: bytes(1000), ["all zeros", "again"]),
    "nothing": (lambda: b"", ["empty", "again"]),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("title", FOREIGN)
def test_what_is_no_nifti_file_is_called_by_its_name(tmp_path, title, packed):
    make, fragments = FOREIGN[title]
    message = refused(tmp_path / "scan.nii.gz", gzip.compress(make()) if packed else make())
    for fragment in ("not a NIfTI file, but", *fragments):
        assert fragment in message, message


@pytest.mark.parametrize("target, fragments", [
    (".git/annex/objects/Xq/M9/MD5E-s9--aa.nii.gz/MD5E-s9--aa.nii.gz", ["git-annex link", "git annex get"]),
    ("elsewhere/scan.nii.gz", ["a link to elsewhere/scan.nii.gz", "does not exist"]),
    ("scan.nii.gz", ["cannot be read"]),
])
def test_a_dangling_link_says_where_it_points(tmp_path, target, fragments):
    os.symlink(target, tmp_path / "scan.nii.gz")
    with pytest.raises(InputError) as caught:
        nifti.read(tmp_path / "scan.nii.gz")
    for fragment in ("scan.nii.gz: ", *fragments):
        assert fragment in str(caught.value)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.nii")
    for name, fragment in (("", "a folder"), ("pipe.nii", "no regular file"), ("x.nii", "no such file"),
                           ("a\0b.nii", "cannot be read"), ("x" * 300 + ".nii", "cannot be read")):
        with pytest.raises(InputError, match=fragment):
            nifti.read(tmp_path / name)


HEADERS = {
    "vox_offset inf": (changed(108, "<f", np.inf), "begin at byte inf"),
    "vox_offset NaN": (changed(108, "<f", np.nan), "begin at byte nan"),
    "vox_offset negative": (changed(108, "<f", -352), "begin at byte -352"),
    "vox_offset 0": (changed(108, "<f", 0), "begin at byte 0"),
    "scl_slope inf": (changed(112, "<f", np.inf), "scaled by inf"),
    "scl_inter NaN": (changed(112, "<2f", 2, np.nan), "invalid intercept"),
    "scl_slope huge": (changed(112, "<f", 3e38), "NaN or Inf"),
    "scl_inter nearly 0": (changed(112, "<2f", 2, 1e-40), "scaled by 2 and shifted by"),
    "16 axes": (changed(40, ">h", 16, data=nib.Nifti1Image(
        np.arange(210, dtype=">i2").reshape(SHAPE), np.eye(4), nib.Nifti1Header(endianness=">")).to_bytes()), "16 axes"),
    "no axes": (changed(40, "<h", 0), "axes"),
    "a side of 0": (changed(42, "<h", 0), "no voxels"),
    "a negative side": (changed(44, "<h", -6), "no voxels"),
    "a side too long": (changed(46, "<h", 700), "truncated"),
    "a side too short": (changed(46, "<h", 1), None),        # 360 bytes: some programs write as many after the voxels
    "no type": (changed(70, "<h", 0), ""),
    "colours": (changed(70, "<h", 128), "colours"),
    "an impossible quaternion": (changed(252, "<2h3f", 1, 0, 3, 3, 3), "header is damaged"),
    "NaN in the affine": (changed(280, "<f", np.nan), "no grid"),
    "an extension that ends nowhere": (changed(352, "<i", 2 ** 30, data=content(extensions=[EXTENSION])), "extension"),
    "an extension that ends among the voxels": (changed(352, "<i", 128, data=content(extensions=[EXTENSION])), "extension"),
    "an extension of negative size": (changed(352, "<i", -16, data=content(extensions=[EXTENSION])), "damaged"),
}


@pytest.mark.parametrize("title", HEADERS)
def test_a_damaged_header_is_said(tmp_path, title):
    data, fragment = HEADERS[title]
    if fragment is None:
        (tmp_path / "scan.nii").write_bytes(data)
        assert nifti.read(tmp_path / "scan.nii").array.shape == (5, 6, 1)
    else:
        assert fragment in refused(tmp_path / "scan.nii", data)


def test_voxels_that_the_header_does_not_count_are_refused(tmp_path):
    image = nib.Nifti1Image(np.ones((60, 60, 60), np.int16), np.eye(4)).to_bytes()
    for place in (42, 44, 46):
        assert "more bytes than the" in refused(tmp_path / "scan.nii", changed(place, "<h", 59, data=image))


def test_what_gzip_takes_is_taken(tmp_path):
    """Several members, zeros after them, bytes of padding: all as gunzip has them."""
    data, path = content(), tmp_path / "scan.nii.gz"
    whole = np.arange(210, dtype=np.float32).reshape(SHAPE)
    for packed in (gzip.compress(data[:400]) + gzip.compress(data[400:]), gzip.compress(data) + bytes(5000),
                   gzip.compress(data + b"padding"), gzip.compress(b"") + gzip.compress(data), gzip.compress(data, 0)):
        path.write_bytes(packed)
        np.testing.assert_array_equal(nifti.read(path).array, whole)
    path.write_bytes(gzip.compress(data) + b"rubbish")
    with pytest.raises(InputError, match="corrupt gzip"):
        nifti.read(path)


def test_what_nibabel_mends_is_said_of_the_file(tmp_path, caplog, capfd):
    path = tmp_path / "scan.nii"
    path.write_bytes(changed(252, "<h", 77))
    read = container.read_contents(path)
    assert read.header["qform_code"] == 0
    assert "qform_code 77" in read.mended[0]
    assert nifti.read(path, finite=False).notes[0].text.startswith("the header is damaged: qform_code 77")
    nifti.read(path)
    assert f"{path}: the header is damaged: qform_code 77" in caplog.text
    assert capfd.readouterr() == ("", "")


def test_an_odd_offset_is_said_once(tmp_path, caplog, capfd):
    data, path = bytearray(content()), tmp_path / "scan.nii"
    data[352:352] = bytes(33)
    path.write_bytes(changed(108, "<f", 385, data=data))
    volume = nifti.read(path)
    nifti.write_like(tmp_path / "mask.nii", volume.array > 0, volume, np.uint8)
    assert "offset (=385)" in volume.notes[0].text
    assert [record.name for record in caplog.records] == ["synergynet_tf.data.nifti"]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_bytes_exchanged_at_random_are_a_scan_or_an_input_error(tmp_path, kind):
    """Every byte of the header counts; what is taken all the same has finite voxels on a grid of right angles."""
    whole, path = content(kind, [EXTENSION]), tmp_path / "scan.nii"
    rng, taken = np.random.default_rng(1), 0
    for _ in range(150):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(whole) - 420, rng.integers(1, 5)):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            volume = nifti.read(path)
        except InputError as error:
            assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
            continue
        taken += 1
        assert np.isfinite(volume.array).all() and np.isfinite(volume.affine).all()
        assert np.prod(volume.spacing) == pytest.approx(abs(np.linalg.det(volume.affine[:3, :3])), rel=1e-9)
    assert 0 < taken < 150
