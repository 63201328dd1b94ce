"""Shows scan and labels in a notebook, in NiiVue's widget: slices to scroll and a heart to turn.

The widget gets the box around the heart that the interactive page has, 1 mm in 8 bits: a few megabytes that are kept in
the notebook, where the scan itself would be hundreds.
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.report.box import cut_box, cut_box_labels
from whs_fast.report.views import look
from whs_fast.steps.region import WINDOW_HU
from whs_fast.structures import STRUCTURES
from whs_fast.volume import Grid, Triple, Volume
from whs_fast.writing.label_maps import nifti_header


def show(volume: Volume, labels: NDArray[np.uint8], valve_mm: Triple, *, threads: int) -> Any:
    """The widget; labels is uint8[z, y, x] on the volume's grid, valve_mm is (x, y, z), LPS."""
    import ipyniivue

    box = cut_box(volume, look(labels, volume.grid, valve_mm, threads=threads), valve_mm, threads=threads)
    low, high = WINDOW_HU
    scan = ipyniivue.Volume(data=_nifti(box.scan, box.grid, (high - low) / 255, low), name="scan.nii", colormap="gray")
    shown = cut_box_labels(labels, volume.grid, box, threads=threads)
    tint = ipyniivue.Volume(data=_nifti(shown, box.grid, 1.0, 0.0), name="labels.nii", opacity=0.4)
    channels = {channel: [0, *(s.colour[at] for s in STRUCTURES)] for at, channel in enumerate("RGB")}
    names = ["", *(s.name for s in STRUCTURES)]
    tint.set_colormap_label({**channels, "A": [0] + [255] * len(STRUCTURES), "labels": names})
    widget = ipyniivue.NiiVue()
    widget.load_volumes([scan, tint])
    return widget


def _nifti(array: NDArray[np.uint8], grid: Grid, slope: float, intercept: float) -> bytes:
    header = bytearray(nifti_header(grid, array.dtype, b"whs_fast"))
    struct.pack_into("<2f", header, 112, slope, intercept)
    return bytes(header) + array.tobytes()
