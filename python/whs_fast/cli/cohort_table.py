"""`whs-fast cohort-table`."""

from pathlib import Path

import click

from whs_fast.cli.progress import progress_bar
from whs_fast.machine import require_extra

_HELP = """Describe the patients of a study by groups, as in Table 1 of a paper.

CSV has a header and one row per patient. Numbers are described by mean and SD, or by median and quartiles if
Shapiro-Wilk rejects a normal distribution in a group, and compared by the Kruskal-Wallis test. Categories are described
by counts and percentages, and compared by Fisher's exact test, for any number of groups (Freeman-Halton). Missing
values are counted: an empty cell, NA, N/A, NaN, null, missing, a dot or a question mark.

A column with at most five different whole numbers from 0 to 9 holds categories. Columns that identify patients are left
out. Where the exact test would take too long, the chi-squared test takes its place, and the table says so.

--join adds the columns of a second table to the rows of the same id, such as the table.csv of `whs-fast batch`.

With -o, cohort_table.csv, cohort_table.md and cohort_table.json are written into DIR.

\b
Examples:
  whs-fast cohort-table patients.csv --by split
  whs-fast cohort-table patients.csv --by split --continuous vessels -o table1
  whs-fast cohort-table patients.csv --join cohort/table.csv --by sex --columns age,left_atrium_ml,lv_myocardium_mass_g
"""


def _split_names(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


@click.command("cohort-table", help=_HELP, short_help="Describe the patients of a study by groups.")
@click.argument("table", metavar="CSV", type=click.Path(path_type=Path))
@click.option("--by", required=True, metavar="COLUMN", help="Column that holds the group.")
@click.option("--join", "other", metavar="CSV", type=click.Path(path_type=Path), help="A second table, joined by id.")
@click.option(
    "--columns",
    callback=_split_names,
    default="",
    metavar="LIST",
    help="Columns to describe, separated by commas. Default: all.",
)
@click.option(
    "--categorical",
    callback=_split_names,
    default="",
    metavar="LIST",
    help="Columns to treat as categories, separated by commas.",
)
@click.option(
    "--continuous",
    callback=_split_names,
    default="",
    metavar="LIST",
    help="Columns to treat as numbers, separated by commas.",
)
@click.option("-o", "--output", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Folder for the files.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier table in DIR.")
def command(
    table: Path,
    by: str,
    other: Path | None,
    columns: tuple[str, ...],
    categorical: tuple[str, ...],
    continuous: tuple[str, ...],
    folder: Path | None,
    as_json: bool,
    overwrite: bool,
) -> None:
    require_extra("cohort", "cohort-table")
    from whs_fast.study.cohort.baseline import compare_groups
    from whs_fast.study.cohort.patients import join, read_patients
    from whs_fast.study.cohort.saving import make_table, save, to_json, to_text

    patients = read_patients(table)
    if other is not None:
        patients, without = join(patients, read_patients(other))
        if without:
            click.echo(f"warning: {without} of {len(patients.lines)} rows have no row of their id in {other}", err=True)
    if columns:
        patients = patients.only(dict.fromkeys((*columns, by)))
    with progress_bar() as progress:
        baseline = compare_groups(patients, by, categorical=categorical, continuous=continuous, progress=progress)
    if folder is not None:
        save(baseline, folder, overwrite=overwrite)
    click.echo(to_json(baseline) if as_json else to_text(make_table(baseline)))
