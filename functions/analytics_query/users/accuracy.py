"""How accurate a number of users is: the types in responses, and the confidence they state."""

from typing_extensions import TypedDict

from ..formatting import Count, Rate, ratio

CONFIDENCE = 0.95
STANDARD_DEVIATIONS = 2
"""The half width of an interval of that confidence, in standard deviations."""


class Accuracy(TypedDict):
    """The true figure lies within the bounds with the given confidence."""

    exact: bool
    lower: Count
    upper: Count
    confidence: float


class RelativeAccuracy(TypedDict):
    """Each true figure lies within the relative error with the given confidence."""

    exact: bool
    relativeError: float
    confidence: float


class RateAccuracy(TypedDict):
    """The true share lies within the bounds with at least the given confidence."""

    exact: bool
    lower: Rate
    upper: Rate
    confidence: float


def rate_accuracy(part: Accuracy, whole: Accuracy) -> RateAccuracy:
    """Return the accuracy of a share of two figures; each may be wrong by itself."""
    if not part["upper"]:
        lower = upper = 0.0
    else:
        lower = ratio(min(part["lower"], whole["upper"]), max(whole["upper"], 1)) or 0.0
        upper = ratio(min(part["upper"], max(whole["lower"], 1)), max(whole["lower"], 1)) or 0.0
    return {
        "exact": part["exact"] and whole["exact"],
        "lower": lower,
        "upper": upper,
        "confidence": round(part["confidence"] + whole["confidence"] - 1, 6),
    }


def exact_accuracy(figure: int) -> Accuracy:
    """Return the accuracy of a figure that was counted."""
    return {"exact": True, "lower": figure, "upper": figure, "confidence": 1.0}


def estimated_accuracy(lower: int, upper: int) -> Accuracy:
    """Return the accuracy of an estimate between two bounds."""
    return {"exact": False, "lower": lower, "upper": upper, "confidence": CONFIDENCE}
