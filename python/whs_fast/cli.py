"""The command line: `whs-fast run`, `demo`, `bench` and `info`.

Exit status: 0 done; 1 a fault of ours; 2 the input or the options are wrong; 3 the output cannot be written; 130
interrupted. Each but 0 comes with one line on standard error. Set WHS_FAST_DEBUG=1 to see the whole traceback of a
fault.
"""

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whs_fast.errors import InputError, OutputError
from whs_fast.structures import STRUCTURES

if TYPE_CHECKING:
    from whs_fast.pipeline import Progress

# Kept here too, so that --help does not load the networks' runtime; a test holds the two lists together.
LOCALISERS = ("squeezenet", "vgg16")
FORMATS = ("nifti", "seg.nrrd")

_RUN_HELP = """Segment one cardiac CT scan.

INPUT is a NIfTI, NRRD or MetaImage file, a DICOM folder, or a zip of one. DIR receives labels.nii.gz (the ten
structures on the scan's own grid), measurements.json (volumes, LV mass, valve position), preview.png and report.html.

\b
Examples:
  whs-fast run scan.nii.gz -o results
  whs-fast run dicom_folder -o results --threads 2
  whs-fast run study.zip -o results --series 1.2.840.113619.2.55.3
  whs-fast run scan.nrrd -o results --formats nifti,seg.nrrd --overwrite
"""


def _split_formats(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    from whs_fast.pipeline import check_formats

    names = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    check_formats(names)
    return names


def _common_options(command: Callable[..., None]) -> Callable[..., None]:
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
            default="nifti",
            show_default=True,
            metavar="LIST",
            help=f"Label files to write, with commas between: {', '.join(FORMATS)}.",
        ),
        click.option("--overwrite", is_flag=True, help="Replace earlier results in DIR."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
@click.version_option(package_name="whs_fast", message="whs_fast %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Segment the whole heart in contrast-enhanced cardiac CT, in seconds, on an ordinary CPU.

    Ten structures, their volumes, the left ventricular mass and the position of the aortic valve. Research software:
    not a medical device.

    \b
    Start here:
      whs-fast demo                          segment the sample scan that comes with the package
      whs-fast run scan.nii.gz -o results    segment a scan of yours
      whs-fast run --help                    everything about inputs, formats and options
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@cli.command(help=_RUN_HELP)
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
@click.option("--series", metavar="UID", help="Series to take where a DICOM folder holds several.")
@_common_options
def run(source: Path, folder: Path, series: str | None, **options: Any) -> None:
    _segment(source, folder, series=series, **options)


@cli.command()
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
@_common_options
def demo(folder: Path, **options: Any) -> None:
    """Segment the sample scan that comes with the package.

    The sample is rendered by our own code, not a patient. What is written is what `whs-fast run` writes.
    """
    with resources.as_file(resources.files("whs_fast") / "data" / "sample.nii.gz") as sample:
        _segment(sample, folder, series=None, **options)


@cli.command()
def info() -> None:
    """Show versions, models with hashes and scores, CPU features."""
    from importlib.metadata import version

    from whs_fast.machine import available_threads, cpu_features, describe_system
    from whs_fast.network import describe_models, describe_runtime, models_folder

    runtime = describe_runtime()
    click.echo(f"whs_fast    {version('whs_fast')}")
    click.echo(f"system      {describe_system()}")
    click.echo(
        f"libraries   OpenVINO {runtime['openvino']}, NumPy {version('numpy')}, SimpleITK {version('SimpleITK')}"
    )
    click.echo(f"CPU         {runtime['cpu']}, {available_threads()} threads available")
    click.echo(f"features    {', '.join(cpu_features()) or 'not listed by this system'}")
    click.echo(f"formats     {runtime['formats']}; int8 and float32 are used, bfloat16 never")
    click.echo("models")
    for name, model in describe_models(models_folder()).items():
        click.echo(f"  {name}")
        for file, sha256 in model["sha256"].items():
            click.echo(f"    {file:<20} sha256 {sha256}")
        for score, value in model["scores"].items():
            click.echo(f"    {score:<20} {value}")


def _split_threads(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        counts = tuple(dict.fromkeys(int(part) for part in value.split(",")))
    except ValueError:
        counts = (0,)
    if min(counts) < 1:
        raise InputError(f"threads: found {value!r}, expected numbers such as 1,2,4")
    return counts


@cli.command()
@click.option(
    "--threads",
    callback=_split_threads,
    default="1,2,4",
    show_default=True,
    metavar="LIST",
    help="Numbers of CPU threads, one after another.",
)
@click.option("--memory-limit", metavar="SIZE", help="Hard limit of the cold runs, such as 2G.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
def bench(threads: tuple[int, ...], memory_limit: str | None, as_json: bool) -> None:
    """Time a run on a scan of 512 x 512 x 400, made here.

    Cold is `whs-fast run` in a fresh process, warm further runs of one engine. The scan takes 210 MB in the temporary
    folder (TMPDIR) for as long as this runs.
    """
    import json

    from whs_fast.benchmarking import benchmark, parse_size, render

    limit = None if memory_limit is None else parse_size(memory_limit)
    found = benchmark(threads, limit=limit, tell=lambda line: click.echo(f"... {line}", err=True))
    click.echo(json.dumps(found, indent=2) if as_json else render(found))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status."""
    try:
        # Not cli.main(), which writes lines of its own to standard error.
        with cli.make_context("whs-fast", list(sys.argv[1:] if arguments is None else arguments)) as context:
            cli.invoke(context)
        return 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return _fail(130, "interrupted, nothing was written")
    except click.ClickException as error:
        return _fail(2, error.format_message())
    except InputError as error:
        return _fail(2, str(error))
    except OutputError as error:
        return _fail(3, str(error))
    except BrokenPipeError:
        # The reader of our output is gone; silence Python's own complaint about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("WHS_FAST_DEBUG") == "1":
            traceback.print_exc()
        return _fail(1, f"{type(error).__name__}: {error} (WHS_FAST_DEBUG=1 shows where)")


def _fail(status: int, message: str) -> int:
    click.echo(f"whs-fast: {' '.join(message.split())}", err=True)
    return status


def _segment(
    source: Path,
    folder: Path,
    *,
    series: str | None,
    threads: int | None,
    localiser: str,
    formats: tuple[str, ...],
    overwrite: bool,
) -> None:
    from whs_fast.pipeline import Engine
    from whs_fast.placing import check_folder

    check_folder(folder, overwrite=overwrite)
    with _progress_bar() as progress:
        result = Engine(threads, localiser).run(source, series=series, progress=progress)
        result.save(folder, formats, overwrite, progress)
    for warning in result.measurements["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    for structure in STRUCTURES:
        volume = result.measurements["structures"][structure.key]["volume_ml"]
        click.echo(f"{structure.name:<28}{volume:9.1f} mL" if volume else f"{structure.name:<28}not found")
    click.echo(f"{'LV myocardial mass':<28}{result.measurements['lv_myocardium_mass_g']:9.1f} g")
    click.echo(f"Done in {result.measurements['timings_s']['total']:.1f} s: {folder / 'report.html'}")


@contextmanager
def _progress_bar() -> "Iterator[Progress | None]":
    if not sys.stderr.isatty():
        yield None  # nothing but our own lines may reach a log
        return
    with click.progressbar(length=1000, file=sys.stderr, show_eta=False, item_show_func=lambda step: step) as bar:

        def progress(step: str, done: float) -> None:
            bar.update(round(done * 1000) - bar.pos, step)

        yield progress
