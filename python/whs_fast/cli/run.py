"""`whs-fast run`."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click

from whs_fast.cli.options import annulus_plane_option, segmentation_options
from whs_fast.cli.segmenting import segment
from whs_fast.errors import InputError
from whs_fast.machine import require_extra
from whs_fast.temporary import temporary_folder
from whs_fast.writing.result_folder import check_folder

_HELP = """Segment the heart in one cardiac CT scan.

INPUT is a NIfTI, NRRD or MetaImage file, a DICOM folder, or a zip of one (`whs-fast series` lists what it holds). The
results go to DIR: labels.nii.gz (the ten structures on the scan's own grid), measurements.json (volumes, LV mass,
planes of the valves, aortic root, contrast, how far to trust it), preview.png and report.html. --formats chooses how
the labels are written:

\b
  nifti       labels.nii.gz
  nifti-each  structures/STRUCTURE.nii.gz, a mask each
  seg.nrrd    labels.seg.nrrd, for 3D Slicer and ITK-SNAP
  dicom-seg   labels.dcm (Segmentation) and measurements.dcm (Structured Report); for DICOM scans only
  rtstruct    contours.dcm (RT Structure Set); for DICOM scans only
  markups     valves.mrk.json, planes of the valves and hinge points for 3D Slicer
  stl, glb    meshes/STRUCTURE.stl and heart.glb, surfaces in mm and LPS

With --json, standard output carries one JSON object per line, for programs that show progress:

\b
  {"event": "progress", "step": "segment", "done": 0.2}     done: share of the whole run
  {"event": "phase", "phase": "75"}                         with --phase all, before each phase
  {"event": "result", "folder": "results", "measurements": {...}}

An archive that is asked by DICOMweb gets the user and password that ~/.netrc has for it, or the bearer token in the
environment variable WHS_FAST_DICOMWEB_TOKEN.

Errors go to standard error, one line each, and set the exit status, with or without --json.

\b
Examples:
  whs-fast run scan.nii.gz -o results
  whs-fast run dicom_folder -o results --threads 2
  whs-fast run study.zip -o results --series 1.2.840.113619.2.55.3
  whs-fast run study.zip -o results --phase 75
  whs-fast run study.zip -o results --phase all
  whs-fast run scan.nrrd -o results --formats nifti,seg.nrrd --overwrite
  whs-fast run scan.nii.gz -o results --check
  whs-fast run scan.nii.gz -o results --report interactive
  whs-fast run dicom_folder -o results --formats nifti,dicom-seg,glb
  whs-fast run --from-dicomweb http://127.0.0.1:8042/dicom-web --series 1.2.840.113619.2.55.3 -o results
  whs-fast run dicom_folder -o results --to-dicomweb http://127.0.0.1:8042/dicom-web
"""


@click.command("run", help=_HELP)
@click.argument("sources", metavar="[INPUT]", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "folder",
    default="results",
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for the results; created if it does not exist.",
)
@click.option(
    "--series", metavar="UID", help="Series to use if there are several. Default: the thinnest contrast cardiac one."
)
@click.option(
    "--phase",
    metavar="PERCENT|all",
    help="Phase to use if there are several, in % of the R-R interval, or by a name that `whs-fast series` lists, such "
    "as 310ms. Default: the one nearest to end-systole (35). With all, each goes into DIR/phase_NN, and "
    "ejection fractions, volumes and their curves go into DIR/function.json, .csv and .png.",
)
@click.option(
    "--from-dicomweb", "archive", metavar="URL", help="Archive to fetch the series from, instead of INPUT (DICOMweb)."
)
@click.option(
    "--to-dicomweb",
    "destination",
    metavar="URL",
    help="Archive to store Segmentation, Structured Report and picture in (DICOMweb).",
)
@click.option(
    "--check",
    is_flag=True,
    help="Segment a second time, moved by a fraction of a voxel, for a surer confidence; takes twice as long.",
)
@click.option("--no-valves", is_flag=True, help="Do not measure valves, aortic root and LV wall: 0.3 s less.")
@annulus_plane_option
@segmentation_options
def command(
    sources: tuple[Path, ...],
    folder: Path,
    series: str | None,
    phase: str | None,
    archive: str | None,
    destination: str | None,
    no_valves: bool,
    annulus_plane: Path | None,
    **options: Any,
) -> None:
    if len(sources) > 1:
        raise InputError(f"input: found {len(sources)}, expected one scan: `whs-fast batch INPUTS -o DIR` takes many")
    if bool(sources) == (archive is not None):
        raise InputError("input: expected either INPUT or --from-dicomweb URL")
    if annulus_plane is not None and (no_valves or phase == "all"):
        other = "--no-valves" if no_valves else "--phase all"
        raise InputError(f"--annulus-plane: found {other} beside it, expected one phase whose valves are measured")
    with ExitStack() as stack:
        if archive is not None or destination is not None:
            require_extra("dicomweb", "DICOMweb")
            from whs_fast.dicomweb import fetch_series, store_results
        if archive is None:
            (source,) = sources
        else:
            if series is None:
                raise InputError("--from-dicomweb: expected the series to fetch, with --series UID")
            if phase != "all":
                check_folder(folder, overwrite=options["overwrite"])  # before anything is fetched
            source = stack.enter_context(temporary_folder("--from-dicomweb"))
            fetch_series(archive, series, source)
        if destination is not None:
            options["formats"] = tuple(dict.fromkeys((*options["formats"], "dicom-seg")))
            options["saved"] = partial(store_results, destination)
        segment(
            source,
            folder,
            series=series,
            phase=phase,
            valves=not no_valves,
            annulus_plane=annulus_plane,
            **options,
        )
