"""Through a real PACS and back: what a hospital's archive keeps of a segmentation is what was sent."""
import io
import json
import pathlib
import shutil
import socket
import subprocess
import time

import numpy as np
import pydicom
import pytest

from synergynet_tf.data.dicom.study import find_scans
from synergynet_tf.data.dicom.volume import images_of
from tests.data.dicom.write import SHAPE, classic

hd = pytest.importorskip("highdicom")
from synergynet_tf.data.dicom.report import Load, measurement_report  # noqa: E402
from synergynet_tf.data.dicom.segmentation import segmentation  # noqa: E402

ORTHANC = shutil.which("Orthanc") or ("/usr/sbin/Orthanc" if pathlib.Path("/usr/sbin/Orthanc").exists() else None)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def pacs(tmp_path):
    """The DICOM port of an Orthanc of its own."""
    if not ORTHANC or not shutil.which("storescu"):
        pytest.skip("Orthanc or DCMTK is not installed")
    port, web = free_port(), free_port()
    (tmp_path / "orthanc.json").write_text(json.dumps({
        "HttpPort": web, "DicomPort": port, "DicomAlwaysAllowGet": True, "StorageDirectory": str(tmp_path / "db"),
        "IndexDirectory": str(tmp_path / "db"), "AuthenticationEnabled": False, "RemoteAccessAllowed": False, "Plugins": []}))
    server = subprocess.Popen([ORTHANC, tmp_path / "orthanc.json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            if subprocess.run(["echoscu", "127.0.0.1", str(port)], capture_output=True).returncode == 0:
                break
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(30)


def test_the_archive_keeps_the_results_beside_the_scan(pacs, tmp_path):
    """Stored by C-STORE, as a workstation stores, and fetched by C-GET."""
    study, out, back = tmp_path / "study", tmp_path / "out", tmp_path / "back"
    paths = classic(study)
    mask = np.random.default_rng(0).random(SHAPE) < 0.1
    series = find_scans(study, ("flair",)).series["flair"]
    images = images_of(series)
    sent = segmentation(images, mask, ["deep"], "abc")
    out.mkdir()
    back.mkdir()
    (out / "seg.dcm").write_bytes(sent)
    (out / "report.dcm").write_bytes(measurement_report(sent, images, [Load("deep", 7, 1.25)]))
    subprocess.run(["storescu", "-R", "127.0.0.1", str(pacs), *paths, *out.iterdir()], check=True, capture_output=True)
    subprocess.run(["getscu", "-S", "-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={images[0].StudyInstanceUID}",
                    "-od", str(back), "127.0.0.1", str(pacs)], check=True, capture_output=True)
    kept = {read.SOPInstanceUID: read for read in map(pydicom.dcmread, back.iterdir())}
    assert {read.Modality for read in kept.values()} == {"MR", "SEG", "SR"} and len(kept) == len(paths) + 2
    before = hd.seg.segread(io.BytesIO(sent))
    made = hd.seg.Segmentation.from_dataset(kept[before.SOPInstanceUID])
    assert np.array_equal(made.pixel_array, before.pixel_array) and made.pixel_array.sum() == mask.sum()
    report, = (read for read in kept.values() if read.Modality == "SR")
    values = [float(item.MeasuredValueSequence[0].NumericValue) for item in numbers(report)]
    assert sorted(values) == [1.25, 1.25, 7.0, 7.0] and report.PatientID == images[0].PatientID


def numbers(item):
    """The numeric contents of a report."""
    for child in item.get("ContentSequence", []):
        if child.ValueType == "NUM":
            yield child
        yield from numbers(child)
