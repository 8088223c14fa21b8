"""What a server may answer, and what a scan's file lets one expect: whatever the bytes, they are sound or an InputError."""
import gzip

import numpy as np
import pytest

from export.answers import Answer, one_line
from export.masks import check, grid_of
from synergynet_tf.errors import InputError
from tests.export.hostile import AFFINE, SHAPE, mask, outputs, scan


@pytest.fixture
def grid(tmp_path):
    """A function that gives the grid of a file's bytes."""
    def find(content: bytes):
        path = tmp_path / "scan.nii"
        path.write_bytes(content)
        return grid_of(path)

    return find


def answer(content: bytes) -> Answer:
    return Answer(content, 2, outputs()["lesion_volume_ml"], ())


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bits turned, bytes cut out, put in, or copied from elsewhere."""
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        place, other = (int(i) for i in rng.integers(0, len(changed), 2))
        kind = rng.integers(4)
        if kind == 0:
            changed[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[place:place + 9] = changed[other:other + 9]
        elif kind == 2:
            changed[place:place] = rng.bytes(int(rng.integers(1, 20)))
        elif len(changed) > 99:
            del changed[place:place + int(rng.integers(1, 50))]
    return bytes(changed)


def test_damaged_masks_are_refused_or_harmless(grid, capfd):
    import nibabel as nib

    rng, taken, own = np.random.default_rng(0), 0, grid(scan())
    for _ in range(150):
        content = mutated(mask(), rng)
        try:
            check(answer(content), own)
        except InputError as error:
            assert str(error).isprintable()
            continue
        taken += 1
        with np.errstate(all="ignore"):
            image = nib.Nifti1Image(*(getattr(nib.Nifti1Image.from_bytes(content), name) for name in ("dataobj", "affine")))
        np.testing.assert_array_equal(image.affine, nib.Nifti1Image.from_bytes(scan()).affine)
        assert image.shape == SHAPE
        assert set(np.unique(image.dataobj)) <= {0, 1}
    assert 0 < taken < 50      # bits of a header that place no voxel
    assert not capfd.readouterr().out


def test_damaged_scans_are_refused_or_have_a_grid(grid, capfd):
    rng = np.random.default_rng(1)
    for i in range(200):
        content = mutated(gzip.compress(scan()) if i % 2 else scan(), rng)
        try:
            assert grid(content).limit < 1100 * len(content) + 2 ** 26
        except InputError as error:
            assert str(error).isprintable()
    assert capfd.readouterr() == ("", "")


def test_a_second_kind_of_header_is_refused(grid):
    import nibabel as nib

    with pytest.raises(InputError, match="NIfTI-2 file, but a served network takes NIfTI-1"):
        grid(nib.Nifti2Image(np.ones(SHAPE, np.int16), AFFINE).to_bytes())


@pytest.mark.parametrize(("text", "shown"), [
    ("a  b\n\tc", "a b c"), ("\x1b[2Jx\x07", " [2Jx "), ("\u202eabc", " abc"), ("x" * 99, "x" * 9),
    (" " * 50 + "a", ""), ("ä病", "ä病")])
def test_texts_from_outside_do_nothing_to_a_terminal(text, shown):
    assert one_line(text, 9) == shown


def test_the_limit_holds_the_mask_of_a_scan_with_extensions(grid):
    import nibabel as nib

    image = nib.Nifti1Image(np.ones(SHAPE, np.int16), AFFINE)
    for size in (1, 8, 500):
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * size))
    assert grid(image.to_bytes()).limit >= len(image.to_bytes()) - np.prod(SHAPE)
