"""The reference of the command line, from the program itself: a page of the documents, or a manual page.

python docs/hooks/command_line.py >whs-fast.1
"""

import importlib.metadata
import inspect
import re
import textwrap

import click
from whs_fast import cli as program
from whs_fast.cli.commands import COMMANDS, cli

EXIT_STATUS = (program.__doc__ or "").split("\n\n", 1)[1].strip()


def parts(command: click.Command, name: str) -> tuple[str, list[tuple[bool, str]], list[tuple[str, str]]]:
    """Usage, paragraphs (whether each keeps its lines as they are, and its text), and options with their help."""
    context = click.Context(command, info_name=name, **cli.context_settings)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    paragraphs = []
    for text in re.split(r"\n\s*\n", inspect.cleandoc(command.help or "")):
        kept = text.startswith("\b\n")
        lines = [line.rstrip() for line in text.removeprefix("\b\n").split("\n")]
        paragraphs.append((kept, "\n".join(lines) if kept else " ".join(line.strip() for line in lines)))
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    return usage, paragraphs, [record for record in records if record is not None]


def commands() -> list[tuple[str, click.Command]]:
    """The program and its commands, each with what one types to call it."""
    context = click.Context(cli, **cli.context_settings)
    found = [(f"whs-fast {name}", cli.get_command(context, name)) for name in COMMANDS]
    return [("whs-fast", cli), *((name, command) for name, command in found if command is not None)]


def markdown() -> str:
    """The page of the documents."""
    page = ["# Command line", "Made from the program itself; `whs-fast COMMAND --help` says the same."]
    for name, command in commands():
        usage, paragraphs, options = parts(command, name)
        page += [f"## {name}", f"```text\n{usage}\n```"]
        for kept, text in paragraphs:
            title, _, rest = text.partition("\n")
            if kept and title.endswith(":"):  # a heading of its own and lines below it
                page += [title, f"```text\n{textwrap.dedent(rest)}\n```"]
            else:
                page.append(f"```text\n{text}\n```" if kept else _escape(text))
        rows = [f"| `{_cell(option)}` | {_cell(_escape(text))} |" for option, text in options]
        page.append("\n".join(["| option | what |", "|---|---|", *rows]))
    return "\n\n".join([*page, "## Exit status", _escape(EXIT_STATUS)]) + "\n"


def manual() -> str:
    """The manual page, in the macros of man(7)."""
    version = importlib.metadata.version("whs_fast")
    page = [f'.TH WHS-FAST 1 "" "whs_fast {version}" "whs_fast"', ".SH NAME"]
    page.append("whs-fast \\- segment the whole heart in contrast-enhanced cardiac CT")
    for name, command in commands():
        usage, paragraphs, options = parts(command, name)
        page += [f".SH {_roff(name).upper()}", ".nf", _roff(usage), ".fi"]
        for kept, text in paragraphs:
            page += [".PP", *([".nf", _roff(text), ".fi"] if kept else [_roff(text)])]
        for option, text in options:
            page += [".TP", f"\\fB{_roff(option)}\\fR", _roff(text)]
    return "\n".join([*page, ".SH EXIT STATUS", _roff(EXIT_STATUS)]) + "\n"


def _escape(text: str) -> str:
    """Text of the help for Markdown: names in capitals between angle brackets would be tags."""
    return text.replace("<", "&lt;").replace("*", "\\*")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return re.sub(r"^\.", "\\&.", escaped, flags=re.MULTILINE)


if __name__ == "__main__":
    print(manual(), end="")
