"""Funnels of chosen steps: how many people do one after the other."""

from collections import Counter
from typing import Annotated, Any, Literal, Self

import orjson
from psycopg.types.json import Jsonb
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from functions.common.events import SourceName

from ..database import Snapshot
from ..formatting import Count, Rate, ReportRange, format_optional_time, ratio
from ..query.filters import FilterText, ReportQuery, Stage
from ..query.property_filters import Filters, all_conditions
from ..query.statements import SqlText, Statements
from ..query.told_country import LeftOut, left_out
from ..query.window import Window, length_of
from ..users.accuracy import Accuracy, estimated_accuracy, exact_accuracy
from ..users.sampling import SAMPLING_MODULUS, sample_bounds, should_sample
from ..users.steps import people_by_steps
from .report import Report

SQL = Statements("report_steps.sql")

MIN_STEPS, MAX_STEPS = 2, 8


class Step(BaseModel):
    """One step: an event of which all that is given holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    eventType: FilterText | None = None
    source: SourceName | None = None
    funnelStage: Stage | None = None
    campaignId: FilterText | None = None
    country: FilterText | None = None
    where: dict[str, Any] | None = None
    filter: Filters = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.model_dump(exclude_none=True, exclude={"filter"}) and not self.filter:
            raise PydanticCustomError("empty_step", "A step must name what its event is")
        return self


def _parse_steps(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    if not text.lstrip().startswith("["):
        return [{"eventType": name} for name in text.split(",")]
    try:
        return orjson.loads(text)
    except ValueError as error:
        raise PydanticCustomError("invalid_json", "Not valid JSON") from error


class StepsQuery(ReportQuery):
    """The query parameters of the report."""

    steps: Annotated[
        tuple[Step, ...],
        BeforeValidator(_parse_steps),
        Field(min_length=MIN_STEPS, max_length=MAX_STEPS),
        WithJsonSchema({"type": "string", "maxLength": 4000}),
    ] = Field(
        default_factory=lambda: (Step(funnelStage="top"), Step(funnelStage="bottom")),
        description="The steps, 2 to 8: event types separated by commas, or a JSON array of "
        "objects with `eventType`, `source`, `funnelStage`, `campaignId`, `country`, `filter` (an "
        "array of filters by properties, as in the parameter `filter`) or `where` (an object that "
        "`data` must contain); all that a step gives must hold. Default: from the top of the "
        "funnel to its bottom.",
        examples=['[{"eventType":"ad.view"},{"eventType":"ad.click"}]'],
    )
    window: Window = Field(
        "7d",
        description="How long all steps together may take: minutes (`30m`), hours (`24h`) or days.",
        examples=["7d"],
    )
    split: Literal["none", "source", "campaignId", "country"] = Field(
        "none",
        description="The same for each value of this field: that of a person is the first that "
        "an event of a step tells.",
        examples=["source"],
    )
    limit: int = Field(
        20, ge=1, le=1000, description="Maximum number of values; those with most people are kept."
    )


class StepFigures(TypedDict):
    """People who did a step after all before it.

    `ofFirst` is their share of the people of the first step, `ofPrevious` of the step before,
    `droppedOff` how many of those did not come so far.
    """

    people: Count
    peopleAccuracy: Accuracy
    ofFirst: Rate | None
    ofPrevious: Rate | None
    droppedOff: Count


class ValueSteps(TypedDict):
    """The steps of the people of one value; null: no event of a step tells one."""

    key: str | None
    steps: list[StepFigures]


class StepsReport(ReportRange):
    """People by how far they came: in total, and for each value."""

    window: str
    split: Literal["none", "source", "campaignId", "country"]
    steps: list[StepFigures]
    items: list[ValueSteps]
    omitted: Count
    leftOut: LeftOut | None


def steps(snapshot: Snapshot, query: StepsQuery) -> StepsReport:
    """Return the report."""
    number = len(query.steps)
    sampled = should_sample(snapshot, query)
    rows = snapshot.stream(SQL["steps"], _params(query) | {"sampled": sampled})
    found = ((row["user_id"], row["occurred_at"], row["key"], row["steps"]) for row in rows)
    people: Counter[tuple[str | None, int]] = Counter(
        people_by_steps(found, number, length_of(query.window))
    )
    keys: Counter[str | None] = Counter()
    for (key, done), count in people.items():
        if done:
            keys[key] += count
    ordered = sorted(keys, key=lambda key: (-keys[key], key is None, key or ""))
    if query.split == "none":
        ordered = []

    def figures(of: list[str | None]) -> list[StepFigures]:
        reached = [
            sum(people[key, done] for key in of for done in range(step, number + 1))
            for step in range(1, number + 1)
        ]
        return _figures(reached, sampled)

    return {
        "from": format_optional_time(query.from_),
        "to": format_optional_time(query.to),
        "window": query.window,
        "split": query.split,
        "steps": figures(list(keys)),
        "items": [{"key": key, "steps": figures([key])} for key in ordered[: query.limit]],
        "omitted": len(ordered[query.limit :]),
        "leftOut": left_out(snapshot, query),
    }


def _params(query: StepsQuery) -> dict[str, Any]:
    types = {step.eventType for step in query.steps}
    return query.params() | {
        "split": query.split,
        "types": None if None in types else sorted(filter(None, types)),
        "step_types": [step.eventType for step in query.steps],
        "step_sources": [step.source for step in query.steps],
        "step_stages": [step.funnelStage for step in query.steps],
        "step_campaigns": [step.campaignId for step in query.steps],
        "step_countries": [step.country for step in query.steps],
        "step_contained": [step.where and Jsonb(step.where) for step in query.steps],
        "step_filters": _filters(query.steps),
        "step_contains": _contains(query.steps),
    }


def _contains(steps: tuple[Step, ...]) -> SqlText:
    """Return the SQL of whether `data` contains what a step asks for.

    Where no step asks, `data` is not named: the index of the sample has all else that is read.
    """
    asked = any(step.where is not None for step in steps)
    return SqlText("(contained IS NULL OR data @> contained)" if asked else "true", {})


def _filters(steps: tuple[Step, ...]) -> SqlText:
    """Return the SQL of whether an event is what the filters of the step `place` ask for."""
    conditions = {
        place: all_conditions(step.filter, f"step_{place}_filter")
        for place, step in enumerate(steps, 1)
        if step.filter
    }
    if not conditions:
        return SqlText("true", {})
    cases = " ".join(f"WHEN {place} THEN {each.text}" for place, each in conditions.items())
    params = {name: value for each in conditions.values() for name, value in each.params.items()}
    return SqlText(f"(CASE place {cases} ELSE true END)", params)


def _figures(reached: list[int], sampled: bool) -> list[StepFigures]:
    each = SAMPLING_MODULUS if sampled else 1
    before = [reached[0], *reached]
    return [
        {
            "people": people * each,
            "peopleAccuracy": estimated_accuracy(*sample_bounds(people))
            if sampled
            else exact_accuracy(people),
            "ofFirst": ratio(people, reached[0]),
            "ofPrevious": ratio(people, previous),
            "droppedOff": (previous - people) * each,
        }
        for people, previous in zip(reached, before, strict=False)
    ]


REPORT = Report(
    name="steps",
    summary="Funnel of chosen steps, in people",
    description="How many people did the first step, how many of them the second one later, and so "
    "on, all within a window; other events may lie between. Of several ways of a person the one "
    "that comes furthest counts. Read from the stored events: counted where these are few, else "
    "estimated from every 32nd person, with bounds; `exact=true` counts, within the time limit of "
    "a report.",
    query=StepsQuery,
    response=StepsReport,
    compute=steps,
)
