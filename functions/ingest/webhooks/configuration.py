"""Which webhooks there are: those of the sources, and those of the setting `WEBHOOKS`."""

import logging
from collections.abc import Mapping
from typing import Annotated

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from functions.common.errors import SecretError
from functions.common.events import SOURCES
from functions.common.settings import read_secrets

from .scheme import Scheme
from .schemes import SCHEMES
from .webhook import VERIFY_TOKEN, Webhook, secret_of, verify_token_of

logger = logging.getLogger(__name__)


def _parse(value: object) -> object:
    """Read the setting where it is text, as it is in the environment."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from error


def _scheme(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in SCHEMES:
        raise ValueError(f"{value} is none of {', '.join(SCHEMES)}")
    return SCHEMES[value]


def _source(name: str) -> str:
    if name not in SOURCES:
        raise ValueError(f"{name} is none of {', '.join(SOURCES)}")
    return name


def _webhook_name(name: str) -> str:
    if name == "event" or name.endswith(VERIFY_TOKEN):
        raise ValueError(f"a webhook cannot be named {name}")
    return name


class WebhookSettings(BaseModel):
    """One entry of the setting `WEBHOOKS`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scheme: Annotated[Scheme, BeforeValidator(_scheme)]
    sources: Annotated[frozenset[Annotated[str, AfterValidator(_source)]], Field(min_length=1)]


WebhookName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,48}[a-z0-9])?$"),
    AfterValidator(_webhook_name),
]
Webhooks = Annotated[dict[WebhookName, WebhookSettings], BeforeValidator(_parse)]
"""The type of the setting `WEBHOOKS`: settings by name, or JSON of that."""


def with_built_in(configured: Mapping[str, WebhookSettings]) -> dict[str, WebhookSettings]:
    """Return the webhooks of the sources that have a scheme of their name, and the configured ones.

    One that is configured by the name of a source takes the place of that source's.
    """
    built_in = {
        name: WebhookSettings(scheme=SCHEMES[name], sources=frozenset({name}))
        for name in SOURCES
        if name in SCHEMES
    }
    return {**built_in, **configured}


def load(configured: Mapping[str, WebhookSettings]) -> tuple[Webhook, ...]:
    """Return all webhooks, with the secrets that they have.

    Raises:
        SecretError: a secret cannot be read, or is not one of the scheme's.
    """
    return tuple(
        _load(name, each, warn=name in configured)
        for name, each in with_built_in(configured).items()
    )


def _load(name: str, settings: WebhookSettings, *, warn: bool) -> Webhook:
    secret = secret_of(name)
    scheme = settings.scheme
    try:
        keys = tuple(scheme.key(each) for each in read_secrets(secret))
    except ValueError as error:
        raise SecretError(f"the secret {secret} cannot be used: {error}") from error
    tokens = read_secrets(verify_token_of(name)) if scheme.verifies_subscription else ()
    if warn and not keys:
        logger.warning("webhook closed: no secret", extra={"webhook": name, "secret": secret})
    return Webhook(name, scheme, settings.sources, keys, tokens)
