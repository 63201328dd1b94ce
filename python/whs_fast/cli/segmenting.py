"""What `run` and `demo` share: segment one scan, with a progress bar, and say what was found."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from whs_fast.cli.progress import json_line, progress_bar, progress_lines
from whs_fast.errors import InputError
from whs_fast.outputs import NO_SOURCE, OF_DICOM, REPORTS
from whs_fast.structures import STRUCTURES

if TYPE_CHECKING:
    from whs_fast.reading.scan import ScanPhase
    from whs_fast.result import Result


def segment(
    source: Path,
    folder: Path,
    *,
    series: str | None,
    phase: str | None = None,
    check: bool = False,
    valves: bool = True,
    annulus_plane: Path | None = None,
    threads: int | None,
    localiser: str,
    backend: str,
    device: str,
    formats: tuple[str, ...],
    report: str,
    overwrite: bool,
    as_json: bool = False,
    saved: "Callable[[Result, Path], None] | None" = None,
) -> None:
    """Segments a scan into a folder and prints the volumes; warnings go to standard error.

    The phase "all" segments each into a folder of its own below, and writes what the heart does between them; where
    some of them fail, the others are written, and the exit status is 4. saved is called with each result when it is in
    its folder. as_json prints lines of JSON instead: see `whs-fast run --help`. A KeyboardInterrupt comes out with what
    was written until then.
    """
    from whs_fast.engine import Engine
    from whs_fast.reading.dicom.opening import is_dicom
    from whs_fast.reading.scan import open_phases
    from whs_fast.study.function import FUNCTION_FILES
    from whs_fast.temporary import sweep_temporary
    from whs_fast.writing.result_folder import check_folder

    if OF_DICOM.intersection(formats) and source.exists() and not is_dicom(source):
        raise InputError(NO_SOURCE)  # before any work is done
    sweep_temporary()
    places, measured = {"": folder}, dict[Path, dict[str, Any]]()

    def segment_one(engine: Engine, part: "Path | ScanPhase", place: Path, **choice: Any) -> None:
        with progress_lines() if as_json else progress_bar() as progress:
            result = engine.run(
                part, check=check, valves=valves, annulus_plane=annulus_plane, progress=progress, **choice
            )
            measured[place] = result.measurements
            result.save(place, formats=formats, report=report, overwrite=overwrite, progress=progress)
        if saved is not None:
            saved(result, place)
        if as_json:
            json_line("result", folder=str(place), measurements=result.measurements)
        else:
            _tell(result, place / REPORTS[report].files[-1])

    def load() -> Engine:
        return Engine(threads=threads, localiser=localiser, backend=backend, device=device)

    failed = []
    try:
        if phase != "all":
            check_folder(folder, overwrite=overwrite)
            segment_one(load(), source, folder, series=series, phase=phase)
            return
        with open_phases(source, series=series, threads=threads) as phases:
            places = {part.label: folder / part.folder for part in phases}
            for place in places.values():
                check_folder(place, overwrite=overwrite)
            check_folder(folder, overwrite=overwrite, names=FUNCTION_FILES)
            engine = load()
            for part in phases:
                if as_json:
                    json_line("phase", phase=part.label)
                else:
                    click.echo(f"Phase {part.label}")
                try:
                    segment_one(engine, part, folder / part.folder)
                except InputError as error:
                    failed.append(part.label)
                    click.echo(f"phase {part.label} failed: {error}", err=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_tell_written(places, measured)) from None
    if failed:
        click.echo(f"whs-fast: {len(failed)} of {len(phases)} phases failed: {', '.join(failed)}", err=True)
        raise click.exceptions.Exit(4)
    if len(places) > 1:
        _write_function(folder, {label: measured[place] for label, place in places.items()}, overwrite=overwrite)


def _write_function(folder: Path, phases: Mapping[str, Mapping[str, Any]], *, overwrite: bool) -> None:
    """Writes the function over the heart beat, and tells the ejection fractions on standard error."""
    from whs_fast.report.curves import draw_curves
    from whs_fast.study.function import CHAMBERS, FUNCTION_FILES, function_table, measure_function
    from whs_fast.writing.result_folder import written_aside

    function = measure_function(phases)
    volumes = {key: function[name]["volumes_ml"] for name, key in CHAMBERS.items()}
    texts = function_table(function), json.dumps({"function": function}, indent=2, allow_nan=False) + "\n"
    table, picture, figures = FUNCTION_FILES
    with written_aside(folder, overwrite=overwrite, names=FUNCTION_FILES) as aside:
        for name, text in zip((table, figures), texts, strict=True):
            (aside / name).write_text(text, encoding="utf-8", newline="\n")
        (aside / picture).write_bytes(draw_curves(function["phases"], volumes))
    for name in CHAMBERS:
        share = function[name].get("ejection_fraction_percent")
        error = function[name].get("uncertainty_percent")
        beside = "" if error is None else f" (standard error {error:.1f})"
        told = f"{share:.1f} %{beside}" if share is not None else f"not measurable: {function[name]['not_measurable']}"
        click.echo(f"{name.replace('_', ' ').capitalize()}: ejection fraction {told}", err=True)


def _tell(result: "Result", page: Path) -> None:
    tell_measurements(result.measurements)
    click.echo(f"Done in {result.measurements['timings_s']['total']:.1f} s: {page}")


def _tell_written(places: Mapping[str, Path], measured: Mapping[Path, Mapping[str, Any]]) -> str:
    """Which phases are in their places; `measured` holds, by place, the measurements of those that came so far."""
    written = [label for label, place in places.items() if place in measured and _holds(place, measured[place])]
    missing = [label for label in places if label not in written]
    if not written:
        return "nothing was written"
    if not missing:
        return "all results were written"
    phases = "phases" if len(written) > 1 else "phase"
    return f"{phases} {_list(written)} written, {_list(missing)} not"


def _holds(place: Path, measurements: Mapping[str, Any]) -> bool:
    try:
        found = json.loads((place / "measurements.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(found == json.loads(json.dumps(measurements)))


def _list(labels: Sequence[str]) -> str:
    """Such as "30%, 40% and 60% were"."""
    *first, last = labels
    return f"{', '.join(first)} and {last} were" if first else f"{last} was"


def tell_measurements(measurements: Mapping[str, Any]) -> None:
    """Prints volumes, mass and confidence on standard output, warnings and why to review on standard error."""
    for warning in measurements["warnings"]:
        click.echo(f"warning: {warning}", err=True)
    for structure in STRUCTURES:
        volume = measurements["structures"][structure.key]["volume_ml"]
        click.echo(f"{structure.name:<28}{volume:9.1f} mL" if volume else f"{structure.name:<28}not found")
    grams = measurements["lv_myocardium_mass_g"]
    click.echo(f"{'LV myocardial mass':<28}" + (f"{grams:9.1f} g" if grams else "not found"))
    confidence = measurements.get("confidence")  # a label map by itself has none
    if confidence is not None:
        predicted = confidence["predicted_dice"]
        if predicted is not None:
            click.echo(f"{'Expected overall Dice':<28}{predicted['overall_pooled']:9.2f}")
            from whs_fast.steps.confidence import name_doubtful

            doubtful = name_doubtful(predicted)
            if doubtful and not confidence["review"]:  # else a reason says so
                click.echo(f"doubtful: {doubtful}", err=True)
        for reason in confidence["reasons"]:
            click.echo(f"review: {reason}", err=True)
