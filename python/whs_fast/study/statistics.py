"""Statistics of a cohort: how a variable is summarised, and how two measurements of the same thing agree.

The tests themselves are scipy's. What is added here is which values take part, which summary describes them, and None
where a figure is not defined (too few values, or no spread) instead of a number that looks like one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

NORMAL_ABOVE = 0.05
_LEAST_SHAPIRO = 3
_Z = 1.959963984540054  # of 95% of a normal distribution


@dataclass(frozen=True)
class Summary:
    """One variable over the cases.

    missing counts the values that are absent (NaN); everything else describes the n that are present, and is None where
    there are too few. sd has n - 1 in its denominator; quartiles are interpolated linearly (numpy's default, type 7 of
    Hyndman and Fan). shapiro_p is None for fewer than three values or for equal ones, which then count as not normal.
    """

    n: int
    missing: int
    mean: float | None
    sd: float | None
    median: float | None
    q1: float | None
    q3: float | None
    low: float | None
    high: float | None
    shapiro_p: float | None

    @property
    def normal(self) -> bool:
        """Whether Shapiro-Wilk does not reject a normal distribution at 0.05: mean +- SD then describes it."""
        return self.shapiro_p is not None and self.shapiro_p > NORMAL_ABOVE


@dataclass(frozen=True)
class Paired:
    """A p-value of Wilcoxon's signed rank test and the number of pairs; p is None where no pair differs."""

    n: int
    p: float | None


@dataclass(frozen=True)
class Correlation:
    """Pearson's r with its two-sided p, and the line y = intercept + slope * x.

    All None for fewer than three pairs, or where x or y does not vary.
    """

    n: int
    r: float | None
    p: float | None
    slope: float | None
    intercept: float | None


@dataclass(frozen=True)
class Agreement:
    """Bland and Altman's figures for the differences y - x, each with its 95% confidence interval.

    The limits of agreement are mean -+ 1.96 SD. With fewer than two pairs, all but n and mean are None.
    """

    n: int
    mean: float | None
    mean_ci: tuple[float, float] | None
    sd: float | None
    lower: float | None
    lower_ci: tuple[float, float] | None
    upper: float | None
    upper_ci: tuple[float, float] | None


def summarise(values: ArrayLike) -> Summary:
    """Summary of one variable, a sequence of numbers in which NaN stands for a missing value.

    Shapiro and Wilk, Biometrika 1965, doi 10.1093/biomet/52.3-4.591, as scipy.stats.shapiro computes it. Raises
    ValueError for infinite values.
    """
    everything = np.asarray(values, dtype=np.float64).ravel()
    if np.isinf(everything).any():
        raise ValueError("values: one is infinite, expected finite numbers or NaN")
    there = everything[~np.isnan(everything)]
    n, missing = len(there), len(everything) - len(there)
    if n == 0:
        return Summary(0, missing, *(None,) * 8)
    q1, median, q3 = (float(value) for value in np.quantile(there, (0.25, 0.5, 0.75)))
    low, high = float(there.min()), float(there.max())
    varied = n >= _LEAST_SHAPIRO and high > low
    return Summary(
        n,
        missing,
        float(there.mean()),
        float(there.std(ddof=1)) if n > 1 else None,
        median,
        q1,
        q3,
        low,
        high,
        float(stats.shapiro(there).pvalue) if varied else None,
    )


def describe(summary: Summary, digits: int) -> str:
    """Mean +- SD where the values look normal, else median (Q1-Q3), with that many digits; a dash for no values."""
    if summary.normal:
        assert summary.mean is not None
        return f"{signed(summary.mean, digits)} ± {summary.sd:.{digits}f}"
    return describe_median(summary, digits)


def describe_median(summary: Summary, digits: int) -> str:
    """Median (Q1-Q3), with that many digits; a dash for no values."""
    if summary.median is None or summary.q1 is None or summary.q3 is None:
        return "–"
    joint = "–" if summary.q1 >= 0 else " to "
    return f"{signed(summary.median, digits)} ({signed(summary.q1, digits)}{joint}{signed(summary.q3, digits)})"


def describe_p(p: float | None) -> str:
    """A p-value with three decimals, `<0.001` below that, a dash for None."""
    if p is None:
        return "–"
    return "<0.001" if p < 0.0005 else f"{p:.3f}"


def signed(value: float, digits: int) -> str:
    """A number that may be negative, with a true minus sign, and without one where it rounds to zero."""
    text = f"{value:.{digits}f}"
    return f"−{text[1:]}" if float(text) < 0 else text.lstrip("-")


def signed_rank(x: ArrayLike, y: ArrayLike) -> Paired:
    """Wilcoxon's signed rank test, two-sided, of pairs; those with a NaN are left out.

    Pairs without a difference carry no sign and are dropped, as Wilcoxon did; scipy chooses the exact distribution for
    small numbers of pairs. Wilcoxon, Biometrics Bulletin 1945, doi 10.2307/3001968.
    """
    a, b = _pairs(x, y)
    if not np.any(a != b):
        return Paired(len(a), None)
    return Paired(len(a), float(stats.wilcoxon(a, b).pvalue))


def correlate(x: ArrayLike, y: ArrayLike) -> Correlation:
    """Pearson's correlation and the least-squares line of pairs; those with a NaN are left out."""
    a, b = _pairs(x, y)
    if len(a) < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return Correlation(len(a), None, None, None, None)
    line = stats.linregress(a, b)
    return Correlation(len(a), float(line.rvalue), float(line.pvalue), float(line.slope), float(line.intercept))


def agree(x: ArrayLike, y: ArrayLike) -> Agreement:
    """Mean difference y - x and limits of agreement of pairs; those with a NaN are left out.

    The limits' confidence intervals use the variance s^2 (1/n + z^2 / (2 (n - 1))) and Student's t with n - 1 degrees
    of freedom: Bland and Altman, Stat Methods Med Res 1999, doi 10.1177/096228029900800204.
    """
    a, b = _pairs(x, y)
    n = len(a)
    if n < 2:
        return Agreement(n, float(b[0] - a[0]) if n else None, *(None,) * 6)
    difference = b - a
    mean, sd = float(difference.mean()), float(difference.std(ddof=1))
    t = float(stats.t.ppf(0.975, n - 1))
    lower, upper = mean - _Z * sd, mean + _Z * sd
    of_mean, of_limit = t * sd / n**0.5, t * sd * (1 / n + _Z**2 / (2 * (n - 1))) ** 0.5
    return Agreement(
        n,
        mean,
        (mean - of_mean, mean + of_mean),
        sd,
        lower,
        (lower - of_limit, lower + of_limit),
        upper,
        (upper - of_limit, upper + of_limit),
    )


def _pairs(x: ArrayLike, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    a, b = np.asarray(x, dtype=np.float64).ravel(), np.asarray(y, dtype=np.float64).ravel()
    if a.shape != b.shape:
        raise ValueError(f"pairs: found {len(a)} and {len(b)} values, expected equal numbers")
    there = ~(np.isnan(a) | np.isnan(b))
    return a[there], b[there]
