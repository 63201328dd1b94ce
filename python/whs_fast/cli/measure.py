"""`whs-fast measure`."""

from pathlib import Path

import click

from whs_fast.cli.options import annulus_plane_option, threads_option
from whs_fast.cli.segmenting import tell_measurements

_HELP = """Measure a label map, such as one corrected by hand.

LABELS is a NIfTI, NRRD or MetaImage file with the label values that run writes (1 to 10), or a segmentation of 3D
Slicer (.seg.nrrd). Segments are recognised by their terminology or name, so they may be renumbered, reordered, cropped
or in layers; other segments are left out, and a warning says so.

FILE receives the part of measurements.json that labels can give: volumes, LV mass, the aortic valve where LV cavity and
aorta meet, the planes of the four valves, the LV wall, and warnings. With --scan the aortic root is measured on it as
well.

\b
Examples:
  whs-fast measure results/labels.nii.gz
  whs-fast measure corrected.seg.nrrd -o corrected.json
  whs-fast measure results/labels.nii.gz --scan scan.nii.gz --annulus-plane moved.mrk.json -o root.json
"""


@click.command("measure", help=_HELP)
@click.argument("labels", metavar="LABELS", type=click.Path(path_type=Path))
@click.option("-o", "--output", "file", metavar="FILE", type=click.Path(path_type=Path), help="JSON file to write.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
@click.option("--scan", metavar="SCAN", type=click.Path(path_type=Path), help="The scan that the labels lie on.")
@annulus_plane_option
@threads_option
@click.option("--overwrite", is_flag=True, help="Replace FILE.")
def command(
    labels: Path,
    file: Path | None,
    as_json: bool,
    scan: Path | None,
    annulus_plane: Path | None,
    threads: int | None,
    overwrite: bool,
) -> None:
    import json

    from whs_fast.measure_labels import measure
    from whs_fast.writing.result_folder import write_file

    measurements = measure(labels, scan=scan, annulus_plane=annulus_plane, threads=threads)
    text = json.dumps(measurements, indent=2, ensure_ascii=False, allow_nan=False)
    if file is not None:
        write_file(file, text + "\n", overwrite=overwrite)
    if as_json:
        click.echo(text)
        return
    tell_measurements(measurements)
