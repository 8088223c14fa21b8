"""The series of a study, and which of them is the FLAIR, the T2 or the T1: by the words and the times of its header."""
import contextlib
import logging
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import EnhancedMRImageStorage, MRImageStorage

from synergynet_tf.data.dicom.files import File, images_at
from synergynet_tf.errors import InputError, printable

logging.getLogger("pydicom").setLevel(logging.ERROR)
FEWEST = 10                 # slices of a scan; a localiser has fewer
FLAIR_WORDS = r"flair|dark.?fluid|\btirm\b"
WORDS = {"flair": FLAIR_WORDS, "t2": r"\bt2|t2w", "t1": r"\bt1|t1w|mprage|bravo|spgr|\btfe\b", "pd": r"\bpd\b|\bpdw?\b|proton"}
NOT_SCANS = r"locali[sz]er|scout|survey|\bmip\b|\badc\b|\bdwi\b|trace|\bswi\b|phase"
INVERSION_MS = (1500.0, 3200.0)         # that null CSF, at 1.5 and 3 T
TAGS = ["SOPClassUID", "Modality", "PatientID", "StudyInstanceUID", "StudyDate", "SeriesInstanceUID", "SeriesNumber",
        "SeriesDescription", "ProtocolName", "SequenceName", "ImageType", "InversionTime", "EchoTime", "RepetitionTime",
        "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation", "Rows"]


@dataclass
class Series:
    """One series: what its first image says of all, and its files."""

    header: pydicom.Dataset
    files: list[File] = field(default_factory=list)
    frames: int = 0

    @property
    def text(self) -> str:
        """What people and the scanner call it."""
        return " ".join(str(self.header.get(tag, "")) for tag in ("SeriesDescription", "ProtocolName", "SequenceName"))

    @property
    def name(self) -> str:
        """Its number and description, for messages."""
        number, text = self.header.get("SeriesNumber"), str(self.header.get("SeriesDescription", "") or "without a name")
        return printable(f"{'-' if number is None else number} {text!r} ({self.frames} slices)")

    @property
    def original(self) -> bool:
        """Whether the scanner measured it: it is no reformat of another series."""
        return "DERIVED" not in [str(value).upper() for value in self.header.get("ImageType", None) or ()]


@dataclass(frozen=True)
class Found:
    """The series of a study that are taken, by channel, and lines that say which and what else there was."""

    series: dict[str, Series]
    lines: tuple[str, ...]


def find_scans(path: Path, channels: Sequence[str], wanted: str | None = None) -> Found:
    """The FLAIR of the study at a path, and the other channels that are asked for, where they are there.

    Args:
        path: a folder, a zip file or one enhanced image.
        channels: flair among them.
        wanted: the number, or a part of the description, of the series that is the FLAIR; none: it is seen.

    Raises:
        InputError: no or more than one study or FLAIR is there; all series are named.
    """
    series = _series_at(path)
    scans = [each for each in series if each.frames >= FEWEST and str(each.header.get("Modality", "MR")) == "MR"
             and not re.search(NOT_SCANS, each.text, re.I)]
    flair = _one(path, _flairs(series if wanted else scans, wanted), series, wanted)
    taken = {"flair": flair}
    for channel in channels:
        others = [each for each in scans if each is not flair and re.search(WORDS.get(channel, "$^"), each.text, re.I)
                  and not re.search(FLAIR_WORDS, each.text, re.I)]
        if channel != "flair" and others:
            taken[channel] = _one(path, _preferred(others), series, None, channel)
    rest = [each.name for each in series if each not in taken.values()]
    lines = [f"{channel}: series {each.name}" for channel, each in taken.items()]
    return Found(taken, (*lines, *([f"not taken: {'; '.join(rest)}"] if rest else [])))


def _series_at(path: Path) -> list[Series]:
    series: dict[str, Series] = {}
    studies: dict[tuple[str, str], str] = {}
    for file in images_at(path):
        header = _header(file)
        if header is None:
            continue
        studies[str(header.get("PatientID", "")), str(header.get("StudyInstanceUID", ""))] = str(header.get("StudyDate", "?"))
        each = series.setdefault(str(header.get("SeriesInstanceUID", "")), Series(header))
        each.files.append(file)
        each.frames += int(header.get("NumberOfFrames", 1) or 1)
    if not series:
        raise InputError(f"{path}: its DICOM files hold no images; name the folder of the images themselves")
    if len(studies) > 1:
        raise InputError(f"{path}: holds {len(studies)} studies (of {', '.join(sorted(set(studies.values())))}); name the folder "
                         "of each by itself")
    return sorted(series.values(), key=lambda each: (int(each.header.get("SeriesNumber", 0) or 0), each.text))


def _header(file: File) -> pydicom.Dataset | None:
    """The header of an image; none of what is none: a directory, a report, a segmentation."""
    try:
        with file.open() as content, quietly():
            header = pydicom.dcmread(content, stop_before_pixels=True, specific_tags=TAGS)
            header.get("SeriesNumber"), header.get("NumberOfFrames")        # values are decoded when they are asked for
    except (InvalidDicomError, AttributeError, EOFError, ValueError, KeyError, TypeError, NotImplementedError, OSError) as error:
        raise InputError(f"{file}: not a readable DICOM file ({' '.join(str(error).split())[:200]}); copy it again") from None
    kind = getattr(header, "file_meta", header).get("MediaStorageSOPClassUID") or header.get("SOPClassUID")
    if not header.get("Rows") and kind in (MRImageStorage, EnhancedMRImageStorage):
        raise InputError(f"{file}: an MR image that ends before its values; copy it again")
    return header if header.get("Rows") and header.get("Modality") not in ("SEG", "SR", "PR") else None


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the warnings of values that are not quite to the standard: scanners write many, and they are read all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _flairs(series: Sequence[Series], wanted: str | None) -> list[Series]:
    if wanted:
        exact = [each for each in series if str(each.header.get("SeriesNumber", "")) == wanted.strip()]
        return exact or [each for each in series if wanted.lower() in each.text.lower()]
    named = [each for each in series if re.search(FLAIR_WORDS, each.text, re.I)]
    return _preferred(named or [each for each in series if _nulls_csf(each.header)])


def _preferred(series: Sequence[Series]) -> list[Series]:
    """Those that were measured, where there are any: reformats have been resampled once."""
    return [each for each in series if each.original] or list(series)


def _nulls_csf(header: pydicom.Dataset) -> bool:
    def number(tag: str) -> float:
        value: Any = header.get(tag)
        return float(value) if value not in (None, "") else 0.0

    return INVERSION_MS[0] <= number("InversionTime") <= INVERSION_MS[1] and number("EchoTime") >= 60


def _one(path: Path, candidates: Sequence[Series], series: Sequence[Series], wanted: str | None,
         channel: str = "flair") -> Series:
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        what = f"no series is {wanted!r}" if wanted else f"no series of at least {FEWEST} slices is a FLAIR by its header"
        raise InputError(f"{path}: {what}; there are {'; '.join(each.name for each in series)}: name the FLAIR with --series")
    if channel != "flair":
        raise InputError(f"{path}: {len(candidates)} series may be the {channel.upper()}: "
                         f"{'; '.join(each.name for each in candidates)}; name a folder that holds one of them")
    raise InputError(f"{path}: {len(candidates)} series may be the FLAIR: {'; '.join(each.name for each in candidates)}; name "
                     "one with --series")
