"""A raw dataset of nnU-Net (Isensee et al.), versions 1 and 2."""
import re
from pathlib import Path

from synergynet_tf.data.layouts.case import LESIONS, Case, case_of, key, scans, stem
from synergynet_tf.errors import InputError
from synergynet_tf.storage.readers import read_json

CHANNELS = {"t1w": "t1", "t2w": "t2", "pdw": "pd", "t2-flair": "flair", "t2_flair": "flair"}     # other names: in lower case
Files = dict[str, list[Path]]
TIME_POINT = re.compile(r"(?P<patient>.+)_(?P<session>T\d+|ses-\w+)")


def find(path: Path) -> list[Case] | None:
    """a folder with dataset.json (channel_names), imagesTr/NAME_0000.nii.gz and labelsTr/NAME.nii.gz; or its imagesTs alone.

    The dataset names no patients: a NAME that ends in _T<number> or _ses-<label> is one of its patient's time points, every
    other a patient of its own; where that is wrong, write a manifest. Its folder stands for the training cases; name imagesTs
    for the test cases.

    Raises:
        InputError: dataset.json cannot be read or names no channels.
    """
    root, images = (path.parent, path) if path.name == "imagesTs" else (path, path / "imagesTr")
    if not images.is_dir() or not (root / "dataset.json").is_file():
        return None
    channels, files = _channels(root / "dataset.json"), scans(images)
    labels = scans(root / images.name.replace("images", "labels"))
    matches = (re.fullmatch(r"(.+)_\d{4}", stem(path), re.DOTALL) for paths in files.values() for path in paths)
    return [_case(name, files, labels, channels) for name in sorted({match[1] for match in matches if match})] or None


def _case(name: str, images: Files, labels: Files, channels: dict[int, str]) -> Case:
    files = {channel: images.get(key(f"{name}_{number:04d}"), []) for number, channel in channels.items()}
    files[LESIONS] = labels.get(key(name), [])
    match = TIME_POINT.fullmatch(name)
    patient, session = (match["patient"], match["session"]) if match else (name, "")
    return case_of(patient, session, files)


def _channels(path: Path) -> dict[int, str]:
    """The channel of each number in the files' names; version 1 calls them modality."""
    table = read_json(path, "table of a dataset", 'it needs channel_names, as in {"0": "FLAIR", "1": "T2"}', dict)
    try:
        names = table.get("channel_names") or table["modality"]
        channels = {int(number): CHANNELS.get(str(name).lower(), str(name).lower()) for number, name in names.items()}
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(f"{path}: names no channels ({type(error).__name__}: {error}); "
                         'it needs channel_names, as in {"0": "FLAIR", "1": "T2"}') from None
    if len(set(channels.values())) < len(channels):
        raise InputError(f"{path}: the channels are {', '.join(channels.values())}, but each name may stand once; "
                         "correct channel_names")
    if "flair" not in channels.values():
        raise InputError(f"{path}: the channels are {', '.join(channels.values()) or 'none'}, but flair is needed; "
                         "correct channel_names")
    return channels
