"""The page: everything on it, nothing from outside, nothing unescaped."""

import base64
import re

import pytest
from support.pages import aortic_root, ascending_aorta, measurements, parse
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


def test_valves_and_root_are_told_with_their_uncertainty():
    mitral = {"area_mm2": 812, "rms_mm": 1.25, "uncertainty_deg": 2.75}
    given = measurements(valves={"mitral": mitral, "aortic": {"not_measurable": "they <do> not meet"}},
                         aortic_root=aortic_root(), ascending_aorta=ascending_aorta())  # fmt: skip
    page = parse(render_report(given, PICTURE, b"root"))
    text = " ".join(" ".join(page.text).split())
    for part in (
        "Mitral valve 812",
        "they <do> not meet",
        "area 471 mm2, perimeter 77.4 mm, diameters 22.5 and 27.5 mm",
        "area ± 14 mm2",
        "2 of 3 hinge points seen",
        "Outflow tract, 4 mm below not measurable: its border is not seen",
        "mean 32.5 mm",
        "right coronary ostium 14.3 ± 0.9 mm",
        "left coronary ostium not measurable: no mouth of a coronary artery is seen",
        "together 66 mm3",
        "LAO 12°, caudal 8° (± 3°)",
        "RAO 9°, caudal 25° (± 2°)",
        "Greatest diameter 41.3 ± 0.5 mm, across the centreline at its widest place, 31 mm from the sinotubular",
        "The scan ends before the arch.",
    ):
        assert part in text, part
    assert sum(name == "src" for name, _ in page.attributes) == 2


def test_a_root_that_cannot_be_measured_is_said_and_not_drawn():
    given = measurements(aortic_root={"not_measurable": "metal in the root"})
    page = parse(render_report(given, PICTURE))
    assert "Not measurable: metal in the root." in " ".join(page.text)
    assert sum(name == "src" for name, _ in page.attributes) == 1
