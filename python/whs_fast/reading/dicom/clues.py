"""What the header of a CT image says about the moment in the heart beat that it shows.

Scanners tell it in many ways: as a percentage of the R-R interval (a standard tag in enhanced files, private ones of
GE and Toshiba/Canon, Siemens' Scan Options, text such as "BestSyst 35 %" elsewhere), as a delay after the R peak in
ms, or by nothing but a number that counts the phases or the time of acquisition. Private tags are looked up by the name
of their creator, whatever block it has taken (DICOM PS3.5, 7.8.1).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

# Creator, group, element within the creator's block.
_GE_PERCENT = (("GEMS_HELIOS_01", 0x0045, 0x34), ("GEMS_HELIOS_01", 0x0045, 0x33))
_GE_DELAY = (("GEMS_HELIOS_01", 0x0045, 0x44), ("GEMS_HELIOS_01", 0x0045, 0x3F))
_GE_RATE = ("GEMS_HELIOS_01", 0x0045, 0x31)
_CANON = ("TOSHIBA_MEC_CT3", 0x7005)
_CANON_RR, _CANON_PERCENT, _CANON_DELAY = 0x03, 0x04, 0x05

_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?")
# Every repetition below is bounded, for tags may hold thousands of characters.
_FIGURE = r"\d{1,4}(?:[.,]\d{1,6})?"
# Strengths of iterative reconstruction are percentages too, and so are the ranges of tube current modulation. The "SS"
# of SS50 is one, that of SS-Freeze (GE's SnapShot Freeze) is none.
_STRENGTH = re.compile(
    r"(?i)\b(?:(?:asir|adm?ire|safire|idose|aidr)[\w-]{0,16}?|ar|ss)[ _-]{0,3}\d{1,3}(?:\.\d{1,3})?\s{0,3}%"
)
_RANGE = re.compile(rf"(?<!\d){_FIGURE}\s{{0,3}}%?\s{{0,3}}(?:-|to|bis)\s{{0,3}}{_FIGURE}\s{{0,3}}%")
_PERCENT = re.compile(r"(?<![\d.,])(\d{1,3}(?:[.,]\d{1,6})?)\s{0,3}%")
_DELAY = re.compile(rf"(?i)(?<![\d.,])({_FIGURE})\s{{0,3}}ms\b")
# Siemens' Scan Options: TP35PC0965 is 35 %.
_SCAN_OPTION = re.compile(r"\bTP(\d{1,3})PC")
# Cardiac Synchronization Technique of enhanced files; classic ones have no tag that says "none".
_SYNCHRONISED = {"NONE": False, "PROSPECTIVE": True, "RETROSPECTIVE": True, "PACED": True, "REALTIME": True}
_TEXTS = ("0020|4000", "0018|4000", "0008|103e")


@dataclass(frozen=True)
class Clues:
    """percent of the R-R interval; delay in ms after the R peak; R-R in ms; counters; time of acquisition as a number
    HHMMSS; whether the scan was synchronised with the heart beat. None where nothing is told."""

    percent: float | None = None
    delay_ms: float | None = None
    rr_ms: float | None = None
    temporal: float | None = None
    acquisition: float | None = None
    time: float | None = None
    gated: bool | None = None


def find_clues(tag: Callable[[str], str]) -> Clues:
    """The clues of one image, from its tags as text: `tag("gggg|eeee")`, empty where there is none."""

    def first(*keys: str) -> float | None:
        return next((value for key in keys if (value := _number(tag(key))) is not None), None)

    canon = _block(tag, *_CANON)
    percent = first("0020|9241")
    percent = percent if percent is not None else _private(tag, *_GE_PERCENT)
    percent = percent if percent is not None else first(canon(_CANON_PERCENT))
    delay_ms = first("0018|1060", "0020|9153")
    delay_ms = delay_ms if delay_ms is not None else _private(tag, *_GE_DELAY)
    delay_ms = delay_ms if delay_ms is not None else first(canon(_CANON_DELAY))
    option = _SCAN_OPTION.search(tag("0018|0022"))
    if percent is None and option is not None:
        percent = float(option[1])
    for text in (tag(key) for key in _TEXTS):
        percent = percent if percent is not None else percent_in(text)
        if delay_ms is None and percent is None and len(found := set(_DELAY.findall(text))) == 1:
            delay_ms = float(found.pop().replace(",", "."))
    technique = tag("0018|9037").strip().upper()
    rr_ms = first("0018|1062", "0020|9251", "0018|9070", canon(_CANON_RR))
    rate = first("0018|1088")
    rate = rate if rate is not None else _private(tag, _GE_RATE)
    if not rr_ms and rate:
        rr_ms = 60_000.0 / rate
    return Clues(
        percent=percent if percent is not None and 0.0 <= percent <= 100.0 else None,
        delay_ms=delay_ms,
        rr_ms=rr_ms if rr_ms is not None and 250.0 <= rr_ms <= 2500.0 else None,
        temporal=first("0020|9128", "0020|0100"),
        acquisition=first("0020|0012", "0020|9156"),
        # Without the date that some come with.
        time=_number(tag("0008|0032") or tag("0018|9074")[8:] or tag("0008|002a")[8:]),
        gated=True if any(clue is not None for clue in (percent, delay_ms, rr_ms)) else _SYNCHRONISED.get(technique),
    )


def percent_in(text: str) -> float | None:
    """The one percentage in a text that can be a phase, such as 35 in "CorCTA 0.6 Bv40 BestSyst 35 %"."""
    found = {value.replace(",", ".") for value in _PERCENT.findall(without_strengths(text))}
    return float(found.pop()) if len(found) == 1 else None


def without_strengths(text: str) -> str:
    """A text without the percentages in it that are no phases."""
    return _RANGE.sub(" ", _STRENGTH.sub(" ", text))


def _number(text: str) -> float | None:
    found = _NUMBER.search(text)
    return None if found is None else float(found[0])


def _block(tag: Callable[[str], str], creator: str, group: int) -> Callable[[int], str]:
    """Keys of a creator's private elements; a key that no file has where the creator is not there."""
    for block in range(0x10, 0x20):
        if tag(f"{group:04x}|00{block:02x}") == creator:
            return lambda element: f"{group:04x}|{block:02x}{element:02x}"
    return lambda element: ""


def _private(tag: Callable[[str], str], *places: tuple[str, int, int]) -> float | None:
    for creator, group, element in places:
        value = _number(tag(_block(tag, creator, group)(element)))
        if value is not None:
            return value
    return None
