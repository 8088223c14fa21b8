"""The report of segmented scans: a sheet a patient, a page with a viewer a scan, and one a patient with several."""
import pathlib
import sys
from collections.abc import Mapping, Sequence
from itertools import chain

from synergynet_tf.data.layouts import Case
from synergynet_tf.report.elements import Front
from synergynet_tf.report.follow_up import FollowUp
from synergynet_tf.report.html import PATIENTS, write_report
from synergynet_tf.report.pages import SCAN_HEAD, lesion_file, network_facts, prediction_pages
from synergynet_tf.report.sheets import PATIENT_HEAD, patient_sheets
from synergynet_tf.report.timeline import change_table, timeline_pages


def write_predictions_report(cases: Sequence[Case], patients: Mapping[str, FollowUp], out: pathlib.Path) -> None:
    """Write `out`/report of the segmented cases in `out`; patients: their follow-ups.

    Raises:
        InputError: a result is damaged, or a file cannot be written.
    """
    for patient, known in patients.items():
        if known.doubt:
            print(f"{patient}: {known.doubt}", file=sys.stderr)
    changes = change_table(patients)
    front = Front("Segmented scans", f"Lesions found in {len(cases)} FLAIR scan{'' if len(cases) == 1 else 's'}.",
                  {PATIENTS: PATIENT_HEAD, "Scans": SCAN_HEAD}, further=[changes] if changes else [],
                  about=network_facts(lesion_file(out, cases[0])))
    write_report(out / "report", front, chain(timeline_pages(patients, out), prediction_pages(cases, out)),
                 patient_sheets(patients, out))
    print(f"{out / 'report' / 'index.html'} shows them")
