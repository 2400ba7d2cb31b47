"""The OpenAPI 3.1 document of ingest."""

from typing import Any

import orjson

from functions.common import health
from functions.common.access import API_KEY_HEADER
from functions.common.correlation import CALL_ID_HEADER
from functions.common.events import SOURCES
from functions.common.http.openapi import RESPONSES, SCHEMAS, problem_schema, response_of_problem

from ..publisher import RETRY_AFTER
from ..settings import IngestSettings
from ..validation import MAX_DETAILED
from ..webhooks.configuration import with_built_in
from . import schemas, webhook_paths

NDJSON = "application/x-ndjson"
LIMITS = (
    "max_body_bytes",
    "max_body_values",
    "max_events",
    "max_event_bytes",
    "max_event_age_days",
    "max_pending_bytes",
)
"""Settings that say what a request may hold."""

DESCRIPTION = """\
Send the events of marketing webhooks. An event is acknowledged once it is on the broker's disk, and
is stored exactly once.

* **Sending again is safe.** An event is identified by its `eventId` and the UTC day of its
  `timestamp`; the first one that arrives is stored, later ones are dropped. After a 5xx, or without
  a response, send the same body again; `Retry-After` says how many seconds to wait. Use ids that
  others cannot guess, such as UUIDs: who knows an id and may send can take its place.
* **Batches.** A body is one event, an array of events, or NDJSON with an event on each line
  (`application/x-ndjson`), with `Content-Encoding: gzip` or without. Events are judged one by one:
  202 lists those that were rejected, the first hundred of them; `rejectedCount` says how many.
* **Media types.** JSON is also taken as `text/json`, `text/plain`,
  `application/x-www-form-urlencoded` (which `curl -d` sends), any `+json`, or without a type.
* **Schemas.** Each source's events as JSON Schema: `schemas/<source>.json`.
"""

CALL_ID_HEADERS = {
    CALL_ID_HEADER: {
        "required": True,
        "schema": {"type": "string"},
        "description": "Correlation id: of the request, or a new one.",
    }
}
ERROR_DETAIL: dict[str, Any] = {
    "type": "object",
    "title": "ErrorDetail",
    "description": "One thing that is wrong with an event.",
    "required": ["loc", "msg", "type"],
    "properties": {
        "loc": {
            "type": "array",
            "items": {"type": ["string", "integer"]},
            "description": "Path in the event; empty: the event as a whole.",
        },
        "msg": {"type": "string", "description": "For a person to read."},
        "type": {"type": "string", "description": "For programs."},
    },
}
REJECTED_EVENT: dict[str, Any] = {
    "type": "object",
    "title": "RejectedEvent",
    "description": "An event that is not stored; it is kept in the dead letter queue with the "
    "reason, unless it is too large. Sending it again unchanged has the same result.",
    "required": ["index", "eventId", "errors"],
    "properties": {
        "index": {"type": "integer", "minimum": 0, "description": "Place in the request, from 0."},
        "eventId": {"type": ["string", "null"], "description": "Its id, if one can be read."},
        "errors": {"type": "array", "items": {"$ref": SCHEMAS + "ErrorDetail"}},
    },
}
ACCEPTED_COUNT: dict[str, Any] = {
    "type": "integer",
    "minimum": 0,
    "description": "Events that are on disk.",
}
REJECTED_LIST: dict[str, Any] = {
    "type": "array",
    "items": {"$ref": SCHEMAS + "RejectedEvent"},
    "maxItems": MAX_DETAILED,
    "description": "The first rejected events.",
}
REJECTED_COUNT: dict[str, Any] = {
    "type": "integer",
    "minimum": 1,
    "description": "How many events are rejected; there if any is.",
}
ACCEPTED: dict[str, Any] = {
    "type": "object",
    "title": "Accepted",
    "description": "What became of the events of a request.",
    "required": ["accepted", "rejected"],
    "properties": {
        "accepted": ACCEPTED_COUNT,
        "rejected": REJECTED_LIST,
        "rejectedCount": REJECTED_COUNT,
    },
}
REJECTED_EXAMPLE = {
    "index": 1,
    "eventId": "order-8",
    "errors": [{"loc": ["timestamp"], "msg": "Field required", "type": "missing"}],
}


def _responses() -> dict[str, Any]:
    retry_after = {
        "Retry-After": {
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
            "example": RETRY_AFTER,
            "description": "Seconds to wait before the same request is sent again.",
        }
    }
    allow = {
        "Allow": {
            "required": True,
            "schema": {"type": "string"},
            "description": "The methods that this path takes.",
        }
    }
    return {
        "Accepted": {
            "description": "The broker has the valid events on disk. `rejected` lists the others: "
            "repair and send those alone.",
            "headers": CALL_ID_HEADERS,
            "content": {
                health.JSON: {
                    "schema": {"$ref": SCHEMAS + "Accepted"},
                    "examples": {
                        "all": {"value": {"accepted": 1, "rejected": []}},
                        "some": {
                            "value": {
                                "accepted": 1,
                                "rejected": [REJECTED_EXAMPLE],
                                "rejectedCount": 1,
                            }
                        },
                    },
                }
            },
        },
        "NotReadable": response_of_problem(
            "The body is empty, is no JSON, or is not what its `Content-Encoding` says. Nothing is "
            "stored. Do not send it again unchanged.",
            400,
            "The body is not JSON: ',' or ']' expected at byte 17.",
            headers=CALL_ID_HEADERS,
        ),
        "Unauthorized": response_of_problem(
            "The key or the signature is missing or wrong. Nothing is stored.",
            401,
            "A valid header X-Api-Key is required.",
            headers=CALL_ID_HEADERS,
        ),
        "MethodNotAllowed": response_of_problem(
            "The path takes other methods.",
            405,
            "PUT is not supported here: use POST.",
            headers=CALL_ID_HEADERS | allow,
        ),
        "TooLarge": response_of_problem(
            "The body has more bytes, events or JSON values than the limits allow. Nothing is "
            "stored. Send it in several requests.",
            413,
            "The request has more than 10000 events: send several requests.",
            headers=CALL_ID_HEADERS,
        ),
        "UnsupportedMediaType": response_of_problem(
            "The media type, the charset or the content encoding is not supported. Nothing is "
            "stored.",
            415,
            "The content encoding br is not supported: send gzip or none.",
            headers=CALL_ID_HEADERS,
        ),
        "NoneValid": response_of_problem(
            "None of the events is valid; `rejected` says what is wrong with each. They are kept "
            "in the dead letter queue. Do not send them again unchanged.",
            422,
            "None of the events is valid; 'rejected' says what is wrong with each.",
            headers=CALL_ID_HEADERS,
            accepted=0,
            rejected=[REJECTED_EXAMPLE],
            rejectedCount=1,
        ),
        "UnexpectedError": response_of_problem(
            "A defect; the log has it under the call id. Send the same request again later.",
            500,
            "An unexpected error occurred; the log has it under call id 4bf92f3577b34da6.",
            headers=CALL_ID_HEADERS,
        ),
        "Unavailable": response_of_problem(
            "The broker does not take the events at present. Some may be stored: send the same "
            "request again after `Retry-After` seconds, events are stored once.",
            503,
            "The message broker is unavailable (the connection is lost): try again.",
            headers=CALL_ID_HEADERS | retry_after,
        ),
        "Forbidden": response_of_problem(
            "The verify token is wrong, or `hub.mode` or `hub.challenge` is not as it should be.",
            403,
            "hub.verify_token is not that of the secret webhook-facebook-verify-token, or hub.mode "
            "is not subscribe.",
            headers=CALL_ID_HEADERS,
        ),
        "NotFound": response_of_problem(
            "There is nothing at this path.",
            404,
            "There is nothing at /schemas/myspace.json. Send events to /webhook/event.",
            headers=CALL_ID_HEADERS,
        ),
        "NotModified": {
            "description": "The document with the ETag in If-None-Match is still current."
        },
    }


ERRORS = {
    "400": "NotReadable",
    "401": "Unauthorized",
    "405": "MethodNotAllowed",
    "413": "TooLarge",
    "415": "UnsupportedMediaType",
    "422": "NoneValid",
    "500": "UnexpectedError",
    "503": "Unavailable",
}
PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "Content-Encoding",
        "in": "header",
        "description": "`gzip` if the body is compressed.",
        "schema": {"type": "string", "enum": ["gzip", "identity"]},
    },
    {
        "name": CALL_ID_HEADER,
        "in": "header",
        "description": "Correlation id, visible ASCII; the log lines of every component have it.",
        "schema": {"type": "string", "maxLength": 128},
    },
]


def _event_components() -> dict[str, Any]:
    """Return the schemas of all events; `Event` is any of them."""
    found: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, source in SOURCES.items():
        prefix = name.capitalize()
        schema, definitions = schemas.components(source, SCHEMAS + prefix + "{model}")
        title = f"{prefix}Event"
        for each, definition in definitions.items():
            found[prefix + each] = {**definition, "title": prefix + each}
        found[title] = {"title": title, "description": schemas.DESCRIPTION, **schema}
        sources[name] = SCHEMAS + title
    found["Event"] = {
        "title": "Event",
        "description": "An event of any source.",
        "oneOf": [{"$ref": reference} for reference in sources.values()],
        "discriminator": {"propertyName": "source", "mapping": sources},
    }
    return found


def _body(event: str, sources: list[str], limits: IngestSettings) -> dict[str, Any]:
    """Return the request body of events.

    Args:
        event: the name of the schema of an event.
        sources: those that examples are of.
        limits: bound how many events there are.
    """
    events = [example for name in sources for example in schemas.examples(name)]
    named = {f"{each['source']} {each['eventType']}": {"value": each} for each in events}
    one = {"$ref": SCHEMAS + event}
    array = {"type": "array", "items": one, "minItems": 1, "maxItems": limits.max_events}
    lines = b"\n".join(map(orjson.dumps, events[:2])).decode()
    return {
        "required": True,
        "content": {
            health.JSON: {
                "schema": {"oneOf": [one, array]},
                "examples": {**named, "several events": {"value": events[:2]}},
            },
            NDJSON: {
                "schema": {"type": "string", "description": "An event on each line."},
                "examples": {"several events": {"value": lines}},
            },
        },
    }


def _events_of(sources: list[str]) -> str:
    """Return the name of the schema of these sources' events, or of any where they are several."""
    return f"{sources[0].capitalize()}Event" if len(sources) == 1 else "Event"


def _take_events(limits: IngestSettings) -> dict[str, Any]:
    key: list[dict[str, list[str]]] = [{"apiKey": []}, {"bearer": []}]
    return {
        "operationId": "takeEvents",
        "summary": "Send events of any source",
        "tags": ["events"],
        "security": [{}, *key] if limits.ingest_auth == "none" else key,
        "parameters": PARAMETERS,
        "requestBody": _body("Event", list(SOURCES), limits),
        "responses": {
            "202": {"$ref": RESPONSES + "Accepted"},
            **{status: {"$ref": RESPONSES + name} for status, name in ERRORS.items()},
        },
    }


def _schema_path() -> dict[str, Any]:
    return {
        "get": {
            "operationId": "schema",
            "summary": "A source's events as JSON Schema 2020-12",
            "tags": ["schemas"],
            "security": [],
            "parameters": [
                {
                    "name": "source",
                    "in": "path",
                    "required": True,
                    "schema": {"type": "string", "enum": list(SOURCES)},
                }
            ],
            "responses": {
                "200": {
                    "description": "The schema.",
                    "headers": CALL_ID_HEADERS,
                    "content": {schemas.MEDIA_TYPE: {"schema": {"type": "object"}}},
                },
                "304": {"$ref": RESPONSES + "NotModified"},
                "404": {"$ref": RESPONSES + "NotFound"},
                "405": {"$ref": RESPONSES + "MethodNotAllowed"},
            },
        }
    }


def _limits(limits: IngestSettings) -> tuple[str, dict[str, int]]:
    """Return the limits as a table to read, and by the names of their settings."""
    values = {name.upper(): getattr(limits, name) for name in LIMITS}
    fields = type(limits).model_fields
    rows = [
        f"| `{name.upper()}` | {values[name.upper()]:,} | {fields[name].description} |"
        for name in LIMITS
    ]
    return "\n".join(["", "| limit | value | meaning |", "|---|---|---|", *rows, ""]), values


def document(limits: IngestSettings) -> dict[str, Any]:
    """Return the OpenAPI document of a function with these settings."""
    table, values = _limits(limits)
    webhooks = with_built_in(limits.webhooks)
    take_events = _take_events(limits)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Universe ingest",
            "version": "1",
            "description": DESCRIPTION + table,
            "license": {"name": "MIT", "identifier": "MIT"},
            "x-limits": values,
        },
        "servers": [{"url": ".", "description": "The address of this document"}],
        "tags": [
            {"name": "events", "description": "Sending events"},
            {"name": "webhooks", "description": "Senders that sign what they send"},
            {"name": "schemas", "description": "What an event is"},
        ],
        "paths": {
            "/webhook/event": {"post": take_events},
            **webhook_paths.paths(
                webhooks,
                take_events,
                lambda sources: _body(_events_of(sources), sources, limits),
            ),
            "/schemas/{source}.json": _schema_path(),
        },
        "components": {
            "schemas": {
                "Problem": problem_schema(
                    accepted=ACCEPTED_COUNT, rejected=REJECTED_LIST, rejectedCount=REJECTED_COUNT
                ),
                "Accepted": ACCEPTED,
                "RejectedEvent": REJECTED_EVENT,
                "ErrorDetail": ERROR_DETAIL,
                **_event_components(),
            },
            "responses": _responses(),
            "securitySchemes": {
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": API_KEY_HEADER,
                    "description": "The key in the secret `ingest-api-key`.",
                },
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The same key as `Authorization: Bearer KEY`.",
                },
                **webhook_paths.security_schemes(webhooks),
            },
        },
    }
