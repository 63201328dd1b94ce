"""How far two label maps on one grid overlap: Dice of each structure, and three overall figures.

The paper does not define its overall Dice; these three are always called by their names:

    overall_union     Dice of any label against any label
    overall_pooled    2 sum TP / (2 sum TP + sum FP + sum FN), sums over the structures
    mean_structures   mean of the structures' Dice
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

OVERALL = ("overall_union", "overall_pooled", "mean_structures")


def count_pairs(prediction: NDArray[np.uint8], reference: NDArray[np.uint8], label_count: int) -> NDArray[np.int64]:
    """Voxels by their two labels, int64[prediction, reference]; both maps are uint8[z, y, x] below label_count."""
    counts = np.zeros(label_count * label_count, np.int64)
    for own, other in zip(prediction, reference, strict=True):
        if own.any() or other.any():
            counts += np.bincount((own * np.uint16(label_count) + other).ravel(), minlength=len(counts))
        else:
            counts[0] += own.size
    return counts.reshape(label_count, label_count)


def dice_matrix(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Dice of every label of the prediction with every one of the reference, float64 of the shape of counts.

    NaN where neither map has its label: the Dice of nothing with nothing is not defined. 0 where one of them lacks it.
    """
    sizes = counts.sum(axis=1)[:, None] + counts.sum(axis=0)[None, :]
    with np.errstate(invalid="ignore"):
        dice: NDArray[np.float64] = 2.0 * counts / sizes
    return dice


def overall_figures(counts: NDArray[np.int64], labels: Sequence[int]) -> dict[str, float | None]:
    """The three overall figures over some labels, by their names in OVERALL; None where both maps are empty."""
    chosen = np.asarray(labels)
    sizes = counts[chosen].sum() + counts[:, chosen].sum()
    if sizes == 0:
        return dict.fromkeys(OVERALL)
    own = np.diag(dice_matrix(counts))[chosen]
    return {
        "overall_union": float(2.0 * counts[np.ix_(chosen, chosen)].sum() / sizes),
        "overall_pooled": float(2.0 * np.diag(counts)[chosen].sum() / sizes),
        "mean_structures": float(np.nanmean(own)),
    }
