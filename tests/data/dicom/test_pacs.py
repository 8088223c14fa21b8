"""Through a real PACS and back: what a hospital's archive keeps of a segmentation is what was sent."""
import contextlib
import io
import json
import pathlib
import shutil
import socket
import subprocess
import time
import urllib.request

import numpy as np
import pydicom
import pytest

from synergynet_tf.data.dicom.study import find_scans
from synergynet_tf.data.dicom.volume import images_of
from tests.data.dicom.write import SHAPE, classic

hd = pytest.importorskip("highdicom")
from synergynet_tf.data.dicom.segmentation import segmentation  # noqa: E402

ORTHANC = shutil.which("Orthanc") or ("/usr/sbin/Orthanc" if pathlib.Path("/usr/sbin/Orthanc").exists() else None)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def pacs(tmp_path):
    """The address of an Orthanc of its own."""
    if not ORTHANC:
        pytest.skip("Orthanc is not installed")
    port = free_port()
    (tmp_path / "orthanc.json").write_text(json.dumps({
        "HttpPort": port, "DicomPort": free_port(), "StorageDirectory": str(tmp_path / "db"),
        "IndexDirectory": str(tmp_path / "db"), "AuthenticationEnabled": False, "RemoteAccessAllowed": False, "Plugins": []}))
    server = subprocess.Popen([ORTHANC, tmp_path / "orthanc.json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{address}/system", timeout=1).close()
                break
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def ask(address, content=None):
    with urllib.request.urlopen(urllib.request.Request(address, content), timeout=60) as answer:
        return answer.read()


def test_the_archive_keeps_the_segmentation_beside_the_scan(pacs, tmp_path):
    paths = classic(tmp_path / "study")
    mask = np.random.default_rng(0).random(SHAPE) < 0.1
    series = find_scans(tmp_path / "study", ("flair",)).series["flair"]
    sent = segmentation(images_of(series), mask, "abc")
    for content in (*(path.read_bytes() for path in paths), sent):
        stored = json.loads(ask(f"{pacs}/instances", content))
        assert stored["Status"] == "Success"
    study, = json.loads(ask(f"{pacs}/studies"))
    assert len(json.loads(ask(f"{pacs}/studies/{study}"))["Series"]) == 2
    back = ask(f"{pacs}/instances/{stored['ID']}/file")
    made, before = (hd.seg.segread(io.BytesIO(content)) for content in (back, sent))
    assert np.array_equal(made.pixel_array, before.pixel_array) and made.pixel_array.sum() == mask.sum()
    assert pydicom.dcmread(io.BytesIO(back)).SOPInstanceUID == before.SOPInstanceUID
