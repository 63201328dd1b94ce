"""The commands and the help that lists them: one module of this package a command, imported when it is asked for."""

import importlib
import os
from collections.abc import Sequence
from difflib import get_close_matches

import click

from whs_fast.cli.logs import verbose_option

# In the order of --help. The module has the command's name, with _ for -, and calls its click command `command`. It is
# imported when it is asked for, and for --help: what is heavy belongs inside its functions.
COMMANDS = (
    "demo", "run", "batch", "series", "node", "serve", "view", "measure", "evaluate", "split", "cohort-table", "bench",
    "info",
)  # fmt: skip

# The shell asks for completions through this variable, as click's completion scripts have it.
_COMPLETE = "_WHS_FAST_COMPLETE"


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"whs_fast.cli.{cmd_name.replace('-', '_')}").command
        if not any("--verbose" in parameter.opts for parameter in command.params):
            command.params.append(verbose_option())
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:  # of click before 8.4 it says no more than that there is none
            meant = get_close_matches(args[0].lower(), COMMANDS, n=1)
            advice = f"did you mean {meant[0]}?" if meant else f"choose one of {', '.join(COMMANDS)}"
            raise click.UsageError(f"no such command: {args[0]!r}; {advice}", ctx) from error


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]}, invoke_without_command=True)
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
      whs-fast batch scans -o cohort         segment a folder of scans, with one table and one page for all
      whs-fast run --help                    everything about inputs, formats and options

    \b
    To complete commands and options with the tab key, in bash, zsh or fish:
      eval "$(_WHS_FAST_COMPLETE=bash_source whs-fast)"
      eval "$(_WHS_FAST_COMPLETE=zsh_source whs-fast)"
      _WHS_FAST_COMPLETE=fish_source whs-fast | source
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def invoke(arguments: Sequence[str]) -> int:
    """Runs the command that the arguments name. Returns its exit status or raises, click's exceptions among others."""
    if completion := os.environ.get(_COMPLETE):
        from click.shell_completion import shell_complete

        return shell_complete(cli, {}, "whs-fast", _COMPLETE, completion)
    # Not cli.main(), which writes lines of its own to standard error.
    with cli.make_context("whs-fast", list(arguments)) as context:
        cli.invoke(context)
    return 0
