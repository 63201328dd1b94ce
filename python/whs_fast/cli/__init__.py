"""The command line: `whs-fast run`, `demo`, `bench` and so on.

Exit status: 0 done; 1 an internal error; 2 the input or the options are wrong; 3 the output cannot be written; 4 some
scans or phases of several failed; 130 interrupted by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP. Each but 0 comes with one
line on standard error. Set WHS_FAST_DEBUG=1 to see the traceback of an internal error.

A reader of standard output who closes it early (`whs-fast run ... --json | head -1`) has read enough: the command goes
on to its end, and that decides the status.
"""

import os
import sys
from collections.abc import Sequence

from whs_fast.cli import signals, streams


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status.

    Without arguments it is the whole of a program: it takes the program's own, and its signals and streams in hand.
    With arguments it is a function like any other, which leaves them to the caller.
    """
    if arguments is not None:
        return _run(arguments)
    output = streams.guard()
    status = _run(None)
    if status == 0 and (reason := output.failure()):
        return _fail(3, f"standard output cannot be written ({reason})")
    return status


def _run(arguments: Sequence[str] | None) -> int:
    try:
        if arguments is None:
            signals.listen()
        # Imported here, where an interrupt is answered already.
        from whs_fast.cli.commands import invoke

        status = invoke(sys.argv[1:] if arguments is None else arguments)
        if arguments is None:
            signals.ignore()
        return status
    except BaseException as error:
        if arguments is None:
            signals.ignore()
        # An interrupt may have turned into another exception, such as the ImportError of a library that was loading.
        if isinstance(error, KeyboardInterrupt) or signals.received():
            done = str(error) if isinstance(error, KeyboardInterrupt) else ""
            return _fail(signals.status(), f"interrupted: {done}" if done else "interrupted")
        if not isinstance(error, Exception):
            raise
        return _explain(error)


def _explain(error: Exception) -> int:
    import click

    from whs_fast.errors import InputError, OutputError

    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.ClickException):
        return _fail(2, error.format_message())
    if isinstance(error, InputError):
        return _fail(2, str(error))
    if isinstance(error, OutputError):
        return _fail(3, str(error))
    if os.environ.get("WHS_FAST_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    return _fail(1, f"internal error: {type(error).__name__}: {error} (WHS_FAST_DEBUG=1 shows where)")


def _fail(status: int, message: str) -> int:
    print(f"whs-fast: {' '.join(message.split())}", file=sys.stderr)
    return status
