"""Style and tables that both pages share. All text is escaped."""

import html
from collections.abc import Iterable, Mapping
from typing import Any

from whs_fast.structures import STRUCTURES, Structure

STYLE = """
:root { color-scheme: light dark; --ink: #1a1d21; --quiet: #5d6570; --line: #d8dce2; --paper: #ffffff; --warn: #fff4d6;
} @media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaee; --quiet: #9aa2ad; --line: #343a43; --paper: #14161a; --warn: #3d3314; }
}
body { max-width: 72rem; margin: 2rem auto; padding: 0 1.25rem; background: var(--paper); color: var(--ink);
       font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.quiet { color: var(--quiet); } .picture { overflow-x: auto; margin-top: 1rem; }
.picture img { width: 100%; max-width: 1180px; min-width: 40rem; height: auto; border-radius: 6px; display: block; }
.wide { overflow-x: auto; } details { margin: 1.5rem 0; } summary { cursor: pointer; font-weight: 600; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
td, th { padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.normal td.number { white-space: normal; }
td.hash { font-family: ui-monospace, Consolas, Menlo, monospace; font-size: .8rem; overflow-wrap: anywhere; }
.swatch { display: inline-block; width: .8rem; height: .8rem; border-radius: 3px; margin-right: .6rem; }
td.structure { padding-left: 2rem; text-indent: -1.4rem; }
.warnings { background: var(--warn); border-radius: 6px; padding: .6rem 1rem .6rem 2rem; }
.light { display: flex; gap: 1rem; align-items: start; border: 2px solid var(--lamp); border-radius: 8px;
         padding: .6rem 1rem; margin: 1rem 0; }
.light p, .light ul { margin: .1rem 0; } .light ul { padding-left: 1.2rem; }
.lamp { flex: none; width: 1.5rem; height: 1.5rem; border-radius: 50%; background: var(--lamp); margin-top: .1rem; }
.green { --lamp: #1a8a3c; } .amber { --lamp: #e08a00; } .red { --lamp: #c8281e; } .blue { --lamp: #2563eb; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); gap: 0 2.5rem; }
.lamp { print-color-adjust: exact; }
@media (max-width: 48rem) {
  body { margin: 1rem auto; padding: 0 .7rem; } table { font-size: .9rem; } td, th { padding: .25rem; }
  td.number, th.number { white-space: normal; } td.structure { padding-left: 1.6rem; }
}
@media print { body { margin: 0; } .picture img { min-width: 0; }
  h2 { break-after: avoid; } tr { break-inside: avoid; } }
"""

_KINDS = {"nifti": "NIfTI", "nrrd": "NRRD", "metaimage": "MetaImage", "dicom": "DICOM"}


def notice(measurements: Mapping[str, Any]) -> str:
    """What made the page, and what it must not be used for."""
    return (
        f'<p class="quiet">whs_fast {html.escape(str(measurements["version"]))}. Research software: not a medical '
        "device, and not for decisions about patients.</p>"
    )


def source_line(measurements: Mapping[str, Any]) -> str:
    """What was segmented: kind of file, series, phase and grid, and why this one of several series."""
    source = measurements.get("source")
    if source is None:
        return ""
    parts = [_KINDS.get(source["kind"], source["kind"])]
    if source["series_number"] is not None:
        parts.append(f"series {source['series_number']}")
    parts.append("phase unknown" if source["phase"] is None else f"phase {source['phase']}")
    size = " × ".join(str(count) for count in source["size"])
    spacing = " × ".join(f"{mm:.3g}" for mm in source["spacing_mm"])
    parts.append(f"{size} voxels of {spacing} mm")
    if source["choice"]:
        parts.append(source["choice"])
    return f"<p>Segmented: {html.escape(', '.join(parts))}.</p>"


def warning_list(warnings: Iterable[str]) -> str:
    """The warnings, or nothing where there are none."""
    items = "".join(f"<li>{html.escape(text)}</li>" for text in warnings)
    return f'<ul class="warnings">{items}</ul>' if items else ""


def swatch(structure: Structure) -> str:
    """A small square of the structure's colour."""
    return '<span class="swatch" style="background:#{:02x}{:02x}{:02x}"></span>'.format(*structure.colour)


def volume_text(measurements: Mapping[str, Any], structure: Structure) -> str:
    """The structure's mL; what is missing is not called zero."""
    volume = measurements["structures"][structure.key]["volume_ml"]
    return f"{volume:.1f}" if volume else "not found"


def structure_table(measurements: Mapping[str, Any]) -> str:
    """Volumes, which edge cuts them off, the mass and the valve."""
    rows = []
    for structure in STRUCTURES:
        entry = measurements["structures"][structure.key]
        edges = [name for name in ("scan", "region") if entry[f"touches_{name}_edge"]]
        rows.append(
            f'<tr><td class="structure">{swatch(structure)}{html.escape(structure.name)}</td>'
            f'<td class="number">{volume_text(measurements, structure)}</td>'
            f"<td>{'edge of the ' + ' and the '.join(edges) if edges else ''}</td></tr>"
        )
    grams = measurements["lv_myocardium_mass_g"]
    mass = f'{grams:.1f} g</strong>\n<span class="quiet">(1.05 g/mL)</span>' if grams else "not found</strong>"
    valve = ", ".join(f"{coordinate:.1f}" for coordinate in measurements["aortic_valve_mm"])
    return f"""<table> <tr><th>Structure</th><th class="number">Volume, mL</th><th>Cut off by</th></tr>
{chr(10).join(rows)} </table>
<p><strong>Mass of the left ventricular myocardium: {mass}<br>
Centre of the aortic valve (x, y, z; LPS): {valve} mm</p>"""


def valve_table(valves: Mapping[str, Any]) -> str:
    """Area of each valve's plane, how flat and how certain it is, or why there is none."""
    rows = []
    for name, valve in valves.items():
        told = (
            f'<td colspan="3">{html.escape(valve["not_measurable"])}</td>'
            if "not_measurable" in valve
            else f'<td class="number">{valve["area_mm2"]}</td><td class="number">{valve["rms_mm"]:.1f}</td>'
            f'<td class="number">&plusmn; {valve["uncertainty_deg"]:.1f}&deg;</td>'
        )
        rows.append(f"<tr><td>{html.escape(name.capitalize())} valve</td>{told}</tr>")
    return f"""<table> <tr><th>Interface of the labels</th><th class="number">Area, mm2</th>
<th class="number">Off its plane, mm</th><th class="number">Normal</th></tr>
{chr(10).join(rows)} </table>"""


def root_table(root: Mapping[str, Any]) -> str:
    """What planners measure at the aortic root, or why there is nothing."""
    if "not_measurable" in root:
        return f"<p>Not measurable: {html.escape(root['not_measurable'])}.</p>"
    annulus, error = root["annulus"], root["annulus"]["uncertainty"]
    rows = [
        (
            "Annulus",
            f"{_sizes(annulus)}; area &plusmn; {error['area_mm2']:.0f} mm2, perimeter &plusmn; "
            f"{error['perimeter_mm']:.1f} mm, plane &plusmn; {error['height_mm']:.1f} mm and "
            f"{error['normal_deg']:.0f}&deg;; {annulus['hinge_points_seen']} of 3 hinge points seen",
        ),
        ("Outflow tract, 4 mm below", _sizes(root["lvot"])),
        (
            "Sinuses of Valsalva",
            "right {right_mm:.1f}, left {left_mm:.1f}, non-coronary {non_coronary_mm:.1f}, mean {mean_mm:.1f} mm, "
            "{height_mm:.0f} mm above the annulus".format(**root["sinuses"]),
        ),
        ("Sinotubular junction", _sizes(root["sinotubular_junction"])),
        *(
            (f"Height of the {side} coronary ostium", _height(ostium))
            for side, ostium in root["coronary_ostia"].items()
        ),
        (
            f"Calcium above {root['calcium']['threshold_hu']} HU",
            "right {right:.0f}, left {left:.0f}, non-coronary {non_coronary:.0f}, together {total:.0f} mm3 (no "
            "Agatston score)".format(**root["calcium"]["volume_mm3"]),
        ),
        ("Angle of the root", f"{root['deployment']['angle_to_horizontal_deg']:.0f}&deg; to the axial plane"),
        ("Coplanar view", _view(root["deployment"]["coplanar"])),
        ("Cusp-overlap view", _view(root["deployment"]["cusp_overlap"])),
    ]
    return "<table>" + "\n".join(f"<tr><td>{name}</td><td>{text}</td></tr>" for name, text in rows) + "</table>"


def ascending_text(aorta: Mapping[str, Any]) -> str:
    """The widest place of the ascending aorta in a sentence or two, or why there is none."""
    if "not_measurable" in aorta:
        return f"<p>Not measurable: {html.escape(aorta['not_measurable'])}.</p>"
    begin = "the sinotubular junction" if aorta["begins_at"] == "sinotubular_junction" else "24 mm above the valve"
    end = "" if aorta["ends_at"] == "arch" else " <strong>The scan ends before the arch.</strong>"
    return (
        f"<p>Greatest diameter {aorta['dmax_mm']:.1f} &plusmn; {aorta['uncertainty']['dmax_mm']:.1f} mm, across the "
        f"centreline at its widest place, {aorta['along_mm']:.0f} mm from {begin}, of {aorta['length_mm']:.0f} mm that "
        f"were measured; there: {_sizes(aorta)}.{end}</p>"
    )


def _sizes(part: Mapping[str, Any]) -> str:
    if "not_measurable" in part:
        return f"not measurable: {html.escape(part['not_measurable'])}"
    height = f", {part['height_mm']:.0f} mm above the annulus" if "height_mm" in part else ""
    return (
        "area {area_mm2:.0f} mm2, perimeter {perimeter_mm:.1f} mm, diameters {dmin_mm:.1f} and {dmax_mm:.1f} mm (of "
        "the area {area_diameter_mm:.1f}, of the perimeter {perimeter_diameter_mm:.1f})".format(**part)
        + height
    )


def _height(ostium: Mapping[str, Any]) -> str:
    if "not_measurable" in ostium:
        return f"not measurable: {html.escape(ostium['not_measurable'])}"
    return f"{ostium['height_mm']:.1f} &plusmn; {ostium['uncertainty_mm']:.1f} mm"


def _view(view: Mapping[str, float]) -> str:
    lao, cranial = view["lao_deg"], view["cranial_deg"]
    return (
        f"{'LAO' if lao >= 0 else 'RAO'} {abs(lao):.0f}&deg;, {'cranial' if cranial >= 0 else 'caudal'} "
        f"{abs(cranial):.0f}&deg; (&plusmn; {view['uncertainty_deg']:.0f}&deg;)"
    )


def making(measurements: Mapping[str, Any]) -> str:
    """How the result was made, folded away: seconds of each step, peak memory, and the networks with their hashes."""
    rows = [
        f'<tr><td>{html.escape(step)}</td><td class="number">{seconds:.2f} s</td></tr>'
        for step, seconds in measurements["timings_s"].items()
    ]
    if measurements["peak_memory_mb"] is not None:
        rows.append(f'<tr><td>peak memory</td><td class="number">{measurements["peak_memory_mb"]:.0f} MB</td></tr>')
    models = [
        f'<tr><td>{html.escape(name)}</td><td class="hash">{html.escape(digest)}</td></tr>'
        for name, digest in measurements["models"].items()
    ]
    return f"""<details><summary>Time, memory and models</summary>
<div class="columns"> <section><h2>Time</h2> <table>{chr(10).join(rows)}</table></section>
<section><h2>Models <span class="quiet">(SHA-256)</span></h2> <table>{chr(10).join(models)}</table></section> </div>
</details>"""
