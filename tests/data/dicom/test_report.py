"""The numbers of a scan as a structured report."""
import io
import shutil
import subprocess

import numpy as np
import pydicom
import pytest

from synergynet_tf.data.dicom.study import find_scans
from synergynet_tf.data.dicom.volume import images_of
from tests.data.dicom.write import SHAPE, STUDY, classic, enhanced

hd = pytest.importorskip("highdicom")
from synergynet_tf.data.dicom.report import Load, measurement_report  # noqa: E402
from synergynet_tf.data.dicom.segmentation import segmentation  # noqa: E402


def values_of(group):
    """The numbers of a group by their names."""
    return {str(each.name.meaning): each.value for each in group.get_measurements()}


@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_a_report_says_number_and_volume_of_all_lesions_and_of_each_segment(kind, tmp_path):
    classic(tmp_path / "study") if kind == "classic" else enhanced(tmp_path / "study" / "one")
    series = find_scans(tmp_path / "study", ("flair",)).series["flair"]
    lesions, regions = np.random.default_rng(0).choice(3, SHAPE, p=[0.8, 0.1, 0.1]), ["deep", "periventricular"]
    segment = segmentation(images_of(series), lesions, regions, "abc")
    loads = [Load("deep", 2, 0.5), Load("periventricular", 5, 0.734)]
    (tmp_path / "report.dcm").write_bytes(measurement_report(segment, images_of(series), loads))
    report = hd.sr.srread(tmp_path / "report.dcm")
    assert (report.Modality, report.StudyInstanceUID, report.PatientID) == ("SR", STUDY, "secret")
    every, = report.content.get_image_measurement_groups()
    assert values_of(every) == {"Volume": 1.234, "Quantity": 7}
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert [values_of(group) for group in groups] == [{"Volume": 0.5, "Quantity": 2}, {"Volume": 0.734, "Quantity": 5}]
    uid = pydicom.dcmread(io.BytesIO(segment)).SOPInstanceUID
    for number, group in enumerate(groups, start=1):
        assert group.referenced_segment.referenced_sop_instance_uid == uid
        assert group.referenced_segment.referenced_segment_numbers == [number]
    if shutil.which("dciodvfy"):
        said = subprocess.run(["dciodvfy", tmp_path / "report.dcm"], capture_output=True, text=True).stderr
        assert [line for line in said.splitlines() if line.startswith("Error")] == []
