"""Reads the label map of a case: a plain one by what its values mean, a 3D Slicer segmentation by its segments."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from whs_fast.errors import InputError
from whs_fast.reading.labels import read_grid, read_labels
from whs_fast.reading.slicer import is_segmentation, read_segmentation
from whs_fast.study.evaluation.schemes import LabelSet
from whs_fast.volume import Grid


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Labels 0 to 10, uint8[z, y, x], on their grid, and notes on how they were read."""

    labels: NDArray[np.uint8]
    grid: Grid
    notes: tuple[str, ...] = ()


def read_map(path: Path, label_set: LabelSet) -> LabelMap:
    """Reads a label map; segments of a segmentation are known by name or SNOMED CT code, whatever the label set says.

    Raises InputError where the file cannot be read, has values that the label set lacks, or segments that overlap.
    """
    if not is_segmentation(path):
        return LabelMap(*read_labels(path, label_set.table))
    found = read_segmentation(path)
    if len(found.maps) > 1:
        raise InputError(f"{path}: segments overlap ({found.notes[-1]}), expected one structure per voxel")
    return LabelMap(found.maps[0], found.grid, found.notes)


def read_map_grid(path: Path) -> Grid:
    """The grid of a label map. Raises InputError where the file cannot be read."""
    return read_segmentation(path).grid if is_segmentation(path) else read_grid(path)
