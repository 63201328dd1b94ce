"""Options that several commands share."""

from collections.abc import Callable

import click

from whs_fast.outputs import FORMATS, LOCALISERS, REPORTS, check_formats, check_report


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


def segmentation_options(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options of every command that segments a scan."""
    options = (
        click.option(
            "--threads", type=click.IntRange(min=1), metavar="N", help="CPU threads; all available ones if left out."
        ),
        click.option(
            "--localiser",
            type=click.Choice(LOCALISERS),
            default="squeezenet",
            show_default=True,
            help="Network that finds the aortic valve: the fast one, or the paper's larger one.",
        ),
        click.option(
            "--formats",
            callback=_split_formats,
            shell_complete=_complete_formats,
            default="nifti",
            show_default=True,
            metavar="LIST",
            help=f"Files to write of the labels, with commas between: {', '.join(FORMATS)}.",
        ),
        click.option(
            "--report",
            type=click.Choice(list(REPORTS)),
            callback=_check_report,
            default="plain",
            show_default=True,
            help="Page to write: report.html alone, or with report_interactive.html, to scroll and turn the heart in.",
        ),
        click.option("--overwrite", is_flag=True, help="Replace earlier results in DIR."),
        click.option(
            "--json", "as_json", is_flag=True, help="Tell progress and results as JSON on standard output, a line each."
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
