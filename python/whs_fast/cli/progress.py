"""The progress bar of the commands that take longer than a moment."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


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
