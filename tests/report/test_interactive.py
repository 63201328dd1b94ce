"""The interactive page in a real browser without a network: what is seen lies where the patient has it."""

import base64
import json
import re

import numpy as np
import pytest
from support.bars import BARS_MM, FLIPPED, TURNED, VALVE_MM, make_case, make_page
from support.browser import browser_page
from support.pages import measurements
from whs_fast.report.interactive import prepare_scene, render_interactive
from whs_fast.structures import BY_KEY
from whs_fast.volume import IDENTITY_DIRECTION

pytestmark = pytest.mark.slow

LETTERS = {"axial": "RLAP", "coronal": "RLHF", "sagittal": "APHF"}
AXES = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}  # across, down, normal


@pytest.fixture(scope="module")
def browser():
    with browser_page() as page:
        # Letters are painted: what is written where is noted on the way. A page opened as #flat has no WebGL, which
        # takes long without a GPU.
        page.send(
            "Page.addScriptToEvaluateOnNewDocument",
            source="""
                const write = CanvasRenderingContext2D.prototype.fillText;
                window.written = new Map();
                CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
                  const panel = this.canvas.closest && this.canvas.closest(".panel");
                  if (panel) {
                    if (!window.written.has(panel.id)) window.written.set(panel.id, {});
                    window.written.get(panel.id)[text] = [x / this.canvas.width, y / this.canvas.height];
                  }
                  return write.apply(this, arguments);
                };
                const give = HTMLCanvasElement.prototype.getContext;
                if (location.hash === "#flat") HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
                  return kind.startsWith("webgl") ? null : give.call(this, kind, ...more);
                };
            """,
        )
        yield page


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_page(tmp_path_factory.mktemp("page"))


@pytest.fixture
def page(browser, path):
    """The page with everything loaded, as it is at first."""
    browser.resize(1200, 900)
    if browser.ask("location.href") != path.as_uri():
        load(browser, path)
        browser.wait_for("document.documentElement.dataset.ready === 'all'")
    browser.ask("""for (const box of document.querySelectorAll("#structures input")) if (!box.checked) box.click();
        document.getElementById("reset").click()""")
    browser.settle()
    return browser


def load(browser, path, fragment=""):
    browser.problems.clear()
    browser.requests.clear()
    browser.open(path, fragment)
    browser.wait_for("document.documentElement.dataset.ready")
    browser.settle()


def pixels(page, plane):
    """The canvas of a plane, uint8[y, x, 3]."""
    width, height, data = page.ask(
        f"""(() => {{
          const canvas = document.querySelector("#{plane} canvas");
          const bytes = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          let text = "";
          for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
          return [canvas.width, canvas.height, btoa(text)];
        }})()"""
    )
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[..., :3].astype(int)


def show_contours(page, shown):
    page.ask(f"""(() => {{ const box = document.getElementById("contours");
        if (box.checked !== {str(shown).lower()}) box.click(); }})()""")
    page.settle()


def cross_at(page):
    """Where the cross stands, mm."""
    return np.array(
        [float(n) for n in re.findall(r"-?\d+\.\d", page.ask("document.getElementById('point').textContent"))]
    )


def frame_of(page, view):
    """Centre of a plane's image, its axes to the right and down, and into it."""
    across, down = (np.array(view[name]) for name in ("across", "down"))
    normal, centre = np.cross(across, down), np.array(view["centre_mm"])
    if view["axis"] is not None:
        centre = centre + ((cross_at(page) - centre) @ normal) * normal
    return centre, across, down


def places_of(page, view, shape):
    """The patient's millimetres [y, x, 3] at the centre of each pixel."""
    centre, across, down = frame_of(page, view)
    pixel = view["side_mm"] / min(shape)
    rows, columns = ((np.arange(n) + 0.5 - n / 2) * pixel for n in shape)
    return centre + columns[None, :, None] * across + rows[:, None, None] * down


def cross_of(page, view, shape):
    """Column and row of the cross."""
    centre, across, down = frame_of(page, view)
    away = (cross_at(page) - centre) / view["side_mm"] * min(shape)
    return round(away @ across + shape[1] / 2), round(away @ down + shape[0] / 2)


def meta_of(page):
    return json.loads(page.ask("document.getElementById('meta').textContent"))


def place_of(page, plane):
    return page.ask(f"document.querySelector('#{plane} output').textContent")


def slice_of(page, plane):
    return int(re.match(r"slice (\d+) of", place_of(page, plane))[1])


def middle_of(page, selector):
    """Middle of a part in the window, and how many of its pixels a millimetre of its plane has."""
    page.ask(f"document.querySelector('{selector}').scrollIntoView({{block: 'center'}})")
    box = page.ask(
        f"(({{x, y, width, height}}) => [x, y, width, height])("
        f"document.querySelector('{selector}').getBoundingClientRect())"
    )
    plane = next((plane for plane in meta_of(page)["planes"] if f"#{plane['id']} " in selector), {"side_mm": 1.0})
    return box[0] + box[2] / 2.0, box[1] + box[3] / 2.0, min(box[2:]) / plane["side_mm"]


def put(page, name, value):
    page.ask(f"""(() => {{ const field = document.getElementById("{name}"); field.value = "{value}";
        field.dispatchEvent(new Event("input")); }})()""")
    page.settle()


def test_it_opens_without_a_network_and_without_a_complaint(browser, path):
    load(browser, path)
    browser.wait_for("document.documentElement.dataset.ready === 'all'")
    page = browser
    assert [problem for problem in page.problems if "willReadFrequently" not in problem] == []
    assert page.requests == [path.as_uri()]
    assert "aorta" in page.ask("document.getElementById('structures').textContent").lower()


def test_it_may_ask_for_nothing(page):
    """Even a script that tried would be stopped by the page's own policy."""
    assert page.ask("fetch('http://127.0.0.1:9/').then(() => 'sent', error => 'stopped')") == "stopped"
    assert any("Content Security Policy" in problem for problem in page.problems)


@pytest.mark.parametrize("plane", LETTERS)
def test_the_wheel_moves_slices(page, plane):
    x, y, _ = middle_of(page, f"#{plane} canvas")
    first, before = slice_of(page, plane), pixels(page, plane)
    for _ in range(5):
        page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-120)
    assert slice_of(page, plane) == first + 5
    for _ in range(25):
        page.mouse("mouseWheel", x, y, deltaX=0, deltaY=120)
    assert slice_of(page, plane) == first - 20
    # 20 mm from the valve the upper bar has ended in every plane, so that the picture is another one.
    assert np.count_nonzero(np.abs(pixels(page, plane) - before).max(axis=-1) > 50) > 500


def test_keys_and_the_slider_move_slices(page):
    page.ask("document.querySelector('#axial canvas').focus()")
    first = slice_of(page, "axial")
    for key, there in (
        ("ArrowUp", first + 1),
        ("ArrowDown", first),
        ("PageDown", first - 10),
        ("End", 90),
        ("ArrowRight", 90),
        ("Home", 1),
    ):
        page.key(key)
        assert slice_of(page, "axial") == there
    page.ask("""(() => { const slider = document.querySelector("#coronal input"); slider.value = 7;
        slider.dispatchEvent(new Event("input")); })()""")
    page.settle()
    assert slice_of(page, "coronal") == 8


def test_a_click_moves_the_cross_in_all_planes(page):
    x, y, millimetre = middle_of(page, "#axial canvas")
    before = [slice_of(page, plane) for plane in LETTERS]
    for kind in ("mousePressed", "mouseReleased"):
        page.mouse(kind, x + 30 * millimetre, y + 20 * millimetre, button="left", clickCount=1)
    after = [slice_of(page, plane) for plane in LETTERS]
    assert after[0] == before[0]
    centre = meta_of(page)["planes"][0]["centre_mm"]
    np.testing.assert_allclose(cross_at(page)[:2], np.add(centre[:2], (30, 20)), atol=1.0)
    assert before[1] != after[1] and before[2] != after[2]
    assert "Left ventricular cavity" in page.ask("document.getElementById('point').textContent")


@pytest.mark.parametrize("direction", [IDENTITY_DIRECTION, FLIPPED, TURNED], ids=["upright", "flipped", "turned"])
def test_the_overlay_lies_on_the_scan_and_both_where_the_patient_has_them(browser, tmp_path, direction):
    page = browser
    page.resize(1200, 900)
    load(page, make_page(tmp_path, direction), "#flat")
    put(page, "level", 250)
    show_contours(page, False)
    meta = meta_of(page)
    for view in meta["planes"]:
        plane = view["id"]
        put(page, "opacity", 0)
        grey = pixels(page, plane)
        put(page, "opacity", 100)
        tinted = pixels(page, plane)
        away = places_of(page, view, grey.shape[:2]) - VALVE_MM
        voxel = 2.0 * meta["spacing_mm"] / 3.0
        inside, sure = np.zeros(grey.shape[:2], bool), np.ones(grey.shape[:2], bool)
        for low, high in BARS_MM.values():
            depth = np.minimum(away - low, high - away).min(axis=-1)  # in the bar, from the nearest of its faces
            inside |= depth > 0
            sure &= np.abs(depth) > voxel
        # Away from letters, bar and cross.
        free = sure
        for lines in (free, free.T):
            lines[: int(0.1 * len(lines))] = lines[-int(0.14 * len(lines)) :] = False
        x, y = cross_of(page, view, grey.shape[:2])
        free[:, max(0, x - 4) : max(0, x + 5)] = free[max(0, y - 4) : max(0, y + 5)] = False
        bright = grey.min(axis=-1) > 127
        coloured = tinted.max(axis=-1) - tinted.min(axis=-1) > 80
        for seen in (bright, coloured):
            wrong = (seen != inside) & free
            assert np.count_nonzero(wrong & ~near_edge(inside)) == 0, plane
        assert np.count_nonzero((bright != coloured) & free) <= 0.02 * np.count_nonzero(inside)
        assert np.count_nonzero(inside & free) > 500


def near_edge(mask):
    near = np.zeros_like(mask)
    for axis in range(2):
        for by in (-1, 1):
            near |= np.roll(mask, by, axis) != mask
    return near


def test_letters_name_the_sides(page):
    """L stands at the side of the image that shows what lies to the patient's left; and so on, for all planes."""
    written = json.loads(page.ask("JSON.stringify(Object.fromEntries(window.written))"))
    ahead = {"R": (0, -1), "L": (0, 1), "A": (1, -1), "P": (1, 1), "F": (2, -1), "H": (2, 1)}
    for plane, letters in LETTERS.items():
        across, down, _ = AXES[plane]
        for letter in letters:
            axis, sign = ahead[letter]
            x, y = written[plane][letter]
            along, other = (x, y) if axis == across else (y, x)
            towards = sign if down == 1 or axis == across else -sign  # the head is above
            assert (along > 0.9 if towards > 0 else along < 0.1) and abs(other - 0.5) < 0.01
            assert axis in (across, down)


def test_window_and_opacity_change_what_is_seen(page):
    put(page, "opacity", 0)
    grey = pixels(page, "axial")
    assert (grey.max(axis=-1) > grey.min(axis=-1)).any()  # contours
    show_contours(page, False)
    grey = pixels(page, "axial")
    assert (grey.max(axis=-1) == grey.min(axis=-1)).all()
    put(page, "level", 750)
    assert pixels(page, "axial").mean() < grey.mean() - 10
    page.ask("document.getElementById('reset').click()")
    page.settle()
    colour = pixels(page, "axial")
    assert (colour.max(axis=-1) - colour.min(axis=-1)).max() > 50


def test_structures_can_be_hidden_everywhere(page):
    put(page, "opacity", 100)
    red = BY_KEY["left_ventricle_cavity"].colour
    shown = np.abs(pixels(page, "axial") - red).max(axis=-1) < 8
    assert np.count_nonzero(shown) > 500
    box = f"document.querySelector('#structures input[value=\"{BY_KEY['left_ventricle_cavity'].label}\"]')"
    page.ask(f"{box}.click()")
    page.settle()
    assert not (np.abs(pixels(page, "axial") - red).max(axis=-1) < 8).any()
    visible = "Object.fromEntries(document.querySelector('.scene').data.map(mesh => [mesh.name, mesh.visible]))"
    page.wait_for(f"{visible}['Left ventricular cavity'] === false")
    assert page.ask(visible)["Aorta"] is True
    page.ask("document.getElementById('all').click()")
    page.wait_for(f"{visible}['Left ventricular cavity'] === true")


def test_the_heart_turns(page):
    """By button and by key; the meshes lie where the labels do, and what is seen changes."""
    spans = page.ask("""document.querySelector(".scene").data.filter(trace => trace.type === "mesh3d").map(
        mesh => [mesh.name, ...["x", "y", "z"].map(a => [Math.min(...mesh[a]), Math.max(...mesh[a])])])""")
    assert {span[0] for span in spans} == {BY_KEY[key].name for key in BARS_MM}
    for name, *ranges in spans:
        low, high = next(bars for key, bars in BARS_MM.items() if BY_KEY[key].name == name)
        np.testing.assert_allclose(
            np.subtract(ranges, np.reshape(VALVE_MM, (3, 1))), np.transpose([low, high]), atol=1.6
        )

    def eye():
        return page.ask("(({x, y, z}) => [x, y, z])(document.querySelector('.scene').layout.scene.camera.eye)")

    def seen():
        middle_of(page, "#heart .scene")
        return page.picture()

    assert eye()[1] < 0 and abs(eye()[0]) < 1e-9  # from the front
    front = seen()
    page.ask("[...document.querySelectorAll('#heart button')].find(b => b.textContent === 'Left').click()")
    page.wait_for("document.querySelector('.scene').layout.scene.camera.eye.x > 1")
    page.settle()
    left = seen()
    assert left != front
    page.ask("document.querySelector('#heart .scene').focus()")
    page.key("ArrowUp")
    page.wait_for("document.querySelector('.scene').layout.scene.camera.eye.z > 0.1")


def test_without_webgl_the_slices_remain(browser, tmp_path):
    load(browser, make_page(tmp_path), "#flat")
    browser.wait_for("document.documentElement.dataset.ready === 'all'")
    assert "no WebGL" in browser.ask("document.querySelector('#heart .note').textContent")
    assert slice_of(browser, "axial") > 1 and pixels(browser, "axial").max() > 100
    browser.ask("document.querySelector('#structures input').click()")
    assert browser.problems == []


def test_a_scan_without_structures(browser, tmp_path):
    volume, labels = make_case()
    scene = prepare_scene(volume, np.zeros_like(labels), VALVE_MM, measurements(), threads=2)
    (tmp_path / "page.html").write_text(render_interactive(measurements(), scene), encoding="utf-8")
    load(browser, tmp_path / "page.html")
    browser.wait_for("document.documentElement.dataset.ready === 'all'")
    assert "no structure" in browser.ask("document.querySelector('#heart .note').textContent")
    assert "no structure" in browser.ask("document.getElementById('point').textContent")
    browser.ask("document.querySelector('#structures input').click()")
    assert pixels(browser, "axial").max() > 100 and browser.problems == []


def test_a_narrow_window_shows_everything(page):
    page.resize(360, 740, scale=2.0)
    assert page.ask("document.documentElement.scrollWidth <= innerWidth")
    boxes = page.ask("""[...document.querySelectorAll("canvas.slice, .scene, #viewer input, #viewer button")].map(
        part => part.getBoundingClientRect()).map(({left, right, width}) => [left, right, width])""")
    assert all(left >= 0 and right <= 360 and width > 0 for left, right, width in boxes)
    widths = page.ask("[...document.querySelectorAll('canvas.slice, .scene')].map(part => part.clientWidth)")
    assert len(widths) == 8 and min(widths) > 140
    for press, shown in ((1, ["axial"]), (2, [*LETTERS, "heart", "four-chamber"])):
        page.ask("document.querySelector('#axial h2 button').click()")
        page.settle()
        seen = page.ask("[...document.querySelectorAll('.panel')].filter(one => one.clientWidth).map(one => one.id)")
        assert seen[:5] == shown and (
            press == 2 or page.ask("document.querySelector('#axial canvas').clientWidth") > 300
        )
    first = slice_of(page, "axial")
    x, y, _ = middle_of(page, "#axial canvas")
    page.mouse("mouseWheel", x, y, deltaX=0, deltaY=-120)
    assert slice_of(page, "axial") == first + 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out(page, scheme):
    """At least 4.5 to 1, WCAG 2's level AA, for all text of the page."""
    page.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    worst = page.ask("""(() => {
      const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
      const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const behind = (part) => {
        for (; part; part = part.parentElement) {
          const colour = numbers(getComputedStyle(part).backgroundColor);
          if (colour.length === 3 || colour[3] > 0) return colour;
        }
      };
      const texts = [...document.body.querySelectorAll("*")]
        .filter(part => !part.closest("script, .js-plotly-plot, noscript")
        && !part.disabled && [...part.childNodes].some(node => node.nodeType === 3 && node.data.trim()));
      return Math.min(...texts.map(part => {
        const [a, b] = [light(numbers(getComputedStyle(part).color)), light(behind(part))].sort((p, q) => q - p);
        return (a + 0.05) / (b + 0.05);
      }));
    })()""")
    assert worst >= 4.5


def test_figures_by_square_metre_come_on_demand(page):
    row = "[...document.querySelectorAll('td')].find(cell => cell.textContent === 'Left atrium' && "
    row += "cell.parentElement.querySelector('[data-value]')).parentElement.querySelector('[data-value]').textContent"
    assert page.ask(row) == "20 mL (? mL/m²)"  # its limits are by square metre alone
    put(page, "bsa", "2")
    assert page.ask(row) == "20 mL (10 mL/m²)"  # 10.25 mL a label in the made-up measurements
    mass = "document.querySelector('[data-unit=g]').textContent"  # the first has limits in grams too
    grams = page.ask(mass)
    assert "g/m²)" in grams
    put(page, "bsa", "")
    assert page.ask(row) == "20 mL (? mL/m²)" and page.ask(mass) == grams.partition(" (")[0]
