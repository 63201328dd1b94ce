"""The page: everything on it, nothing from outside, nothing unescaped."""

import base64
import re

import pytest
from support.pages import measurements, parse
from whs_fast.report.plain import render_report
from whs_fast.structures import STRUCTURES

PICTURE = b"\x89PNG not really"


def test_everything_is_on_the_page():
    page = parse(render_report(measurements(), PICTURE))
    text = " ".join(" ".join(page.text).split())
    for structure in STRUCTURES:
        assert f"{structure.name} {10.25 * structure.label:.1f}" in text
    for part in (
        "123.5 g",
        "1.5, -2.5, 3.0 mm",
        "12.35 s",
        "512 MB",
        "ab" * 32,
        "whs_fast 9.8.7",
        "not a medical device",
    ):
        assert part in text


def test_the_picture_is_embedded_and_nothing_comes_from_outside():
    text = render_report(measurements(), PICTURE)
    page = parse(text)
    (source,) = [value for name, value in page.attributes if name == "src"]
    assert base64.b64decode(source.removeprefix("data:image/png;base64,")) == PICTURE
    assert not {"script", "link", "iframe", "object", "a"} & set(page.tags)
    assert not re.search(r"https?:|//|url\(|@import", text.replace(source, ""))


def test_text_is_escaped():
    evil = '<script>alert("1")</script> & more'
    page = parse(render_report(measurements(warnings=[evil], models={evil: evil}, version=evil), PICTURE))
    assert "script" not in page.tags
    assert sum(evil in part for part in ["".join(page.text)]) == 1


@pytest.mark.parametrize(
    ("edges", "words"),
    [
        ((True, False), "edge of the scan"),
        ((False, True), "edge of the region"),
        ((True, True), "edge of the scan and the region"),
    ],
)
def test_cut_structures_are_marked(edges, words):
    given = measurements()
    given["structures"]["aorta"] |= {"touches_scan_edge": edges[0], "touches_region_edge": edges[1]}
    text = render_report(given, PICTURE)
    assert text.count(f"<td>{words}</td>") == 1 and text.count("<td></td>") == 9


def test_what_is_missing_is_not_called_zero():
    given = measurements(peak_memory_mb=None)
    given["structures"]["coronary_sinus"]["volume_ml"] = 0.0
    text = " ".join(" ".join(parse(render_report(given, PICTURE)).text).split())
    assert "Coronary sinus not found" in text and "peak memory" not in text
    text = " ".join(parse(render_report(measurements(lv_myocardium_mass_g=0.0), PICTURE)).text)
    assert "myocardium: not found" in text and "g/mL" not in text


def test_warnings_appear_only_where_there_are_some():
    assert 'class="warnings"' not in render_report(measurements(), PICTURE)
    assert "<li>look here</li>" in render_report(measurements(warnings=["look here"]), PICTURE)
