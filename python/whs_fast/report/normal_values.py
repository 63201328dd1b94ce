"""Published normal values of cardiac CT, for comparison with what was measured.

Only values of healthy adults in CT angiography that are published by sex and with their spread, and that measure what
we measure. The eight patients of the paper that the engine follows are no normal range and do not appear. No value is
judged: whether a scan is normal depends on sex, body size, age, cardiac phase and method, and the page says so.
"""

from dataclasses import dataclass

END_SYSTOLE, END_DIASTOLE = "end-systole", "end-diastole"
_SYSTOLE_PERCENT, _DIASTOLE_PERCENT = (25.0, 45.0), (90.0, 10.0)  # of the R-R interval: the heart is nearly still there


def find_moment(phase: str | None) -> str | None:
    """What a phase such as "35%" shows: END_SYSTOLE, END_DIASTOLE, "" for neither; None without a percentage."""
    if phase is None or not phase.endswith("%"):
        return None
    percent = float(phase.removesuffix("%"))
    if _SYSTOLE_PERCENT[0] <= percent <= _SYSTOLE_PERCENT[1]:
        return END_SYSTOLE
    return END_DIASTOLE if percent >= _DIASTOLE_PERCENT[0] or percent <= _DIASTOLE_PERCENT[1] else ""


@dataclass(frozen=True)
class Source:
    """A publication, whom it measured and how to read its figures."""

    citation: str
    subjects: str


@dataclass(frozen=True)
class Normal:
    """One measured quantity of one source.

    key is the structure's; unit is "mL", or "g" for the mass of the myocardium. Ranges are (low, high) for men and for
    women, per square metre of body surface area and, where the source has them, absolute; low is None where only an
    upper limit is known. moment is that of the heart beat at which they hold, where the source measured at several.
    """

    key: str
    name: str
    unit: str
    source: int
    per_m2: tuple[tuple[float | None, float], tuple[float | None, float]]
    absolute: tuple[tuple[float | None, float], tuple[float | None, float]] | None = None
    moment: str | None = None


SOURCES: dict[int, Source] = {
    1: Source(
        "Kang EJ, Lee KN, Choi WJ, et al. Left ventricular functional parameters and geometric patterns in Korean "
        "adults on coronary CT angiography with a 320-detector-row CT scanner. Korean J Radiol 2017;18(4):664-673, "
        "doi 10.3348/kjr.2017.18.4.664; figures as tabled in Cardiovasc Diagn Ther 2020;10(6):1918-1945, "
        "doi 10.21037/cdt-20-530, table 3.",
        "107 men and 65 women, 58 (SD 11) years, without a history of cardiac disease; papillary muscles counted as "
        "myocardium, as here. Ranges are mean plus and minus 1.96 SD, computed from the published means and SDs.",
    ),
    2: Source(
        "Fuchs A, Mejdahl MR, Kühl JT, et al. Normal values of left ventricular mass and cardiac chamber volumes "
        "assessed by 320-detector computed tomography angiography in the Copenhagen General Population Study. "
        "Eur Heart J Cardiovasc Imaging 2016;17(9):1009-1017.",
        "188 men and 381 women, healthy, 40 to 84 (mean 55) years. Upper limits (97.5th percentile) only, in one "
        "phase of the cycle: ventricles are largest in end-diastole, atria in end-systole.",
    ),
}


def _spread(mean: float, sd: float) -> tuple[float, float]:
    return mean - 1.96 * sd, mean + 1.96 * sd


NORMAL_VALUES: tuple[Normal, ...] = (
    Normal(
        "left_ventricle_cavity",
        "Left ventricular cavity",
        "mL",
        1,
        (_spread(23.0, 8.3), _spread(20.8, 7.5)),
        (_spread(41.7, 14.7), _spread(33.7, 12.2)),
        END_SYSTOLE,
    ),
    Normal(
        "left_ventricle_cavity",
        "Left ventricular cavity",
        "mL",
        1,
        (_spread(62.2, 13.9), _spread(60.3, 10.9)),
        (_spread(112.9, 26.1), _spread(98.2, 21.0)),
        END_DIASTOLE,
    ),
    Normal("left_ventricle_cavity", "Left ventricular cavity", "mL", 2, ((None, 97.0), (None, 83.0))),
    Normal(
        "left_ventricle_myocardium",
        "Left ventricular mass",
        "g",
        1,
        (_spread(79.6, 14.0), _spread(66.2, 11.0)),
        (_spread(145.0, 29.1), _spread(107.9, 20.0)),
    ),
    Normal("left_ventricle_myocardium", "Left ventricular mass", "g", 2, ((None, 80.0), (None, 65.0))),
    Normal("right_ventricle_cavity", "Right ventricular cavity", "mL", 2, ((None, 120.0), (None, 102.0))),
    Normal("left_atrium", "Left atrium", "mL", 2, ((None, 60.0), (None, 57.0))),
    Normal("right_atrium", "Right atrium", "mL", 2, ((None, 85.0), (None, 73.0))),
)
