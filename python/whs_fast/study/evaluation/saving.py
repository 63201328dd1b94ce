"""The files of an evaluation: CSV and JSON for programs, Markdown, figures and one HTML page for people."""

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from whs_fast.study.evaluation import paper
from whs_fast.study.evaluation.collecting import AXES, Cohort, size_unit
from whs_fast.study.evaluation.evaluating import Evaluation
from whs_fast.study.evaluation.figures import draw_bland_altman, draw_dice, draw_regression
from whs_fast.study.evaluation.landmarks import LandmarkError
from whs_fast.study.evaluation.page import render_page
from whs_fast.study.evaluation.surfaces import TOLERANCES_MM
from whs_fast.study.evaluation.tables import make_tables
from whs_fast.study.tables import to_markdown
from whs_fast.writing.result_folder import written_aside

SCHEMA = 1
RESULT_NAMES = (
    "cases.csv",
    "overall.csv",
    "structures.csv",
    "landmarks.csv",
    "dice.png",
    "regression.png",
    "bland_altman.png",
    "tables.md",
    "evaluation.html",
    "evaluation.json",
)
_CAPTIONS = {
    "dice.png": "Dice of each structure: box Q1 to Q3 with the median, whiskers the range, one dot per case.",
    "regression.png": "Automatic against reference size, both on natural logarithms, with the fitted line; dashed: "
    "equal.",
    "bland_altman.png": "Bland-Altman: difference (automatic minus reference) against mean. Solid: mean difference; "
    "dashed: limits of agreement; bands: their 95% confidence intervals. Numbers: mean difference (limits).",
}


def save(evaluation: Evaluation, folder: Path, *, overwrite: bool = False) -> None:
    """Writes tables, figures and page into a folder: all of RESULT_NAMES (landmarks.csv if there are any), or nothing.

    Raises InputError for earlier results in the folder unless overwrite is true; OutputError where writing fails.
    """
    cohort = evaluation.cohort
    figures = {
        "dice.png": draw_dice(cohort),
        "regression.png": draw_regression(cohort),
        "bland_altman.png": draw_bland_altman(cohort),
    }
    tables = make_tables(cohort)
    title = "Evaluation of whole-heart segmentation"
    about = [
        f"whs_fast {version('whs_fast')}. Research software: not a medical device.",
        f"{len(cohort.cases)} cases. Structures: {evaluation.scheme}; label values: prediction "
        f"{evaluation.prediction_labels}, reference {evaluation.reference_labels}.",
    ]
    with written_aside(folder, overwrite=overwrite, names=RESULT_NAMES) as aside:
        _write_csv(aside / "cases.csv", _case_rows(cohort))
        _write_csv(aside / "overall.csv", [{"case": case.name} | case.overall for case in cohort.cases])
        _write_csv(aside / "structures.csv", _structure_rows(cohort))
        if cohort.landmark is not None:
            _write_csv(aside / "landmarks.csv", _landmark_rows(cohort.landmark.by_case))
        for name, picture in figures.items():
            (aside / name).write_bytes(picture)
        markdown = [f"# {title}\n", *(f"{line}\n" for line in about)]
        markdown += [f"- {warning}\n" for warning in evaluation.warnings]
        markdown += [to_markdown(table) for table in tables]
        (aside / "tables.md").write_text("\n".join(markdown), encoding="utf-8")
        captions = {_CAPTIONS[name]: picture for name, picture in figures.items()}
        page = render_page(title, about, evaluation.warnings, tables, captions)
        (aside / "evaluation.html").write_text(page, encoding="utf-8")
        text = json.dumps(_as_json(evaluation), indent=2, ensure_ascii=False, allow_nan=False)
        (aside / "evaluation.json").write_text(text + "\n", encoding="utf-8")


def _case_rows(cohort: Cohort) -> list[dict[str, Any]]:
    rows = []
    for case in cohort.cases:
        for own in cohort.structures:
            found = case.structures[own.structure.key]
            _, factor = size_unit(own.structure)
            rows.append(
                {
                    "case": case.name,
                    "structure": own.structure.key,
                    "dice": found.dice,
                    "hd95_mm": found.hd95_mm,
                    "mean_surface_distance_mm": found.msd_mm,
                }
                | {_surface_dice(limit): value for limit, value in zip(TOLERANCES_MM, found.surface_dice, strict=True)}
                | {
                    "reference_ml": found.reference_ml,
                    "prediction_ml": found.prediction_ml,
                    "difference_ml": found.prediction_ml - found.reference_ml,
                    "reference_g": found.reference_ml * factor if own.unit == "g" else None,
                    "prediction_g": found.prediction_ml * factor if own.unit == "g" else None,
                }
            )
    return rows


def _structure_rows(cohort: Cohort) -> list[dict[str, Any]]:
    rows = []
    for own in cohort.structures:
        measures = {"dice": own.dice, "hd95_mm": own.hd95_mm, "mean_surface_distance_mm": own.msd_mm}
        measures |= {_surface_dice(limit): found for limit, found in zip(TOLERANCES_MM, own.surface_dice, strict=True)}
        measures |= {"reference": own.reference_size, "prediction": own.prediction_size, "difference": own.difference}
        row: dict[str, Any] = {"structure": own.structure.key, "unit": own.unit}
        for name, summary in measures.items():
            row |= {f"{name}_{field}": value for field, value in asdict(summary).items() if field != "missing"}
        row["signed_rank_p"] = own.signed_rank.p
        row |= {f"pearson_{field}": value for field, value in asdict(own.correlation).items()}
        row |= {f"log_{field}": value for field, value in asdict(own.log_correlation).items()}
        for field, value in asdict(own.agreement).items():
            if isinstance(value, tuple):
                row |= {f"agreement_{field}_low": value[0], f"agreement_{field}_high": value[1]}
            else:
                row[f"agreement_{field}"] = value
        rows.append(row)
    return rows


def _landmark_rows(errors: dict[str, LandmarkError]) -> list[dict[str, Any]]:
    return [
        {"case": name}
        | {f"{axis}_mm": value for axis, value in zip(AXES, error.offset_mm, strict=True)}
        | {"distance_mm": error.distance_mm}
        for name, error in errors.items()
    ]


def _surface_dice(limit_mm: float) -> str:
    return f"surface_dice_{limit_mm:g}_mm"


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Writes numbers with six significant digits, and nothing where a figure is not defined."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: f"{v:.6g}" if isinstance(v, float) else v for name, v in row.items()})


def _as_json(evaluation: Evaluation) -> dict[str, Any]:
    cohort = evaluation.cohort
    return {
        "schema": SCHEMA,
        "version": version("whs_fast"),
        "scheme": evaluation.scheme,
        "prediction_labels": evaluation.prediction_labels,
        "reference_labels": evaluation.reference_labels,
        "warnings": evaluation.warnings,
        "overall": {name: asdict(summary) for name, summary in cohort.overall.items()},
        "structures": {
            own.structure.key: {name: value for name, value in asdict(own).items() if name != "structure"}
            for own in cohort.structures
        },
        "landmark": None if cohort.landmark is None else asdict(cohort.landmark),
        "cases": [asdict(case) for case in cohort.cases],
        "paper": {
            "source": paper.CAPTION,
            "overall_dice": asdict(paper.OVERALL_DICE),
            "dice": {own.structure.key: asdict(paper.DICE[own.structure.key]) for own in cohort.structures},
            "agreement": {own.structure.key: asdict(paper.AGREEMENT[own.structure.key]) for own in cohort.structures},
            "size": {own.structure.key: asdict(paper.VOLUMES[own.structure.key]) for own in cohort.structures},
        },
    }
