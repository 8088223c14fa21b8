"""The report's pages in a browser: what a click does, what is seen, what is printed."""
import base64
import itertools
import re
import shutil

import pytest

from synergynet_tf.data.layouts import Case
from synergynet_tf.report.follow_up import follow_ups
from synergynet_tf.report.sheets import MOST_SCANS
from synergynet_tf.workflows.reporting import write_predictions_report
from tests.browser import Browser, find_chromium
from tests.report import scans


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on the path: install it, or name one as SYNERGYNET_CHROMIUM")
    with Browser(program, tmp_path_factory.mktemp("profile")) as window:
        yield window


def sound(window):
    """Nothing in red, and nothing asked for but files."""
    assert window.problems == []
    assert {request.split(":")[0] for request in window.requests} <= {"file", "data"}


def ready(window, path):
    window.open(path.as_uri())
    window.wait_for("document.body.dataset.state !== 'loading' && document.body.dataset.lesion")
    assert window.run("document.body.dataset.state") == "ready"


def row(number):
    return f"#lesions tbody tr:nth-child({number})"


def chosen(window, number):
    """Wait until a line of the lesion table is shown; its place, and that of the crosshair."""
    window.wait_for(f"document.querySelector('{row(number)}').dataset.mm === document.body.dataset.lesion")
    return [[float(v) for v in window.run(text).split()] for text in (
        f"document.querySelector('{row(number)}').dataset.mm", "document.getElementById('place').dataset.mm")]


def test_a_cohort_opens_from_disk_and_a_click_moves_the_crosshair(browser, cohort):
    browser.open((cohort / "index.html").as_uri())
    browser.click("main table a")
    browser.wait_for("location.pathname.endsWith('P1.html') && document.body?.dataset.lesion")
    seen = []
    for number in (3, 2, 1):
        browser.click(f"{row(number)} td:nth-child(3)")
        wanted, found = chosen(browser, number)
        assert found == pytest.approx(wanted, abs=0.02)
        seen.append(tuple(found))
        assert browser.run(f"document.querySelector('{row(number)}').getAttribute('aria-current')") == "true"
    assert len(set(seen)) == 3
    browser.run(f"document.querySelector('{row(1)} button').focus()")
    browser.press("ArrowDown")
    wanted, found = chosen(browser, 2)
    assert found == pytest.approx(wanted, abs=0.02)
    sound(browser)


def pixels(window, tmp_path, counter=itertools.count()):        # noqa: B008 (one count for all)
    path = tmp_path / f"{next(counter)}.png"
    window.picture(path)
    return path.read_bytes()


def test_switches_and_sliders_change_what_is_shown(browser, cohort, tmp_path):
    ready(browser, cohort / "cases" / "P1.html")
    at = pixels(browser, tmp_path)
    assert pixels(browser, tmp_path) == at      # it stands still
    hidden = "document.querySelectorAll('.controls input').forEach(input => input.blur())"
    for change in ("document.querySelector('input[data-layer=reference]').click()",
                   *(f"(input => {{ input.value = {value}; input.dispatchEvent(new Event('input')); }})"
                     f"(document.getElementById('{name}'))" for name, value in (("opacity", 20), ("width", 50), ("level", 80)))):
        browser.run(change)
        browser.run(hidden)
        now = pixels(browser, tmp_path)
        assert now != at, change
        at = now
    sound(browser)


def shown_rows(window):
    return window.run("Array.from(document.querySelectorAll('#lesions tr[data-mm]')).filter(row => !row.hidden)"
                      ".map(row => row.cells[2].textContent)")


def test_tables_are_sorted_and_filtered(browser, cohort):
    ready(browser, cohort / "cases" / "P1.html")
    assert shown_rows(browser) == ["96.0", "36.0", "4.0"]
    browser.click("#lesions th:nth-child(3) button")
    assert shown_rows(browser) == ["4.0", "36.0", "96.0"]
    browser.click("#lesions th:nth-child(3) button")
    assert shown_rows(browser) == ["96.0", "36.0", "4.0"]
    browser.click(".chips button[data-kind=false]")
    assert shown_rows(browser) == ["4.0"]
    browser.run("(by => { by.selectedIndex = 1; by.dispatchEvent(new Event('change')); })(document.getElementById('by'))")
    assert shown_rows(browser) == []        # the U-Net has no false lesion
    browser.click(".chips button[data-kind=missed]")
    assert shown_rows(browser) == ["36.0"]
    assert browser.run("Array.from(document.querySelectorAll('input[data-layer]'), box => box.checked)") == [True, True, False]
    browser.open((cohort / "index.html").as_uri())
    browser.click("main table th:nth-child(2) button")
    column = "Array.from(document.querySelector('main table').tBodies[0].rows, row => row.cells[1].textContent)"
    assert browser.run(column) == ["0.250", "0.333", "-"]
    browser.click("main table th:nth-child(2) button")
    assert browser.run(column) == ["0.333", "0.250", "-"]       # what is undefined stays last
    sound(browser)


def test_three_scans_of_a_patient_and_their_lesions(browser, patient):
    ready(browser, patient / "cases" / "P-timeline.html")
    for number, scan in ((4, "2"), (1, "1"), (3, "1"), (5, "2")):
        browser.click(f"{row(number)} td:nth-child(3)")
        wanted, found = chosen(browser, number)
        assert found == pytest.approx(wanted, abs=0.02)
        assert browser.run("document.querySelector('input[name=scan]:checked').value") == scan
    here = browser.run("document.getElementById('place').dataset.mm")
    browser.click(".scans label")
    browser.wait_for("!document.querySelector('input[data-layer=lesions]').disabled")
    assert browser.run("document.querySelector('input[data-layer=new]').disabled")
    assert browser.run("document.getElementById('place').dataset.mm") == here      # the same place in the other scan
    sound(browser)


def test_lists_have_pictures_and_no_column_is_cut_off_on_a_small_screen(browser, cohort, patient):
    for folder in (cohort, patient):
        for page in sorted(folder.rglob("*.html")):
            browser.open(page.as_uri(), 1280, 800)
            cut = ("Array.from(document.querySelectorAll('.scroll'), box => [box.scrollWidth - box.clientWidth, "
                   "box.getBoundingClientRect().right - innerWidth]).filter(([over, out]) => over > 0 || out > 0)")
            assert browser.run(cut) == [], page
    for folder, listed in ((cohort, 2), (patient, 6)):
        browser.open((folder / "index.html").as_uri(), 1280, 800)
        browser.wait_for("Array.from(document.querySelectorAll('.listed img')).every(picture => picture.naturalWidth > 0)")
        heights = browser.run("Array.from(document.querySelectorAll('.listed img'), picture => picture.clientHeight)")
        assert len(heights) == listed and min(heights) > 40
    browser.problems.clear()        # pages were left while they loaded


def printed_pages(window, path):
    """How many sheets of paper a page takes."""
    window.open(path.as_uri())
    paper = base64.b64decode(window.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"])
    assert paper.startswith(b"%PDF")
    return len(re.findall(rb"/Type */Page\b", paper))


def test_a_patient_fits_on_one_sheet_of_paper(browser, patient, tmp_path):
    image = scans.write(tmp_path / "flair.nii.gz", scans.flair())
    cases = [Case(f"R_M{month}", "R", f"M{month}", {"flair": image}, None, None) for month in range(MOST_SCANS + 2)]
    for case in cases:
        scans.write_prediction(tmp_path, case.name, scans.mask(scans.A, scans.B))
    write_predictions_report(cases, follow_ups(cases, tmp_path), tmp_path)
    assert printed_pages(browser, patient / "patients" / "P.html") == 1
    assert printed_pages(browser, tmp_path / "report" / "patients" / "R.html") == 1
    browser.call("Emulation.setEmulatedMedia", media="print")
    browser.open((patient / "patients" / "P.html").as_uri(), 703, 1000)       # A4 less its margins
    cut = browser.run("Array.from(document.querySelectorAll('.scroll'), box => box.scrollWidth - box.clientWidth)")
    browser.call("Emulation.setEmulatedMedia", media="screen")
    assert cut and max(cut) <= 0
    sound(browser)


def test_a_missing_file_is_named_and_pictures_stand_in(browser, patient, tmp_path):
    shutil.copytree(patient, tmp_path / "report")
    (tmp_path / "report/volumes/P_2.js").unlink()
    browser.open((tmp_path / "report/cases/P_2.html").as_uri())
    browser.wait_for("document.body.dataset.state === 'error'")
    assert "volumes" in browser.run("document.getElementById('message').textContent")
    browser.problems.clear()        # they are what was to be seen


def test_without_webgl_pictures_are_shown(patient, tmp_path):
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium on the path: install it, or name one as SYNERGYNET_CHROMIUM")
    with Browser(program, tmp_path / "profile", webgl=False) as window:
        window.open((patient / "cases" / "P-timeline.html").as_uri())
        window.wait_for("document.body.dataset.state === 'static'")
        widths = window.run("Array.from(document.querySelectorAll('#pictures img'), image => image.clientWidth > 0)")
        assert widths == [True] * 3
        assert "WebGL" in window.run("document.getElementById('message').textContent")
        window.click(f"{row(2)} td:nth-child(3)")
        assert window.run(f"document.querySelector('{row(2)}').getAttribute('aria-current')") == "true"
        assert [problem for problem in window.problems if "WebGL" not in problem] == []
