"""`whs-fast evaluate`."""

from pathlib import Path

import click

from whs_fast.cli.options import threads_option
from whs_fast.cli.progress import progress_bar
from whs_fast.errors import InputError
from whs_fast.machine import require_extra

# Repeated here so that --help does not load scipy; a test compares them with the lists they come from.
SCHEMES = ("whs-fast", "mm-whs", "baskaran", "totalsegmentator")
LABEL_SETS = ("whs-fast", "mm-whs", "totalsegmentator")

_HELP = """Compare predicted label maps with reference ones.

It measures overlap, surface distances, volumes and agreement, and writes into DIR: evaluation.html (all tables and
figures on one page), tables.md, dice.png, regression.png, bland_altman.png, cases.csv, overall.csv, structures.csv,
landmarks.csv and evaluation.json.

Label maps are NIfTI, NRRD or MetaImage files, or the folders that run writes (NAME/labels.nii.gz). They are paired by
name: NAME.nii.gz with NAME_label.nii.gz. Where some files of a folder end in _label, _labels, _seg, _segmentation or
_gt, its other files are skipped. File names appear in the results: keep patients' names out of them. Where two grids
differ, the prediction is resampled to the reference's grid, and a warning says so.

A structure that one map lacks has a Dice and a surface Dice of 0 and no distances; one that both lack is left out. A
figure that needs more cases than there are (2 for limits of agreement, 3 for a correlation) is left empty.

\b
Landmarks are the centre of the aortic valve in mm, LPS:
  CSV    case,x_mm,y_mm,z_mm
  JSON   {"case_01": [12.5, -31.0, 204.2], ...}

\b
Examples:
  whs-fast evaluate --pred results --ref labels -o evaluation
  whs-fast evaluate --pairs pairs.csv -o evaluation                 columns case,prediction,reference
  whs-fast evaluate --pred results --ref mmwhs --ref-labels mm-whs -o evaluation
  whs-fast evaluate --pred results --ref labels --scheme baskaran --landmarks valves.csv -o evaluation
"""

_FOLDER = click.Path(path_type=Path)


@click.command("evaluate", help=_HELP)
@click.option("--pred", "predictions", metavar="DIR", type=_FOLDER, help="Folder of predicted label maps.")
@click.option("--ref", "references", metavar="DIR", type=_FOLDER, help="Folder of reference label maps.")
@click.option("--pairs", "table", metavar="CSV", type=_FOLDER, help="Pairs of files, in place of --pred and --ref.")
@click.option("-o", "--output", "folder", required=True, metavar="DIR", type=_FOLDER, help="Folder for the results.")
@click.option(
    "--scheme",
    type=click.Choice(SCHEMES),
    help="Structures to compare: our ten, the seven of MM-WHS, the five of Baskaran et al., or the heart chambers of "
    "TotalSegmentator. Default: all that both label sets have.",
)
@click.option(
    "--pred-labels",
    "prediction_labels",
    type=click.Choice(LABEL_SETS),
    default="whs-fast",
    show_default=True,
    help="What the values in the predictions mean.",
)
@click.option(
    "--ref-labels",
    "reference_labels",
    type=click.Choice(LABEL_SETS),
    default="whs-fast",
    show_default=True,
    help="What the values in the references mean.",
)
@click.option("--landmarks", metavar="FILE", type=_FOLDER, help="True valve points.")
@click.option(
    "--pred-landmarks",
    "predicted_landmarks",
    metavar="FILE",
    type=_FOLDER,
    help="Predicted valve points. Default: the measurements.json beside each prediction.",
)
@threads_option
@click.option("--overwrite", is_flag=True, help="Replace an earlier evaluation in DIR.")
def command(
    predictions: Path | None,
    references: Path | None,
    table: Path | None,
    folder: Path,
    scheme: str | None,
    prediction_labels: str,
    reference_labels: str,
    landmarks: Path | None,
    predicted_landmarks: Path | None,
    threads: int | None,
    overwrite: bool,
) -> None:
    require_extra("cohort", "evaluate")
    from whs_fast.study.evaluation.evaluating import evaluate_pairs
    from whs_fast.study.evaluation.pairing import pair_folders, read_pairs
    from whs_fast.study.evaluation.saving import RESULT_NAMES, save
    from whs_fast.writing.result_folder import check_folder

    if table is not None and predictions is None and references is None:
        pairs = read_pairs(table)
    elif table is None and predictions is not None and references is not None:
        pairs = pair_folders(predictions, references)
    else:
        raise InputError("give either --pred and --ref, or --pairs alone")
    check_folder(folder, overwrite=overwrite, names=RESULT_NAMES)
    with progress_bar() as progress:
        evaluation = evaluate_pairs(
            pairs,
            scheme=scheme,
            prediction_labels=prediction_labels,
            reference_labels=reference_labels,
            landmarks=landmarks,
            predicted_landmarks=predicted_landmarks,
            threads=threads,
            progress=progress,
        )
        save(evaluation, folder, overwrite=overwrite)
    for warning in evaluation.warnings:
        click.echo(f"warning: {warning}", err=True)
    for own in evaluation.cohort.structures:
        median = "not found" if own.dice.median is None else f"{own.dice.median:.3f}"
        click.echo(f"{own.structure.name:<28}{median:>9}")
    for name, summary in evaluation.cohort.overall.items():
        click.echo(f"{name:<28}{'not found' if summary.median is None else f'{summary.median:.3f}':>9}")
    click.echo(f"Median Dice of {len(evaluation.cohort.cases)} cases: {folder / 'evaluation.html'}")
