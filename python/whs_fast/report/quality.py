"""What both pages say of how far a result can be trusted: a traffic light, and how well the scan shows the heart.

Measurements without these entries, of older versions or of a label map alone, give nothing. All text is escaped.
"""

import html
from collections.abc import Mapping
from typing import Any

from whs_fast.report.tables import swatch
from whs_fast.steps.confidence import name_doubtful
from whs_fast.structures import BY_KEY, STRUCTURES

LAMPS = {"green": "#1a8a3c", "amber": "#e08a00", "red": "#c8281e", "blue": "#2563eb"}
USELESS_DICE = 0.6  # a predicted overall Dice below is red: of three voxels, hardly two are right


def judge(measurements: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Colour of the traffic light, the word beside it, and what to do; None where no confidence was measured."""
    if "corrected" in measurements:
        return (
            "blue",
            "Corrected by hand",
            "The labels were changed after the run; the volumes are those of the new labels.",
        )
    confidence = measurements.get("confidence")
    if confidence is None:
        return None
    predicted = confidence["predicted_dice"]
    overall = None if predicted is None else predicted["overall_pooled"]
    missing = any("no contrast" in text or text.startswith("not found") for text in confidence["reasons"])
    if not confidence["review"]:
        doubtful = "" if predicted is None else name_doubtful(predicted)
        looks = f"The whole looks right. Doubtful: {doubtful}" if doubtful else "Nothing about this result looks wrong"
        colour, word, told = "green", "No fault found", f"{looks}. Look at the picture."
    elif missing or (overall is not None and overall < USELESS_DICE):
        colour, word, told = "red", "Do not use", "The labels are probably wrong. Do not use the volumes below."
    else:
        colour, word, told = "amber", "Review", "Look at the labels before you use the volumes below."
    if overall is not None:
        told += f" Expected overlap with a reader's labels (Dice, 1 is perfect): {overall:.2f}."
    return colour, word, told


def traffic_light(measurements: Mapping[str, Any]) -> str:
    """Green, amber or red, each with a sentence that says what to do, and the reasons; blue, and what was changed."""
    verdict = judge(measurements)
    if verdict is None:
        return ""
    colour, word, told = verdict
    lines = (
        [_describe(entry) for entry in measurements["corrected"]]
        if "corrected" in measurements
        else measurements["confidence"]["reasons"]
    )
    reasons = "".join(f"<li>{html.escape(text)}</li>" for text in lines)
    return (
        f'<section class="light {colour}" aria-label="Confidence"><span class="lamp" aria-hidden="true"></span>'
        f"<div><p><strong>{word}.</strong> {told}</p>{f'<ul>{reasons}</ul>' if reasons else ''}</div></section>"
    )


def _describe(entry: Mapping[str, Any]) -> str:
    """What one correction changed, and who made it."""
    changes = [
        f"{BY_KEY[key].name} +{change['added_ml']:.1f} and -{change['removed_ml']:.1f} mL"
        for key, change in entry["structures"].items()
    ]
    return f"{entry['by']}: {', '.join(changes) or 'nothing'}"


def quality_table(measurements: Mapping[str, Any]) -> str:
    """HU of blood and muscle with the Dice expected of each structure, then noise, slices and the like."""
    contrast = measurements.get("contrast")
    if contrast is None:
        return ""
    predicted = (measurements.get("confidence") or {}).get("predicted_dice") or {}
    rows = []
    for structure in STRUCTURES:
        pool = contrast["structures"][structure.key]
        cells = ("", "") if pool is None else (f"{pool['mean_hu']:.0f}", f"{pool['sd_hu']:.0f}")
        dice = f"{predicted[structure.key]:.2f}" if structure.key in predicted else ""
        rows.append(
            f'<tr><td class="structure">{swatch(structure)}{html.escape(structure.name)}</td>'
            + "".join(f'<td class="number">{cell}</td>' for cell in (*cells, dice))
            + "</tr>"
        )
    lines = [f'<tr><td>{name}</td><td class="number">{value}</td></tr>' for name, value in _lines(contrast)]
    return f"""<h2>How well the scan shows the heart</h2>
<table> <tr><th>Structure</th><th class="number">Mean, HU</th><th class="number">Spread (SD), HU</th>
<th class="number">Expected Dice</th></tr>
{chr(10).join(rows)} </table>
<table>
{chr(10).join(lines)} </table>
<p class="quiet">HU are of the inner part of each structure. The expected Dice is predicted from signs of trouble, as
learnt on rendered scans; it is not measured.</p>"""


def _lines(contrast: Mapping[str, Any]) -> list[tuple[str, str]]:
    def hu(name: str) -> str:
        return "not measured" if contrast[name] is None else f"{contrast[name]:.0f} HU"

    step, gated = contrast["largest_step"], contrast["ecg_gated"]
    return [
        ("Blood of the left heart", hu("left_blood_hu")),
        ("Blood of the right heart", hu("right_blood_hu")),
        ("Left blood above right blood", hu("left_minus_right_hu")),
        ("Left blood above muscle", hu("left_minus_muscle_hu")),
        ("Image noise", hu("noise_hu")),
        ("Distance of slices", f"{contrast['slice_spacing_mm']:.2f} mm"),
        ("Largest step between slices", "not measured" if step is None else f"{step:.1f} times the usual"),
        ("ECG-gated", {None: "the header does not tell", True: "yes", False: "no"}[gated]),
    ]
