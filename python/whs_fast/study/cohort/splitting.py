"""Splits patients at random into training, validation and test, in exact numbers.

Chance comes from a hash of the seed and the patient's identifier (SHA-256), not from a random number generator: the
same patients and seed give the same split on every platform and version, whatever the order of the rows. Rows of one
patient stay together, and so do patients of one group (a family, a hospital).

Patients who stay together are one unit. Units are placed one after another, the largest first, each by chance in
proportion to the room left, which for single patients makes every split equally likely. Where a large unit was placed
so that later ones no longer fit, the choice is taken back; dead ends are remembered, so that an impossible split is
recognised and reported.
"""

import hashlib
from collections.abc import Mapping, Sequence

from whs_fast.errors import InputError

NAMES = ("train", "val", "test")
_MOST_TRIES = 2_000_000


def split_patients(
    patients: Sequence[str], sizes: Mapping[str, int], *, seed: int, groups: Sequence[str | None] | None = None
) -> list[str]:
    """The part, a name of sizes, of each row.

    patients holds the patient of each row; sizes the number of patients wanted in each part; groups the group of each
    row, None where it has none. Raises InputError where sizes do not add up to the number of patients, or where groups
    cannot be kept together in parts of these sizes.
    """
    units = _find_units(patients, groups)
    found = sum(len(unit) for unit in units)
    if found != sum(sizes.values()):
        wanted = " + ".join(f"{size}" for size in sizes.values())
        raise InputError(
            f"found {found} patients in {len(patients)} rows, expected {sum(sizes.values())} ({wanted}): "
            "every patient must belong to one part"
        )
    chance = {unit: _chance(f"{seed}:{unit[0]}") for unit in units}
    units.sort(key=lambda unit: (-len(unit), chance[unit]))
    places = _place([len(unit) for unit in units], [chance[unit] for unit in units], list(sizes.values()))
    if places is None:
        raise InputError(
            f"groups of up to {len(units[0])} patients cannot be kept together in parts of "
            f"{', '.join(f'{size} ({name})' for name, size in sizes.items())} patients; choose other numbers"
        )
    names = list(sizes)
    part = {patient: names[place] for unit, place in zip(units, places, strict=True) for patient in unit}
    return [part[patient] for patient in patients]


def _find_units(patients: Sequence[str], groups: Sequence[str | None] | None) -> list[tuple[str, ...]]:
    """Patients who stay together, each unit sorted; a patient in two groups joins them."""
    members: dict[str, set[str]] = {patient: {patient} for patient in patients}
    first_of: dict[str, str] = {}
    for patient, group in zip(patients, groups or [None] * len(patients), strict=True):
        if group is None:
            continue
        one, other = members[patient], members[first_of.setdefault(group, patient)]
        if one is not other:
            large, small = (one, other) if len(one) >= len(other) else (other, one)
            large |= small
            for each in small:
                members[each] = large
    return sorted({tuple(sorted(unit)) for unit in {id(unit): unit for unit in members.values()}.values()})


def _chance(text: str) -> int:
    """256 bits that depend on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest(), "big")


def _place(units: list[int], chances: list[int], room: list[int]) -> list[int] | None:
    """The part of each unit, or None where there is no way: depth first, without recursion."""
    room = list(room)
    dead: set[tuple[int, ...]] = set()
    options: list[list[int]] = []
    places: list[int] = []
    tries = 0
    while len(places) < len(units):
        at = len(places)
        if len(options) == at:
            options.append([] if (at, *room) in dead else _order(units[at], chances[at], room))
        tries += 1
        if tries > _MOST_TRIES:
            raise InputError(
                f"no way to keep the groups together was found in {_MOST_TRIES} tries; choose smaller groups"
            )
        if options[at]:
            place = options[at].pop()
            places.append(place)
            room[place] -= units[at]
            continue
        dead.add((at, *room))
        options.pop()
        if not places:
            return None
        room[places[-1]] += units[at - 1]
        places.pop()
    return places


def _order(size: int, chance: int, room: list[int]) -> list[int]:
    """Parts with room for a unit, in the order in which to try them, from the last to the first."""
    parts = [part for part, left in enumerate(room) if left >= size]
    order = []
    while parts:
        chance, drawn = divmod(chance, sum(room[part] for part in parts))
        for part in parts:
            if drawn < room[part]:
                break
            drawn -= room[part]
        order.append(part)
        parts.remove(part)
    return order[::-1]
