"""The picture of the aortic root: seen from the aorta, the patient's left on the right, contour and points in place."""

import io

import numpy as np
from PIL import Image
from support.pages import aortic_root
from whs_fast.report import root_picture
from whs_fast.volume import Volume


def picture_of(array, spacing_mm=1.0):
    half = (array.shape[0] - 1) / 2 * spacing_mm
    scan = Volume(array, (spacing_mm,) * 3, (-half,) * 3)
    png = root_picture.draw_root(scan, {"aortic_root": aortic_root()}, threads=1)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def test_left_is_right_and_the_front_is_below():
    """The annulus lies in an axial plane; something bright in front of it on the patient's left, nothing elsewhere."""
    z, y, x = np.indices((81, 81, 81)) - 40
    array = np.full(z.shape, -100, np.int16)
    array[(np.hypot(x - 18, y + 16) < 4)] = 800
    image = picture_of(array)
    panel = image[root_picture._TITLE : root_picture._TITLE + root_picture._SIDE, root_picture._GAP :]
    panel = panel[:, : root_picture._SIDE]
    bright = (panel.min(2) > 200) & (np.indices(panel.shape[:2])[0] < root_picture._SIDE - 40)
    rows, columns = np.nonzero(bright)
    middle = root_picture._SIDE / 2
    np.testing.assert_allclose([columns.mean() - middle, rows.mean() - middle],
                               [18 / root_picture._PIXEL_MM, 16 / root_picture._PIXEL_MM], atol=8)  # fmt: skip


def test_contour_and_hinge_points_are_drawn_where_they_lie():
    image = picture_of(np.zeros((81, 81, 81), np.int16))
    for name, (x, y) in (("right", (0, -11)), ("left", (11, 6)), ("non_coronary", (-11, 6))):
        column = root_picture._GAP + root_picture._SIDE / 2 + x / root_picture._PIXEL_MM
        row = root_picture._TITLE + root_picture._SIDE / 2 - y / root_picture._PIXEL_MM
        assert tuple(image[round(row), round(column)]) == root_picture._CUSPS[name][1]
    row = root_picture._TITLE + root_picture._SIDE // 2
    contour = np.nonzero((image[row, : root_picture._SIDE] == root_picture._CONTOUR).all(1))[0] - root_picture._GAP
    away = np.abs(contour - root_picture._SIDE / 2) * root_picture._PIXEL_MM
    np.testing.assert_allclose(away, 12, atol=0.4)


def test_nothing_is_drawn_without_a_root():
    scan = Volume(np.zeros((4, 4, 4), np.int16), (1.0,) * 3, (0.0,) * 3)
    for told in ({}, {"aortic_root": {"not_measurable": "metal in the root"}}):
        assert root_picture.draw_root(scan, told, threads=1) is None
