"""The help of `python -m infra.connector`, generated from the settings class."""

import textwrap
from collections.abc import Sequence
from typing import Any, cast

from functions.common.backoff import Backoff
from functions.common.settings import is_secret_file
from infra.connector.openfaas.annotations import ANNOTATIONS, LABELS
from infra.connector.settings import ConnectorSettings

WIDTH = 100
INDENT = " " * 6

USAGE = """\
usage: python -m infra.connector [run]
       python -m infra.connector dlq COMMAND [OPTIONS]
       python -m infra.connector explain FUNCTION [OPTIONS]
       python -m infra.connector pause FUNCTION [OPTIONS]
       python -m infra.connector resume FUNCTION [OPTIONS]
       python -m infra.connector forget FUNCTION [OPTIONS]
       python -m infra.connector --help | --markdown
"""

_DESCRIPTION = """
Delivers messages of NATS JetStream streams to HTTP functions: at least once, in batches, with
retries, bisection of failing batches, and a dead-letter queue.

commands:
  run   deliver messages until SIGTERM or SIGINT; the default
  dlq   list, show, replay and purge dead letters (see `dlq --help`); needs NATS_URL only
  explain
        say why a function gets messages or does not; asks a running connector
  pause, resume
        deliver nothing to a function for a time, and again; needs NATS_URL only
  forget
        remove the consumer of a function that is not coming back; needs NATS_URL only

`run` finds functions at an OpenFaaS gateway by their annotation `topic`. With K_SINK or
FUNCTION_URL there is no gateway, and that URL gets all messages. On SIGTERM, running invocations
finish, and all other messages are returned to the stream. HTTP endpoints: /health/liveness,
/health/readiness, /metrics and /bindings (the state of each function).

example:
  NATS_URL=nats://127.0.0.1:4222 FUNCTION_URL=http://127.0.0.1:8000/ TOPICS='orders.>' \\
      python -m infra.connector run

environment of `run` (defaults in brackets; durations as 250ms, 30s, 1m30s):"""

_END = """
  A function with no annotation jetstream.batch-... gets one message per call, as from the other
  OpenFaaS connectors.

A setting without a variable is read from a file in SECRETS_DIR, by default
/var/openfaas/secrets: BASIC_AUTH_PASSWORD from the file basic-auth-password, and so on."""


def help_text() -> str:
    """Return the help, with every setting and annotation."""
    lines = [USAGE.rstrip(), _DESCRIPTION]
    for name, field in ConnectorSettings.model_fields.items():
        default = "from its file only" if is_secret_file(field) else show(field.default)
        lines.append(f"\n  {name.upper()}  [{default}]")
        lines += _wrap(field.description or "")
    lines.append("\nannotations of a function (in parentheses the setting that is the default):")
    for name, meaning in ANNOTATIONS.items():
        lines.append(f"\n  {name}")
        lines += _wrap(meaning)
    lines.append("\nlabels of a function, for scaling:")
    for name, meaning in LABELS.items():
        lines.append(f"\n  {name}")
        lines += _wrap(meaning)
    return "\n".join([*lines, _END])


def _wrap(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)


def show(value: Any) -> str:
    """Return the default of a setting as it is written in the environment."""
    if value is None:
        return "unset"
    if isinstance(value, Backoff):
        return ",".join(f"{delay:g}s" for delay in value.delays)
    if isinstance(value, tuple | list):
        return ",".join(map(str, cast("Sequence[object]", value)))
    return str(value).lower() if isinstance(value, bool) else str(value) or "empty"
