"""JetStream's figures, asked of its API: never of a monitoring port, which may be another server's.

They do not depend on the connector: what waits and what is dead is seen while it is away, too.
"""

import json
import logging
import time
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError
from prometheus_client.metrics_core import Metric

from functions.common.broker import DLQ_SUBJECT, BrokerSettings, connect
from infra.monitoring.exporter.figures import Figure, Kind, Table, gauge, metrics_of

log = logging.getLogger(__name__)

_P = "universe_stream_"
_API = "$JS.API"
_TIMEOUT = 3.0
_FUNCTION = "universe.function"

STREAMS = Table(
    {"stream": "stream", "retention": "retention"},
    [
        Figure("messages", _P + "messages", "Messages kept"),
        Figure("bytes", _P + "bytes", "Size of what is kept"),
        Figure("max_bytes", _P + "max_bytes", "Size at which the stream is full; absent: none"),
        Figure(
            "oldest_seconds", _P + "oldest_message_seconds", "Age of the oldest message, 0 if none"
        ),
        Figure("last_seq", _P + "stored_messages_total", "Messages ever stored", Kind.COUNTER),
    ],
)
CONSUMERS = Table(
    {"stream": "stream", "consumer": "consumer", "function": "function"},
    [
        Figure("num_pending", "universe_consumer_pending_messages", "Messages not delivered yet"),
        Figure(
            "num_ack_pending",
            "universe_consumer_unacknowledged_messages",
            "Messages delivered and not acknowledged",
        ),
        Figure(
            "num_redelivered",
            "universe_consumer_redelivered_messages",
            "Unacknowledged messages that were delivered more than once",
        ),
        Figure("num_waiting", "universe_consumer_waiting_requests", "Requests for messages"),
    ],
)
DEAD = Table(
    {"source": "source"},
    [Figure("messages", "universe_dlq_messages", "Dead letters by source of the event")],
)
STORAGE = Table(
    {},
    [
        Figure("storage", "universe_jetstream_storage_bytes", "Disk used by all streams"),
        Figure(
            "reserved",
            "universe_jetstream_storage_limit_bytes",
            "Disk that all streams may use; absent: no limit",
        ),
    ],
)


class StreamFigures:
    """Asks JetStream, on a connection that is kept."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._nc: Client | None = None
        self._said = ""

    async def collect(self) -> list[Metric]:
        """Return the figures; `universe_jetstream_up` alone when JetStream does not answer."""
        try:
            nc = await self._connected()
            metrics = await _figures(nc)
            up, self._said = 1.0, ""
        except (NatsError, OSError, _RefusedError) as error:
            up, metrics = 0.0, []
            why = str(error) or type(error).__name__
            if why != self._said:
                log.warning("JetStream is away: %s", why)
            self._said = why
        return [gauge("universe_jetstream_up", "Whether JetStream answers", up), *metrics]

    async def close(self) -> None:
        """Close the connection."""
        if self._nc is not None:
            await self._nc.close()

    async def _connected(self) -> Client:
        if self._nc is None or self._nc.is_closed:
            self._nc = await connect(self._settings, "universe-exporter")
        return self._nc


class _RefusedError(Exception):
    """JetStream answered with an error."""


async def _figures(nc: Client) -> list[Metric]:
    now = time.time()
    streams: list[dict[str, Any]] = []
    consumers: list[dict[str, Any]] = []
    dead: list[dict[str, Any]] = []
    async for info in _listed(nc, "STREAM.LIST", "streams"):
        config, state = info["config"], info["state"]
        streams.append(
            {
                **state,
                "stream": config["name"],
                "retention": config["retention"],
                "max_bytes": config["max_bytes"] if config.get("max_bytes", -1) > 0 else None,
                "oldest_seconds": max(0.0, now - _seconds(state["first_ts"]))
                if state["messages"]
                else 0.0,
            }
        )
        async for consumer in _listed(nc, f"CONSUMER.LIST.{config['name']}", "consumers"):
            metadata = consumer["config"].get("metadata") or {}
            if metadata.get(_FUNCTION) or consumer["config"].get("durable_name"):
                consumers.append(
                    {
                        **consumer,
                        "stream": config["name"],
                        "consumer": consumer["name"],
                        "function": metadata.get(_FUNCTION, ""),
                    }
                )
        if any(subject.startswith(DLQ_SUBJECT) for subject in config.get("subjects") or ()):
            dead += await _dead_by_source(nc, config["name"])
    account = await _ask(nc, "INFO", {})
    limit = account["limits"]["max_storage"]
    storage = {"storage": account["storage"], "reserved": limit if limit > 0 else None}
    return [
        *metrics_of(STREAMS, streams),
        *metrics_of(CONSUMERS, consumers),
        *metrics_of(DEAD, dead),
        *metrics_of(STORAGE, [storage]),
    ]


async def _dead_by_source(nc: Client, stream: str) -> list[dict[str, Any]]:
    answer = await _ask(nc, f"STREAM.INFO.{stream}", {"subjects_filter": f"{DLQ_SUBJECT}.>"})
    subjects = answer["state"].get("subjects") or {}
    return [
        {"source": subject.removeprefix(f"{DLQ_SUBJECT}."), "messages": count}
        for subject, count in subjects.items()
    ]


async def _listed(nc: Client, question: str, key: str) -> AsyncIterator[dict[str, Any]]:
    offset = 0
    while True:
        answer = await _ask(nc, question, {"offset": offset})
        items = answer.get(key) or []
        for item in items:
            yield item
        offset += len(items)
        if not items or offset >= answer["total"]:
            return


async def _ask(nc: Client, question: str, parameters: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps(parameters).encode() if parameters else b""
    message = await nc.request(f"{_API}.{question}", body, timeout=_TIMEOUT)
    answer = json.loads(message.data)
    if error := answer.get("error"):
        raise _RefusedError(error.get("description") or str(error))
    return answer


def _seconds(stamp: str) -> float:
    # RFC 3339 with nanoseconds, of which Python reads six digits
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction or 0}")
