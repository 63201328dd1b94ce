"""What Sharobeem et al. (J Cardiovasc Transl Res 2021, doi 10.1007/s12265-021-10166-0) report, for comparison.

Their eight test patients are another data set: a comparison, never a bound for our figures. The lower quartile of the
superior vena cava lies below the smallest value in the paper's own table, a misprint there.
"""

from dataclasses import dataclass

CAPTION = "Sharobeem et al. 2021: another data set (8 patients)"


@dataclass(frozen=True)
class Quartiles:
    """Median, first and third quartile."""

    median: float
    q1: float
    q3: float


@dataclass(frozen=True)
class Agreement:
    """Mean of automatic minus manual size and limits of agreement, in mL (g), with Pearson's r and its p: None where
    the paper has p < 0.001. The paper subtracts the other way round."""

    mean: float
    lower: float
    upper: float
    r: float
    p: float | None = None


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

AGREEMENT: dict[str, Agreement] = {
    "pulmonary_veins": Agreement(4.67, -0.35, 9.68, 0.90, 0.002),
    "left_atrium": Agreement(1.07, -8.2, 10.4, 0.98),
    "left_ventricle_cavity": Agreement(6.63, -2.9, 16.2, 0.99),
    "left_ventricle_myocardium": Agreement(1.76, -6.0, 9.5, 0.99),
    "aorta": Agreement(0.41, -19.7, 20.6, 0.97),
    "coronary_sinus": Agreement(0.40, -0.76, 1.56, 0.77, 0.02),
    "superior_vena_cava": Agreement(-2.51, -14.9, 9.9, 0.49, 0.27),
    "right_atrium": Agreement(0.76, -13.1, 14.6, 0.95),
    "right_ventricle_cavity": Agreement(8.17, -1.6, 18.0, 0.98),
    "pulmonary_artery": Agreement(-0.53, -10.1, 9.0, 0.96),
}
