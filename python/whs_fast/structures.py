"""The ten structures, their fixed label values, codes and colours.

The order and the abbreviations are those of Sharobeem et al., J Cardiovasc Transl Res 2021,
doi 10.1007/s12265-021-10166-0; the codes are SNOMED CT's. Colours follow the custom of anatomy atlases (oxygenated
blood warm, venous blood cold) and differ enough to be distinguished over a grey scan.
"""

from dataclasses import dataclass

MYOCARDIUM_DENSITY_G_PER_ML = 1.05


@dataclass(frozen=True)
class Structure:
    """One structure.

    Attributes:
        label: value in label maps, 1 to 10.
        key: name in files and tables, such as "left_atrium".
        abbreviation: the paper's, such as "LA".
        name: name for people, such as "Left atrium".
        snomed: SNOMED CT code.
        colour: (red, green, blue), 0 to 255 each, in which it is drawn.
    """

    label: int
    key: str
    abbreviation: str
    name: str
    snomed: str
    colour: tuple[int, int, int]


STRUCTURES: tuple[Structure, ...] = (
    Structure(1, "pulmonary_veins", "PV", "Pulmonary veins", "122972007", (255, 170, 190)),
    Structure(2, "left_atrium", "LA", "Left atrium", "82471001", (226, 88, 160)),
    Structure(3, "left_ventricle_cavity", "LVC", "Left ventricular cavity", "87878005", (214, 48, 49)),
    Structure(4, "left_ventricle_myocardium", "LVM", "Left ventricular myocardium", "49848007", (222, 184, 96)),
    Structure(5, "aorta", "Ao", "Aorta", "15825003", (240, 112, 48)),
    Structure(6, "coronary_sinus", "CS", "Coronary sinus", "90219004", (150, 80, 210)),
    Structure(7, "superior_vena_cava", "SVC", "Superior vena cava", "48345005", (64, 208, 224)),
    Structure(8, "right_atrium", "RA", "Right atrium", "73829009", (64, 104, 224)),
    Structure(9, "right_ventricle_cavity", "RVC", "Right ventricular cavity", "53085002", (72, 180, 96)),
    Structure(10, "pulmonary_artery", "PA", "Pulmonary artery", "81040000", (0, 122, 171)),
)

BY_KEY: dict[str, Structure] = {structure.key: structure for structure in STRUCTURES}

# The four chambers and the left ventricular myocardium, which every scan of a heart shows.
CHAMBERS = (
    "left_atrium",
    "left_ventricle_cavity",
    "left_ventricle_myocardium",
    "right_atrium",
    "right_ventricle_cavity",
)
