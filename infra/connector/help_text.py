"""What `python -m infra.connector --help` prints, made from the settings class."""

import textwrap
from typing import Any

from infra.connector.delivery.backoff import Backoff
from infra.connector.settings import ConnectorSettings
from infra.connector.spec import ANNOTATIONS

WIDTH = 100
INDENT = " " * 6

_HEAD = """\
usage: python -m infra.connector [--help | dlq ...]

Delivers the messages of NATS JetStream streams to HTTP functions: at least once, in batches, with
retries, bisection of failing batches and a dead-letter queue. Functions are found at an OpenFaaS
gateway by their annotation `topic`; with K_SINK or FUNCTION_URL, one address gets everything.

Runs until SIGTERM or SIGINT, then finishes the work in hand and returns the rest to the stream.
`dlq` lists, shows, replays and purges dead letters (`dlq --help`).
Serves /health/liveness, /health/readiness, /metrics and /bindings.
"""


def help_text() -> str:
    """Return the help, with every setting and annotation."""
    lines = [_HEAD, "environment (durations as 250ms, 30s, 1m30s; secrets also from files):"]
    for name, field in ConnectorSettings.model_fields.items():
        lines.append(f"\n  {name.upper()}  [{show(field.default)}]")
        lines += _wrap(field.description or "")
    lines.append("\nannotations of a function (in brackets the variable of their default):")
    for name, meaning in ANNOTATIONS.items():
        lines.append(f"\n  {name}")
        lines += _wrap(meaning)
    lines += [
        "",
        "  A function with none of jetstream.batch-size, .batch-bytes and .batch-window gets one",
        "  message per call, as from the other OpenFaaS connectors.",
        "",
        "labels of a function for scaling: com.openfaas.scale.min, .max, .zero and .zero-duration.",
        "",
        "Secrets are read from files in SECRETS_DIR, or else /var/openfaas/secrets, when their",
        "variable is not set: BASIC_AUTH_PASSWORD from the file basic-auth-password, and so on.",
    ]
    return "\n".join(lines)


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)


def show(value: Any) -> str:
    """Return the default of a setting as it would be written in the environment."""
    if value is None:
        return "unset"
    if isinstance(value, Backoff):
        return ",".join(f"{delay:g}s" for delay in value.delays)
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return str(value).lower() if isinstance(value, bool) else str(value) or "empty"
