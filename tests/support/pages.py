"""Measurements for a page to show, and what is on a page."""

from html.parser import HTMLParser
from math import cos, sin

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


def aortic_root():
    """Figures of a root, as measurements.json has them; one ostium is not measurable."""
    turns = [i * 6.2831853 / 24 for i in range(24)]
    sizes = {
        "area_mm2": 471.2, "perimeter_mm": 77.4, "area_diameter_mm": 24.5, "perimeter_diameter_mm": 24.6,
        "dmin_mm": 22.5, "dmax_mm": 27.5, "eccentricity": 0.18,
    }  # fmt: skip
    views = {
        "coplanar": {"lao_deg": 12.0, "cranial_deg": -8.0, "uncertainty_deg": 3.0},
        "cusp_overlap": {"lao_deg": -9.0, "cranial_deg": -25.0, "uncertainty_deg": 2.0},
    }
    curve = [{"lao_deg": float(lao), "cranial_deg": lao - 20.0} for lao in range(-50, 51, 10)]
    return {
        "annulus": sizes
        | {
            "centre_mm": [0.0, 0.0, 0.0],
            "normal": [0.0, 0.0, 1.0],
            "hinge_points_mm": {
                "right": [0.0, -11.0, 0.0],
                "left": [11.0, 6.0, 0.0],
                "non_coronary": [-11.0, 6.0, 0.0],
            },
            "hinge_points_seen": 2,
            "contour_mm": [[12.0 * cos(t), 12.0 * sin(t), 0.0] for t in turns],
            "uncertainty": {"area_mm2": 14.0, "perimeter_mm": 1.2, "height_mm": 0.4, "normal_deg": 3.0},
        },
        "lvot": {"not_measurable": "its border is not seen"},
        "sinuses": {"height_mm": 11.0, "right_mm": 31.5, "left_mm": 32.5, "non_coronary_mm": 33.5, "mean_mm": 32.5},
        "sinotubular_junction": sizes | {"height_mm": 21.0},
        "coronary_ostia": {
            "right": {"rim_mm": [0.0, -14.0, 14.3], "height_mm": 14.3, "uncertainty_mm": 0.9},
            "left": {"not_measurable": "no mouth of a coronary artery is seen"},
        },
        "calcium": {
            "threshold_hu": 510,
            "volume_mm3": {"right": 11.0, "left": 22.0, "non_coronary": 33.0, "total": 66.0},
        },
        "deployment": {"angle_to_horizontal_deg": 48.0, **views, "s_curve": curve},
    }


def ascending_aorta():
    """Figures of an ascending aorta whose arch is not in the scan."""
    return {
        "begins_at": "sinotubular_junction", "ends_at": "scan_edge", "length_mm": 52.0, "along_mm": 31.0,
        "area_mm2": 1240.0, "perimeter_mm": 125.1, "area_diameter_mm": 39.7, "perimeter_diameter_mm": 39.8,
        "dmin_mm": 38.2, "dmax_mm": 41.3, "eccentricity": 0.08, "uncertainty": {"dmax_mm": 0.5},
    }  # fmt: skip
