"""The tables for people: the paper's Table 2 (overlap) and Table 3 (sizes), surfaces, agreement, landmark, cases.

Programs read the CSV files instead.
"""

from whs_fast.study.evaluation import paper
from whs_fast.study.evaluation.collecting import AXES, Cohort, StructureCohort
from whs_fast.study.evaluation.paper import Quartiles
from whs_fast.study.evaluation.surfaces import TOLERANCES_MM
from whs_fast.study.statistics import Summary, describe, describe_median, describe_p, signed
from whs_fast.study.tables import NONE, Table

_AXIS_NAMES = {"x": "x (to the left)", "y": "y (to the back)", "z": "z (to the head)"}


def make_tables(cohort: Cohort) -> list[Table]:
    """All tables of a cohort, in the order of the paper's."""
    tables = [_overlap(cohort), _surfaces(cohort), _sizes(cohort), _agreement(cohort)]
    if cohort.landmark is not None:
        tables.append(_landmark(cohort))
    return [*tables, _by_case(cohort)]


def name_of(row: StructureCohort) -> str:
    """How a structure is named in tables."""
    return f"{row.structure.name} ({row.structure.abbreviation})"


def _overlap(cohort: Cohort) -> Table:
    rows = [
        (name_of(own), str(own.dice.n), describe_median(own.dice, 3), _range(own.dice, 3), _of(paper.DICE, own, 3))
        for own in cohort.structures
    ]
    for name, summary in cohort.overall.items():
        rows.append((name, str(summary.n), describe_median(summary, 3), _range(summary, 3), NONE))
    rows.append(("overall, as the paper has it", NONE, NONE, NONE, _quartiles(paper.OVERALL_DICE, 3)))
    notes = [
        "n: cases in which either map has the structure. overall_union: any label against any label; overall_pooled: "
        "2 sum TP / (2 sum TP + sum FP + sum FN) over the structures; mean_structures: mean of the structures' Dice.",
        *(
            f"{name_of(own)}: missing in the prediction of {own.only_reference} and in the reference of "
            f"{own.only_prediction} cases (Dice 0 there), in both maps of {own.absent} (left out)."
            for own in cohort.structures
            if own.only_reference or own.only_prediction or own.absent
        ),
    ]
    columns = ("Dice", "n", "Median (Q1–Q3)", "Range", paper.CAPTION)
    return Table("Overlap (the paper's Table 2)", columns, tuple(rows), tuple(notes), frozenset({4}))


def _surfaces(cohort: Cohort) -> Table:
    rows = [
        (
            name_of(own),
            str(own.hd95_mm.n),
            describe_median(own.hd95_mm, 2),
            describe_median(own.msd_mm, 2),
            *(describe_median(summary, 3) for summary in own.surface_dice),
        )
        for own in cohort.structures
    ]
    columns = ("Median (Q1–Q3)", "n", "HD95, mm", "Mean surface distance, mm") + tuple(
        f"Surface Dice at {limit:g} mm" for limit in TOLERANCES_MM
    )
    notes = (
        "Elements of both surfaces are weighted by their area. HD95: the larger of the two directed 95th percentiles. "
        "n: cases in which both maps have the structure; where one lacks it, there is no distance, and its surface "
        "Dice counts as 0.",
    )
    return Table("Surfaces", columns, tuple(rows), notes)


def _sizes(cohort: Cohort) -> Table:
    rows = []
    for own in cohort.structures:
        digits = _digits(own)
        rows.append(
            (
                f"{name_of(own)}, {own.unit}",
                str(own.reference_size.n),
                *_alike(own.reference_size, own.prediction_size, digits),
                describe_p(own.signed_rank.p),
                _number(own.correlation.r, 3),
                describe_p(own.correlation.p),
                _of(paper.VOLUMES, own, 2 if own.structure.key == "coronary_sinus" else 0),
            )
        )
    columns = ("Size", "n", "Reference", "Automatic", "p, signed rank", "Pearson r", "p of r", paper.CAPTION)
    notes = (
        "Mean ± SD if both columns pass as normal (Shapiro-Wilk, p > 0.05), otherwise median (Q1–Q3). Sizes are those "
        "of each map on its own grid; myocardium at 1.05 g/mL. p of Wilcoxon's signed rank test. From the paper: "
        "reference sizes, median (Q1–Q3).",
    )
    return Table("Sizes (the paper's Table 3)", columns, tuple(rows), notes, frozenset({7}))


def _agreement(cohort: Cohort) -> Table:
    rows = []
    for own in cohort.structures:
        digits, found = difference_digits(own), own.agreement
        rows.append(
            (
                f"{name_of(own)}, {own.unit}",
                str(found.n),
                _with_interval(found.mean, found.mean_ci, digits),
                _with_interval(found.lower, found.lower_ci, digits),
                _with_interval(found.upper, found.upper_ci, digits),
                _number(own.log_correlation.r, 3),
                _paper_agreement(paper.AGREEMENT[own.structure.key]),
            )
        )
    columns = (
        "Automatic minus reference",
        "n",
        "Mean difference (95% CI)",
        "Lower limit (95% CI)",
        "Upper limit (95% CI)",
        "r of logarithms",
        paper.CAPTION,
    )
    notes = (
        "Limits of agreement of Bland and Altman: mean ∓ 1.96 SD of the differences. From the paper, turned round to "
        "automatic minus manual: mean difference and its limits, then Pearson's r of the sizes and its p.",
    )
    return Table("Agreement of sizes", columns, tuple(rows), notes, frozenset({6}))


def _paper_agreement(found: paper.Agreement) -> str:
    limits = f"{signed(found.mean, 2)} ({signed(found.lower, 2)} to {signed(found.upper, 2)})"
    return f"{limits}, r {found.r:.2f}, p {'< 0.001' if found.p is None else found.p}"


def _landmark(cohort: Cohort) -> Table:
    found = cohort.landmark
    assert found is not None
    rows = [
        (_AXIS_NAMES[axis], _alike(summary, summary, 1)[0], _range(summary, 1))
        for axis, summary in zip(AXES, found.axes, strict=True)
    ]
    rows.append(("distance in 3D", describe_median(found.distance, 1), _range(found.distance, 1)))
    notes = (f"Prediction minus reference, LPS. Within 10 mm in {found.within_10_mm} of {found.distance.n} cases.",)
    columns = ("Error, mm", "Mean ± SD or median (Q1–Q3)", "Range")
    return Table("Centre of the aortic valve", columns, tuple(rows), notes)


def _by_case(cohort: Cohort) -> Table:
    rows = [
        (
            case.name,
            *(_number(case.structures[own.structure.key].dice, 3) for own in cohort.structures),
            *(_number(value, 3) for value in case.overall.values()),
        )
        for case in cohort.cases
    ]
    columns = ("Dice", *(own.structure.abbreviation for own in cohort.structures), *cohort.overall)
    return Table("Cases", columns, tuple(rows))


def _alike(a: Summary, b: Summary, digits: int) -> tuple[str, str]:
    """Both as mean +- SD, or both as median (Q1-Q3) where either does not look normal."""
    if a.normal and b.normal:
        return describe(a, digits), describe(b, digits)
    return describe_median(a, digits), describe_median(b, digits)


def difference_digits(own: StructureCohort) -> int:
    """Decimals for differences of sizes: two where they are small."""
    return 2 if own.agreement.sd is not None and own.agreement.sd < 1 else 1


def _digits(own: StructureCohort) -> int:
    """Two decimals for what is small, such as the coronary sinus, else one."""
    return 2 if own.reference_size.median is not None and own.reference_size.median < 10 else 1


def _range(summary: Summary, digits: int) -> str:
    if summary.low is None or summary.high is None:
        return NONE
    return f"{signed(summary.low, digits)}{'–' if summary.low >= 0 else ' to '}{signed(summary.high, digits)}"


def _number(value: float | None, digits: int) -> str:
    return NONE if value is None else signed(value, digits)


def _with_interval(value: float | None, interval: tuple[float, float] | None, digits: int) -> str:
    if value is None or interval is None:
        return _number(value, digits)
    low, high = interval
    return f"{signed(value, digits)} ({signed(low, digits)} to {signed(high, digits)})"


def _of(values: dict[str, Quartiles], own: StructureCohort, digits: int) -> str:
    return _quartiles(values[own.structure.key], digits)


def _quartiles(values: Quartiles, digits: int) -> str:
    return f"{values.median:.{digits}f} ({values.q1:.{digits}f}–{values.q3:.{digits}f})"
