"""The numbers of a scan as a DICOM Structured Report: TID 1500, one group of measurements on the segment of the lesions."""
import io
from collections.abc import Sequence

import highdicom as hd
import pydicom
from highdicom.sr.coding import CodedConcept
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from synergynet_tf import __version__
from synergynet_tf.data.dicom.segmentation import BRAIN, LESION, MAKER, MODEL, SERIES_NUMBER, as_file, written_from

PROCEDURE = CodedConcept("24590-2", "LN", "Brain MRI")
MILLILITRE = CodedConcept("ml", "UCUM", "milliliter")
COUNT, ONE = CodedConcept("246205007", "SCT", "Quantity"), CodedConcept("1", "UCUM", "no units")


def measurement_report(segmentation: bytes, images: Sequence[pydicom.Dataset], lesions: int, volume_ml: float) -> bytes:
    """A report on a segmentation: how many lesions it has, and their volume.

    Args:
        segmentation: as `segmentation.segmentation` gives it.
        images: those that it was made from.
        lesions: their number.
        volume_ml: of all of them.

    Returns:
        The file's bytes; the same numbers on the same segmentation have the same UIDs.

    Raises:
        InputError: the headers lack what the standard asks for.
    """
    segment = pydicom.dcmread(io.BytesIO(segmentation))
    entropy = [str(segment.SOPInstanceUID), str(lesions), f"{volume_ml:.6f}"]
    with written_from(images):
        return as_file(hd.sr.Comprehensive3DSR(
            evidence=[segment, *images], content=_content(segment, images, lesions, volume_ml, entropy),
            series_number=SERIES_NUMBER + 1, instance_number=1,
            series_instance_uid=generate_uid(entropy_srcs=["report series", *entropy]),
            sop_instance_uid=generate_uid(entropy_srcs=["report", *entropy]), manufacturer=MAKER,
            series_description="MS lesions, measurements (SynergyNet)", transfer_syntax_uid=ExplicitVRLittleEndian))


def _content(segment: pydicom.Dataset, images: Sequence[pydicom.Dataset], lesions: int, volume_ml: float,
             entropy: list[str]) -> hd.sr.MeasurementReport:
    device = hd.sr.DeviceObserverIdentifyingAttributes(uid=generate_uid(entropy_srcs=[MODEL, __version__]), name=MODEL,
                                                       manufacturer_name=MAKER, model_name=MODEL)
    context = hd.sr.ObservationContext(observer_device_context=hd.sr.ObserverContext(codes.DCM.Device, device))
    group = hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=segment.SOPClassUID, sop_instance_uid=segment.SOPInstanceUID, segment_number=1,
            source_series=hd.sr.SourceSeriesForSegmentation(images[0].SeriesInstanceUID)),
        tracking_identifier=hd.sr.TrackingIdentifier(generate_uid(entropy_srcs=["lesions", *entropy]), "lesions"),
        finding_type=LESION, finding_sites=[hd.sr.FindingSite(BRAIN)],
        measurements=[hd.sr.Measurement(codes.SCT.Volume, round(volume_ml, 6), MILLILITRE),
                      hd.sr.Measurement(COUNT, float(lesions), ONE)])
    return hd.sr.MeasurementReport(observation_context=context, procedure_reported=PROCEDURE, imaging_measurements=[group])
