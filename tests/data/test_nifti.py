import gzip
import itertools
import pathlib

import nibabel as nib
import numpy as np
import pytest

from synergynet_tf.data import nifti
from synergynet_tf.errors import InputError

SHAPE = (5, 6, 7)
AXES = ["".join(codes) for order in itertools.permutations(("LR", "PA", "IS")) for codes in itertools.product(*order)]
GRID_BYTES = slice(252, 328)        # NIfTI-1: qform_code, sform_code, quaternion, offsets, srow_x..z
DIM_BYTES, PIXDIM_BYTES = slice(40, 56), slice(76, 108)


def tilt(degrees=(7.0, -11.0, 5.0)):
    result = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        a, b = (i for i in range(3) if i != axis)
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        result = turn @ result
    return result


def affine_of(axes, oblique=False):
    affine = np.eye(4)
    for column, code in enumerate(axes):
        row = next(i for i, pair in enumerate(("LR", "PA", "IS")) if code in pair)
        affine[:3, column] = 0
        affine[row, column] = 1.0 if code in "RAS" else -1.0
    affine[:3, :3] *= (0.9, 1.0, 1.2)
    if oblique:
        affine[:3, :3] = tilt() @ affine[:3, :3]
    affine[:3, 3] = (-12.3, 45.6, -7.8)
    return affine


def save(path, array, affine, sform=4, qform=2, header=None, kind=nib.Nifti1Image):
    image = kind(array, affine, header)
    image.set_sform(affine, code=sform)
    image.set_qform(affine, code=qform)
    nib.save(image, path)
    return path


def raw(path):
    content = pathlib.Path(path).read_bytes()
    return gzip.decompress(content) if str(path).endswith(".gz") else content


@pytest.fixture
def stored():
    return np.random.default_rng(0).integers(-500, 500, SHAPE).astype(np.int16)


@pytest.mark.parametrize("oblique", [False, True])
@pytest.mark.parametrize("axes", AXES)
def test_every_orientation_comes_back_bit_for_bit(tmp_path, stored, axes, oblique):
    path = save(tmp_path / "scan.nii", stored, affine_of(axes, oblique))
    volume = nifti.read(path)
    canonical = nib.as_closest_canonical(nib.load(path))
    assert volume.axes == axes
    assert nib.aff2axcodes(volume.affine) == ("R", "A", "S")
    np.testing.assert_array_equal(volume.array, canonical.get_fdata())
    np.testing.assert_array_equal(volume.affine, canonical.affine)

    out = tmp_path / "out.nii"
    nifti.write_like(out, volume.array, volume, np.int16)
    before, after = raw(path), raw(out)
    for part in (GRID_BYTES, DIM_BYTES, PIXDIM_BYTES):
        assert before[part] == after[part]
    np.testing.assert_array_equal(np.asarray(nib.load(out).dataobj), stored)


@pytest.mark.parametrize("axes", ["LAS", "PSR", "IRA"])
def test_a_voxel_keeps_its_place_in_the_world(tmp_path, stored, axes):
    affine = affine_of(axes, oblique=True)
    volume = nifti.read(save(tmp_path / "scan.nii.gz", stored, affine))
    file_affine = nib.load(tmp_path / "scan.nii.gz").affine
    for index in itertools.product(*(range(0, n, 3) for n in SHAPE)):
        world = file_affine @ (*index, 1)
        found = np.rint(np.linalg.solve(volume.affine, world))[:3].astype(int)
        assert volume.array[tuple(found)] == stored[index]
    np.testing.assert_allclose(sorted(volume.spacing), [0.9, 1.0, 1.2], atol=1e-5)


@pytest.mark.parametrize("codes", [(0, 1), (1, 0), (4, 4), (2, 3)])
def test_form_codes_and_differing_forms_are_kept(tmp_path, stored, codes):
    image = nib.Nifti1Image(stored, None)
    image.set_sform(affine_of("LAS", oblique=True), code=codes[0])
    image.set_qform(affine_of("LPS"), code=codes[1])
    nib.save(image, tmp_path / "scan.nii")
    volume = nifti.read(tmp_path / "scan.nii")
    nifti.write_like(tmp_path / "out.nii", volume.array > 0, volume, np.uint8)
    assert raw(tmp_path / "scan.nii")[GRID_BYTES] == raw(tmp_path / "out.nii")[GRID_BYTES]


def test_scaling_is_applied_and_then_reset(tmp_path, stored):
    header = nib.Nifti1Header()
    header.set_slope_inter(0.25, 3)
    header["cal_max"] = 700
    image = nib.Nifti1Image(stored * 0.25 + 3, affine_of("LAS"), header)
    image.header.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "scan.nii.gz")
    volume = nifti.read(tmp_path / "scan.nii.gz")
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(nifti.apply_orientation(volume.array, volume.orientation), stored * 0.25 + 3, atol=2e-2)
    nifti.write_like(tmp_path / "out.nii.gz", (volume.array > 0).astype(np.float32), volume, np.uint8)
    content = raw(tmp_path / "out.nii.gz")
    slope, inter = np.frombuffer(content[112:120], "<f4")
    assert (slope, inter) == (1, 0)
    assert np.frombuffer(content[124:128], "<f4")[0] == 0       # cal_max was the intensities'
    assert nib.load(tmp_path / "out.nii.gz").get_data_dtype() == np.uint8


@pytest.mark.parametrize("shape", [(5, 6, 7, 1), (5, 6, 7, 1, 1)])
def test_a_trailing_axis_of_one_is_read_and_written(tmp_path, stored, shape):
    save(tmp_path / "scan.nii", stored.reshape(shape), affine_of("LAS"))
    volume = nifti.read(tmp_path / "scan.nii")
    assert volume.array.shape == SHAPE
    nifti.write_like(tmp_path / "out.nii", volume.array, volume, np.float32)
    written = nib.load(tmp_path / "out.nii")
    assert written.shape == shape
    np.testing.assert_array_equal(written.get_fdata(), stored.reshape(shape))


@pytest.mark.parametrize("kind, header", [(nib.Nifti2Image, None), (nib.Nifti1Image, nib.Nifti1Header(endianness=">"))])
def test_nifti_2_and_foreign_byte_order(tmp_path, stored, kind, header):
    save(tmp_path / "scan.nii.gz", stored, affine_of("LPS"), header=header, kind=kind)
    volume = nifti.read(tmp_path / "scan.nii.gz")
    nifti.write_like(tmp_path / "out.nii.gz", volume.array, volume, np.float32)
    written = nib.load(tmp_path / "out.nii.gz")
    assert type(written) is kind
    assert written.header.endianness == nib.load(tmp_path / "scan.nii.gz").header.endianness
    np.testing.assert_array_equal(written.get_fdata(), stored)
    np.testing.assert_array_equal(written.affine, nib.load(tmp_path / "scan.nii.gz").affine)


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (0,), (0, 7)])
def test_masks_of_one_value(tmp_path, stored, values):
    array = np.where(stored > 0, values[-1], 0).astype(np.uint8)
    save(tmp_path / "mask.nii.gz", array, np.eye(4))
    mask = nifti.read_mask(tmp_path / "mask.nii.gz").array
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, array > 0)


def test_a_mask_of_several_values_is_refused_with_them(tmp_path, stored):
    save(tmp_path / "mask.nii.gz", (stored % 3).astype(np.uint8), np.eye(4))
    with pytest.raises(InputError, match=r"mask\.nii\.gz.*3 values \(0, 1, 2\)"):
        nifti.read_mask(tmp_path / "mask.nii.gz")


def read_two(tmp_path, first, second, array):
    return (nifti.read(save(tmp_path / "a.nii", array, first)), nifti.read(save(tmp_path / "b.nii", array, second)))


def test_one_grid_stored_in_two_orientations_is_the_same(tmp_path, stored):
    save(tmp_path / "a.nii", stored, affine_of("RAS"))
    flipped = affine_of("RAS")
    flipped[:3, 3] += flipped[:3, 0] * (SHAPE[0] - 1)
    flipped[:3, 0] *= -1
    save(tmp_path / "b.nii", stored[::-1], flipped)
    a, b = nifti.read(tmp_path / "a.nii"), nifti.read(tmp_path / "b.nii")
    nifti.check_same_grid(a, b)
    np.testing.assert_array_equal(a.array, b.array)


def test_the_rounding_of_a_header_is_no_difference(tmp_path):
    """The same tilted grid as sform and as quaternion: nibabel's own rounding moves its far corner by 0.02 mm."""
    big = np.zeros((256, 256, 192), np.uint8)
    affine = affine_of("LAS")
    affine[:3, :3] = tilt(np.rad2deg(np.random.default_rng(28).normal(0, 0.01, 3))) @ affine[:3, :3]
    a = nifti.read(save(tmp_path / "a.nii", big, affine, sform=1, qform=0))
    b = nifti.read(save(tmp_path / "b.nii", big, affine, sform=0, qform=1))
    corner = (255, 255, 191, 1)
    assert np.linalg.norm((nib.load(a.path).affine - nib.load(b.path).affine) @ corner) > 0.01
    nifti.check_same_grid(a, b)


@pytest.mark.parametrize("change, cause", [
    ("flip", "flipped"), ("shift", "shifted"), ("turn", "resample"), ("spacing", "resample"),
])
def test_another_affine_is_caught(tmp_path, stored, change, cause):
    first, second = affine_of("LAS"), affine_of("LAS")
    if change == "flip":
        second[0, 0] *= -1
    elif change == "shift":
        second[:3, 3] += (0, 0.1, 0)
    elif change == "turn":
        second[:3, :3] = tilt((3, 0, 0)) @ second[:3, :3]
    else:
        second[:3, 2] *= 1.02
    with pytest.raises(InputError, match=cause) as caught:
        nifti.check_same_grid(*read_two(tmp_path, first, second, stored))
    message = str(caught.value)
    assert "a.nii" in message
    assert "b.nii" in message
    assert "\n" not in message


def test_another_shape_is_caught(tmp_path, stored):
    a = nifti.read(save(tmp_path / "a.nii", stored, np.eye(4)))
    b = nifti.read(save(tmp_path / "b.nii", stored[:4], np.eye(4)))
    with pytest.raises(InputError, match=r"4 x 6 x 7.*5 x 6 x 7"):
        nifti.check_same_grid(a, b)


@pytest.mark.parametrize("array, fragment", [
    (np.zeros(SHAPE, np.complex64), "complex"),
    (np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")]), "colours"),
    (np.zeros((*SHAPE, 2), np.uint8), "4 axes"),
    (np.zeros(SHAPE[:2], np.uint8), "2 axes"),
])
def test_what_is_no_scan_is_refused(tmp_path, array, fragment):
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "scan.nii")
    with pytest.raises(InputError, match=fragment):
        nifti.read(tmp_path / "scan.nii")


def test_a_file_without_voxels_is_refused(tmp_path, stored):
    content = bytearray(raw(save(tmp_path / "scan.nii", stored, np.eye(4))))
    content[42:44] = bytes(2)       # dim[1]
    (tmp_path / "scan.nii").write_bytes(content)
    with pytest.raises(InputError, match=r"scan\.nii: "):
        nifti.read(tmp_path / "scan.nii")


def test_an_affine_that_is_no_grid_is_refused(tmp_path, stored):
    save(tmp_path / "scan.nii", stored, np.eye(4))
    content = bytearray(raw(tmp_path / "scan.nii"))
    content[280:328] = bytes(48)    # srow_x..z, sform_code stays
    (tmp_path / "scan.nii").write_bytes(content)
    with pytest.raises(InputError, match="no grid"):
        nifti.read(tmp_path / "scan.nii")


def test_every_truncation_and_any_changed_byte_is_noticed(tmp_path, stored):
    path = save(tmp_path / "scan.nii.gz", stored, np.eye(4))
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 29):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError):
            nifti.read(path)
    for position in range(10, len(whole), 17):      # after the gzip header, whose name and time no checksum covers
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        with pytest.raises(InputError):
            nifti.read(path)


def test_truncated_plain_nifti_is_noticed(tmp_path, stored):
    path = save(tmp_path / "scan.nii", stored, np.eye(4))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="truncated"):
        nifti.read(path)


def test_a_failed_write_leaves_what_was_there(tmp_path, stored, monkeypatch):
    volume = nifti.read(save(tmp_path / "scan.nii", stored, np.eye(4)))
    out = tmp_path / "out.nii.gz"
    out.write_bytes(b"old")

    def refuse(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(InputError, match="the disk is full"):
        nifti.write_like(out, volume.array, volume, np.float32)
    assert out.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.nii.gz", "scan.nii"]


def test_where_nothing_can_be_written(tmp_path, stored):
    volume = nifti.read(save(tmp_path / "scan.nii", stored, np.eye(4)))
    for path in (tmp_path / "absent" / "out.nii.gz", tmp_path / "scan.nii" / "out.nii.gz", tmp_path / "out.png"):
        with pytest.raises(InputError, match=path.name):
            nifti.write_like(path, volume.array, volume, np.float32)


def test_values_that_do_not_fit_are_not_written(tmp_path, stored):
    volume = nifti.read(save(tmp_path / "scan.nii", stored, np.eye(4)))
    with pytest.raises(ValueError, match="do not fit uint8"):
        nifti.write_like(tmp_path / "out.nii", volume.array, volume, np.uint8)
    with pytest.raises(ValueError, match="the grid of"):
        nifti.write_like(tmp_path / "out.nii", volume.array[1:], volume, np.float32)
