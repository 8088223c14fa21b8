"""Results as a BIDS derivative: a data set of masks and probabilities, with the names and the tables of the standard.

BIDS 1.10, derivatives: `<entities>_space-<space>_label-lesion_mask.nii.gz` and `_probseg.nii.gz`, each with a JSON file, and
`_scans.tsv` with the numbers of the mask on the grid that the network saw.
"""
import csv
import functools
import io
import json
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from synergynet_tf import __version__
from synergynet_tf.data.layouts import Case
from synergynet_tf.errors import InputError
from synergynet_tf.report.prediction_tables import case_row, result_of
from synergynet_tf.storage.files import claim, replace_file

VERSION = "1.10.0"
OWN, TEMPLATE = "orig", "MNI152NLin2009aSym"        # spaces: of the scan; of the template that `prepare --raw` registers to
KINDS = {"mask": "mask", "probability": "probseg"}
COLUMNS = {"lesions": "number of lesions", "volume_ml": "volume of all lesions, ml, in the space that the scan was taken in",
           "brain_ml": "volume of the brain, ml, likewise", "percent_of_brain": "share of the brain that lesions take, per cent"}


class _Name(NamedTuple):
    """What a case is called in BIDS."""

    subject: str
    session: str

    @property
    def entities(self) -> str:
        return f"sub-{self.subject}" + (f"_ses-{self.session}" if self.session else "")

    @property
    def folder(self) -> str:
        return f"sub-{self.subject}" + (f"/ses-{self.session}" if self.session else "")


def bids_names(cases: Sequence[Case]) -> dict[str, _Name]:
    """The name of each case in BIDS, by its own: letters and digits alone.

    Raises:
        InputError: two cases have one, or one has none.
    """
    names: dict[str, _Name] = {}
    for case in cases:
        name = _Name(*(re.sub("^(sub|ses)-|[^A-Za-z0-9]", "", text) for text in (case.patient, case.session)))
        if not name.subject:
            raise InputError(f"case {case.name}: no letter or digit is left of its name, as BIDS wants it; name the file "
                             "otherwise")
        if twin := next((other for other, known in names.items() if known == name), None):
            raise InputError(f"cases {twin} and {case.name} would both be {name.entities} in BIDS; name their files otherwise")
        names[case.name] = name
    return names


def write_bids(cases: Sequence[Case], results: pathlib.Path, out: pathlib.Path) -> None:
    """Write a BIDS derivative of the segmented cases.

    Args:
        cases: as they were segmented.
        results: where `predict` wrote theirs.
        out: the data set's folder; what is there of other cases stays.

    Raises:
        InputError: as `bids_names`, or a file there was not written by this program.
    """
    names = bids_names(cases)
    files = {path: content for case in cases for path, content in _files_of(case, names[case.name], results)}
    subjects = sorted({path.name for path in out.glob("sub-*")} | {f"sub-{name.subject}" for name in names.values()})
    files |= {"dataset_description.json": lambda: _json(_description()), "README.md": README.encode,
              "participants.tsv": lambda: _tsv(["participant_id"], [{"participant_id": subject} for subject in subjects])}
    claim("--bids", [out / path for path in files])
    for path, content in files.items():
        replace_file(out / path, content())


def _files_of(case: Case, name: _Name, results: pathlib.Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """A case's files in the data set, and what gives their content."""
    about = result_of(results, case.name)
    native = results / f"{case.name}_mask_native.nii.gz"
    seen_by_network = {kind: results / f"{case.name}_{kind}.nii.gz" for kind in KINDS}
    spaces = {OWN: {"mask": native}, TEMPLATE: seen_by_network} if native.name in about["files"] else {OWN: seen_by_network}
    for space, of_space in spaces.items():
        for kind, file in of_space.items():
            path = f"anat/{name.entities}_space-{space}_label-lesion_{KINDS[kind]}"
            yield f"{name.folder}/{path}.nii.gz", file.read_bytes
            yield f"{name.folder}/{path}.json", functools.partial(_json, _sidecar(about, kind, space))
    seen = f"anat/{name.entities}_space-{[*spaces][-1]}_label-lesion_mask.nii.gz"
    row = {"filename": seen} | {column: value for column, value in case_row(about).items() if column in COLUMNS}
    said = {column: {"Description": text} for column, text in COLUMNS.items()}
    yield f"{name.folder}/{name.entities}_scans.tsv", functools.partial(_tsv, ["filename", *COLUMNS], [row])
    yield f"{name.folder}/{name.entities}_scans.json", functools.partial(_json, said)


def _sidecar(about: Mapping[str, Any], kind: str, space: str) -> dict[str, Any]:
    shared = {"Description": f"lesions of multiple sclerosis, the network's {kind}", "Network": about.get("checkpoint"),
              "Threshold": about.get("threshold"), "Notes": about["notes"]}
    if space == OWN:
        shared["SpatialReference"] = pathlib.PurePath(about["images"]["flair"]).name
    return {"Type": "Lesion", **shared} if kind == "mask" else shared


def _description() -> dict[str, Any]:
    return {"Name": "MS lesions by SynergyNet", "BIDSVersion": VERSION, "DatasetType": "derivative",
            "GeneratedBy": [{"Name": "synergynet_tf", "Version": __version__,
                             "Description": "python -m synergynet_tf.predict --bids"}]}


README = """# MS lesions by SynergyNet
Masks (`_mask.nii.gz`) and probabilities (`_probseg.nii.gz`) of the lesions of multiple sclerosis that a network found in FLAIR
scans, for research alone. `space-orig` is the scan's own grid, `space-MNI152NLin2009aSym` the template's, to which raw scans
were registered by an affine map. Numbers of a scan stand in its `_scans.tsv`; which network it was, and what was mended in a
scan, in the JSON file of each mask.
"""


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def _tsv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, delimiter="\t", lineterminator="\n", restval="n/a")
    writer.writeheader()
    writer.writerows({name: "n/a" if value is None else value for name, value in row.items()} for row in rows)
    return text.getvalue().encode()
