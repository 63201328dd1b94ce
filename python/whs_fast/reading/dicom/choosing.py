"""Which of the scans in a folder is meant: by UID and phase, or else the thinnest contrast cardiac series.

A Candidate is one phase of one CT series. Where nothing is asked for, they are ranked by: length, for bolus tracking is
a few slices; contrast seen in the blood, or told where nothing could be seen; axial slices of the scanner before
reformatted ones, by orientation and Image Type; reconstructions for soft tissue before those for lung or bone; signs of
a cardiac scan (gating, body part, description); thin slices; nearness to end-systole; what words tell of contrast. What
is chosen among several is told in a note, with its reasons. Where two different acquisitions rank alike, nothing tells
which one is meant, and both are named instead; of two reconstructions of one acquisition the softer kernel is taken,
then the lower series number.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whs_fast.errors import InputError
from whs_fast.reading.dicom.clues import without_strengths
from whs_fast.reading.dicom.folder import Found
from whs_fast.reading.dicom.looking import Look
from whs_fast.reading.dicom.majority import leave_out_odd
from whs_fast.reading.dicom.phases import Phase, Wanted, positions_along_normal, split_phases
from whs_fast.reading.dicom.slice import Slice
from whs_fast.reading.dicom.texts import is_sharp, says_lung

_MOST_LISTED = 20
# Bolus tracking and the like are a few slices.
_LEAST_EXTENT_MM = 60.0
# Cosine of the angle to the body's axis up to which slices count as axial: no gantry tilts further.
_LEAST_UPRIGHT = 0.82


@dataclass(frozen=True)
class Candidate:
    """One phase of one CT series.

    distance_mm is that between its slices, None where they have no positions; extent_mm is from the first to the last;
    copies counts files of the series that were passed over as copies; notes say what else was, and why.
    look is what the voxels of the series show, None where nobody looked.
    """

    series: str
    phase: Phase
    slices: tuple[Slice, ...]
    distance_mm: float | None
    extent_mm: float
    copies: int
    notes: tuple[str, ...]
    look: Look | None = None

    @property
    def first(self) -> Slice:
        return self.slices[0]

    @property
    def rank(self) -> tuple[float, ...]:
        """Smaller is better."""
        order = {True: 0, None: 1, False: 2}
        distance = round(self.distance_mm, 2) if self.distance_mm is not None else np.inf
        small = self.extent_mm < _LEAST_EXTENT_MM
        contrast = self.first.contrast if self.look is None else self.look.contrast
        return (
            small,
            order[contrast],
            self.reformatted,
            self.sharp,
            not self.first.cardiac,
            distance,
            round(self.phase.from_end_systole, 1),
            order[self.first.contrast],
        )

    @property
    def reformatted(self) -> bool:
        return self.first.reformatted or self.plane != "axial"

    @property
    def sharp(self) -> bool:
        seen = says_lung(self.first.description) if self.look is None else self.look.sharp
        return seen or is_sharp(self.first.kernel)

    @property
    def plane(self) -> str:
        """The body plane that the slices lie nearest to, oblique where they are far from all."""
        if not self.first.placed:
            return "axial"
        normal = np.abs(np.cross(self.first.cosines[:3], self.first.cosines[3:]))
        return ("sagittal", "coronal", "axial")[int(normal.argmax())] if normal.max() > _LEAST_UPRIGHT else "oblique"

    @property
    def traits(self) -> tuple[str, ...]:
        """What it is chosen or passed over for, in words that name nobody."""
        if self.look is not None:
            contrast = "contrast in the blood" if self.look.contrast else "no contrast in the blood"
            if self.first.contrast is not None and self.first.contrast != self.look.contrast:
                contrast += " (against its words)"
        else:
            contrast = {True: "contrast by its words", False: "no contrast by its words", None: ""}[self.first.contrast]
        return tuple(
            trait
            for trait in (
                "few slices" if self.extent_mm < _LEAST_EXTENT_MM else "",
                contrast,
                f"{self.plane} slices" + (", reformatted" if self.reformatted else ""),
                "sharp kernel" if self.sharp else "",
                "cardiac" if self.first.cardiac else "",
            )
            if trait
        )

    @property
    def summary(self) -> str:
        """What a message says of it, without its UID."""
        distance = "" if self.distance_mm is None else f"{self.distance_mm:.3g} mm, "
        phase = "" if self.phase == Phase() else f"phase {self.phase.label}, "
        return f"'{self.first.description}' ({distance}{phase}{len(self.slices)} slices)"


def find_candidates(found: Found, name: str, series: str | None) -> list[Candidate]:
    """Every phase of every CT series, or of the series with the UID `series`.

    Raises InputError where there is none.
    """
    by_uid: dict[str, list[Slice]] = {}
    for image in found.slices:
        by_uid.setdefault(image.series, []).append(image)
    if series is not None:
        if series not in by_uid:
            raise InputError(f"{name}: found no series {series}, expected one of {_listed(by_uid)}")
        modality = by_uid[series][0].modality
        if modality != "CT":
            raise InputError(f"{name}: found modality {modality or '(none)'} in series {series}, expected CT")
        by_uid = {series: by_uid[series]}
    scans = {uid: images for uid, images in by_uid.items() if images[0].modality == "CT"}
    if not scans:
        raise InputError(f"{name}: found no CT series, only {_listed(by_uid)}, expected one")
    # Scouts, screenshots and dose sheets come with most scans and are not meant.
    slices = {uid: [image for image in images if not image.extra] for uid, images in scans.items()}
    volumes = {uid: images for uid, images in slices.items() if len(images) > 1 or any(i.frames > 1 for i in images)}
    if not volumes:
        raise InputError(f"{name}: found CT images that are no volume, {_listed(scans)}, expected a series of slices")
    candidates = []
    for uid, images in volumes.items():
        kept, notes = leave_out_odd(images)
        for phase, part in split_phases(kept):
            candidates.append(_candidate(uid, phase, part, found.copies[uid], found.notes + notes))
    return candidates


def _candidate(uid: str, phase: Phase, slices: Sequence[Slice], copies: int, notes: tuple[str, ...]) -> Candidate:
    distance, extent = None, 0.0
    if all(image.placed for image in slices):
        along = np.unique(np.round(positions_along_normal(slices), 2))
        distance = float(np.median(np.diff(along))) if len(along) > 1 else None
        extent = float(np.ptp(along))
    return Candidate(uid, phase, tuple(slices), distance, extent, copies, notes)


def choose(
    candidates: Sequence[Candidate], wanted: Wanted | None, name: str
) -> tuple[Candidate, tuple[str, ...], str | None]:
    """The candidate that is meant, notes on what was chosen among several, and why it was among several series.

    The reason names nobody, and is None where there was one series.

    Raises InputError where no phase is as wanted, or where two acquisitions are equally likely to be meant.
    """
    likely = list(candidates)
    if wanted is not None:
        nearest = min(wanted.distance(candidate.phase) for candidate in candidates)
        if not np.isfinite(nearest):
            if all(candidate.phase == Phase() for candidate in candidates):
                raise InputError(f"{name}: found a scan whose phase is not told, expected none to be asked for")
            raise InputError(f"{name}: found no such phase, expected one of: {_phases(candidates)}")
        likely = [candidate for candidate in candidates if wanted.distance(candidate.phase) == nearest]
    likely.sort(key=lambda candidate: (candidate.rank, _softness(candidate)))
    best = likely[0]
    rivals = [candidate for candidate in likely[1:] if candidate.series != best.series and candidate.rank == best.rank]
    others = [rival for rival in rivals if not _same_acquisition(best, rival)]
    if others:
        alike = list({candidate.series: candidate for candidate in (best, *others)}.values())
        raise InputError(
            f"{name}: found {len(alike)} CT series of equal rank, expected one or its UID (--series UID): "
            + _cut([f"{candidate.series} {candidate.summary}" for candidate in alike])
        )
    count = len({candidate.series for candidate in candidates})
    distance = "" if best.distance_mm is None else f", {best.distance_mm:.3g} mm between slices"
    choice = f"one of {count} CT series: {', '.join(best.traits)}{distance}" if count > 1 else None
    return best, _notes(best, candidates, wanted), choice


def phases_beside(best: Candidate, candidates: Sequence[Candidate]) -> list[Candidate]:
    """The phases of the scan that a candidate is one of, in order: of its series, or of series that differ in it."""
    same = [candidate for candidate in candidates if candidate.series == best.series]
    if len(same) == 1:
        same = [best, *(other for other in candidates if other is not best and _family(other) == _family(best))]
    return sorted(same, key=lambda candidate: (candidate.phase.assumed_percent or 0.0, candidate.first.number))


def _family(candidate: Candidate) -> tuple[object, ...]:
    """What series that show one scan in different phases have in common."""
    if candidate.phase == Phase():
        return (candidate.series,)
    first = candidate.first
    bare = re.sub(r"\d+(?:[.,]\d+)?\s*(?:%|ms)|best(?:syst|diast)\w*|systol\w*|diastol\w*", "", _lower(first))
    return (
        first.study,
        first.reference,
        first.size,
        first.spacing_mm,
        first.kernel,
        round(candidate.distance_mm or 0.0, 2),
        " ".join(bare.split()),
    )


def _lower(image: Slice) -> str:
    return without_strengths(image.description).lower()


def _same_acquisition(one: Candidate, other: Candidate) -> bool:
    """Whether two series are reconstructions of one acquisition, so that either shows the same heart beat."""
    shared = {image.acquired for image in one.slices} & {image.acquired for image in other.slices} - {""}
    first, second = one.first, other.first
    same_patient_space = (first.study, first.reference) == (second.study, second.reference)
    return bool(shared) and same_patient_space and one.phase == other.phase


def _softness(candidate: Candidate) -> tuple[float, int, str]:
    """Siemens' kernels are numbered by sharpness; elsewhere the number of the series decides."""
    found = re.search(r"\d+", candidate.first.kernel)
    return (float(found[0]) if found else np.inf, candidate.first.number, candidate.series)


def _notes(best: Candidate, candidates: Sequence[Candidate], wanted: Wanted | None) -> tuple[str, ...]:
    notes = []
    count = len({candidate.series for candidate in candidates})
    if count > 1:
        notes.append(
            f"took the series {best.summary}, one of {count} CT series (`whs-fast series` lists them), for: "
            f"{', '.join(best.traits)}"
        )
    phases = [candidate.phase for candidate in phases_beside(best, candidates)]
    if wanted is None and len(phases) > 1:
        sure = "" if best.phase.percent is not None else ", as far as its tags tell"
        notes.append(
            f"took phase {best.phase.label} of {_cut([phase.label for phase in phases], ', ')}: "
            f"nearest to end-systole{sure} (--phase takes another)"
        )
    return tuple(notes)


def _phases(candidates: Sequence[Candidate]) -> str:
    return _cut(list(dict.fromkeys(candidate.phase.label for candidate in candidates)), ", ")


def _listed(by_uid: dict[str, list[Slice]]) -> str:
    return _cut(
        [
            f"{uid or '(no UID)'} '{images[0].description}' ({images[0].modality or 'no modality'}, "
            f"{len(images)} slices)"
            for uid, images in by_uid.items()
        ]
    )


def _cut(entries: list[str], between: str = "; ") -> str:
    rest = len(entries) - _MOST_LISTED
    return between.join(entries[:_MOST_LISTED]) + (f"{between}and {rest} more" if rest > 0 else "")
