"""Boosted regression trees of few leaves (Friedman, Ann Stat 2001, doi 10.1214/aos/1013203451), in plain NumPy.

All trees are complete and of the same depth, as whs_fast.steps.confidence.Trees reads them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from whs_fast.steps.confidence import Trees

Array = NDArray[np.float64]


def _best_split(x: Array, rest: Array, least: int) -> tuple[int, float]:
    """Feature and threshold that leave the least squared error; (0, inf), all to the left, where none helps."""
    count = len(rest)
    if count < 2 * least:
        return 0, np.inf
    order = np.argsort(x, axis=0, kind="stable")
    values = np.take_along_axis(x, order, 0)
    sums = rest[order].cumsum(axis=0)
    left = np.arange(1, count)[:, None]
    gain = sums[:-1] ** 2 / left + (sums[-1] - sums[:-1]) ** 2 / (count - left)
    gain[values[1:] <= values[:-1]] = -np.inf
    gain[: least - 1] = gain[count - least :] = -np.inf
    place, feature = np.unravel_index(int(np.argmax(gain)), gain.shape)
    if gain[place, feature] <= sums[-1, 0] ** 2 / count + 1e-12:
        return 0, np.inf
    return int(feature), float((values[place, feature] + values[place + 1, feature]) / 2)


def fit_trees(
    x: Array,
    y: Array,
    rng: np.random.Generator,
    *,
    count: int,
    depth: int,
    rate: float,
    least: int,
    rows: float = 0.6,
    columns: float = 0.5,
) -> Trees:
    """Trees that predict y [n] from x [n, features]; each is fitted to a random share of rows and of columns.

    rate is how much of a leaf's mean a tree adds, least the fewest rows of a leaf.
    """
    inner = 2**depth - 1
    start = float(np.median(y))
    feature, threshold, value = np.zeros((count, inner), np.int64), np.full((count, inner), np.inf), []
    predicted = np.full(len(y), start)
    for tree in range(count):
        kept = np.sort(rng.permutation(x.shape[1])[: max(1, round(columns * x.shape[1]))])
        chosen = rng.random(len(y)) < rows
        node = np.zeros(len(y), np.int64)
        for place in range(inner):
            here = node == place
            own, split = _best_split(x[here & chosen][:, kept], (y - predicted)[here & chosen], least)
            feature[tree, place], threshold[tree, place] = kept[own], split
            node[here] = 2 * place + 1 + (x[here, kept[own]] > split)
        leaves = np.zeros(inner + 1)
        for leaf in range(inner + 1):
            here = chosen & (node == inner + leaf)
            leaves[leaf] = rate * (y - predicted)[here].mean() if here.any() else 0.0
        predicted += leaves[node - inner]
        value.append(leaves)
    return Trees(start, feature, threshold, np.array(value))


def predict_all(trees: Trees, x: Array) -> Array:
    return np.array([trees.predict(row) for row in x])


def as_json(trees: Trees) -> dict[str, Any]:
    """What whs_fast.steps.confidence.read_calibration reads; thresholds without a split are beyond any figure."""
    return {
        "start": round(trees.start, 5),
        "feature": trees.feature.tolist(),
        "threshold": [[float(f"{value:.6g}") for value in row] for row in np.minimum(trees.threshold, 1e9)],
        "value": [[round(value, 5) for value in row] for row in trees.value.tolist()],
    }
