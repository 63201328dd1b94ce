"""`whs-fast demo`."""

from importlib import resources
from pathlib import Path
from typing import Any

import click

from whs_fast.cli.options import segmentation_options
from whs_fast.cli.segmenting import segment


@click.command("demo")
@click.option(
    "-o",
    "--output",
    "folder",
    default="whs_fast_demo",
    show_default=True,
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder for the results; made if it is not there.",
)
@segmentation_options
def command(folder: Path, **options: Any) -> None:
    """Segment the sample scan that comes with the package.

    The sample is rendered by our own code, not a patient. What is written is what `whs-fast run` writes; only
    dicom-seg is not to be had, since the sample is no DICOM series.

    \b
    Examples:
      whs-fast demo
      whs-fast demo -o demo_out --report interactive --formats nifti,seg.nrrd,stl,glb
    """
    with resources.as_file(resources.files("whs_fast") / "data" / "sample.nii.gz") as sample:
        segment(sample, folder, series=None, **options)
