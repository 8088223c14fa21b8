"""Results for a PACS: of each case that came as DICOM a Segmentation and a structured report, in the study of the scan."""
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cc3d
import nibabel as nib
import numpy as np
from scipy.spatial import cKDTree

from synergynet_tf.data.dicom.report import Load, measurement_report
from synergynet_tf.data.dicom.segmentation import UNKNOWN, segmentation
from synergynet_tf.data.dicom.study import Series
from synergynet_tf.data.dicom.volume import images_of
from synergynet_tf.errors import InputError, of_case
from synergynet_tf.report.prediction_tables import result_of
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
    native, about = out / f"{name}_mask_native.nii.gz", result_of(out, name)
    image: Any = nib.load(native if native.name in about["files"] else out / f"{name}_mask.nii.gz")
    labels, count = cc3d.connected_components(np.ascontiguousarray(image.dataobj) > 0, connectivity=about["connectivity"],
                                              return_N=True)
    region_of = regions_of(labels, count, image.affine, about["lesions"])
    regions = sorted({*region_of}) or [UNKNOWN]
    numbers = np.array([0, *(1 + regions.index(region) for region in region_of)], np.uint8)
    segment = segmentation(images, numbers[labels], regions, network)
    volumes = np.bincount(numbers[labels].ravel(), minlength=len(regions) + 1) * abs(np.linalg.det(image.affine[:3, :3])) / 1000
    loads = [Load(region, region_of.count(region), float(ml)) for region, ml in zip(regions, volumes[1:])]
    replace_file(out / f"{name}_seg.dcm", segment)
    replace_file(out / f"{name}_report.dcm", measurement_report(segment, images, loads))


def regions_of(labels: np.ndarray, count: int, affine: np.ndarray, lesions: Sequence[Mapping[str, Any]]) -> list[str]:
    """The region of each component of a mask in the scan's own space.

    Carried there, lesions of the network's grid may have merged or split. A component is of the largest lesion that lies in it,
    or else of the nearest one.

    Args:
        labels: int [X, Y, Z], 1 to `count`.
        count: of components.
        affine: [4, 4], from its voxels to mm of the own space.
        lesions: of the case's JSON file, with `region`, `volume_mm3` and `own_mm`.

    Returns:
        A region for each component, `segmentation.UNKNOWN` where places were not found.
    """
    known = sorted((lesion for lesion in lesions if lesion.get("region")), key=lambda lesion: lesion["volume_mm3"])
    if not known or not count:
        return [UNKNOWN] * count
    voxels = np.argwhere(labels)
    label, places = labels[tuple(voxels.T)], voxels @ affine[:3, :3].T + affine[:3, 3]
    centres = np.array([lesion["own_mm"] for lesion in known])
    region_of = dict[int, str]()
    for nearest, lesion in zip(cKDTree(places).query(centres)[1], known):
        region_of[int(label[nearest])] = lesion["region"]
    tree = cKDTree(centres)
    return [region_of.get(i) or known[tree.query(places[label == i].mean(axis=0))[1]]["region"] for i in range(1, count + 1)]
