"""The robustness table and the picture of twelve planes: skipped where torch or matplotlib is not installed."""

import numpy as np
import pytest
import SimpleITK as sitk

pytest.importorskip("torch")
pytest.importorskip("nncf")
pytest.importorskip("matplotlib")

from training import planes, robustness


def labelled(direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)):
    array = np.zeros((20, 40, 60), np.uint8)
    array[5:15, 10:20, 30:50] = 5
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((1.0, 1.5, 2.0))
    image.SetDirection(direction)
    return image


def test_table_has_the_cells_in_order_with_quartiles_and_lowest():
    scores = {("slice_2", "scan_00"): 0.5} | {("base", f"scan_{i:02d}"): v for i, v in enumerate((0.9, 0.8, 0.7))}
    assert robustness.tabulate(scores).splitlines()[2:] == [
        "| base | 3 | 0.800 (0.750-0.850) | 0.700 |",
        "| slice_2 | 1 | 0.500 (0.500-0.500) | 0.500 |",
    ]


def test_scores_are_those_of_labels_against_truth(tmp_path):
    class Engine:
        def run(self, scan):
            return type("Result", (), {"labels": np.roll(sitk.GetArrayFromImage(labelled()), 5, axis=0)})

    sitk.WriteImage(labelled(), str(tmp_path / "scan_00_labels.nii.gz"))
    assert robustness.score(Engine(), tmp_path / "scan_00.nii.gz") == pytest.approx(0.5)


@pytest.mark.parametrize("direction", [(1, 0, 0, 0, 1, 0, 0, 0, 1), (-1, 0, 0, 0, -1, 0, 0, 0, 1)])
def test_box_holds_what_is_labelled_and_a_margin(direction):
    origin, size = planes.find_box(labelled(direction))
    low = np.array([30, 15, 10] if direction[0] == 1 else [-49, -28.5, 10])
    assert origin == pytest.approx(low - planes.MARGIN_MM)
    extent = np.array([19, 13.5, 18]) + 2 * planes.MARGIN_MM
    assert np.array(size) * planes.PIXEL_MM == pytest.approx(extent, abs=planes.PIXEL_MM)


def test_twelve_planes_show_each_where_it_is():
    figure = planes.draw(None, labelled())
    titles = [panel.get_title() for panel in figure.axes]
    assert [title.split(",")[0] for title in titles] == ["axial"] * 6 + ["coronal"] * 3 + ["sagittal"] * 3
    middle = figure.axes[7].images[0].get_array()
    assert np.ptp(middle.reshape(-1, 3), axis=0).max() > 0.5  # the middle coronal plane cuts the structure
    assert float(titles[7].split()[-2]) == pytest.approx(21.75, abs=1)
