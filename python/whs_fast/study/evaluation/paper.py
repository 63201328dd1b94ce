"""What Sharobeem et al. (J Cardiovasc Transl Res 2021, doi 10.1007/s12265-021-10166-0) report, for comparison.

Their eight test patients are another data set: a comparison, never a bound for our figures. The paper's
correlations and limits of agreement are not included. The lower quartile of the superior vena cava lies below the
smallest value in the paper's own table, a misprint there.
"""

from dataclasses import dataclass

CAPTION = "Sharobeem et al. 2021: another data set (8 patients)"


@dataclass(frozen=True)
class Quartiles:
    """Median, first and third quartile."""

    median: float
    q1: float
    q3: float


DICE: dict[str, Quartiles] = {
    "pulmonary_veins": Quartiles(0.657, 0.594, 0.712),
    "left_atrium": Quartiles(0.939, 0.933, 0.941),
    "left_ventricle_cavity": Quartiles(0.852, 0.793, 0.867),
    "left_ventricle_myocardium": Quartiles(0.927, 0.923, 0.940),
    "aorta": Quartiles(0.915, 0.902, 0.930),
    "coronary_sinus": Quartiles(0.604, 0.516, 0.652),
    "superior_vena_cava": Quartiles(0.627, 0.408, 0.659),
    "right_atrium": Quartiles(0.877, 0.816, 0.901),
    "right_ventricle_cavity": Quartiles(0.819, 0.763, 0.862),
    "pulmonary_artery": Quartiles(0.878, 0.865, 0.888),
}

# The paper does not say how its overall Dice is computed, so it is compared with none of our three.
OVERALL_DICE = Quartiles(0.920, 0.906, 0.925)

# Reference volumes, in mL and for the left ventricular myocardium in g.
VOLUMES: dict[str, Quartiles] = {
    "pulmonary_veins": Quartiles(12, 10, 18),
    "left_atrium": Quartiles(88, 69, 106),
    "left_ventricle_cavity": Quartiles(29, 17, 42),
    "left_ventricle_myocardium": Quartiles(135, 129, 177),
    "aorta": Quartiles(133, 122, 148),
    "coronary_sinus": Quartiles(2.39, 1.94, 2.82),
    "superior_vena_cava": Quartiles(15, 7, 21),
    "right_atrium": Quartiles(83, 63, 100),
    "right_ventricle_cavity": Quartiles(47, 31, 50),
    "pulmonary_artery": Quartiles(60, 51, 73),
}
