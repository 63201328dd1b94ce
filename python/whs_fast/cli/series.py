"""`whs-fast series`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from whs_fast.reading.dicom.series import SeriesLine


@click.command("series")
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
def command(source: Path) -> None:
    """List the series of a DICOM folder or zip to choose from.

    Each line gives the UID for --series, modality, distance between slices, number of images, description, the phases
    for --phase and, where there are several CT series, what speaks for and against each. An asterisk marks the series
    that `whs-fast run` uses by default.

    \b
    Examples:
      whs-fast series dicom_folder
      whs-fast series study.zip
    """
    from whs_fast.reading.scan import list_series

    for line in list_series(source):
        click.echo(_render(line))


def _render(line: "SeriesLine") -> str:
    distance = "no volume" if line.distance_mm is None else f"{line.distance_mm:.3g} mm"
    phases = f"  phases {', '.join(line.phases)}" if line.phases else ""
    mark = "*" if line.chosen else " "
    traits = f"  {', '.join(line.traits)}" if line.traits else ""
    text = f"{mark} {line.uid}  {line.modality}  {distance}  {line.slices} images  {line.description!r}{phases}{traits}"
    coding = sys.stdout.encoding or "ascii"
    return text.encode(coding, "replace").decode(coding)  # descriptions may hold letters that a terminal lacks
