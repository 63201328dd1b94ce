"""What the interactive page is made of: its text, the box of the scan, what is packed, the surfaces."""

import base64
import re
import zlib

import numpy as np
import pytest
from support.bars import BARS_MM, SHAPE, TURNED, VALVE_MM, make_case, make_page
from support.pages import measurements, parse
from whs_fast.report.box import cut_box, cut_box_labels
from whs_fast.report.interactive import prepare_scene
from whs_fast.report.normal_table import normal_table
from whs_fast.report.normal_values import NORMAL_VALUES, SOURCES, find_moment
from whs_fast.report.views import look
from whs_fast.steps.region import WINDOW_HU
from whs_fast.structures import BY_KEY, STRUCTURES
from whs_fast.volume import Grid, Volume, index_to_mm, mm_to_index


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_page(tmp_path_factory.mktemp("page"))


def test_the_page_is_whole_and_tells_what_it_must(path):
    text = path.read_text(encoding="utf-8")
    page = parse(re.sub(r"(?s)<script.*?</script>", "", text))
    words = " ".join(" ".join(page.text).split())
    for part in ("not a medical device", "whs_fast 9.8.7", "12.35 s", "ab" * 32, "123.5 g", "1.5, -2.5, 3.0 mm"):
        assert part in words
    # 41.7 (14.7) mL and 23.0 (8.3) mL/m2 in the source, mean and SD.
    assert "13 to 71 mL (7 to 39 mL/m²)" in words
    assert all(source.citation in words for source in SOURCES.values())
    assert {normal.source for normal in NORMAL_VALUES} == set(SOURCES)
    assert not {"link", "iframe", "object", "a"} & (set(page.tags) - {"link"})
    assert [value for name, value in page.attributes if name == "href"] == ["data:,"]


def test_warnings_are_shown_and_escaped(tmp_path):
    evil = "</script><script>alert(1)</script>"
    text = make_page(tmp_path, warnings=[evil], version=evil).read_text(encoding="utf-8")
    assert "alert(1)" in text and evil not in text


def unpacked(scene, name):
    return zlib.decompress(base64.b64decode(scene.packed[name]))


def test_what_is_packed_is_the_scan():
    volume, labels = make_case()
    volume.array[...] += np.random.default_rng(3).integers(-200, 200, SHAPE, np.int16)
    box = cut_box(volume, look(labels, volume.grid, VALVE_MM, threads=2), VALVE_MM, threads=2)
    scene = prepare_scene(volume, labels, VALVE_MM, measurements(), threads=2)
    stored = np.frombuffer(unpacked(scene, "scan"), np.uint8).reshape(scene.meta["shape"]).astype(int)
    found = np.zeros([n + 1 for n in stored.shape], int)
    for z, y, x in np.ndindex(stored[:12].shape):
        near = found[z + 1, y + 1, x] + found[z + 1, y, x + 1] + found[z, y + 1, x + 1]
        found[z + 1, y + 1, x + 1] = (stored[z, y, x] + near // 3) % 256
    np.testing.assert_array_equal(found[1:13, 1:, 1:], box.scan[:12])
    assert unpacked(scene, "labels") == cut_box_labels(labels, volume.grid, box, threads=1).tobytes()


def test_the_box_shows_the_scan_around_its_labels():
    volume, labels = make_case(TURNED)
    box = cut_box(volume, look(labels, volume.grid, VALVE_MM, threads=2), VALVE_MM, threads=2)
    low, high = box.grid.box_mm
    for axis in range(3):
        bars = list(BARS_MM.values())
        assert low[axis] <= VALVE_MM[axis] + min(bar[0][axis] for bar in bars)
        assert high[axis] >= VALVE_MM[axis] + max(bar[1][axis] for bar in bars)
    for away in ((0, 0, 0), (30, 5, -10), (-25, 0, 0), (5, 25, 20), (-30, -20, -20), (5, -10, 30)):
        z, y, x = (int(value) for value in np.floor(mm_to_index(box.grid, np.add(VALVE_MM, away))))
        centre = np.subtract(index_to_mm(box.grid, (z, y, x)), VALVE_MM)
        inside = any(np.all((centre > first) & (centre < last)) for first, last in BARS_MM.values())
        value = WINDOW_HU[0] + box.scan[z, y, x] / 255.0 * np.diff(WINDOW_HU)[0]
        assert (value > 250) == inside


def test_a_large_scan_gives_a_small_box():
    """However large the scan, only the region is shown, and only as far as it holds labels."""
    shape = (200, 260, 260)
    grid = Grid(shape, (1.5, 1.5, 2.0), (-195.0, -195.0, -200.0))
    labels = np.zeros(shape, np.uint8)
    labels[95:105, 120:140, 120:140] = 5
    volume, valve = Volume(np.zeros(shape, np.int16), grid.spacing_mm, grid.origin_mm), (0.0, 0.0, 0.0)
    box = cut_box(volume, look(labels, grid, valve, threads=2), valve, threads=2)
    assert max(box.grid.shape) <= 91
    labels[:] = 1
    box = cut_box(volume, look(labels, grid, valve, threads=2), valve, threads=2)
    assert box.grid.shape == (320, 224, 224)


def test_surfaces_are_light_and_lie_where_the_labels_do():
    volume, labels = make_case(TURNED)
    scene = prepare_scene(volume, labels, VALVE_MM, measurements(), threads=2)
    numbers, at = np.frombuffer(unpacked(scene, "surfaces"), "<i4"), 0
    assert [entry["label"] for entry in scene.meta["surfaces"]] == [BY_KEY[key].label for key in BARS_MM]
    for entry, (low, high) in zip(scene.meta["surfaces"], BARS_MM.values(), strict=True):
        parts = []
        for count in (entry["vertices"], entry["faces"]):
            parts.append(np.cumsum(numbers[at : at + 3 * count].reshape(-1, 3), axis=0))
            at += 3 * count
        vertices = parts[0] * scene.meta["surface_step_mm"] + scene.meta["origin_mm"] - VALVE_MM
        np.testing.assert_allclose([vertices.min(axis=0), vertices.max(axis=0)], [low, high], atol=1.0)
        a, b, c = (vertices[parts[1][:, corner]] for corner in range(3))
        enclosed = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6.0
        assert abs(enclosed / np.prod(np.subtract(high, low)) - 1.0) < 0.02
        assert entry["faces"] < 10_000
    assert at == len(numbers)


def test_all_structures_are_listed(path):
    text = path.read_text(encoding="utf-8")
    assert all(f'value="{s.label}" checked' in text for s in STRUCTURES)


@pytest.mark.parametrize(
    ("phase", "moment"),
    [("35%", "end-systole"), ("40%", "end-systole"), ("0%", "end-diastole"), ("95%", "end-diastole"), ("75%", ""),
     ("310ms", None), ("4of10", None), (None, None)],
)  # fmt: skip
def test_a_volume_stands_beside_the_normal_values_of_its_own_moment_alone(phase, moment):
    """10.25 mL a label in the made-up measurements, so 31 mL of left ventricular cavity."""
    assert find_moment(phase) == moment
    table = normal_table(measurements(source={"phase": phase}))
    for name in ("end-systole", "end-diastole"):
        row = re.search(rf"<tr><td>Left ventricular cavity, {name}</td>(.*?)</tr>", table)
        if moment is None:
            assert row and "phase not known" in row[1] and "31 mL" not in row[1]
        else:
            assert (row is not None) == (moment == name) and (row is None or "31 mL" in row[1])
    assert "<td>Left ventricular cavity</td><td" in table  # of a source that tells no moment
