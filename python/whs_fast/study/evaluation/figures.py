"""The figures: box plots of Dice (the paper's Figure 2), regression and Bland-Altman panels (its Figure 3).

Each is drawn for one column of a journal (85 mm) at 600 dpi, in the paper's order of structures. pyplot is not used: it
keeps figures in global state and looks for a display.
"""

import io
from collections.abc import Callable, Sequence
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator
from numpy.typing import NDArray

from whs_fast.study.evaluation import paper
from whs_fast.study.evaluation.collecting import Cohort, StructureCohort
from whs_fast.study.evaluation.tables import difference_digits
from whs_fast.study.statistics import describe_p, signed

_WIDTH_IN = 85 / 25.4
_DPI = 600
_SMALL, _TEXT = 6.5, 7.5
_INK, _QUIET, _FILL, _OTHER = "#1a1d21", "#6a727d", "#dbe4f0", "#b4232a"
_COLUMNS = 2
# Leading digits for the ticks of a logarithmic axis: the choice with most ticks wins, if their numbers have room.
_ROUND = ((1, 2, 5), (1, 3), (1, 2), (2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.4, 2, 2.8, 4, 6), (1,))
_APART = 0.18


def draw_dice(cohort: Cohort) -> bytes:
    """Box plots of Dice by structure and of the overall figures, as PNG: box Q1 to Q3, whiskers the range."""
    keys = [own.structure.key for own in cohort.structures]
    names = [own.structure.abbreviation for own in cohort.structures] + list(cohort.overall)
    values = [_there([case.structures[key].dice for case in cohort.cases]) for key in keys]
    values += [_there([case.overall[name] for case in cohort.cases]) for name in cohort.overall]
    figure = Figure(figsize=(_WIDTH_IN, 0.6 + 0.2 * len(names)), dpi=_DPI, layout="constrained")
    axes = figure.add_subplot()
    for place, own in enumerate(values):
        if len(own):
            _box(axes, place, own)
    medians = [paper.DICE[key].median for key in keys]
    (marks,) = axes.plot(medians, range(len(keys)), "D", ms=3.2, mfc="none", mec=_OTHER, mew=0.8, zorder=5)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.axhline(len(keys) - 0.5, color=_QUIET, lw=0.5)
    lowest = min([*medians, *(float(own.min()) for own in values if len(own))])
    axes.set_xlim(max(-0.02, np.floor(lowest * 10) / 10 - 0.02), 1.01)
    axes.set_xlabel("Dice coefficient")
    axes.grid(axis="x", color="#e3e6ea", lw=0.5)
    axes.set_axisbelow(True)
    figure.legend([marks], [f"median, {paper.CAPTION}"], loc="outside lower center", frameon=False, fontsize=_SMALL)
    return _finish(figure, [axes])


def draw_regression(cohort: Cohort) -> bytes:
    """Automatic against reference size of each structure, as PNG, with the line fitted to their natural logarithms."""

    def panel(axes: Axes, own: StructureCohort) -> None:
        x, y = np.array(own.reference), np.array(own.prediction)
        both = (x > 0) & (y > 0)
        x, y = np.log(x[both]), np.log(y[both])
        if len(x):
            low, high = min(x.min(), y.min()), max(x.max(), y.max())
            margin = max(0.08 * (high - low), 0.05)
            low, high = low - margin, high + margin
            ends = np.array([low, high])
            axes.plot(ends, ends, color=_QUIET, lw=0.7, ls=(0, (3, 2)), zorder=1)
            line = own.log_correlation
            if line.slope is not None and line.intercept is not None:
                axes.plot(ends, line.intercept + line.slope * ends, color=_INK, lw=0.9, zorder=2)
            _dots(axes, x, y, own)
            axes.set_xlim(low, high)
            axes.set_ylim(low, high)
            _size_ticks(axes, low, high)
        r = own.log_correlation
        _head(axes, own, f"n = {r.n}" if r.r is None else f"r = {r.r:.3f}, p {_equals(r.p)}")

    return _panels(cohort, panel, "Reference, {} (ln scale)", "Automatic, {} (ln scale)")


def draw_bland_altman(cohort: Cohort) -> bytes:
    """Difference against mean of the two sizes of each structure, as PNG, with mean and limits of agreement."""

    def panel(axes: Axes, own: StructureCohort) -> None:
        x, y = np.array(own.reference), np.array(own.prediction)
        found = own.agreement
        axes.axhline(0.0, color=_QUIET, lw=0.5)
        for value, interval in (
            (found.mean, found.mean_ci),
            (found.lower, found.lower_ci),
            (found.upper, found.upper_ci),
        ):
            if value is not None and interval is not None:
                axes.axhspan(*interval, color=_FILL, lw=0, alpha=0.7, zorder=0)
                axes.axhline(value, color=_INK, lw=0.9, ls="-" if value is found.mean else (0, (4, 2)), zorder=2)
        if len(x):
            _dots(axes, (x + y) / 2, y - x, own)
            least = max(0.01 * float(np.max(x + y)) / 2, 0.01)
            axes.set_xlim(*_widened(axes.get_xlim(), least))
            axes.set_ylim(*_widened(axes.get_ylim(), least))
        axes.ticklabel_format(useOffset=False)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        text = f"n = {found.n}"
        if found.mean is not None and found.lower is not None and found.upper is not None:
            digits = difference_digits(own)
            text = f"{signed(found.mean, digits)} ({signed(found.lower, digits)} to {signed(found.upper, digits)})"
        _head(axes, own, text)

    return _panels(cohort, panel, "Mean, {}", "Difference, {}")


def _widened(limits: tuple[float, float], least: float) -> tuple[float, float]:
    """An axis that spans at least so much: equal sizes differ by rounding alone, and no axis should show that."""
    middle, half = sum(limits) / 2, max(limits[1] - limits[0], least) / 2
    return middle - half, middle + half


def _head(axes: Axes, own: StructureCohort, text: str) -> None:
    """The structure's name and what was found, above the panel, where they hide no point."""
    axes.set_title(own.structure.abbreviation, loc="left", fontsize=_TEXT, fontweight="bold", pad=2.5, color=_INK)
    axes.set_title(text, loc="right", fontsize=_SMALL - 0.5, pad=2.5, color=_INK)


def _panels(cohort: Cohort, draw: Callable[[Axes, StructureCohort], None], x_label: str, y_label: str) -> bytes:
    """A panel for each structure, two in a row, as PNG; the unit is put into the labels of the axes."""
    rows = ceil(len(cohort.structures) / _COLUMNS)
    figure = Figure(figsize=(_WIDTH_IN, 1.5 * rows), dpi=_DPI, layout="constrained")
    every = list(figure.subplots(rows, _COLUMNS, squeeze=False).ravel())
    for axes, own in zip(every, cohort.structures, strict=False):
        draw(axes, own)
        axes.set_xlabel(x_label.format(own.unit), labelpad=1)
        axes.set_ylabel(y_label.format(own.unit), labelpad=1)
    for axes in every[len(cohort.structures) :]:
        axes.set_axis_off()
    return _finish(figure, every)


def _box(axes: Axes, place: int, values: NDArray[np.float64]) -> None:
    q1, median, q3 = np.quantile(values, (0.25, 0.5, 0.75))
    axes.hlines(place, values.min(), values.max(), color=_INK, lw=0.7, zorder=1)
    axes.barh(place, q3 - q1, left=q1, height=0.6, color=_FILL, edgecolor=_INK, lw=0.7, zorder=2)
    axes.vlines(median, place - 0.3, place + 0.3, color=_INK, lw=1.3, zorder=4)
    # Spread evenly within the box, so that equal values do not hide each other.
    spread = place + np.linspace(-0.2, 0.2, len(values)) if len(values) > 1 else np.array([float(place)])
    axes.plot(values, spread, "o", ms=1.8, mfc=_QUIET, mec="none", alpha=0.8, zorder=3)


def _dots(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], own: StructureCohort) -> None:
    colour = [channel / 255 for channel in own.structure.colour]
    axes.plot(x, y, "o", ms=2.8, mfc=colour, mec=_INK, mew=0.3, zorder=3)


def _size_ticks(axes: Axes, low: float, high: float) -> None:
    """Ticks at round sizes: the axis is of logarithms, from low to high, but people think in mL."""
    decades = range(int(np.floor(low / np.log(10))), int(np.ceil(high / np.log(10))) + 1)
    inside = [float(f"{size:.3g}") for size in np.exp(np.linspace(low, high, 5)[1:-1:2])]
    fewest = 1
    for digits in _ROUND:
        sizes = sorted(digit * 10.0**decade for decade in decades for digit in digits)
        sizes = [size for size in sizes if low <= np.log(size) <= high]
        if len(sizes) > fewest and np.diff(np.log(sizes)).min() >= _APART * (high - low):
            inside, fewest = sizes, len(sizes)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator([float(np.log(size)) for size in inside]))
        axis.set_ticklabels([f"{size:g}" for size in inside])


def _equals(p: float | None) -> str:
    text = describe_p(p)
    return text.replace("<", "< ") if text.startswith("<") else f"= {text}"


def _there(values: Sequence[float | None]) -> NDArray[np.float64]:
    return np.array([value for value in values if value is not None], dtype=np.float64)


def _finish(figure: Figure, every: Sequence[Axes]) -> bytes:
    for axes in every:
        axes.tick_params(labelsize=_SMALL, length=2, width=0.5, pad=1.5, colors=_INK)
        axes.xaxis.label.set(fontsize=_SMALL, color=_INK)
        axes.yaxis.label.set(fontsize=_SMALL, color=_INK)
        for side, spine in axes.spines.items():
            spine.set(linewidth=0.5, color=_INK, visible=side in ("left", "bottom"))
    stream = io.BytesIO()
    # No date or version inside: the same figures give the same bytes.
    figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()
