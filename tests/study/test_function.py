"""Function over the heart beat from volumes of phases: figures by hand, what is cut off, table and curves."""

import io

import numpy as np
import pytest
from PIL import Image
from whs_fast.report.curves import draw_curves
from whs_fast.structures import BY_KEY
from whs_fast.study.function import CHAMBERS, function_table, measure_function


def phase(volumes_ml, mass_g=120.0, cut=()):
    structures = {
        key: {"volume_ml": volume, "touches_scan_edge": key in cut, "touches_region_edge": False}
        for key, volume in zip(CHAMBERS.values(), volumes_ml, strict=True)
    }
    return {"structures": structures, "lv_myocardium_mass_g": mass_g}


BEAT = {"5%": phase((140.0, 150, 60, 70)), "35%": phase((56.0, 75, 100, 90), 126.0), "75%": phase((130.0, 140, 80, 80))}


def test_ejection_fractions_are_those_by_hand():
    function = measure_function(BEAT)
    left = function["left_ventricle"]
    assert (left["end_diastolic_ml"], left["end_systolic_ml"], left["stroke_volume_ml"]) == (140, 56, 84)
    assert left["ejection_fraction_percent"] == 60
    assert (left["phase_of_largest"], left["phase_of_smallest"]) == ("5%", "35%")
    right = function["right_ventricle"]
    assert right["ejection_fraction_percent"] == 50
    assert (left["uncertainty_percent"], right["uncertainty_percent"]) == (0.4, 3.0)
    atrium = function["left_atrium"]  # fills while its ventricle empties
    assert (atrium["phase_of_largest"], atrium["largest_ml"], atrium["ejection_fraction_percent"]) == ("35%", 100, 40)
    assert "uncertainty_percent" not in atrium
    assert function["lv_myocardium_mass_g"] == {"mean": 122.0, "spread_percent": pytest.approx(4.9)}


def test_what_is_cut_off_or_missing_has_no_ejection_fraction():
    cut = {**BEAT, "75%": phase((130.0, 140, 80, 0), cut=("right_ventricle_cavity",))}
    function = measure_function(cut)
    assert function["right_ventricle"] == {
        "volumes_ml": [150, 75, 140],
        "not_measurable": "cut off by an edge in phase 75%",
    }
    assert function["right_atrium"]["not_measurable"] == "not found in phase 75%"
    assert "ejection_fraction_percent" in function["left_ventricle"]


def test_the_table_has_a_line_for_each_phase():
    lines = function_table(measure_function(BEAT)).splitlines()
    assert lines[0] == "phase,left_ventricle_ml,right_ventricle_ml,left_atrium_ml,right_atrium_ml"
    assert lines[2] == "35%,56.0,75,100,90" and len(lines) == 4


def test_curves_fall_and_rise_with_the_volumes():
    image = np.asarray(Image.open(io.BytesIO(draw_curves(["5%", "35%", "75%"], {"left_atrium": [60, 100, 80]}))))
    curve = (image == BY_KEY["left_atrium"].colour).all(2)
    curve[:, 660:] = False  # the legend
    columns = np.flatnonzero(curve.any(0))
    heights = [np.nonzero(curve[:, c])[0].mean() for c in (columns[4], (columns[0] + columns[-1]) // 2, columns[-5])]
    assert heights[1] < heights[2] < heights[0]  # rows grow downwards
