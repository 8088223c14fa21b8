"""A mask as a DICOM Segmentation object, on the geometry and in the study of the series that it was made from."""
import contextlib
import hashlib
import io
from collections.abc import Iterator, Sequence
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
from highdicom.sr.coding import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from synergynet_tf import __version__
from synergynet_tf.data.anatomy.regions import DEEP, INFRATENTORIAL, JUXTACORTICAL, PERIVENTRICULAR
from synergynet_tf.data.dicom.study import quietly
from synergynet_tf.data.dicom.volume import ranks_of
from synergynet_tf.errors import InputError

LESION = CodedConcept("52988006", "SCT", "Lesion")
ABNORMAL = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
BRAIN = CodedConcept("12738006", "SCT", "Brain")
UNKNOWN = ""                # the region of a lesion whose place is not known
SITES = {PERIVENTRICULAR: [CodedConcept("66720007", "SCT", "Lateral Ventricle")],
         JUXTACORTICAL: [CodedConcept("40146001", "SCT", "Cerebral cortex")],
         INFRATENTORIAL: [CodedConcept("119238007", "SCT", "Brain Stem"), CodedConcept("113305005", "SCT", "Cerebellum")],
         DEEP: [CodedConcept("68523003", "SCT", "Cerebral White Matter")], UNKNOWN: [BRAIN]}      # at or in which a region is
MAKER, MODEL = "synergynet_tf", "SynergyNet"
SERIES_NUMBER = 9000        # far above those of a scanner; the scan's own is added


def segmentation(images: Sequence[pydicom.Dataset], lesions: np.ndarray, regions: Sequence[str], network: str) -> bytes:
    """A DICOM Segmentation, binary, of a segment for each region that has lesions.

    Patient, study and frame of reference are the images', to which it refers. The same lesions give the same UIDs.

    Args:
        images: of the FLAIR's series, without their values: `volume.images_of`.
        lesions: uint8 [X, Y, Z] on the grid that `volume.read_scan` gives the series: 0 where there is none, 1, 2, ... in the
            first, second, ... of `regions`.
        regions: names of `SITES`, at least one.
        network: what identifies the network, for the description.

    Returns:
        The file's bytes.

    Raises:
        InputError: the lesions are on another grid, or the headers lack what the standard asks for.
    """
    frames, ranks = np.moveaxis(lesions, (2, 1, 0), (0, 1, 2)).astype(np.uint8), ranks_of(images)
    if frames.shape != (len(ranks), int(images[0].Rows), int(images[0].Columns)):
        raise InputError(f"{frames.shape} voxels were segmented, but the series has {len(ranks)} slices of {images[0].Rows} x "
                         f"{images[0].Columns}; segment it again")
    frames = np.ascontiguousarray(frames[ranks])
    entropy = [str(images[0].SeriesInstanceUID), network, *regions, hashlib.sha256(frames.tobytes()).hexdigest()]
    segments = [_segment(number, region, network) for number, region in enumerate(regions, start=1)]
    with written_from(images):
        return as_file(hd.seg.Segmentation(
            source_images=images, pixel_array=frames, segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=segments, series_instance_uid=generate_uid(entropy_srcs=["series", *entropy]),
            sop_instance_uid=generate_uid(entropy_srcs=["image", *entropy]),
            series_number=SERIES_NUMBER + int(images[0].get("SeriesNumber", 0) or 0), instance_number=1, manufacturer=MAKER,
            manufacturer_model_name=MODEL, software_versions=__version__, device_serial_number="0",
            series_description="MS lesions (SynergyNet)", omit_empty_frames=bool(frames.any()),
            transfer_syntax_uid=ExplicitVRLittleEndian))


@contextlib.contextmanager
def written_from(images: Sequence[pydicom.Dataset]) -> Iterator[None]:
    """Raises InputError where the headers of the images lack what an object that refers to them must have."""
    try:
        with quietly():
            yield
    except (AttributeError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"series {images[0].get('SeriesNumber', '-')}: no DICOM object can be made of it "
                         f"({' '.join(str(error).split())[:200]}); its headers may be stripped: take it from the scanner again, "
                         "or leave --dicom out") from None


def as_file(made: pydicom.Dataset) -> bytes:
    """The bytes of a DICOM file."""
    content = io.BytesIO()
    made.save_as(content, enforce_file_format=True)
    return content.getvalue()


def label_of(region: str) -> str:
    """What a segment is called."""
    return f"MS lesion, {region}" if region else "MS lesion"


def _segment(number: int, region: str, network: str) -> Any:
    algorithm = hd.AlgorithmIdentificationSequence(name=MODEL, version=__version__, family=codes.cid7162.ArtificialIntelligence,
                                                   parameters={"network": network[:64]})
    return hd.seg.SegmentDescription(segment_number=number, segment_label=label_of(region), segmented_property_category=ABNORMAL,
                                     segmented_property_type=LESION, anatomic_regions=SITES[region],
                                     algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                                     algorithm_identification=algorithm, tracking_uid=None, tracking_id=None)
