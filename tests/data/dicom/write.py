"""DICOM series of a known volume, as a scanner writes them."""
import pathlib
from collections.abc import Mapping

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

SHAPE, SPACING = (20, 24, 12), (0.9, 1.1, 3.0)      # along the rows, the columns, from slice to slice
# A sagittal, slightly turned head: directions of a row, of a column and from slice to slice, LPS.
TURN = np.linalg.qr(np.array([[0.05, 0.02, -1.0], [1.0, 0.04, 0.05], [0.03, -1.0, 0.02]]))[0]
TURN = TURN * np.sign(np.sum(TURN * np.array([[0, 0, -1.0], [1, 0, 0], [0, -1, 0]]), axis=0))
TURN[:, 2] = np.cross(TURN[:, 0], TURN[:, 1])
ORIGIN = np.array([30.0, -80.0, 60.0])
STUDY, FRAME = generate_uid(), generate_uid()


def ds(*values):
    """Numbers as a header takes them: 16 letters each."""
    return [format_number_as_ds(float(value)) for value in values]


def volume(seed=0):
    """Int16 [X, Y, Z], and its affine to mm, RAS+."""
    array = np.random.default_rng(seed).integers(0, 900, SHAPE).astype(np.int16)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = TURN * SPACING, ORIGIN
    return array, np.diag([-1.0, -1, 1, 1]) @ affine


def header(**words):
    """What classic and enhanced images share."""
    image = Dataset()
    image.PatientID, image.PatientName, image.StudyInstanceUID, image.StudyDate = "secret", "Nobody^Known", STUDY, "20260102"
    image.FrameOfReferenceUID, image.PositionReferenceIndicator = FRAME, ""
    image.StudyID, image.StudyTime, image.AccessionNumber, image.ReferringPhysicianName = "1", "101500", "A7", ""
    image.PatientBirthDate, image.PatientSex, image.Manufacturer, image.InstanceNumber = "19800101", "F", "Nobody", 1
    image.Modality, image.SeriesNumber, image.SeriesDescription = "MR", 5, "3D FLAIR SAG"
    image.ImageType, image.SamplesPerPixel, image.PhotometricInterpretation = ["ORIGINAL", "PRIMARY", "M"], 1, "MONOCHROME2"
    image.BitsAllocated = image.BitsStored = 16
    image.HighBit, image.PixelRepresentation = 15, 1
    image.Columns, image.Rows = SHAPE[0], SHAPE[1]
    for name, value in words.items():
        setattr(image, name, value)
    return image


def classic(folder: pathlib.Path, seed=0, rescale=None, **words) -> list[pathlib.Path]:
    """A file a slice, in an order that is not the slices', without endings."""
    array, _ = volume(seed)
    folder.mkdir(parents=True, exist_ok=True)
    series, paths = generate_uid(), []
    for k in np.random.default_rng(9).permutation(SHAPE[2]):
        image = header(SeriesInstanceUID=series, InstanceNumber=int(k) + 1)
        image.ImagePositionPatient = ds(*(ORIGIN + TURN[:, 2] * SPACING[2] * k))
        image.ImageOrientationPatient, image.PixelSpacing = ds(*TURN[:, 0], *TURN[:, 1]), ds(SPACING[1], SPACING[0])
        image.SliceThickness = SPACING[2]
        image.PixelData = np.ascontiguousarray(array[:, :, k].T).tobytes()
        if rescale:
            image.RescaleSlope, image.RescaleIntercept = rescale
        for name, value in words.items():
            setattr(image, name, value)
        paths.append(save(image, folder / f"IM{k:04d}_{series[-6:]}", MRImageStorage))
    return sorted(paths)


def enhanced(path: pathlib.Path, **words) -> pathlib.Path:
    """All slices in one file."""
    array, _ = volume()
    image = header(SeriesInstanceUID=generate_uid(), NumberOfFrames=SHAPE[2], **words)
    shared = Dataset()
    shared.PlaneOrientationSequence = _sequence(ImageOrientationPatient=ds(*TURN[:, 0], *TURN[:, 1]))
    shared.PixelMeasuresSequence = _sequence(PixelSpacing=[SPACING[1], SPACING[0]], SliceThickness=SPACING[2])
    image.SharedFunctionalGroupsSequence = Sequence([shared])
    order, frames = np.random.default_rng(4).permutation(SHAPE[2]), []
    for k in order:
        frame = Dataset()
        frame.PlanePositionSequence = _sequence(ImagePositionPatient=ds(*(ORIGIN + TURN[:, 2] * SPACING[2] * k)))
        frame.PixelValueTransformationSequence = _sequence(RescaleSlope=2, RescaleIntercept=-10, RescaleType="US")
        frames.append(frame)
    image.PerFrameFunctionalGroupsSequence = Sequence(frames)
    image.PixelData = np.ascontiguousarray(np.moveaxis(array[:, :, order], (2, 1, 0), (0, 1, 2))).tobytes()
    return save(image, path, EnhancedMRImageStorage)


def _sequence(**values) -> Sequence:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return Sequence([item])


def save(image: Dataset, path: pathlib.Path, kind) -> pathlib.Path:
    image.SOPClassUID, image.SOPInstanceUID = kind, generate_uid()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID, image.file_meta.MediaStorageSOPInstanceUID = kind, image.SOPInstanceUID
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, image, enforce_file_format=True)
    return path


def edit(path: pathlib.Path, changes: Mapping) -> None:
    """Set or, with None, remove elements of a file."""
    image = pydicom.dcmread(path)
    for name, value in changes.items():
        delattr(image, name) if value is None else setattr(image, name, value)
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    pydicom.dcmwrite(path, image)
