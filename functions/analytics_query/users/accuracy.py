"""How accurate a number of users is: the types in responses, and the confidence they state."""

from typing_extensions import TypedDict

from ..formatting import Count

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


def exact_accuracy(figure: int) -> Accuracy:
    """Return the accuracy of a figure that was counted."""
    return {"exact": True, "lower": figure, "upper": figure, "confidence": 1.0}


def estimated_accuracy(lower: int, upper: int) -> Accuracy:
    """Return the accuracy of an estimate between two bounds."""
    return {"exact": False, "lower": lower, "upper": upper, "confidence": CONFIDENCE}
