"""The page in a browser without a network: scroll, paint, undo, move the valve's plane, save; what is saved is what was
drawn, voxel by voxel."""

import base64
import json
import re
import threading
from importlib import resources

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scipy.ndimage import correlate
from support.browser import browser_page
from support.layout import faults, hindrances
from whs_fast.reading.scan import read
from whs_fast.steps.region import WINDOW_HU
from whs_fast.structures import BY_KEY
from whs_fast.viewing.session import Session
from whs_fast.volume import mm_to_index

pytestmark = pytest.mark.slow
CAVITY, AORTA, ATRIUM = (BY_KEY[key].label for key in ("left_ventricle_cavity", "aorta", "left_atrium"))
REACH_MM, DEPTH_MM = 25.0, 20.0
SAMPLE = resources.files("whs_fast") / "data" / "sample.nii.gz"


@pytest.fixture
def page(address):
    with browser_page() as page:
        page.resize(1366, 768)
        page.send("Page.navigate", url=address)
        page.wait_for("document.documentElement?.dataset.ready === 'all'")
        page.settle()
        yield page


def put(page, name, value):
    page.ask(f"""(() => {{ const field = document.getElementById("{name}"); field.value = "{value}";
        field.dispatchEvent(new Event("input")); }})()""")
    page.settle()


def choose(page, tool, label):
    for chosen in (f"[name=tool][value={tool}]", f'[name=structure][value="{label}"]'):
        page.ask(f"document.querySelector('{chosen}').checked = true")


def axial(page, viewer="viewer"):
    """Middle of the axial image of a viewer in the window."""
    left, top, width, height = page.ask(
        """((viewer) => {
          const [l, t, w, h] = viewer.screenSlices.find(one => one.axCorSag === 0).leftTopWidthHeight;
          const box = viewer.canvas.getBoundingClientRect(), ratio = viewer.uiData.dpr ?? 1;
          return [box.left + l / ratio, box.top + t / ratio, w / ratio, h / ratio];
        })"""
        + f"({viewer})"
    )
    return left + width / 2, top + height / 2


def press(page, x, y):
    for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
        page.mouse(kind, x, y, button="left", clickCount=1)
    return page.ask("editing.at")


def labels_of(page):
    """The page's labels [z, y, x], and the matrix from its voxels (x, y, z) to mm (RAS)."""
    text = page.ask("""new Promise(done => { const reader = new FileReader();
        reader.onload = () => done(reader.result.split(",")[1]); reader.readAsDataURL(new Blob([editing.labels]));
        })""")
    facts = page.ask("facts")
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(facts["shape"]), np.array(facts["to_mm"])


def away_mm(shape, to_mm, voxel):
    """Vectors [z, y, x, 3] in mm from a voxel (x, y, z) to each."""
    z, y, x = np.indices(shape)
    return (np.stack([x, y, z], -1) - np.array(voxel)) @ to_mm[:3, :3].T


def test_what_is_drawn_is_what_is_saved(page, results, tmp_path):
    before, to_mm = labels_of(page)
    expected = before.copy()
    x, y = axial(page)
    first = page.ask("editing.at")
    for _ in range(3):
        page.mouse("mouseWheel", x, y, deltaX=0, deltaY=120)
    press(page, x, y)
    assert page.ask("editing.at[2]") != first[2] and page.ask("editing.strokes.length") == 0  # looking changes nothing
    told = page.ask("document.getElementById('told').textContent")
    place, hu = re.fullmatch(r"(.+) mm \(LPS\): .+, (-?\d+) HU", told).groups()
    mm = [float(value) for value in place.split(",")]
    there = read(SAMPLE)
    stored = there.array[tuple(np.rint(mm_to_index(there.grid, mm)).astype(int))]
    assert int(hu) == pytest.approx(np.clip(stored, *WINDOW_HU), abs=3)

    choose(page, "paint", ATRIUM)
    put(page, "radius", 7)
    painted = []
    for dx, dy in ((-30, -20), (30, 25)):
        voxel = press(page, x + dx, y + dy)
        ball = (away_mm(before.shape, to_mm, voxel) ** 2).sum(-1) <= 7.0**2
        painted.append((expected.copy(), ball))
        expected[ball] = ATRIUM
    np.testing.assert_array_equal(labels_of(page)[0], expected)
    voxel_ml = abs(np.linalg.det(to_mm[:3, :3])) / 1000
    assert np.count_nonzero(expected != before) * voxel_ml > 1.0
    page.ask("document.getElementById('undo').click()")
    expected = painted[1][0]  # before the second of the two
    np.testing.assert_array_equal(labels_of(page)[0], expected)

    found = json.loads((results / "measurements.json").read_text("utf-8"))
    normal = np.array(found["valves"]["aortic"]["normal"]) * (-1, -1, 1)
    middle_mm = np.array(found["aortic_valve_mm"]) * (-1, -1, 1) + 4.0 * normal / np.linalg.norm(normal)
    put(page, "height", 2)
    put(page, "height", 4)  # the plane of 2 mm is given up, not added to
    middle = np.linalg.solve(to_mm[:3, :3], middle_mm - to_mm[:3, 3])
    away = away_mm(before.shape, to_mm, middle)
    height = away @ normal / np.linalg.norm(normal)
    near = ((away**2).sum(-1) <= REACH_MM**2) & (np.abs(height) <= DEPTH_MM) & np.isin(expected, (CAVITY, AORTA))
    expected[near] = np.where(height[near] > 0, AORTA, CAVITY)
    drawn = labels_of(page)[0]
    close = (np.abs(height) < 1e-3) | (np.abs(np.abs(height) - DEPTH_MM) < 1e-3)
    close |= np.abs(np.sqrt((away**2).sum(-1)) - REACH_MM) < 1e-3
    assert np.count_nonzero((drawn != expected) & ~close) == 0
    assert np.count_nonzero(drawn != before) > np.count_nonzero(painted[0][1] & (before != ATRIUM))  # the plane moved

    put(page, "by", "Reader One")
    page.ask("document.querySelector('#save button').click()")
    page.wait_for("document.documentElement.dataset.saved")
    out = tmp_path / "out"
    saved = sitk.ReadImage(str(out / "labels.nii.gz"))
    old = sitk.ReadImage(str(results / "labels.nii.gz"))
    assert saved.GetSize() == old.GetSize() and saved.GetDirection() == old.GetDirection()
    wanted = sitk.GetArrayFromImage(saved)
    # From each voxel of the page by its mm to the saved map.
    z, y_, x_ = np.indices(drawn.shape)
    mm = (np.stack([x_, y_, z], -1) @ to_mm[:3, :3].T + to_mm[:3, 3]) * (-1, -1, 1)
    matrix = np.reshape(saved.GetDirection(), (3, 3)) * np.array(saved.GetSpacing())
    index = np.rint(np.linalg.solve(matrix, (mm - saved.GetOrigin()).reshape(-1, 3).T)).astype(int)
    np.testing.assert_array_equal(wanted[index[2], index[1], index[0]], drawn.ravel())

    measured = json.loads((out / "measurements.json").read_text("utf-8"))
    for key, structure in BY_KEY.items():
        volume = np.count_nonzero(drawn == structure.label) * voxel_ml
        assert measured["structures"][key]["volume_ml"] == pytest.approx(volume, rel=1e-4, abs=1e-3)
    assert measured["corrected"][0]["by"] == "Reader One"
    shift = np.subtract(measured["aortic_valve_mm"], found["aortic_valve_mm"]) @ found["valves"]["aortic"]["normal"]
    assert shift == pytest.approx(4.0, abs=1.0)
    seg = pydicom.dcmread(out / "labels.dcm")
    assert seg.Modality == "SEG" and len(seg.SegmentSequence) == len(np.unique(drawn)) - 1
    assert page.problems == [] and all(url.startswith(("http://127.0.0.1", "data:", "blob:")) for url in page.requests)


@pytest.mark.parametrize("width", [390, 1366, 1920])
def test_the_page_fits_its_window(page, width):
    assert faults(page, width) == []
    assert hindrances(page) == []
    if width > 390:
        assert page.ask("document.documentElement.scrollHeight <= innerHeight")


def shown(page, viewer="viewer"):
    """Red of the pixels that a viewer draws, [y, x] from below."""
    width, text = page.ask(
        """((viewer) => { viewer.drawScene();
        const { gl } = viewer, [w, h] = [gl.drawingBufferWidth, gl.drawingBufferHeight];
        const pixels = new Uint8Array(4 * w * h);
        gl.readPixels(0, 0, w, h, gl.RGBA, gl.UNSIGNED_BYTE, pixels);
        let text = ""; for (let i = 0; i < pixels.length; i += 4) text += String.fromCharCode(pixels[i]);
        return [w, btoa(text)]; })"""
        + f"({viewer})"
    )
    return np.frombuffer(base64.b64decode(text), np.uint8).astype(float).reshape(-1, width)


def alike(one, other):
    return np.corrcoef(one.ravel(), other.ravel())[0, 1]


def test_the_scale_is_as_long_as_it_says(page):
    side = np.linalg.norm(page.ask("facts.views[0].place.to_mm.map(row => row[0])")) * 256  # mm
    image = shown(page, "oblique.viewer")
    bright = np.abs(image - 0.9 * 255) <= 1
    rows = bright[: image.shape[0] // 3].sum(axis=1)
    across = np.flatnonzero(bright[np.argmax(rows)])
    expected = 50.0 / side * min(image.shape)  # the image fills the smaller side of the canvas
    assert across[-1] - across[0] + 1 == pytest.approx(expected, abs=3) and rows.max() > 0.9 * expected


def test_the_page_scrolls_before_all_voxels_are_there_and_keeps_its_place(address, monkeypatch):
    held, scan = threading.Event(), Session.scan
    monkeypatch.setattr(Session, "scan", lambda session: held.wait(60) and scan(session))
    with browser_page() as page:
        page.resize(1366, 768)
        page.send("Page.navigate", url=address)
        page.wait_for("document.documentElement?.dataset.ready === 'coarse'")
        assert page.ask("document.getElementById('side').inert")  # nothing can be changed yet
        x, y = axial(page)
        first, before = shown(page), page.ask("[...viewer.scene.crosshairPos]")
        for _ in range(9):
            page.mouse("mouseWheel", x, y, deltaX=0, deltaY=120)
        coarse, place = shown(page), page.ask("[...viewer.scene.crosshairPos]")
        assert place != before and np.count_nonzero(first != coarse) > 1000
        held.set()
        page.wait_for("document.documentElement.dataset.ready === 'all'")
        fine = shown(page)
        assert page.ask("[...viewer.scene.crosshairPos]") == place
        assert np.count_nonzero(fine != coarse) > 1000
        assert alike(fine, coarse) > max(0.9, alike(fine, first))
        assert page.problems == []


def test_the_window_follows_the_right_button(page):
    x, y = axial(page)
    before = shown(page)
    for kind, at in (("mouseMoved", x), ("mousePressed", x), ("mouseMoved", x - 60), ("mouseReleased", x - 60)):
        pressed = at != x or kind == "mousePressed"
        page.mouse(kind, at, y, button="right" if pressed else "none", buttons=2 if pressed else 0, clickCount=1)
    low, high = page.ask("[viewer.volumes[0].cal_min, viewer.volumes[0].cal_max]")
    assert high - low == pytest.approx(page.ask("facts.window[1] - facts.window[0]") - 180, abs=1)
    assert shown(page).std() > before.std() and page.ask("editing.strokes.length") == 0  # more contrast


def test_erasing_takes_the_chosen_structure_alone_and_smoothing_evens_it(page):
    before, to_mm = labels_of(page)
    x, y = axial(page)
    choose(page, "erase", CAVITY)
    put(page, "radius", 12)
    voxel = press(page, x, y)
    after = labels_of(page)[0]
    ball = (away_mm(before.shape, to_mm, voxel) ** 2).sum(-1) <= 12.0**2
    expected = np.where(ball & (before == CAVITY), 0, before)
    np.testing.assert_array_equal(after, expected)
    assert np.count_nonzero(after != before) > 10
    page.ask("document.getElementById('undo').click()")
    page.ask("document.getElementById('smooth').click()")
    smooth = labels_of(page)[0]
    own = correlate((before == CAVITY).astype(int), np.ones((3, 3, 3), int), mode="constant")
    changed = smooth != before
    assert changed.any()
    assert (own[changed & (smooth == CAVITY)] > 13).all() and (own[changed & (before == CAVITY)] < 14).all()
    assert not (changed & (before != CAVITY) & (before != 0)).any()
    assert (smooth[(before == 0) & (own > 13)] == CAVITY).all()


def test_a_plane_of_the_heart_is_drawn_on_in_the_scans_own_voxels(page):
    """And what is drawn in either image is seen in both."""
    before, to_mm = labels_of(page)
    choose(page, "paint", ATRIUM)
    put(page, "radius", 5)
    names = [view["name"] for view in page.ask("facts.views")]
    assert names == ["Four-chamber", "Three-chamber", "Short axis", "Aortic valve"]
    page.ask("document.querySelectorAll('#views button')[2].click()")
    page.wait_for("document.documentElement.dataset.view === 'Short axis'")
    x, y = axial(page, "oblique.viewer")
    voxel = press(page, x + 20, y - 10)
    block = page.ask("[...oblique.viewer.frac2vox(oblique.viewer.scene.crosshairPos)].slice(0, 3)")
    view = page.ask("facts.views[2]")
    there = np.array(view["to_mm"]) @ [*block, 1]
    step = np.linalg.norm(to_mm[:3, :3], axis=0)
    assert (np.abs(np.linalg.solve(to_mm[:3, :3], there[:3] - to_mm[:3, 3]) - voxel) <= 0.5 + 1e-6).all()
    ball = (away_mm(before.shape, to_mm, voxel) ** 2).sum(-1) <= 5.0**2
    np.testing.assert_array_equal(labels_of(page)[0], np.where(ball, ATRIUM, before))
    at = [int(value) for value in block]
    where = f"oblique.labels[{at[0]} + oblique.size[0] * ({at[1]} + oblique.size[1] * {at[2]})]"
    page.wait_for(f"{where} === {ATRIUM}")
    # To the right in the image is across the plane, as the letters say.
    right = np.array(view["to_mm"])[:3, 0] / np.linalg.norm(np.array(view["to_mm"])[:3, 0])
    further = press(page, x + 60, y - 10)
    moved = (np.subtract(further, voxel) @ to_mm[:3, :3].T) @ right
    assert moved > step.max()
    letter = view["letters"][1]
    axis, sign = {"R": (0, 1), "L": (0, -1), "A": (1, 1), "P": (1, -1), "H": (2, 1), "F": (2, -1)}[letter]
    assert right[axis] * sign == np.abs(right).max()
    assert page.problems == []
