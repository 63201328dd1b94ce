"""`whs-fast run`."""

from pathlib import Path
from typing import Any

import click

from whs_fast.cli.options import segmentation_options
from whs_fast.cli.segmenting import segment

_HELP = """Segment one cardiac CT scan.

INPUT is a NIfTI, NRRD or MetaImage file, a DICOM folder, or a zip of one (`whs-fast series` lists what it holds). DIR
receives labels.nii.gz (the ten structures on the scan's own grid), measurements.json (volumes, LV mass, valve
position), preview.png and report.html. --formats chooses
what is written of the labels:

\b
  nifti       labels.nii.gz
  seg.nrrd    labels.seg.nrrd, for 3D Slicer and ITK-SNAP
  dicom-seg   labels.dcm, a Segmentation, and measurements.dcm, a Structured Report; of DICOM scans only
  stl, glb    meshes/STRUCTURE.stl and heart.glb, in mm and LPS

With --json, standard output holds one JSON object a line, for programs that show progress:

\b
  {"event": "progress", "step": "segment", "done": 0.2}     done: share of the whole
  {"event": "phase", "phase": "75"}                         with --phase all, before each
  {"event": "result", "folder": "results", "measurements": {...}}

What fails has its line on standard error and an exit status above 0, as without --json.

\b
Examples:
  whs-fast run scan.nii.gz -o results
  whs-fast run dicom_folder -o results --threads 2
  whs-fast run study.zip -o results --series 1.2.840.113619.2.55.3
  whs-fast run study.zip -o results --phase 75
  whs-fast run study.zip -o results --phase all
  whs-fast run scan.nrrd -o results --formats nifti,seg.nrrd --overwrite
  whs-fast run scan.nii.gz -o results --report interactive
  whs-fast run dicom_folder -o results --formats nifti,dicom-seg,glb
"""


@click.command("run", help=_HELP)
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "folder",
    required=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for the results; made if it is not there.",
)
@click.option(
    "--series", metavar="UID", help="Series to take where there are several; else the thinnest contrast cardiac one."
)
@click.option(
    "--phase",
    metavar="PERCENT|all",
    help="Phase to take where there are several, in % of the R-R interval (or a name that `whs-fast series` lists, "
    "such as 310ms); else the one nearest to end-systole (35). With all, each goes into DIR/phase_NN.",
)
@segmentation_options
def command(source: Path, folder: Path, series: str | None, phase: str | None, **options: Any) -> None:
    segment(source, folder, series=series, phase=phase, **options)
