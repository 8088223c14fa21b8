"""From the images of a series to a volume: slices in their order, at equal steps, in the scanner's units."""
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.pixels import apply_rescale

from synergynet_tf.data.dicom.files import File
from synergynet_tf.data.dicom.study import FEWEST, Series, quietly
from synergynet_tf.errors import InputError

TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])        # DICOM's world is LPS
TURN = 1e-3             # by which the directions of two slices may differ
STEP = 0.02             # share of the step by which two steps may differ, ...
STEP_MM = 0.02          # ... or so much, which is the rounding of a header
FRAME = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence", "PixelValueTransformationSequence")
ASIDE = 0.1             # mm by which a slice may lie beside the line of the others


class Plane(NamedTuple):
    """One slice and where it lies, in mm, LPS."""

    position: np.ndarray    # float64 [3], of the first voxel's middle
    row: np.ndarray         # float64 [3], the direction in which the column's number grows
    column: np.ndarray      # float64 [3], the direction in which the row's number grows
    spacing: tuple[float, float]        # mm from row to row, and from column to column
    values: np.ndarray      # float32 [rows, columns]


@dataclass(frozen=True)
class Scan:
    """A series as a volume."""

    array: np.ndarray       # float32 [X, Y, Z], X along the rows of an image, Z from slice to slice
    affine: np.ndarray      # float64 [4, 4], to mm, RAS+


def read_scan(series: Series) -> Scan:
    """The volume of a series.

    Raises:
        InputError: slices are missing, doubled, turned, shifted or of two sizes; an image is in colour, has no place, or cannot
            be decoded.
    """
    planes = [plane for file in series.files for plane in _planes(file)]
    if len(planes) < FEWEST:
        raise _fault(series, f"{len(planes)} slices, but a scan has {FEWEST} at least; copy the whole series")
    first = planes[0]
    normal = np.cross(first.row, first.column)
    _require_alike(series, planes)
    depths = np.array([plane.position @ normal for plane in planes])
    order = np.argsort(depths, kind="stable")
    step = _step(series, depths[order])
    planes = [planes[i] for i in order]
    places = np.stack([plane.position for plane in planes])
    start, along = places[0], step * normal
    beside = places - start - np.outer((places - start) @ normal, normal)
    if np.linalg.norm(beside, axis=1).max() > ASIDE:
        raise _fault(series, "its slices do not lie straight behind each other (the gantry was tilted, or two series are mixed); "
                     "resample it with another program")
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = first.row * first.spacing[1], first.column * first.spacing[0]
    affine[:3, 2], affine[:3, 3] = along, start
    array = np.stack([plane.values.T for plane in planes], axis=-1)
    return Scan(array, TO_RAS @ affine)


def images_of(series: Series) -> list[pydicom.FileDataset]:
    """The images of a series, without their values.

    Raises:
        InputError: one cannot be read.
    """
    images = []
    for file in series.files:
        try:
            with file.open() as content, quietly():
                images.append(pydicom.dcmread(content, stop_before_pixels=True))
        except InvalidDicomError as error:
            raise InputError(f"{file}: not a readable DICOM file ({error}); copy it again") from None
    return images


def ranks_of(images: Sequence[pydicom.Dataset]) -> np.ndarray:
    """Which slice of `read_scan` each image, or each frame of an enhanced one, is: int64 [slices]."""
    groups = images[0].get("PerFrameFunctionalGroupsSequence")
    shared = _item(images[0], "SharedFunctionalGroupsSequence")
    places = [_merged(shared, group) for group in groups] if groups else list(images)
    direction = np.asarray([float(part) for part in places[0].ImageOrientationPatient])
    normal = np.cross(direction[:3], direction[3:])
    depths = np.array([np.asarray([float(part) for part in place.ImagePositionPatient]) @ normal for place in places])
    return np.argsort(np.argsort(depths, kind="stable"), kind="stable")


def _fault(series: Series, what: str) -> InputError:
    return InputError(f"series {series.name}: {what}")


def _require_alike(series: Series, planes: Sequence[Plane]) -> None:
    first = planes[0]
    for plane in planes[1:]:
        if plane.values.shape != first.values.shape or not np.allclose(plane.spacing, first.spacing, rtol=1e-4):
            sizes = sorted({f"{' x '.join(map(str, each.values.shape))} of {each.spacing[0]:g} x {each.spacing[1]:g} mm"
                            for each in planes})
            raise _fault(series, f"its slices are of {len(sizes)} sizes ({'; '.join(sizes[:3])}): two series are mixed; name a "
                         "folder that holds one")
        if np.abs(plane.row - first.row).max() > TURN or np.abs(plane.column - first.column).max() > TURN:
            raise _fault(series, "its slices are turned against each other, as a localiser's are; name another with --series")


def _step(series: Series, depths: np.ndarray) -> float:
    """The step from slice to slice, mm, of depths in their order. Raises InputError where two differ."""
    steps = np.diff(depths)
    step = float(np.median(steps))
    margin = max(STEP * step, STEP_MM)
    if (doubled := np.flatnonzero(steps < margin)).size:
        raise _fault(series, f"{doubled.size} of its slices lie where others do, at {depths[doubled[0]]:.2f} mm: it holds "
                     "several volumes (echoes, times, a copy); name a folder that holds one")
    if (wrong := np.flatnonzero(np.abs(steps - step) > margin)).size:
        at = int(wrong[0])
        missing = round(float(steps[at]) / step) - 1
        even = missing >= 1 and abs(steps[at] - (missing + 1) * step) < (missing + 1) * margin
        what = f"{missing} slice{'s are' if missing > 1 else ' is'} missing" if even else "the step from slice to slice changes"
        raise _fault(series, f"{what} between {depths[at]:.2f} and {depths[at + 1]:.2f} mm (steps of {step:.2f} mm elsewhere); "
                     "copy the whole series")
    return float(depths[-1] - depths[0]) / (len(depths) - 1)


def _planes(file: File) -> Iterator[Plane]:
    image, pixels = _image(file)
    if pixels.ndim == 2:
        yield _plane(file, image, pixels)
        return
    shared = _item(image, "SharedFunctionalGroupsSequence")
    groups = image.get("PerFrameFunctionalGroupsSequence")
    if not groups or len(groups) != len(pixels):
        raise InputError(f"{file}: {len(pixels)} frames without a place for each; send the scan as single images")
    for group, values in zip(groups, pixels):
        yield _plane(file, _merged(shared, group), values)


def _image(file: File) -> tuple[pydicom.Dataset, np.ndarray]:
    """An image and its values as stored: [rows, columns] or [frames, rows, columns]."""
    try:
        with file.open() as content, quietly():
            image = pydicom.dcmread(content)
    except Exception as error:
        raise InputError(f"{file}: not a readable DICOM file ({' '.join(str(error).split())[:200]}); copy it again") from None
    colours = str(image.get("PhotometricInterpretation", "MONOCHROME2"))
    if int(image.get("SamplesPerPixel", 1)) != 1 or not colours.startswith("MONO"):
        raise InputError(f"{file}: a picture in colour ({colours}), no scan; name another series with --series")
    try:
        return image, image.pixel_array
    except Exception as error:
        syntax = getattr(getattr(image, "file_meta", None), "TransferSyntaxUID", None)
        decoded = _decoded(file, image) if getattr(syntax, "is_compressed", False) else None
        if decoded is not None:
            return image, decoded
        how = f"{getattr(syntax, 'name', 'an unknown syntax')}: {' '.join(str(error).split())[:120]}"
        raise InputError(f"{file}: its values cannot be read ({how}); send it uncompressed") from None


def _decoded(file: File, image: pydicom.Dataset) -> np.ndarray | None:
    """The values as stored by GDCM's decoders, which SimpleITK brings; none where they cannot do it either."""
    try:
        import SimpleITK as sitk

        with tempfile.NamedTemporaryFile(suffix=".dcm") as copy:
            with file.open() as content:
                shutil.copyfileobj(content, copy)
            copy.flush()
            values = sitk.GetArrayFromImage(sitk.ReadImage(copy.name))
    except (ImportError, RuntimeError):
        return None
    stored = (values - float(image.get("RescaleIntercept", 0))) / float(image.get("RescaleSlope", 1))   # it has rescaled them
    return np.squeeze(stored)


def _item(dataset: pydicom.Dataset, name: str) -> pydicom.Dataset:
    sequence = dataset.get(name)
    return sequence[0] if sequence else pydicom.Dataset()


def _merged(shared: pydicom.Dataset, group: pydicom.Dataset) -> pydicom.Dataset:
    """What an enhanced image says of a frame, of all frames or of this one, as a classic image says it."""
    flat = pydicom.Dataset()
    for name in FRAME:
        for element in _item(group, name) or _item(shared, name):
            flat[element.tag] = element
    return flat


def _plane(file: File, place: pydicom.Dataset, values: np.ndarray) -> Plane:
    numbers: dict[str, Any] = {}
    for name, count in (("ImagePositionPatient", 3), ("ImageOrientationPatient", 6), ("PixelSpacing", 2)):
        value = place.get(name)
        if value is None or len(value) != count:
            raise InputError(f"{file}: has no {name}, so that its place is not known: a screenshot, or a scan whose header was "
                             "stripped; take it from the scanner again")
        numbers[name] = np.asarray([float(part) for part in value])
    row, column = numbers["ImageOrientationPatient"][:3], numbers["ImageOrientationPatient"][3:]
    spacing = numbers["PixelSpacing"]
    turned = abs(float(row @ column)) > TURN or abs(float(row @ row) - 1) > TURN or abs(float(column @ column) - 1) > TURN
    if turned or not (spacing > 0).all() or not all(np.isfinite(value).all() for value in numbers.values()):
        raise InputError(f"{file}: its place is none (direction {numbers['ImageOrientationPatient'].tolist()}, spacing "
                         f"{spacing.tolist()}); take it from the scanner again")
    scaled = np.asarray(apply_rescale(values, place), np.float32)
    return Plane(numbers["ImagePositionPatient"], row, column, (float(spacing[0]), float(spacing[1])), scaled)
