"""Predicts how right a segmentation is and says when somebody should look: `confidence` of measurements.json.

Boosted trees of depth three, fitted by training.confidence to rendered scans, half of them spoilt, predict Dice
from the figures of steps.figures: one model for the whole, one for the structures. What needs no prediction (no
contrast, a chamber that is missing) asks for a review by itself. The aim is that of Robinson et al., Real-time
Prediction of Segmentation Quality, MICCAI 2018: a Dice for a scan that nobody has labelled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whs_fast.steps.figures import AO, FAR_MM, LA, LVC, PA, RA, RVC, Figures
from whs_fast.structures import BY_KEY, CHAMBERS, STRUCTURES

LARGE = tuple(BY_KEY[key].label for key in (*CHAMBERS, "aorta", "pulmonary_artery"))
MAIN_JOINTS = ((LVC, AO), (LA, LVC), (RA, RVC), (RVC, PA))

DOUBTFUL_DICE = 0.7  # a structure below is named, in the reasons or beside the green light
LEAST_JOINT_MM2 = 50.0  # a valve of 8 mm; the narrowest that patients live with are larger
ODD_SD = 3.0  # of the logarithm of a volume, from that of the population
OPEN_CUP = 0.6


@dataclass(frozen=True, eq=False)
class Trees:
    """Boosted regression trees, all complete and of the same depth d.

    feature int[trees, 2^d - 1] and threshold float[same] belong to the inner nodes, level by level: a value above the
    threshold goes right. value float[trees, 2^d] belongs to the leaves; the prediction is start plus one of each tree.
    """

    start: float
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    value: NDArray[np.float64]

    def predict(self, vector: NDArray[np.float64]) -> float:
        """The prediction for one vector of features."""
        trees = np.arange(len(self.feature))
        node = np.zeros(len(self.feature), np.int64)
        inner = self.feature.shape[1]
        while node[0] < inner:
            node = 2 * node + 1 + (vector[self.feature[trees, node]] > self.threshold[trees, node])
        return self.start + float(self.value[trees, node - inner].sum())


@dataclass(frozen=True, eq=False)
class Predictor:
    """overall and structures predict Dice; below review_below of the former, somebody should look."""

    overall: Trees
    structures: Trees
    review_below: float


@dataclass(frozen=True, eq=False)
class Population:
    """What the structures of the training's hearts measure, by label: mean and sd of the logarithm of mL, and of the
    place (x, y, z; mm, LPS) from the centre of all of them; usual is their median Dice."""

    log_ml: dict[int, tuple[float, float]]
    place_mm: dict[int, tuple[NDArray[np.float64], NDArray[np.float64]]]
    usual: dict[int, float]


@dataclass(frozen=True, eq=False)
class Calibration:
    """What training.confidence fitted: plain for one pass, checked for two; network is the SHA-256 of Dense V-Net."""

    network: str
    population: Population
    plain: Predictor
    checked: Predictor


def read_calibration(content: Mapping[str, Any]) -> Calibration:
    """A calibration from its JSON; raises KeyError, TypeError or ValueError where that is none."""

    def trees(own: Mapping[str, Any]) -> Trees:
        feature = np.array(own["feature"], np.int64)
        found = Trees(
            float(own["start"]), feature, np.array(own["threshold"], float), np.array(own["value"], float)
        )
        if found.threshold.shape != feature.shape or found.value.shape != (len(feature), feature.shape[1] + 1):
            raise ValueError("trees of unequal shapes")
        return found

    def predictor(own: Mapping[str, Any]) -> Predictor:
        return Predictor(trees(own["overall"]), trees(own["structures"]), float(own["review_below"]))

    people = content["population"]
    population = Population(
        {s.label: (people[s.key]["log_ml"][0], people[s.key]["log_ml"][1]) for s in STRUCTURES},
        {s.label: (np.array(people[s.key]["place_mm"][0]), np.array(people[s.key]["place_mm"][1])) for s in STRUCTURES},
        {s.label: float(people[s.key]["usual"]) for s in STRUCTURES},
    )
    return Calibration(
        str(content["network"]), population, predictor(content["plain"]), predictor(content["checked"])
    )


def structure_vector(
    figures: Figures, label: int, population: Population, agreed: Mapping[int, float] | None
) -> NDArray[np.float64]:
    """What the model of the structures sees of one of them; agreed is the Dice of two passes, by label, 0 the whole."""
    own = figures.structures[label]
    mean, sd = population.log_ml[label]
    size = (np.log(max(own["volume_ml"], 1e-3)) - mean) / sd
    middle, spread = population.place_mm[label]
    away = (np.array([own["left_mm"], own["back_mm"], own["up_mm"]]) - middle) / spread
    muscle_hu = figures.whole["left_blood_hu"] - figures.whole["left_minus_muscle_hu"]
    found = [
        population.usual[label],
        float(own["volume_ml"] > 0),
        own["at_edge"],
        own["clear"],
        own["unsure"],
        own["torn"],
        own["missed"],
        own["rivalled"],
        own["kept"],
        float(np.clip(size, -9, 9)),
        abs(float(np.clip(size, -9, 9))),
        float(np.sqrt((away**2).mean())) if own["volume_ml"] else 9.0,
        own["least_joint_mm2"],
        own["joint_share"],
        own["wrong_share"],
        own["surface_mm2"] / max(own["volume_ml"], 0.1) ** (2 / 3),
        own["mean_hu"] - muscle_hu,
        own["sd_hu"],
        own["strange"],
        own["open"],
    ]
    if agreed is not None:
        found.append(agreed[label])
    return np.array([*found, *_whole(figures, population, agreed)])


def overall_vector(
    figures: Figures, population: Population, agreed: Mapping[int, float] | None
) -> NDArray[np.float64]:
    """What the model of the whole sees."""
    volumes = np.array([figures.structures[s.label]["volume_ml"] for s in STRUCTURES])
    vectors = np.array([structure_vector(figures, s.label, population, None) for s in STRUCTURES])
    weights = volumes / max(1e-3, volumes.sum())
    large = [label - 1 for label in LARGE]
    chosen = slice(3, 20)
    return np.array(
        [
            *(weights @ vectors[:, chosen]),
            *vectors[large, chosen].min(axis=0),
            *vectors[large, chosen].max(axis=0),
            *_whole(figures, population, agreed),
        ]
    )


def _whole(figures: Figures, population: Population, agreed: Mapping[int, float] | None) -> list[float]:
    """What both models see of the whole."""
    own = figures.structures
    total = sum(entry["volume_ml"] for entry in own.values())
    clear = sum(entry["volume_ml"] * entry["clear"] for entry in own.values()) / max(1e-3, total)
    found = [
        *figures.whole.values(),
        clear,
        float(sum(entry["volume_ml"] > 0 for entry in own.values())),
        float(sum(entry["at_edge"] for entry in own.values())),
        min(figures.whole[f"joint_{a}_{b}_mm2"] for a, b in MAIN_JOINTS),
        np.log(max(total, 1e-3)) - np.log(sum(np.exp(mean) for mean, _ in population.log_ml.values())),
    ]
    if agreed is not None:
        found += [agreed[0], min(agreed[label] for label in LARGE)]
    return found


def judge(
    figures: Figures,
    contrast_lacks: bool,
    calibration: Calibration | None,
    *,
    agreed: Mapping[int, float] | None = None,
) -> dict[str, Any]:
    """The entry `confidence` of measurements.json.

    contrast_lacks tells that the left heart shows no contrast; calibration is None where none was fitted to the
    network that ran: nothing is predicted then. agreed is what steps.figures.agreement gave, where there were two
    passes.
    """
    own = figures.structures
    reasons = []
    predicted: dict[str, float] | None = None
    missing = [s.name.lower() for s in STRUCTURES if s.key in CHAMBERS and not own[s.label]["volume_ml"]]
    if contrast_lacks:
        reasons.append("the left heart shows no contrast")
    if missing:
        reasons.append(f"not found: {', '.join(missing)}")
    if calibration is not None:
        predictor, population = (calibration.plain if agreed is None else calibration.checked), calibration.population
        overall = _clip(predictor.overall.predict(overall_vector(figures, population, agreed)))
        predicted = {"overall_pooled": overall} | {
            s.key: _clip(predictor.structures.predict(structure_vector(figures, s.label, population, agreed)))
            if own[s.label]["volume_ml"]
            else 0.0
            for s in STRUCTURES
        }
        if overall < predictor.review_below:
            least = f"{predictor.review_below:.2f}"
            reasons.insert(0, f"the predicted overall Dice is {overall:.2f}, expected at least {least}")
        if reasons:
            reasons += _explain(figures, predicted, population)
    return {"review": bool(reasons), "reasons": reasons, "predicted_dice": predicted}


def name_doubtful(predicted: Mapping[str, float]) -> str:
    """Large structures that were found and of which little is expected, with the Dice, in words; "" for none."""
    doubtful = (s for s in STRUCTURES if s.label in LARGE and 0 < predicted[s.key] < DOUBTFUL_DICE)
    return ", ".join(f"{s.name.lower()} ({predicted[s.key]:.2f})" for s in doubtful)


def _explain(figures: Figures, predicted: Mapping[str, float], population: Population) -> list[str]:
    """What else is odd about a result that somebody should look at."""
    own, told = figures.structures, []
    doubtful = name_doubtful(predicted)
    if doubtful:
        told.append(f"doubtful: {doubtful}")
    for structure in (s for s in STRUCTURES if s.label in LARGE):
        mean, sd = population.log_ml[structure.label]
        volume = own[structure.label]["volume_ml"]
        if volume and not own[structure.label]["at_edge"] and abs(np.log(volume) - mean) > ODD_SD * sd:
            low, high = (np.exp(mean + way * ODD_SD * sd) for way in (-1, 1))
            told.append(f"{structure.name.lower()} of {volume:.0f} mL, expected {low:.0f} to {high:.0f}")
    for a, b in MAIN_JOINTS:
        first, second = (next(s.name.lower() for s in STRUCTURES if s.label == label) for label in (a, b))
        if figures.whole[f"joint_{a}_{b}_mm2"] < LEAST_JOINT_MM2 and own[a]["volume_ml"] and own[b]["volume_ml"]:
            told.append(f"{first} and {second} do not meet")
    if own[LVC]["volume_ml"] and figures.whole["closed_cup"] < OPEN_CUP:
        told.append("the muscle does not enclose the left ventricle")
    if figures.whole["moved_mm"] == FAR_MM:
        told.append("the labels show no aortic valve")
    return told


def _clip(value: float) -> float:
    return round(min(max(value, 0.0), 1.0), 3)
