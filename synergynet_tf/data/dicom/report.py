"""The numbers of a scan as a DICOM Structured Report: TID 1500, measurements of all lesions, and of each segment of them."""
import io
from collections.abc import Sequence
from typing import NamedTuple

import highdicom as hd
import pydicom
from highdicom.sr.coding import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from synergynet_tf import __version__
from synergynet_tf.data.dicom.segmentation import (
    BRAIN,
    LESION,
    MAKER,
    MODEL,
    SERIES_NUMBER,
    SITES,
    as_file,
    label_of,
    written_from,
)

PROCEDURE = CodedConcept("24590-2", "LN", "Brain MRI")
MILLILITRE = CodedConcept("ml", "UCUM", "milliliter")
COUNT, ONE = CodedConcept("246205007", "SCT", "Quantity"), CodedConcept("1", "UCUM", "no units")


class Load(NamedTuple):
    """The lesions of a segment."""

    region: str         # of `segmentation.SITES`
    lesions: int
    volume_ml: float


def measurement_report(segmentation: bytes, images: Sequence[pydicom.Dataset], loads: Sequence[Load]) -> bytes:
    """A report on a segmentation: how many lesions it has, and their volume; of all, and of each segment.

    Args:
        segmentation: as `segmentation.segmentation` gives it.
        images: those that it was made from.
        loads: of its segments, in their order.

    Returns:
        The file's bytes; the same numbers on the same segmentation have the same UIDs.

    Raises:
        InputError: the headers lack what the standard asks for.
    """
    segment = pydicom.dcmread(io.BytesIO(segmentation))
    entropy = [str(segment.SOPInstanceUID), *(f"{load.region} {load.lesions} {load.volume_ml:.6f}" for load in loads)]
    with written_from(images):
        return as_file(hd.sr.Comprehensive3DSR(
            evidence=[segment, *images], content=_content(segment, images, loads, entropy),
            series_number=SERIES_NUMBER + 1, instance_number=1,
            series_instance_uid=generate_uid(entropy_srcs=["report series", *entropy]),
            sop_instance_uid=generate_uid(entropy_srcs=["report", *entropy]), manufacturer=MAKER,
            series_description="MS lesions, measurements (SynergyNet)", transfer_syntax_uid=ExplicitVRLittleEndian))


def _content(segment: pydicom.Dataset, images: Sequence[pydicom.Dataset], loads: Sequence[Load],
             entropy: list[str]) -> hd.sr.MeasurementReport:
    device = hd.sr.DeviceObserverIdentifyingAttributes(uid=generate_uid(entropy_srcs=[MODEL, __version__]), name=MODEL,
                                                       manufacturer_name=MAKER, model_name=MODEL)
    context = hd.sr.ObservationContext(observer_device_context=hd.sr.ObserverContext(codes.DCM.Device, device))
    every = Load("", sum(load.lesions for load in loads), sum(load.volume_ml for load in loads))
    whole = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracked("all lesions", entropy), finding_type=LESION, finding_sites=[hd.sr.FindingSite(BRAIN)],
        measurements=_measurements(every))
    groups = [hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=segment.SOPClassUID, sop_instance_uid=segment.SOPInstanceUID, segment_number=number,
            source_series=hd.sr.SourceSeriesForSegmentation(images[0].SeriesInstanceUID)),
        tracking_identifier=_tracked(label_of(load.region), entropy), finding_type=LESION,
        finding_sites=[hd.sr.FindingSite(site) for site in SITES[load.region]], measurements=_measurements(load))
        for number, load in enumerate(loads, start=1)]
    return hd.sr.MeasurementReport(observation_context=context, procedure_reported=PROCEDURE,
                                   imaging_measurements=[whole, *groups])


def _tracked(name: str, entropy: list[str]) -> hd.sr.TrackingIdentifier:
    return hd.sr.TrackingIdentifier(generate_uid(entropy_srcs=[name, *entropy]), name)


def _measurements(load: Load) -> list[hd.sr.Measurement]:
    return [hd.sr.Measurement(codes.SCT.Volume, round(load.volume_ml, 6), MILLILITRE),
            hd.sr.Measurement(COUNT, float(load.lesions), ONE)]
