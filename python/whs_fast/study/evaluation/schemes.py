"""Label sets, which say what the values in a file mean, and schemes, which say which structures are compared.

Prediction and reference may each use values of their own; reading translates both to our labels. A scheme then picks
the structures to compare, which both must have, in the paper's order; everything else is background.
"""

from dataclasses import dataclass

from whs_fast.errors import InputError
from whs_fast.structures import BY_KEY, CHAMBERS, STRUCTURES, Structure


@dataclass(frozen=True)
class LabelSet:
    """The values of a label map, and the key of the structure that each means.

    note says how its structures differ from ours, where they do.
    """

    name: str
    values: dict[int, str]
    note: str = ""

    @property
    def table(self) -> dict[int, int]:
        """Our label for each of its values."""
        return {value: BY_KEY[key].label for value, key in self.values.items()}


LABEL_SETS: dict[str, LabelSet] = {
    labels.name: labels
    for labels in (
        LabelSet("whs-fast", {structure.label: structure.key for structure in STRUCTURES}),
        # Zhuang et al., Med Image Anal 2019, doi 10.1016/j.media.2019.101537. One of its maps has 421 for 420.
        LabelSet(
            "mm-whs",
            {
                205: "left_ventricle_myocardium",
                420: "left_atrium",
                421: "left_atrium",
                500: "left_ventricle_cavity",
                550: "right_atrium",
                600: "right_ventricle_cavity",
                820: "aorta",
                850: "pulmonary_artery",
            },
            "MM-WHS draws the ascending aorta and the trunk of the pulmonary artery; ours continue through the arch, "
            "the descending aorta and the branches: Dice and volumes of these two compare different extents",
        ),
        # Its task heartchambers_highres, written as one multi-label file (--ml).
        LabelSet(
            "totalsegmentator",
            {
                1: "left_ventricle_myocardium",
                2: "left_atrium",
                3: "left_ventricle_cavity",
                4: "right_atrium",
                5: "right_ventricle_cavity",
                6: "aorta",
                7: "pulmonary_artery",
            },
        ),
    )
}

SCHEMES: dict[str, tuple[str, ...]] = {
    "whs-fast": tuple(BY_KEY),
    "mm-whs": (*CHAMBERS, "aorta", "pulmonary_artery"),
    # Baskaran et al., JACC Cardiovasc Imaging 2020: the structures alone, in label values of another set.
    "baskaran": CHAMBERS,
    "totalsegmentator": (*CHAMBERS, "aorta", "pulmonary_artery"),
}


def choose_structures(scheme: str | None, prediction: LabelSet, reference: LabelSet) -> tuple[Structure, ...]:
    """The structures to compare, in the paper's order: those of a scheme, or all that both label sets have.

    Raises InputError for an unknown scheme and for one with structures that a label set lacks.
    """
    shared = set(prediction.values.values()) & set(reference.values.values())
    if scheme is None:
        wanted = shared
    elif scheme in SCHEMES:
        wanted = set(SCHEMES[scheme])
    else:
        raise InputError(f"scheme: {scheme!r} is unknown, choose one of {', '.join(SCHEMES)}")
    lacking = sorted(wanted - shared, key=list(BY_KEY).index)
    if lacking:
        raise InputError(
            f"scheme {scheme}: {', '.join(lacking)} missing in the label sets {prediction.name} and {reference.name}; "
            "choose a scheme of structures that both have"
        )
    return tuple(structure for structure in STRUCTURES if structure.key in wanted)


def find_label_set(name: str) -> LabelSet:
    """A label set by its name. Raises InputError for an unknown one."""
    if name not in LABEL_SETS:
        raise InputError(f"labels: {name!r} is unknown, choose one of {', '.join(LABEL_SETS)}")
    return LABEL_SETS[name]
