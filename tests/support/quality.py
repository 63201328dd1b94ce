"""A scan of bricks: each structure a block of known HU, for what is measured of contrast and neighbours."""

import numpy as np
from whs_fast.structures import STRUCTURES
from whs_fast.volume import IDENTITY_DIRECTION, Volume

SIDE = 16  # voxels of a brick along y and x; twice as many along z
BLOOD_HU = {1: 400, 2: 390, 3: 380, 4: 100, 5: 410, 6: 250, 7: 500, 8: 300, 9: 320, 10: 350}


def make_bricks(hu=BLOOD_HU, noise_hu=0.0, spacing_mm=(1.2, 1.2, 1.2), direction=IDENTITY_DIRECTION, **place):
    """Two rows of five bricks, labels 1 to 5 in front of 6 to 10, with background of 0 HU around; (volume, labels)."""
    labels = np.zeros((2 * SIDE + 4, 2 * SIDE + 4, 5 * SIDE + 4), np.uint8)
    for structure in STRUCTURES:
        row, column = divmod(structure.label - 1, 5)
        y, x = 2 + row * SIDE, 2 + column * SIDE
        labels[2:-2, y : y + SIDE, x : x + SIDE] = structure.label
    array = np.array([0, *(hu[label] for label in range(1, 11))], float)[labels]
    array += np.random.default_rng(5).normal(0, 1, array.shape) * noise_hu
    return Volume(np.rint(array).astype(np.int16), spacing_mm, (0.0, 0.0, 0.0), direction, **place), labels
