"""The codes with which DICOM objects name structures and measurements, and the meanings that DICOM lists for them.

A structure's own name is more exact than its code (the cavity of a ventricle has the code of the ventricle): the name
is the label of the segment, and the code keeps its own meaning. Sources: PS3.16, CID 7150 (categories), CID 4042 and
12305 (cardiac structures), CID 7162 (families of algorithms), CID 12304 (volume and mass). What is in no list has a
code of our own, 99WHSFAST.
"""

from highdicom.sr import CodedConcept

from whs_fast.structures import Structure

MEANINGS = {
    "122972007": "Pulmonary vein",
    "82471001": "Left atrium",
    "87878005": "Left ventricle",
    "49848007": "Left Ventricle Myocardium",
    "15825003": "Aorta",
    "90219004": "Coronary sinus",
    "48345005": "Superior vena cava",
    "73829009": "Right atrium",
    "53085002": "Right ventricle",
    "81040000": "Pulmonary artery",
}

ANATOMICAL_STRUCTURE = CodedConcept("91723000", "SCT", "Anatomical Structure")
ARTIFICIAL_INTELLIGENCE = CodedConcept("123110", "DCM", "Artificial Intelligence")
CARDIAC_CT = CodedConcept("241547009", "SCT", "Cardiac CT")
VOLUME = CodedConcept("118565006", "SCT", "Volume")
MASS = CodedConcept("118538004", "SCT", "Mass")
MILLILITER = CodedConcept("mL", "UCUM", "milliliter")
GRAM = CodedConcept("g", "UCUM", "gram")
AREA = CodedConcept("42798000", "SCT", "Area")
PERIMETER = CodedConcept("131191004", "SCT", "Perimeter")
HEIGHT = CodedConcept("height_over_annulus", "99WHSFAST", "Height over the annulus plane")
SQUARE_MILLIMETER = CodedConcept("mm2", "UCUM", "square millimeter")
MILLIMETER = CodedConcept("mm", "UCUM", "millimeter")
YES = CodedConcept("373066001", "SCT", "Yes")
VALVES = {
    "aortic": CodedConcept("34202007", "SCT", "Aortic Valve"),
    "mitral": CodedConcept("91134007", "SCT", "Mitral Valve"),
    "tricuspid": CodedConcept("46030003", "SCT", "Tricuspid valve"),
    "pulmonary": CodedConcept("39057004", "SCT", "Pulmonary valve"),
}
AORTIC_ANNULUS = CodedConcept("77583004", "SCT", "Aortic Valve Ring")
HINGE_POINT = CodedConcept("hinge_point", "99WHSFAST", "Hinge point of the aortic valve")
CORONARY_OSTIUM = CodedConcept("coronary_ostium", "99WHSFAST", "Lower rim of a coronary ostium")
CUT_OFF = CodedConcept("cut_off", "99WHSFAST", "Cut off by the edge of the scan or region")


def code_of(structure: Structure) -> CodedConcept:
    """The SNOMED CT code of a structure."""
    return CodedConcept(structure.snomed, "SCT", MEANINGS[structure.snomed])
