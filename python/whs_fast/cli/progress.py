"""How commands that take longer than a moment tell how far they are: a bar for people, lines for logs and programs."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

QUIET_S = 5.0  # between two lines in a log


def json_line(event: str, **content: object) -> None:
    """Prints one JSON object in a line of standard output, at once."""
    click.echo(json.dumps({"event": event} | content, ensure_ascii=False, allow_nan=False))


@contextmanager
def progress_lines() -> Iterator[Callable[[str, float], None]]:
    """Gives a function of the step's name and the share that is done, which prints each per cent as JSON."""
    told: tuple[str, int] | None = None

    def progress(step: str, done: float) -> None:
        nonlocal told
        if (step, int(100 * done)) != told:
            told = step, int(100 * done)
            json_line("progress", step=step, done=done)

    yield progress


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None]]:
    """Gives a function of the step's name and the share that is done, which draws a bar on standard error.

    Where that is no terminal, a line goes there every few seconds instead: none for what is quick.
    """
    if sys.stderr.isatty():
        with click.progressbar(length=1000, file=sys.stderr, show_eta=False, item_show_func=lambda step: step) as bar:
            yield lambda step, done: bar.update(round(done * 1000) - bar.pos, step)
        return
    last = time.monotonic()

    def progress(step: str, done: float) -> None:
        nonlocal last
        if time.monotonic() - last >= QUIET_S:
            last = time.monotonic()
            click.echo(f"{done:4.0%}  {step}", err=True)

    yield progress
