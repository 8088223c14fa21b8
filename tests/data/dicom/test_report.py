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
from synergynet_tf.data.dicom.report import measurement_report  # noqa: E402
from synergynet_tf.data.dicom.segmentation import segmentation  # noqa: E402


@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_a_report_says_number_and_volume_of_the_segment(kind, tmp_path):
    classic(tmp_path / "study") if kind == "classic" else enhanced(tmp_path / "study" / "one")
    series = find_scans(tmp_path / "study", ("flair",)).series["flair"]
    segment = segmentation(images_of(series), np.random.default_rng(0).random(SHAPE) < 0.1, "abc")
    (tmp_path / "report.dcm").write_bytes(measurement_report(segment, images_of(series), 7, 1.234))
    report = hd.sr.srread(tmp_path / "report.dcm")
    assert (report.Modality, report.StudyInstanceUID, report.PatientID) == ("SR", STUDY, "secret")
    group, = report.content.get_volumetric_roi_measurement_groups()
    values = {str(each.name.meaning): each.value for each in group.get_measurements()}
    assert values == {"Volume": 1.234, "Quantity": 7}
    uid = pydicom.dcmread(io.BytesIO(segment)).SOPInstanceUID
    assert group.referenced_segment.referenced_sop_instance_uid == uid
    if shutil.which("dciodvfy"):
        said = subprocess.run(["dciodvfy", tmp_path / "report.dcm"], capture_output=True, text=True).stderr
        assert [line for line in said.splitlines() if line.startswith("Error")] == []
