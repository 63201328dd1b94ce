"""Shows what the library logs on standard error: everything with `-v`, and the main events for the node.

Only our own logger: messages of other libraries could identify a patient, ours do not.
"""

import logging

import click


def log_to_stderr(context: click.Context, level: int) -> None:
    """Shows what is logged at a level and above until the command ends, unless more is already shown."""
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
        help="Log to standard error what is being done (logger whs_fast).",
    )
