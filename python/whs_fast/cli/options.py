"""Options that several commands share."""

import re
from collections.abc import Callable
from pathlib import Path

import click

from whs_fast.errors import InputError
from whs_fast.outputs import BACKENDS, FORMATS, LOCALISERS, REPORTS, check_formats, check_report


def parse_size(text: str, what: str) -> int:
    """Bytes of "2G", "700M" or a plain number; K, M and G are powers of 1024. Raises InputError for anything else.

    what is how the message calls it.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMG]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    size = int(float(match[1]) * 1024 ** " KMG".index(match[2].upper() or " ")) if match else 0
    if size <= 0:
        raise InputError(f"{what}: found {text!r}, expected a size such as 2G or 700M")
    return size


def _split_formats(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    check_formats(names)
    return names


def _complete_formats(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in FORMATS if name.startswith(last) and name not in before.split(",")]


def _check_report(context: click.Context, parameter: click.Parameter, value: str) -> str:
    check_report(value)
    return value


threads_option = click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads. Default: all available."
)
localiser_option = click.option(
    "--localiser",
    type=click.Choice(LOCALISERS),
    default="squeezenet",
    show_default=True,
    help="Network that finds the aortic valve: the fast one, or the larger one of the paper.",
)
annulus_plane_option = click.option(
    "--annulus-plane",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Hinge points of the aortic valve by a reader: a .mrk.json of 3D Slicer with points labelled right, left and "
    "non_coronary, such as valves.mrk.json after they were moved. Default: they are found.",
)
_NETWORKS = (
    localiser_option,
    click.option(
        "--backend",
        type=click.Choice(BACKENDS),
        default="auto",
        show_default=True,
        help="What labels the heart: our own kernel, OpenVINO, or the one that suits this machine.",
    ),
    click.option(
        "--device",
        default="CPU",
        show_default=True,
        metavar="NAME",
        help="Where OpenVINO runs it: CPU, GPU, NPU, or AUTO, which is its own choice.",
    ),
)
_OUTPUTS = (
    click.option(
        "--formats",
        callback=_split_formats,
        shell_complete=_complete_formats,
        default="nifti",
        show_default=True,
        metavar="LIST",
        help=f"Formats to write the labels in, separated by commas: {', '.join(FORMATS)}.",
    ),
    click.option(
        "--report",
        type=click.Choice(list(REPORTS)),
        callback=_check_report,
        default="plain",
        show_default=True,
        help="Page to write: report.html, or also report_interactive.html: slices to scroll, a heart to turn.",
    ),
)
_OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace earlier results in DIR.")
_JSON = click.option("--json", "as_json", is_flag=True, help="Print progress and results as JSON, one object per line.")


def segmentation_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that all commands which segment one scan share."""
    return _add(command, threads_option, *_NETWORKS, *_OUTPUTS, _OVERWRITE, _JSON)


def output_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds those of them that say what is written."""
    return _add(command, *_OUTPUTS)


def batch_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds those of them that hold for many scans."""
    return _add(command, *_NETWORKS, *_OUTPUTS)


def _add(
    command: Callable[..., None], *options: Callable[[Callable[..., None]], Callable[..., None]]
) -> Callable[..., None]:
    for option in reversed(options):
        command = option(command)
    return command
