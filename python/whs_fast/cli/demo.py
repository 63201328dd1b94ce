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
    help="Folder for the results; created if it does not exist.",
)
@segmentation_options
def command(folder: Path, **options: Any) -> None:
    """Segment the sample scan that comes with the package.

    The sample was rendered by our own code and shows no patient. The results are those of `whs-fast run`, except that
    dicom-seg is not available, because the sample is not DICOM.

    \b
    Examples:
      whs-fast demo
      whs-fast demo -o demo_out --report interactive --formats nifti,seg.nrrd,stl,glb
    """
    with resources.as_file(resources.files("whs_fast") / "data" / "sample.nii.gz") as sample:
        segment(sample, folder, series=None, **options)
