"""Results for a PACS: of each case that came as DICOM a Segmentation and a structured report, in the study of the scan."""
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cc3d
import nibabel as nib
import numpy as np

from synergynet_tf.data.dicom.report import measurement_report
from synergynet_tf.data.dicom.segmentation import segmentation
from synergynet_tf.data.dicom.study import Series
from synergynet_tf.data.dicom.volume import images_of
from synergynet_tf.errors import InputError, of_case
from synergynet_tf.report.prediction_tables import read_result
from synergynet_tf.storage.files import replace_file


def write_objects(names: Sequence[str], series: Mapping[str, Series], out: pathlib.Path,
                  network: str) -> Iterator[tuple[str, InputError]]:
    """Write `<case>_seg.dcm` and `<case>_report.dcm`, from the masks in the scans' own space.

    Args:
        names: of the cases that were segmented; those without a series did not come as DICOM.
        series: of the FLAIR, by case.
        out: the results' folder.
        network: what identifies the network.

    Yields:
        The names of the cases of which none can be made, and why.
    """
    for name in (name for name in names if name in series):
        try:
            _write(name, images_of(series[name]), out, network)
        except Exception as error:      # whatever it is: the others are still to be written
            yield name, of_case(name, error)


def _write(name: str, images: Sequence[Any], out: pathlib.Path, network: str) -> None:
    native, about = out / f"{name}_mask_native.nii.gz", read_result(out / f"{name}_lesions.json")
    image: Any = nib.load(native if native.name in about["files"] else out / f"{name}_mask.nii.gz")
    mask = np.ascontiguousarray(image.dataobj) > 0
    _, count = cc3d.connected_components(mask.view(np.uint8), connectivity=about["connectivity"], return_N=True)
    volume_ml = float(mask.sum() * abs(np.linalg.det(image.affine[:3, :3])) / 1000)
    segment = segmentation(images, mask, network)
    replace_file(out / f"{name}_seg.dcm", segment)
    replace_file(out / f"{name}_report.dcm", measurement_report(segment, images, count, volume_ml))
