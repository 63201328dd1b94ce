"""How commands that take longer than a moment tell how far they are: a bar for people, lines of JSON for programs."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


def json_line(event: str, **content: object) -> None:
    """Prints one JSON object in a line of standard output, at once."""
    click.echo(json.dumps({"event": event} | content, ensure_ascii=False, allow_nan=False))


@contextmanager
def progress_lines() -> Iterator[Callable[[str, float], None]]:
    """Gives a function of the step's name and the share that is done, which prints them as JSON."""
    yield lambda step, done: json_line("progress", step=step, done=done)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, float], None] | None]:
    """Gives a function of the step's name and the share that is done, or None where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield None  # nothing but our own lines may reach a log
        return
    with click.progressbar(length=1000, file=sys.stderr, show_eta=False, item_show_func=lambda step: step) as bar:

        def progress(step: str, done: float) -> None:
            bar.update(round(done * 1000) - bar.pos, step)

        yield progress
