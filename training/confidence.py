"""The confidence of a result: draw scans, run the engine over them, fit what predicts Dice, and score it.

    python -m training.confidence draw FOLDER      scans for calibration and judgement (training/confidence_scans.py)
    python -m training.confidence run FOLDER       figures and true Dice of each, kept by the hashes of the models
    python -m training.confidence fit FOLDER       confidence.json beside the models, from the calibration alone
    python -m training.confidence score FOLDER     what it is worth on the judgement scans: table and plot
    python -m training.confidence all FOLDER       all of these in turn

Each goes on where it stopped. After new weights of Dense V-Net or of the localisers, `all` runs what depends on them.
--models FOLDER takes other models than those that ship.
"""

import argparse
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import whs_fast
from numpy.typing import NDArray
from whs_fast.networks.installed import hash_files
from whs_fast.steps.confidence import (
    Calibration,
    Population,
    Trees,
    judge,
    overall_vector,
    read_calibration,
    structure_vector,
)
from whs_fast.steps.contrast import lacks_contrast
from whs_fast.steps.figures import Figures, find_places
from whs_fast.steps.heart_box import cut_heart_box
from whs_fast.structures import STRUCTURES
from whs_fast.study.evaluation.maps import read_map
from whs_fast.study.evaluation.overlap import count_pairs, overall_figures
from whs_fast.study.evaluation.schemes import LABEL_SETS
from whs_fast.volume import Volume

from training.boosting import as_json, fit_trees, predict_all
from training.confidence_scans import Case, cases, write
from training.export_dense_vnet import MODELS
from training.hashes import list_hashes

LABELS = [structure.label for structure in STRUCTURES]
PARTS = ("calibration", "judgement")
WRONG = 0.80  # an overall Dice below asks for a review
CAUGHT = 0.97  # of the wrong results in the calibration's cross-validation, to stay over 95 %
FOLDS = 5
CHECKED_EVERY = 2  # anatomies: a second pass costs as much as the first
REPEATS = 3  # ensembles of trees a model is the mean of
FIT_SEED = 20261126


def hash_models(models: Path) -> str:
    """Of everything that figures depend on, in short."""
    files = [path for name in ("dense_vnet", "squeezenet_*") for path in sorted(models.glob(f"{name}.[xb]*"))]
    return hashlib.sha256(hash_files(files).encode()).hexdigest()[:12]


def true_dice(found: NDArray[np.uint8], truth: NDArray[np.uint8]) -> dict[str, float | None]:
    """Overall pooled Dice and that of each structure; None where neither map has it, the former 0 without a heart."""
    counts = count_pairs(found, truth, len(LABELS) + 1)
    both, total = np.diag(counts), counts.sum(0) + counts.sum(1)
    dice = {s.key: float(2 * both[s.label] / total[s.label]) if total[s.label] else None for s in STRUCTURES}
    return {"overall_pooled": overall_figures(counts, LABELS)["overall_pooled"] or 0.0} | dice


def run(folder: Path, models: Path) -> None:
    """Adds to FOLDER/figures_HASH.jsonl what the engine finds of each scan that is drawn and not yet in it."""
    kept = folder / f"figures_{hash_models(models)}.jsonl"
    known = {(row["part"], row["name"]) for row in read_rows(folder, models)}
    engine = whs_fast.Engine(threads=1, models=models)
    for part in PARTS:
        for number, case in enumerate(cases(part)):
            file = folder / part / f"{case.name}.nii"
            if (part, case.name) in known or not file.exists():
                continue
            result = engine.run(file, check=case.index % CHECKED_EVERY == 0)
            labels = file.with_name(f"{case.name}_labels.nii.gz")
            truth = read_map(labels, LABEL_SETS["whs-fast"]).labels
            row = describe(case, result, truth)
            with kept.open("a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")
            if number % 10 == 9:
                print(f"{part}: {number + 1} of {len(cases(part))} scans run", flush=True)


def describe(case: Case, result: whs_fast.Result, truth: NDArray[np.uint8]) -> dict[str, Any]:
    assert result.figures is not None
    box = cut_heart_box(Volume(result.scan.array, result.spacing_mm, result.origin_mm, result.direction), truth)
    sizes = np.bincount(truth.ravel(), minlength=len(LABELS) + 1) * result.scan.grid.voxel_ml
    return {
        "part": case.part,
        "name": case.name,
        "fault": case.fault,
        "anatomy": case.index,
        "figures": asdict(result.figures),
        "agreed": result.agreed,
        "contrast": result.measurements["contrast"],
        "dice": true_dice(result.labels, truth),
        "true_ml": sizes[1:].tolist(),
        "true_places_mm": None if box is None else find_places(box)[1:].tolist(),
    }


def read_rows(folder: Path, models: Path) -> list[dict[str, Any]]:
    """What `run` left, with figures and agreement as the engine has them."""
    kept = folder / f"figures_{hash_models(models)}.jsonl"
    rows = [json.loads(line) for line in kept.read_text("utf-8").splitlines()] if kept.exists() else []
    for row in rows:
        own = row["figures"]
        row["figures"] = Figures(own["whole"], {int(label): own["structures"][label] for label in own["structures"]})
        if row["agreed"] is not None:
            row["agreed"] = {int(label): value for label, value in row["agreed"].items()}
    return rows


def find_population(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Sizes and places of the structures in the labels of ordinary scans, and their median Dice."""
    ordinary = [row for row in rows if row["fault"] is None]
    found = {}
    for number, structure in enumerate(STRUCTURES):
        own = [row for row in ordinary if row["true_ml"][number] > 0]
        log_ml = np.log([row["true_ml"][number] for row in own])
        places = np.array([row["true_places_mm"][number] for row in own])
        dice = [row["dice"][structure.key] for row in own]
        found[structure.key] = {
            "log_ml": [round(float(log_ml.mean()), 4), round(float(log_ml.std()), 4)],
            "place_mm": [places.mean(0).round(2).tolist(), places.std(0).round(2).tolist()],
            "usual": round(float(np.median(dice)), 4),
        }
    return found


class _Table:
    """Vectors and true Dice of rows: of the whole, and of each structure that was found."""

    def __init__(self, rows: list[dict[str, Any]], population: Population, checked: bool) -> None:
        agreed = [row["agreed"] if checked else None for row in rows]
        self.anatomy = np.array([row["anatomy"] for row in rows])
        pairs = list(zip(rows, agreed, strict=True))
        self.overall = np.array([overall_vector(row["figures"], population, own) for row, own in pairs])
        self.dice = np.array([row["dice"]["overall_pooled"] for row in rows])
        found = [
            (index, s, row["dice"][s.key])
            for index, row in enumerate(rows)
            for s in STRUCTURES
            if row["figures"].structures[s.label]["volume_ml"]
        ]
        self.row_of = np.array([index for index, _, _ in found])
        self.structures = np.array(
            [structure_vector(rows[i]["figures"], s.label, population, agreed[i]) for i, s, _ in found]
        )
        self.structure_dice = np.array([dice for _, _, dice in found])


def _mean_trees(x: NDArray[np.float64], y: NDArray[np.float64], **options: Any) -> Trees:
    """The mean of ensembles of different seeds, which is one ensemble."""
    own = [fit_trees(x, y, np.random.default_rng([FIT_SEED, i]), **options) for i in range(REPEATS)]
    return Trees(
        float(np.mean([trees.start for trees in own])),
        np.concatenate([trees.feature for trees in own]),
        np.concatenate([trees.threshold for trees in own]),
        np.concatenate([trees.value for trees in own]) / REPEATS,
    )


# Chosen by cross-validation on the calibration scans.
OVERALL = {"count": 80, "depth": 3, "rate": 0.1, "least": 4}
STRUCTURE = {"count": 80, "depth": 3, "rate": 0.1, "least": 20}


def cross_validate(table: _Table) -> NDArray[np.float64]:
    """Overall Dice of each row, predicted from the other anatomies."""
    predicted = np.zeros(len(table.dice))
    for fold in range(FOLDS):
        held = table.anatomy % FOLDS == fold
        trees = _mean_trees(table.overall[~held], table.dice[~held], **OVERALL)
        predicted[held] = predict_all(trees, table.overall[held])
    return predicted.clip(0, 1)


def choose_limit(predicted: NDArray[np.float64], dice: NDArray[np.float64]) -> float:
    """The lowest limit that flags CAUGHT of the wrong results: what it flags of the right ones is then the least."""
    wrong = np.sort(predicted[dice < WRONG])
    return float(np.floor(1000 * wrong[int(np.ceil(CAUGHT * len(wrong))) - 1]) + 1) / 1000


def fit(folder: Path, models: Path) -> None:
    """Writes confidence.json beside the models."""
    rows = [row for row in read_rows(folder, models) if row["part"] == "calibration"]
    content: dict[str, Any] = {
        "network": hash_files([models / "dense_vnet.xml", models / "dense_vnet.bin"]),
        "population": find_population(rows),
    }
    population = _population(content["population"])
    for name, checked in (("plain", False), ("checked", True)):
        own = [row for row in rows if row["agreed"] is not None or not checked]
        table = _Table(own, population, checked)
        guessed = cross_validate(table)
        limit = choose_limit(guessed, table.dice)
        print(f"{name}, cross-validated on {len(own)} scans: {tell(guessed, table.dice, guessed < limit)}", flush=True)
        content[name] = {
            "overall": as_json(_mean_trees(table.overall, table.dice, **OVERALL)),
            "structures": as_json(_mean_trees(table.structures, table.structure_dice, **STRUCTURE)),
            "review_below": limit,
        }
    (models / "confidence.json").write_text(json.dumps(content) + "\n", encoding="utf-8")
    list_hashes(models)


def _population(content: dict[str, Any]) -> Population:
    empty = {"start": 0, "feature": [[0]], "threshold": [[0]], "value": [[0, 0]]}
    predictor = {"overall": empty, "structures": empty, "review_below": 0}
    return read_calibration(
        {"network": "", "population": content, "plain": predictor, "checked": predictor}
    ).population


def tell(predicted: NDArray[np.float64], dice: NDArray[np.float64], flagged: NDArray[np.bool_]) -> str:
    """The figures that matter, in one line."""
    wrong = dice < WRONG
    return (
        f"mean absolute error {np.abs(predicted - dice).mean():.3f}, r {np.corrcoef(predicted, dice)[0, 1]:.3f}; "
        f"flagged {int((flagged & wrong).sum())} of {int(wrong.sum())} wrong, "
        f"{int((flagged & ~wrong).sum())} of {int((~wrong).sum())} right"
    )


def score(folder: Path, models: Path) -> None:
    """Prints what the calibration is worth on the judgement scans, and draws FOLDER/confidence.png."""
    calibration = read_calibration(json.loads((models / "confidence.json").read_text("utf-8")))
    rows = [row for row in read_rows(folder, models) if row["part"] == "judgement"]
    judged = {name: _judge_all(rows, calibration, name == "checked") for name in ("plain", "checked")}
    dice = np.array([row["dice"]["overall_pooled"] for row in rows])
    for name, (predicted, flagged, _) in judged.items():
        print(f"{name}, {len(rows)} scans: {tell(predicted, dice, flagged)}")
    print(tabulate(rows, judged["plain"], judged["checked"]))
    draw(folder / "confidence.png", rows, dice, judged["plain"][0], judged["plain"][1])


Judged = tuple[NDArray[np.float64], NDArray[np.bool_], list[dict[str, float]]]


def _judge_all(rows: list[dict[str, Any]], calibration: Calibration, checked: bool) -> Judged:
    found = [
        judge(
            row["figures"],
            lacks_contrast(row["contrast"]),
            calibration,
            agreed=row["agreed"] if checked else None,
        )
        for row in rows
    ]
    predicted = [entry["predicted_dice"] for entry in found]
    return (
        np.array([own["overall_pooled"] for own in predicted]),
        np.array([entry["review"] for entry in found]),
        predicted,
    )


def tabulate(rows: list[dict[str, Any]], plain: Judged, checked: Judged) -> str:
    """Markdown: scans, true and predicted Dice and flags by fault, and the error for each structure."""
    dice = np.array([row["dice"]["overall_pooled"] for row in rows])
    lines = ["| scans | n | true overall Dice, median (range) | wrong | flagged: wrong, right | with `--check` |"]
    lines.append("|---|---|---|---|---|---|")
    for fault in dict.fromkeys(row["fault"] for row in rows):
        own = np.array([row["fault"] == fault for row in rows])
        wrong = own & (dice < WRONG)
        flags = [f"{int((f & wrong).sum())}, {int((f & own & ~wrong).sum())}" for f in (plain[1], checked[1])]
        name = "ordinary" if fault is None else fault.replace("_", " ")
        spread = f"{np.median(dice[own]):.2f} ({dice[own].min():.2f}–{dice[own].max():.2f})"
        lines.append(f"| {name} | {own.sum()} | {spread} | {wrong.sum()} | {flags[0]} | {flags[1]} |")
    lines += ["", "| structure | n | mean absolute error, r | with `--check` |", "|---|---|---|---|"]
    for key in ("overall_pooled", *(s.key for s in STRUCTURES)):
        known = [i for i, row in enumerate(rows) if row["dice"][key] is not None]
        true = np.array([rows[i]["dice"][key] for i in known])
        cells = []
        for judged in (plain, checked):
            guess = np.array([judged[2][i][key] for i in known])
            cells.append(f"{np.abs(guess - true).mean():.3f}, {np.corrcoef(guess, true)[0, 1]:.2f}")
        lines.append(f"| {key} | {len(known)} | {cells[0]} | {cells[1]} |")
    return "\n".join(lines)


def draw(
    file: Path,
    rows: list[dict[str, Any]],
    dice: NDArray[np.float64],
    predicted: NDArray[np.float64],
    flagged: NDArray[np.bool_],
) -> None:
    """Predicted against true overall Dice; flagged scans as crosses."""
    from matplotlib import pyplot as plt

    spoilt = np.array([row["fault"] is not None for row in rows])
    figure, axes = plt.subplots(figsize=(4.6, 4.4), dpi=100)
    axes.plot([0, 1], [0, 1], color="0.7", lw=1)
    axes.axvline(WRONG, color="0.7", lw=1, ls=":")
    for own, colour, name in ((~spoilt, "tab:blue", "ordinary"), (spoilt, "tab:orange", "spoilt")):
        for shown, mark, what in ((own & ~flagged, "o", ""), (own & flagged, "x", ", review")):
            axes.scatter(dice[shown], predicted[shown], 14, colour, marker=mark, alpha=0.7, label=f"{name}{what}")
    axes.set(xlabel="true overall Dice (pooled)", ylabel="predicted", xlim=(-0.02, 1), ylim=(-0.02, 1))
    axes.legend(loc="upper left", fontsize=8)
    figure.tight_layout()
    figure.savefig(file)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("draw", "run", "fit", "score", "all"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=Path, default=MODELS)
    options = parser.parse_args()
    torch.set_num_threads(1)  # many small steps: threads cost more than they save
    if options.what in ("draw", "all"):
        for part in PARTS:
            write(options.folder, part)
    for name, step in (("run", run), ("fit", fit), ("score", score)):
        if options.what in (name, "all"):
            step(options.folder, options.models)


if __name__ == "__main__":
    main()
