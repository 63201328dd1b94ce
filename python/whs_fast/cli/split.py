"""`whs-fast split`."""

from pathlib import Path

import click

from whs_fast.errors import InputError

_COLUMN = "split"

_HELP = """Split patients at random into training, validation and test.

CSV has a header and one row a patient or scan. It comes out again, on standard output or into FILE, with a column
`split` that says train, val or test. Rows of one patient stay together. The same patients and seed give the same split
on every machine, in whatever order the rows are.

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
@click.option("--seed", type=int, required=True, metavar="N", help="Another number gives another split.")
@click.option(
    "--patient",
    metavar="COLUMN",
    help="Column that names the patient; if left out, the one called patient, subject, case or id, or patient_id and "
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
        raise InputError(f"{table}: found a column {_COLUMN!r} already, expected none")
    if patient is None:
        named = [name for name in found.columns if name.casefold().replace(" ", "_") in ID_COLUMNS]
        if len(named) != 1:
            raise InputError(
                f"{table}: found {' and '.join(named) or 'no column'} that may name the patient, expected --patient "
                f"and one of: {', '.join(found.columns)}"
            )
        patient = named[0]
    patients = []
    for line, value in zip(found.lines, found.column(patient, "for --patient"), strict=True):
        if value is None:
            raise InputError(f"{table}: found no {patient} in line {line}, expected one in every row")
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
