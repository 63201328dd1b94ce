"""A calibration whose predictions are known: trees of one split, on clarity alone."""

from whs_fast.structures import STRUCTURES

FEW, MANY = 0.5, 0.9  # what the trees predict where little, and where much, is clear


def make_calibration(network="0" * 64, *, feature=0, threshold=0.5, review_below=0.8):
    """Content of confidence.json: FEW where the feature is at most the threshold, else MANY."""
    trees = {"start": FEW, "feature": [[feature]], "threshold": [[threshold]], "value": [[0.0, MANY - FEW]]}
    predictor = {"overall": trees, "structures": trees, "review_below": review_below}
    people = {s.key: {"log_ml": [2.0, 0.5], "place_mm": [[0, 0, 0], [9, 9, 9]], "usual": 0.9} for s in STRUCTURES}
    return {"network": network, "population": people, "plain": predictor, "checked": predictor}
