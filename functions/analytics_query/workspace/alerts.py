"""Alerts and summaries: made, changed, deleted and tried. Others judge and send (`..alerts`)."""

from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import flask
from pydantic import ConfigDict, Field, TypeAdapter, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from functions.common.errors import RequestRefusedError

from ..alerts.rule import MAX_EMAILS, Email, Rule, Webhook, rule_json
from ..database import Connection, execute, run
from ..formatting import Count
from ..query.statements import Statements
from .bodies import JSON_TYPE, read_json
from .by_id import IdQuery, Name, Written, add_named, change_named, deletion, prepare_id
from .write import Write

SQL = Statements("alerts.sql")
MAX_ALERTS = 200


@dataclass(config=ConfigDict(extra="forbid"), frozen=True, kw_only=True)
class NewAlert:
    """What is watched or reported, and who is told: e-mail addresses, a webhook, or both."""

    name: Name
    rule: Rule
    emails: list[Email] = Field(
        default_factory=list, max_length=MAX_EMAILS, description="Who gets an e-mail."
    )
    webhook: Webhook | None = Field(
        None, description="Where the message is posted as JSON; no redirect is followed."
    )

    @model_validator(mode="after")
    def _check(self) -> "NewAlert":
        if not self.emails and self.webhook is None:
            raise PydanticCustomError("nobody", "Name an e-mail address or a webhook")
        return self


class Tested(TypedDict):
    """How many messages wait to be sent."""

    id: str
    messages: Count


NEW = TypeAdapter(NewAlert)
EXAMPLE: dict[str, Any] = {
    "name": "Revenue of Germany falls",
    "rule": {
        "kind": "figure",
        "figure": "revenue",
        "interval": "day",
        "condition": "fallen",
        "value": "30",
        "filters": {"country": "DE"},
    },
    "emails": ["growth@example.com"],
    "webhook": "https://hooks.example.com/universe",
}
BODIES = {JSON_TYPE: {"schema": NEW, "example": EXAMPLE}}


def _params(alert: NewAlert) -> dict[str, Any]:
    return {
        "name": alert.name,
        "rule": rule_json(alert.rule),
        "emails": list(dict.fromkeys(alert.emails)),
        "webhook": alert.webhook,
    }


def _add(connection: Connection, alert: NewAlert) -> Written:
    counted = run(connection, SQL["count_alerts"])
    if counted is not None and counted["alerts"] >= MAX_ALERTS:
        raise RequestRefusedError(422, f"There are {MAX_ALERTS} alerts already: delete some.")
    return add_named(connection, SQL["add_alert"], "alert", **_params(alert))


def _prepare_change(request: flask.Request) -> tuple[UUID, NewAlert]:
    return prepare_id(request), read_json(NEW, request)


def _change(connection: Connection, given: tuple[UUID, NewAlert]) -> Written:
    id_, alert = given
    others, change = SQL["another_alert_of_name"], SQL["change_alert"]
    changed = change_named(connection, others, change, "alert", id=id_, **_params(alert))
    run(connection, SQL["delete_messages_to_others"], id=id_)
    return changed


def _test(connection: Connection, id_: UUID) -> Tested:
    params = {"id": id_, "attempts": 0, "next_at": datetime.now(UTC)}
    made = execute(connection, SQL["add_test_messages"], **params)
    if not made.rowcount:
        raise RequestRefusedError(404, "There is none of this id.")
    return {"id": str(id_), "messages": made.rowcount}


ADD = Write(
    name="alerts",
    method="POST",
    summary="Make an alert or a summary",
    description="Watches a figure of the dashboard, or sends a summary of it every day or week. "
    "People get an e-mail, a webhook a JSON document, when the condition begins to hold and when "
    "it does not any more: judged after the end of each interval, what is `above` and only grows "
    "also before. A figure that is not known (null) says nothing. What is sent, and when, is up to "
    "the job that judges alerts.",
    bodies=BODIES,
    response=Written,
    prepare=partial(read_json, NEW),
    store=_add,
)
CHANGE = Write(
    name="alerts",
    method="PUT",
    summary="Change an alert or a summary",
    description="Puts another in the place of one: what is left out is taken away. With another "
    "`rule` it begins anew; with other people or another name it goes on. Messages that wait for "
    "people who are left out are deleted.",
    bodies=BODIES,
    query=IdQuery,
    response=Written,
    prepare=_prepare_change,
    store=_change,
)
DELETE = deletion(
    "alerts",
    "Delete an alert or a summary",
    "Deletes it, with the messages that wait to be sent.",
    SQL["delete_alert"],
)
TEST = Write(
    name="alerts/test",
    method="POST",
    summary="Send a test",
    description="Sends everybody whom the alert names a message that says that it is a test. It is "
    "sent when alerts are judged the next time; what goes wrong is in `lastError` of the alert.",
    bodies={},
    query=IdQuery,
    response=Tested,
    prepare=prepare_id,
    store=_test,
)
