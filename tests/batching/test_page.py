"""cohort.html in a browser without a network: what it shows, where a click leads, and what an id may not do to it."""

import pytest
from support.browser import browser_page
from support.pages import parse
from support.rows import make_rows
from whs_fast.batching.page import render_page

HOSTILE = "</script><img src=x onerror=alert(1)>"


def write(folder, rows):
    path = folder / "cohort.html"
    path.write_text(render_page(rows), encoding="utf-8")
    return path


def test_the_page_is_whole_and_no_text_of_a_row_is_markup():
    rows = make_rows(3)
    rows[0] |= {"id": HOSTILE, "warnings": HOSTILE}
    rows[1] = {name: rows[1][name] for name in ("id", "scan", "phase", "status", "reason", "files")}
    rows[1] |= {"status": "refused", "reason": HOSTILE}
    page = parse(render_page(rows))
    assert page.tags.count("script") == 2 and "img" not in page.tags
    assert HOSTILE in "".join(page.text)  # in the table of what was not done


def test_an_empty_cohort_has_a_page():
    assert "0 rows, 0 done" in render_page([])


@pytest.mark.slow
def test_a_click_on_a_point_opens_the_report_of_its_scan(tmp_path):
    rows = make_rows(64)
    rows[40]["aorta_ml"] = 900.0
    report = tmp_path / "scans" / rows[40]["files"] / "report.html"
    report.parent.mkdir(parents=True)
    report.write_text("<title>there</title>")
    with browser_page() as page:
        page.resize(1400, 1000)
        page.open(write(tmp_path, rows))
        page.wait_for("charts[4].points.length === 64")
        x, y = page.ask(
            "(() => { const chart = charts[4], at = data.rows.findIndex((row) => row.id === 'scan_00040');"
            "chart.canvas.scrollIntoView({block: 'center'}); const box = chart.canvas.getBoundingClientRect();"
            "return [box.left + chart.points[at][0], box.top + chart.points[at][1]]; })()"
        )
        page.mouse("mouseMoved", x, y)
        assert page.ask("document.getElementById('tip').textContent") == "scan_00040: 900 mL"
        page.click(x, y)
        page.wait_for("document.title === 'there'")


@pytest.mark.slow
def test_five_thousand_scans_load_a_few_pictures_at_a_time_the_most_suspicious_first(tmp_path):
    rows = make_rows(5000)
    rows[4321]["aorta_ml"] = 9000.0
    (tmp_path / "thumbnails").mkdir()
    with browser_page() as page:
        page.resize(1400, 1000)
        page.open(write(tmp_path, rows))
        page.wait_for("charts[10].points.length === 5000")
        assert page.ask("document.querySelectorAll('.card').length") <= 60
        page.ask("document.getElementById('sheet').scrollIntoView()")
        page.wait_for("document.querySelectorAll('.card').length >= 60")
        assert page.ask("document.querySelector('.card .id').textContent") == "scan_04321"
        assert page.ask("document.querySelector('.card li').textContent").startswith("Aorta: large for this cohort")
        assert page.ask("document.querySelectorAll('.card').length") <= 240
        assert all(address.startswith("file://") for address in page.requests)
        page.ask(
            "(() => { const field = document.getElementById('filter'); field.value = '_0432';"
            "field.dispatchEvent(new Event('input')); })()"
        )
        page.wait_for("document.getElementById('shown').textContent === '10 of 10 shown'")
