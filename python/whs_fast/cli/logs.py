"""What the library logs, on standard error: all of it for `-v` of any command, the course of things for the node.

Only our own logger: lines of libraries could hold what identifies a patient, ours do not.
"""

import logging

import click


def log_to_stderr(context: click.Context, level: int) -> None:
    """Shows what is logged at a level and above until the command ends, unless more is shown already."""
    ours = logging.getLogger("whs_fast")
    if ours.handlers and ours.level <= level:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    ours.addHandler(handler)
    ours.setLevel(level)

    def stop() -> None:
        ours.removeHandler(handler)
        ours.setLevel(logging.NOTSET)

    context.call_on_close(stop)


def _start(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        log_to_stderr(context, logging.DEBUG)


def verbose_option() -> click.Option:
    """`-v`, which every command has."""
    return click.Option(
        ["-v", "--verbose"],
        is_flag=True,
        expose_value=False,
        callback=_start,
        help="Tell on standard error what is being done (the logger whs_fast).",
    )
