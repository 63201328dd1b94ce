"""The widget of a notebook holds the box around the heart and its labels, in the places that they have."""

import nibabel
import numpy as np
from support.bars import BARS_MM, VALVE_MM, make_case
from whs_fast.report.notebook import show
from whs_fast.structures import BY_KEY, STRUCTURES


def test_the_widget_holds_scan_and_labels_where_the_patient_has_them():
    volume, labels = make_case()
    scan, tint = show(volume, labels, VALVE_MM, threads=2).volumes
    images = [nibabel.Nifti1Image.from_bytes(bytes(each.data)) for each in (scan, tint)]
    hu, shown = (np.asanyarray(image.dataobj) for image in images)
    np.testing.assert_array_equal(images[0].affine, images[1].affine)
    assert hu.shape == shown.shape and hu.max() > 700 and hu[shown > 0].min() > hu[shown == 0].max() - 100
    for key, (low, high) in BARS_MM.items():
        places = np.argwhere(shown == BY_KEY[key].label) @ images[1].affine[:3, :3].T + images[1].affine[:3, 3]
        lps = places * (-1, -1, 1) - VALVE_MM
        np.testing.assert_allclose([lps.min(axis=0) - 0.5, lps.max(axis=0) + 0.5], [low, high], atol=1.0)
    assert list(tint.colormap_label.labels[1:11]) == [structure.name for structure in STRUCTURES]
