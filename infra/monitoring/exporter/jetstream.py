"""Metrics of JetStream, read from its API; a monitoring port may be that of another server.

They do not depend on the connector, so that the backlog and the dead letters are seen while it is
down. Dead letters are only counted here, by subject, from the stream's state: no message is read,
which is what `infra.connector.dlq.store` does.
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

from functions.common.broker import EVENTS_DLQ, EVENTS_DLQ_SUBJECT, BrokerSettings, connect
from functions.common.log_on_change import LogOnChange
from functions.common.nats_client import api_subject
from infra.monitoring.exporter.errors import JetStreamApiError
from infra.monitoring.exporter.metric_specs import (
    MetricGroup,
    MetricSpec,
    gauge,
    metrics_from_rows,
)

logger = logging.getLogger(__name__)

_REQUEST_TIMEOUT_SECONDS = 3.0
_FUNCTION_METADATA = "universe.function"
"""Key of a consumer's metadata; the connector writes the function's name there."""

STREAMS = MetricGroup(
    {"stream": "stream", "retention": "retention"},
    [
        MetricSpec("messages", "universe_stream_messages", "Messages in the stream"),
        MetricSpec("bytes", "universe_stream_bytes", "Size of the stream"),
        MetricSpec(
            "max_bytes",
            "universe_stream_max_bytes",
            "Size at which the stream is full; absent without a limit",
        ),
        MetricSpec(
            "oldest_seconds",
            "universe_stream_oldest_message_seconds",
            "Age of the oldest message, 0 if there is none",
        ),
        MetricSpec(
            "last_seq",
            "universe_stream_stored_messages_total",
            "Messages stored since the stream was created",
        ),
    ],
)
CONSUMERS = MetricGroup(
    {"stream": "stream", "consumer": "consumer", "function": "function"},
    [
        MetricSpec(
            "num_pending", "universe_consumer_pending_messages", "Messages not delivered yet"
        ),
        MetricSpec(
            "num_ack_pending",
            "universe_consumer_unacknowledged_messages",
            "Messages delivered and not acknowledged",
        ),
        MetricSpec(
            "num_redelivered",
            "universe_consumer_redelivered_messages",
            "Unacknowledged messages that were delivered more than once",
        ),
        MetricSpec("num_waiting", "universe_consumer_waiting_requests", "Open pull requests"),
    ],
)
DEAD_LETTERS = MetricGroup(
    {"source": "source"},
    [MetricSpec("messages", "universe_dlq_messages", "Dead letters by source of the event")],
)
STORAGE = MetricGroup(
    {},
    [
        MetricSpec("used", "universe_jetstream_storage_bytes", "Disk used by all streams"),
        MetricSpec(
            "limit",
            "universe_jetstream_storage_limit_bytes",
            "Disk that all streams may use; absent without a limit",
        ),
    ],
)


class JetStreamCollector:
    """Queries the JetStream API on one connection."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._nc: Client | None = None
        self._on_change = LogOnChange(logger)

    async def collect(self) -> list[Metric]:
        """Return the metrics; without JetStream, `universe_jetstream_up` 0 alone."""
        try:
            metrics = await _metrics(await self._connected())
            up = 1.0
            self._on_change.recovered("jetstream", "JetStream answers again")
        except (NatsError, OSError, JetStreamApiError) as error:
            up, metrics = 0.0, []
            reason = str(error) or type(error).__name__
            self._on_change.log("jetstream", f"JetStream does not answer: {reason}")
        return [gauge("universe_jetstream_up", "Whether JetStream answers", up), *metrics]

    async def close(self) -> None:
        """Close the connection."""
        if self._nc is not None:
            await self._nc.close()

    async def _connected(self) -> Client:
        if self._nc is None or self._nc.is_closed:
            self._nc = await connect(self._settings, "universe-exporter")
        return self._nc


async def _metrics(nc: Client) -> list[Metric]:
    streams: list[dict[str, Any]] = []
    consumers: list[dict[str, Any]] = []
    dead_letters: list[dict[str, Any]] = []
    async for info in _pages(nc, "STREAM.LIST", "streams"):
        streams.append(_stream_row(info))
        stream: str = info["config"]["name"]
        consumers += await _consumer_rows(nc, stream)
        if stream == EVENTS_DLQ:
            dead_letters += await _dead_letter_rows(nc, stream)
    return [
        *metrics_from_rows(STREAMS, streams),
        *metrics_from_rows(CONSUMERS, consumers),
        *metrics_from_rows(DEAD_LETTERS, dead_letters),
        *metrics_from_rows(STORAGE, [await _storage_row(nc)]),
    ]


def _stream_row(info: dict[str, Any]) -> dict[str, Any]:
    config, state = info["config"], info["state"]
    oldest_seconds = 0.0
    if state["messages"]:
        oldest_seconds = time.time() - datetime.fromisoformat(state["first_ts"]).timestamp()
    return {
        **state,
        "stream": config["name"],
        "retention": config["retention"],
        "max_bytes": config["max_bytes"] if config.get("max_bytes", -1) > 0 else None,
        "oldest_seconds": max(0.0, oldest_seconds),
    }


async def _consumer_rows(nc: Client, stream: str) -> list[dict[str, Any]]:
    """Return a row for each consumer that outlives its client: durable, or of a function."""
    rows: list[dict[str, Any]] = []
    async for info in _pages(nc, f"CONSUMER.LIST.{stream}", "consumers"):
        metadata: dict[str, str] = info["config"].get("metadata") or {}
        function = metadata.get(_FUNCTION_METADATA, "")
        if function or info["config"].get("durable_name"):
            rows.append({**info, "stream": stream, "consumer": info["name"], "function": function})
    return rows


async def _dead_letter_rows(nc: Client, stream: str) -> list[dict[str, Any]]:
    response = await _request(
        nc, f"STREAM.INFO.{stream}", {"subjects_filter": f"{EVENTS_DLQ_SUBJECT}.>"}
    )
    messages_by_subject: dict[str, int] = response["state"].get("subjects") or {}
    return [
        {"source": subject.removeprefix(f"{EVENTS_DLQ_SUBJECT}."), "messages": messages}
        for subject, messages in messages_by_subject.items()
    ]


async def _storage_row(nc: Client) -> dict[str, Any]:
    account = await _request(nc, "INFO", {})
    limit: int = account["limits"]["max_storage"]
    return {"used": account["storage"], "limit": limit if limit > 0 else None}


async def _pages(nc: Client, api: str, key: str) -> AsyncIterator[dict[str, Any]]:
    """Yield the items under `key` of all pages of a list."""
    offset = 0
    while True:
        response = await _request(nc, api, {"offset": offset})
        items: list[dict[str, Any]] = response.get(key) or []
        for item in items:
            yield item
        offset += len(items)
        if not items or offset >= response["total"]:
            return


async def _request(nc: Client, api: str, parameters: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps(parameters).encode() if parameters else b""
    message = await nc.request(api_subject(nc, api), body, timeout=_REQUEST_TIMEOUT_SECONDS)
    response: dict[str, Any] = json.loads(message.data)
    if error := response.get("error"):
        raise JetStreamApiError(error.get("description") or str(error))
    return response
