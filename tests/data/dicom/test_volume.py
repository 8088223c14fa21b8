"""A series becomes the volume that it was made of: classic, enhanced, zipped; what is no volume is named."""
import zipfile

import numpy as np
import pytest

from synergynet_tf.data.dicom.files import is_dicom
from synergynet_tf.data.dicom.study import find_scans
from synergynet_tf.data.dicom.volume import read_scan
from synergynet_tf.errors import InputError
from tests.data.dicom.write import ORIGIN, SHAPE, SPACING, TURN, classic, ds, edit, enhanced, volume


def read(path, wanted=None):
    return read_scan(find_scans(path, ("flair",), wanted).series["flair"])


def refused(path, wanted=None):
    with pytest.raises(InputError) as error:
        read(path, wanted)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_classic_series_is_the_volume_it_was_made_of(tmp_path):
    classic(tmp_path / "study", rescale=(0.5, -3))
    scan, (array, affine) = read(tmp_path / "study"), volume()
    assert scan.array.dtype == np.float32
    np.testing.assert_allclose(scan.array, 0.5 * array - 3, rtol=1e-6)
    np.testing.assert_allclose(scan.affine, affine, atol=1e-4)


def test_simpleitk_reads_the_same(tmp_path):
    """An independent reader, GDCM, puts each voxel's value at the same place."""
    sitk = pytest.importorskip("SimpleITK")
    paths = classic(tmp_path / "study")
    scan = read(tmp_path / "study")
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path / "study")))
    image = reader.Execute()
    assert len(paths) == image.GetSize()[2]
    inverse = np.linalg.inv(scan.affine)
    for index in ((0, 0, 0), (3, 17, 8), (19, 23, 11), (7, 2, 0)):
        place = np.array(image.TransformIndexToPhysicalPoint(index)) * (-1, -1, 1)
        voxel = (inverse @ [*place, 1])[:3]
        assert np.allclose(voxel, np.round(voxel), atol=1e-3)
        assert scan.array[tuple(np.round(voxel).astype(int))] == image[index]


def test_an_enhanced_image_is_the_same_volume(tmp_path):
    enhanced(tmp_path / "study" / "one.dcm")
    for path in (tmp_path / "study", tmp_path / "study" / "one.dcm"):
        scan, (array, affine) = read(path), volume()
        np.testing.assert_allclose(scan.array, 2.0 * array - 10)
        np.testing.assert_allclose(scan.affine, affine, atol=1e-4)


def test_a_zip_file_is_read_without_being_unpacked(tmp_path):
    paths = classic(tmp_path / "study")
    with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            archive.write(path, f"../../{path.name}")
        archive.writestr("readme.txt", "no image")
    before = sorted(tmp_path.rglob("*"))
    np.testing.assert_array_equal(read(tmp_path / "study.zip").array, volume()[0])
    assert sorted(tmp_path.rglob("*")) == before and is_dicom(tmp_path / "study.zip")


def test_compressed_images_are_read(tmp_path):
    """JPEG 2000, as GDCM writes it."""
    sitk = pytest.importorskip("SimpleITK")
    paths = classic(tmp_path / "study")
    for path in paths:
        image = sitk.ReadImage(str(path), imageIO="GDCMImageIO")
        writer = sitk.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetUseCompression(True)
        writer.SetImageIO("GDCMImageIO")
        writer.SetFileName(f"{path}.dcm")
        writer.Execute(image)
        path.unlink()
    scan = read(tmp_path / "study")
    np.testing.assert_allclose(scan.array, volume()[0])
    np.testing.assert_allclose(scan.affine, volume()[1], atol=1e-3)


def test_what_is_no_volume_is_named(tmp_path):
    def study(name, **words):
        return classic(tmp_path / name, **words)

    study("missing")[4].unlink()
    assert "1 slice is missing between" in refused(tmp_path / "missing")
    edit(study("unequal")[0], {"ImagePositionPatient": ds(*(ORIGIN - TURN[:, 2] * 1.1))})
    assert "the step from slice to slice changes" in refused(tmp_path / "unequal")
    edit(study("doubled")[3], {"ImagePositionPatient": ds(*(ORIGIN + TURN[:, 2] * SPACING[2] * 7))})
    assert "lie where others do" in refused(tmp_path / "doubled")
    edit(study("shifted")[0], {"ImagePositionPatient": ds(*(ORIGIN + TURN[:, 0] * 4))})
    assert "do not lie straight behind each other" in refused(tmp_path / "shifted")
    edit(study("beside")[5], {"ImagePositionPatient": ds(*(ORIGIN + TURN[:, 2] * SPACING[2] * 5 + TURN[:, 1]))})
    assert "do not lie straight behind each other" in refused(tmp_path / "beside")
    edit(study("turned")[2], {"ImageOrientationPatient": ds(*TURN[:, 1], *TURN[:, 0])})
    assert "turned against each other" in refused(tmp_path / "turned")
    edit(study("spacing")[2], {"PixelSpacing": [1.0, 1.0]})
    assert "2 sizes" in refused(tmp_path / "spacing")
    edit(study("placeless")[0], {"ImagePositionPatient": None})
    assert "has no ImagePositionPatient" in refused(tmp_path / "placeless")
    edit(study("colour")[0], {"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3})
    assert "in colour (RGB)" in refused(tmp_path / "colour")
    edit(study("short")[0], {"PixelData": b"\0" * 10})
    assert "its values cannot be read" in refused(tmp_path / "short")
    for path in study("few")[:5]:
        path.unlink()
    assert f"({SHAPE[2] - 5} slices)" in refused(tmp_path / "few")
    cut = study("cut")[1]
    cut.write_bytes(cut.read_bytes()[:400])
    assert "an MR image that ends before its values" in refused(tmp_path / "cut")
