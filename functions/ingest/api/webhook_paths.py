"""The webhooks in the OpenAPI document of ingest."""

from collections.abc import Callable, Mapping
from typing import Any

from functions.common.http.openapi import RESPONSES

from ..webhooks.configuration import WebhookSettings
from ..webhooks.webhook import path_of, secret_of, verify_token_of


def security_schemes(webhooks: Mapping[str, WebhookSettings]) -> dict[str, Any]:
    """Return a security scheme for each webhook: the header with its signature."""
    return {
        secret_of(name): {
            "type": "apiKey",
            "in": "header",
            "name": each.scheme.header,
            "description": f"HMAC-{each.scheme.algorithm.upper()} of `{each.scheme.signed}`, in "
            f"{each.scheme.encoding}, with the secret `{secret_of(name)}`.",
        }
        for name, each in webhooks.items()
    }


def paths(
    webhooks: Mapping[str, WebhookSettings],
    take_events: Mapping[str, Any],
    body: Callable[[list[str]], dict[str, Any]],
) -> dict[str, Any]:
    """Return the path of each webhook.

    Args:
        webhooks: by name.
        take_events: the operation of `/webhook/event`, which they differ little from.
        body: returns the request body for events of some sources.
    """
    return {
        path_of(name): {
            "post": _post(name, each, take_events, body(sorted(each.sources))),
            **({"get": _get(name)} if each.scheme.verifies_subscription else {}),
        }
        for name, each in webhooks.items()
    }


def _post(
    name: str, webhook: WebhookSettings, take_events: Mapping[str, Any], body: dict[str, Any]
) -> dict[str, Any]:
    scheme = webhook.scheme
    sources = " and ".join(sorted(webhook.sources))
    description = f"Events of {sources}; those of another source are rejected and not kept."
    if scheme.time_header or scheme.time_prefix:
        description += f" The signature is valid for {scheme.window:g} seconds."
    signed_headers = [
        {
            "name": header,
            "in": "header",
            "required": True,
            "description": f"The {what}, which is signed.",
            "schema": {"type": "string"},
        }
        for header, what in (
            (scheme.time_header, f"time of sending, in {scheme.time_unit} since 1970"),
            (scheme.id_header, "id of the message"),
        )
        if header
    ]
    return {
        **take_events,
        "operationId": _operation("take", name),
        "summary": f"Send events of {sources}, signed",
        "description": description,
        "tags": ["webhooks"],
        "security": [{secret_of(name): []}],
        "parameters": [*take_events["parameters"], *signed_headers],
        "requestBody": body,
    }


def _get(name: str) -> dict[str, Any]:
    parameters = {
        "hub.mode": {"type": "string", "const": "subscribe"},
        "hub.verify_token": {"type": "string"},
        "hub.challenge": {"type": "string", "pattern": "^[A-Za-z0-9_.~+/=-]{1,256}$"},
    }
    return {
        "operationId": _operation("subscribe", name),
        "summary": "Verify a subscription",
        "description": "The sender asks for this before it sends anything.",
        "tags": ["webhooks"],
        "security": [],
        "parameters": [
            {"name": key, "in": "query", "required": True, "schema": schema}
            for key, schema in parameters.items()
        ],
        "responses": {
            "200": {
                "description": "`hub.challenge`, because the verify token is that of the secret "
                f"`{verify_token_of(name)}`.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
            "403": {"$ref": RESPONSES + "Forbidden"},
            "405": {"$ref": RESPONSES + "MethodNotAllowed"},
        },
    }


def _operation(verb: str, name: str) -> str:
    return verb + "".join(part.capitalize() for part in name.split("-"))
