"""`whs-fast bench`."""

import click

from whs_fast.cli.options import parse_size
from whs_fast.errors import InputError


def _split_threads(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, ...]:
    try:
        counts = tuple(dict.fromkeys(int(part) for part in value.split(",")))
    except ValueError:
        counts = (0,)
    if min(counts) < 1:
        raise InputError(f"threads: found {value!r}, expected numbers such as 1,2,4")
    return counts


@click.command("bench")
@click.option(
    "--threads",
    callback=_split_threads,
    default="1,2,4",
    show_default=True,
    metavar="LIST",
    help="Numbers of CPU threads to measure, separated by commas.",
)
@click.option("--memory-limit", metavar="SIZE", help="Hard memory limit for the cold runs, such as 2G.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
def command(threads: tuple[int, ...], memory_limit: str | None, as_json: bool) -> None:
    """Measure time and memory of a run on this machine.

    Two scans are made for the purpose: one of the chest, 512 x 512 x 400 voxels, and a gated one of the heart alone,
    512 x 512 x 250. They take up to 400 MB in the temporary folder (TMPDIR) while they are measured. Cold runs are
    `whs-fast run` in a fresh process; warm runs are further runs of one engine.

    \b
    Examples:
      whs-fast bench
      whs-fast bench --threads 4 --memory-limit 2G
    """
    import json

    from whs_fast.cli.benchmarking import benchmark, render

    limit = None if memory_limit is None else parse_size(memory_limit, "memory limit")
    found = benchmark(threads, limit=limit, tell=lambda line: click.echo(f"... {line}", err=True))
    click.echo(json.dumps(found, indent=2) if as_json else render(found))
