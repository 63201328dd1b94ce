"""The curve of a training run, drawn beside its checkpoint."""

import csv
from pathlib import Path

import numpy as np

STRUCTURES = ("PV", "LA", "LVC", "LVM", "Ao", "CS", "SVC", "RA", "RVC", "PA")  # labels 1 to 10


def _read(file: Path) -> dict[str, np.ndarray]:
    with file.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    return {key: np.array([float(row[key]) for row in rows]) for key in rows[0]} if rows else {}


def _smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Means over the last `width` known values."""
    known = np.isfinite(values)
    sums = np.cumsum(np.where(known, values, 0)), np.cumsum(known)
    total, count = (np.concatenate([s[:width], s[width:] - s[:-width]]) for s in sums)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def draw_curve(folder: Path) -> None:
    """Draw FOLDER/curve.png from FOLDER/log.csv and, where there is one, FOLDER/validation.csv."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    log = _read(folder / "log.csv")
    if not log:
        return
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.5), constrained_layout=True)
    width = max(1, min(100, len(log["step"]) // 10))
    left.plot(log["step"], log["loss"], ".", color="0.85", markersize=2)
    left.plot(log["step"], _smooth(log["loss"], width), color="black")
    left.set(xlabel="step", ylabel="loss", title="Soft Dice + cross-entropy", ylim=(0, None))
    checked = _read(folder / "validation.csv") if (folder / "validation.csv").exists() else {}
    colours = plt.get_cmap("tab10")
    for label, name in enumerate(STRUCTURES, 1):
        key, colour = f"dice_{label}", colours(label - 1)
        if checked:
            right.plot(checked["step"], checked[key], "o-", color=colour, markersize=3, label=name)
        else:
            right.plot(log["step"], _smooth(log[key], width), color=colour, label=name)
    title = "Dice of the averaged weights on validation crops" if checked else "soft Dice of training crops"
    right.set(xlabel="step", ylabel="Dice", title=title, ylim=(0, 1))
    right.legend(ncol=2, fontsize=8, loc="lower right")
    figure.savefig(folder / "curve.png", dpi=110)
    plt.close(figure)
