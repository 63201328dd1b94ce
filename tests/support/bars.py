"""A scan of two bars and its labels: a phantom for the interactive page, without symmetry."""

import numpy as np
from support.pages import measurements
from whs_fast.report.interactive import prepare_scene, render_interactive
from whs_fast.structures import BY_KEY
from whs_fast.volume import IDENTITY_DIRECTION, Grid, Volume

VALVE_MM = (10.0, -20.0, 30.0)
SHAPE = (90, 80, 100)
FLIPPED = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, -1.0)
TURNED = (0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0)
# Bars of two structures, from the valve: lowest and highest x, y, z in mm. No plane through the valve cuts them into
# a figure that a mirror or a turn maps on itself.
BARS_MM = {
    "left_ventricle_cavity": ((-20.0, -10.0, -15.0), (35.0, 22.0, 15.0)),
    "aorta": ((-4.0, -4.0, 15.0), (12.0, 30.0, 34.0)),
}
# Centres of valves, from the aortic valve, that lay planes of the heart through the bars.
VALVES_MM = {"aortic": (4.0, 13.0, 15.0), "mitral": (-20.0, 6.0, 0.0), "tricuspid": (-20.0, -30.0, -5.0)}


def make_valves():
    """The entry valves of measurements.json."""
    return {name: {"centre_mm": list(np.add(VALVE_MM, away)), "normal": [0.0, 0.0, 1.0], "area_mm2": 400,
                   "rms_mm": 0.5, "uncertainty_deg": 1.0} for name, away in VALVES_MM.items()}  # fmt: skip


def make_case(direction=IDENTITY_DIRECTION, shape=SHAPE):
    """A scan whose bars are exactly its labels; the voxels' edges lie on the bars' edges."""
    axes = np.reshape(direction, (3, 3))
    origin = np.asarray(VALVE_MM) - axes @ ((np.asarray(shape[::-1]) - 1) / 2.0)
    grid = Grid(shape, (1.0, 1.0, 1.0), tuple(float(value) for value in origin), direction)
    z, y, x = np.indices(shape)
    place = np.tensordot(grid.affine, np.stack([x, y, z, np.ones_like(x)]), 1)[:3]
    labels = np.zeros(shape, np.uint8)
    for key, (low, high) in BARS_MM.items():
        away = place - np.reshape(VALVE_MM, (3, 1, 1, 1))
        labels[np.all([(away[a] > low[a]) & (away[a] < high[a]) for a in range(3)], axis=0)] = BY_KEY[key].label
    array = np.where(labels > 0, 750, -250).astype(np.int16)
    return Volume(array, grid.spacing_mm, grid.origin_mm, direction), labels


def make_page(folder, direction=IDENTITY_DIRECTION, **changes):
    volume, labels = make_case(direction)
    told = measurements(**{"valves": make_valves(), **changes})
    scene = prepare_scene(volume, labels, VALVE_MM, told, threads=2)
    path = folder / "report_interactive.html"
    path.write_text(render_interactive(told, scene), encoding="utf-8")
    return path
