"""Score the shipped models on held-out rendered scans, with the figures of `whs-fast evaluate`.

`python -m training.score SCANS -o OUT` (SCANS made by training.scans) runs the whole engine over the scans, once with
each localiser, and leaves in OUT

    squeezenet/NAME, vgg16/NAME         what `whs-fast run` leaves of each scan
    squeezenet.json, vgg16.json         the valve as the localiser by itself finds it
    evaluation_squeezenet, ..._vgg16    what `whs-fast evaluate --pred OUT/squeezenet --ref SCANS --landmarks
                                        SCANS/valves.json` leaves of them

The figures that `whs-fast info` prints go into models.json beside the models: medians over the scans. `--models FOLDER`
scores other models than those that ship.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from whs_fast import Engine
from whs_fast.reading.scan import read
from whs_fast.steps.localise import localise
from whs_fast.study.evaluation.collecting import LandmarkCohort, collect_landmark
from whs_fast.study.evaluation.evaluating import Evaluation, evaluate_pairs
from whs_fast.study.evaluation.landmarks import compare_landmark, read_landmarks
from whs_fast.study.evaluation.pairing import pair_folders
from whs_fast.study.evaluation.saving import save
from whs_fast.study.evaluation.schemes import SCHEMES

from training.export_dense_vnet import MODELS
from training.export_localisers import slice_predictors

LOCALISERS = ("vgg16", "squeezenet")  # the default last: its segmentation is the one reported


def segment(scans: Path, out: Path, localiser: str, models: Path, threads: int | None) -> None:
    """Runs the engine over the scans of a folder, and the localiser by itself."""
    engine = Engine(threads=threads, localiser=localiser, models=models)
    predict = slice_predictors(models, localiser)
    alone = {}
    for name in sorted(json.loads((scans / "valves.json").read_text())):
        scan = read(scans / f"{name}.nii.gz")
        engine.run(scan).save(out / localiser / name, overwrite=True)
        alone[name] = localise(scan, predict, threads=1).point_mm
        print(localiser, name, flush=True)
    (out / f"{localiser}.json").write_text(json.dumps(alone, indent=1) + "\n")


def score(scans: Path, out: Path, localiser: str, threads: int | None) -> tuple[Evaluation, LandmarkCohort]:
    """Evaluates what `segment` left: the labels with the valve as reported, and the valve of the localiser alone."""
    pairs, valves = pair_folders(out / localiser, scans), scans / "valves.json"
    found = evaluate_pairs(pairs, landmarks=valves, threads=threads)
    save(found, out / f"evaluation_{localiser}", overwrite=True)
    true, alone = read_landmarks(valves), read_landmarks(out / f"{localiser}.json")
    return found, collect_landmark({name: compare_landmark(alone[name], true[name]) for name in alone})


def segmentation_figures(found: Evaluation) -> dict[str, float]:
    """Medians over the scans, and the mean over scans of the seven large structures' mean Dice."""
    cohort = found.cohort
    figures = {f"{name}_median": summary.median for name, summary in cohort.overall.items()}
    figures |= {f"dice_{own.structure.key}_median": own.dice.median for own in cohort.structures}
    large = [own.dice.mean for own in cohort.structures if own.structure.key in SCHEMES["mm-whs"]]
    figures["mean_seven_large"] = float(np.mean([mean for mean in large if mean is not None]))
    return {name: round(value, 4) for name, value in figures.items() if value is not None}


def localisation_figures(reported: LandmarkCohort, alone: LandmarkCohort) -> dict[str, float]:
    """Errors of the valve, as reported and as the localiser by itself finds it, in mm."""
    figures: dict[str, float] = {"scans": reported.distance.n}
    for name, cohort in (("valve", reported), ("localiser", alone)):
        assert cohort.distance.median is not None and cohort.distance.high is not None
        figures[f"{name}_error_mm_median"] = round(cohort.distance.median, 2)
        figures[f"{name}_error_mm_worst"] = round(cohort.distance.high, 2)
        figures[f"{name}_within_10_mm"] = cohort.within_10_mm
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scans", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    for localiser in LOCALISERS:
        segment(options.scans, options.out, localiser, options.models, options.threads)
        found, alone = score(options.scans, options.out, localiser, options.threads)
        figures["dense_vnet"] = segmentation_figures(found)
        assert found.cohort.landmark is not None
        figures[localiser] = localisation_figures(found.cohort.landmark, alone)
    text = json.dumps({name: figures[name] for name in ("dense_vnet", "squeezenet", "vgg16")}, indent=2)
    (options.models / "models.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
