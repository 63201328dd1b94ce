"""`whs-fast split`."""

from pathlib import Path

import click

from whs_fast.errors import InputError

_COLUMN = "split"

_HELP = """Split patients at random into training, validation and test.

CSV has a header and one row per patient or scan. It is written again, to standard output or FILE, with a new column
`split` that says train, val or test. Rows of one patient stay together. The same patients and seed give the same split
on every machine, whatever the order of the rows.

\b
Examples:
  whs-fast split patients.csv --train 55 --val 8 --test 8 --seed 1 -o split.csv
  whs-fast split scans.csv --train 40 --val 5 --test 10 --seed 1 --patient mrn --group hospital > split.csv
"""


@click.command("split", help=_HELP)
@click.argument("table", metavar="CSV", type=click.Path(path_type=Path))
@click.option("--train", type=click.IntRange(min=0), required=True, metavar="N", help="Patients for training.")
@click.option("--val", type=click.IntRange(min=0), required=True, metavar="N", help="Patients for validation.")
@click.option("--test", type=click.IntRange(min=0), required=True, metavar="N", help="Patients for the test.")
@click.option("--seed", type=int, required=True, metavar="N", help="Seed: another number gives another split.")
@click.option(
    "--patient",
    metavar="COLUMN",
    help="Column that identifies the patient. Default: the one called patient, subject, case or id, or patient_id and "
    "the like.",
)
@click.option("--group", metavar="COLUMN", help="Keep patients with the same value in this column together.")
@click.option("-o", "--output", "file", metavar="FILE", type=click.Path(path_type=Path), help="CSV file to write.")
@click.option("--overwrite", is_flag=True, help="Replace FILE.")
def command(
    table: Path,
    train: int,
    val: int,
    test: int,
    seed: int,
    patient: str | None,
    group: str | None,
    file: Path | None,
    overwrite: bool,
) -> None:
    import csv
    import io

    from whs_fast.study.cohort.patients import ID_COLUMNS, read_patients
    from whs_fast.study.cohort.splitting import NAMES, split_patients
    from whs_fast.writing.result_folder import write_file

    found = read_patients(table)
    if _COLUMN in found.columns:
        raise InputError(f"{table}: already has a column {_COLUMN!r}; rename or remove it")
    if patient is None:
        named = [name for name in found.columns if name.casefold().replace(" ", "_") in ID_COLUMNS]
        if len(named) != 1:
            several = f"{' and '.join(named)} could each identify the patient"
            raise InputError(
                f"{table}: {several if named else 'no column is called patient, id or the like'}; name one of these "
                f"with --patient: {', '.join(found.columns)}"
            )
        patient = named[0]
    patients = []
    for line, value in zip(found.lines, found.column(patient, "for --patient"), strict=True):
        if value is None:
            raise InputError(f"{table}: line {line} has no {patient}, expected one in every row")
        patients.append(value)
    groups = None if group is None else found.column(group, "for --group")
    sizes = dict(zip(NAMES, (train, val, test), strict=True))
    try:
        parts = split_patients(patients, sizes, seed=seed, groups=groups)
    except InputError as error:
        raise InputError(f"{table}: {error}") from error
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=found.separator, lineterminator="\n")
    writer.writerow([*found.columns, _COLUMN])
    writer.writerows([*cells, part] for cells, part in zip(found.cells, parts, strict=True))
    if file is None:
        click.echo(out.getvalue(), nl=False)
    else:
        write_file(file, out.getvalue(), overwrite=overwrite)
    for name in NAMES:
        click.echo(f"{name:<6}{sizes[name]:5d} patients {parts.count(name):5d} rows", err=True)
