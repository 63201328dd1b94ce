"""The layout of every page in a browser, from a phone to a wide screen."""

import io

import pytest
from PIL import Image
from support.bars import make_page
from support.browser import browser_page
from support.hearts import make_grid, make_heart, write_map
from support.layout import SIZES, faults, hindrances
from support.pages import aortic_root, measurements, quality
from support.rows import make_rows
from whs_fast.batching.page import render_page
from whs_fast.cli import main
from whs_fast.report.plain import render_report

pytestmark = pytest.mark.slow
SOURCE = {"kind": "dicom", "size": [512, 512, 400], "spacing_mm": [0.4, 0.4, 0.5], "series_number": 4,
          "phase": None, "choice": "one of 12 CT series: the thinnest, with contrast"}  # fmt: skip


@pytest.fixture(scope="module")
def page():
    with browser_page() as page:
        yield page


def everything():
    """Measurements that fill every part of a report, with a doubt and a warning."""
    doubtful = quality(review=True, reasons=["the predicted overall Dice is 0.71, expected at least 0.79"])
    valves = {"aortic": {"area_mm2": 412, "rms_mm": 0.75, "uncertainty_deg": 1.2}}
    return measurements(source=SOURCE, warnings=["the aorta is cut off"], valves=valves, aortic_root=aortic_root(),
                        **doubtful)  # fmt: skip


def make_report(folder):
    stream = io.BytesIO()
    Image.new("RGB", (1180, 1232)).save(stream, "PNG")
    picture = stream.getvalue()
    (folder / "report.html").write_text(render_report(everything(), picture, picture), encoding="utf-8")
    return folder / "report.html"


def make_interactive(folder):
    changes = {name: value for name, value in everything().items() if name not in ("structures", "valves")}
    return make_page(folder, **changes)


def make_cohort(folder):
    (folder / "cohort.html").write_text(render_page(make_rows(64)), encoding="utf-8")
    return folder / "cohort.html"


def make_evaluation(folder):
    """The same maps as prediction and reference: sizes are equal."""
    grid = make_grid((4.0, 4.0, 4.0), (34, 36, 33))
    for number in range(3):
        for name in "pr":
            write_map(folder / name / f"case_{number}_labels.nii.gz", make_heart(grid, grow_mm=float(number)), grid)
    out = folder / "out"
    assert main(["evaluate", "--pred", str(folder / "p"), "--ref", str(folder / "r"), "-o", str(out)]) == 0
    return out / "evaluation.html"


PAGES = [make_report, make_interactive, make_cohort, make_evaluation]


@pytest.mark.parametrize("make", PAGES)
def test_nothing_overlaps_and_nothing_lies_beside_the_window(page, make, tmp_path):
    page.open(make(tmp_path))
    if make is make_interactive:
        page.wait_for("document.documentElement.dataset.ready === 'all'")
    for width in SIZES:
        assert faults(page, width) == [], width
        page.ask("for (const part of document.querySelectorAll('details')) part.open = true")
        assert faults(page, width) == [], width
        page.ask("for (const part of document.querySelectorAll('details')) part.open = false")


@pytest.mark.parametrize("make", PAGES)
def test_nothing_shuts_people_out(page, make, tmp_path):
    page.open(make(tmp_path))
    page.resize(1366, SIZES[1366])
    if make is make_interactive:
        page.wait_for("document.documentElement.dataset.ready === 'all'")
    assert hindrances(page) == []


def test_a_hindrance_would_be_seen(page, tmp_path):
    (tmp_path / "page.html").write_text(
        "<title>t</title><img src='data:,'><p style='color:#ddd;background:#fff'>pale</p>"
    )
    page.open(tmp_path / "page.html")
    assert {text.partition(":")[0] for text in hindrances(page)} >= {"image-alt", "color-contrast"}


def test_a_fault_would_be_seen(page, tmp_path):
    (tmp_path / "page.html").write_text("<p>one</p><p style='margin-top:-2rem'>two</p><p style='width:200vw'>three</p>")
    page.open(tmp_path / "page.html")
    told = " ".join(faults(page, 390))
    assert "P  one lies over P  two" in told and "P  three lies beside" in told and "sideways" in told


def test_the_images_of_the_interactive_page_fit_a_laptop_and_a_phone_in_a_few_screens(page, tmp_path):
    page.open(make_interactive(tmp_path))
    page.wait_for("document.documentElement.dataset.ready === 'all'")
    for width in (1366, 1920):
        page.resize(width, SIZES[width])
        assert page.ask("document.getElementById('viewer').getBoundingClientRect().bottom <= innerHeight")
        heights = page.ask("[...document.querySelectorAll('canvas.slice')].map(one => one.clientHeight)")
        assert len(heights) == 7 and min(heights) > 180
    page.resize(390, SIZES[390])
    assert page.ask("document.documentElement.scrollHeight") < 4.5 * SIZES[390]
