"""Measurements for a page to show, and what is on a page."""

from html.parser import HTMLParser

from whs_fast.structures import STRUCTURES


def measurements(**changes):
    structures = {
        s.key: {
            "label": s.label,
            "volume_ml": 10.25 * s.label,
            "touches_scan_edge": False,
            "touches_region_edge": False,
        }
        for s in STRUCTURES
    }
    return {
        "schema": 1,
        "aortic_valve_mm": [1.5, -2.5, 3.0],
        "structures": structures,
        "lv_myocardium_mass_g": 123.456,
        "timings_s": {"read": 1.0, "total": 12.345},
        "peak_memory_mb": 512.3,
        "warnings": [],
        "models": {"dense_vnet": "ab" * 32},
        "version": "9.8.7",
    } | changes


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "img", "br", "input", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parse(text):
    page = _Page()
    page.feed(text)
    page.close()
    assert page.open == []
    return page


def quality(**changes):
    """The entries contrast and confidence, for measurements(**quality(...)); changes are to the latter."""
    pools = {s.key: {"mean_hu": 300.0 + s.label, "sd_hu": 20.0} for s in STRUCTURES}
    contrast = {
        "structures": pools | {"coronary_sinus": None},
        "left_blood_hu": 390.4,
        "right_blood_hu": 310.2,
        "left_minus_right_hu": 80.2,
        "left_minus_muscle_hu": 280.1,
        "noise_hu": 24.6,
        "slice_spacing_mm": 0.625,
        "largest_step": None,
        "ecg_gated": None,
    }
    dice = {"overall_pooled": 0.93} | {s.key: 0.8 + s.label / 100 for s in STRUCTURES}
    confidence = {"review": False, "reasons": [], "predicted_dice": dice} | changes
    return {"contrast": contrast, "confidence": confidence}
