"""Which streams store the messages of a topic."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig
from nats.js.errors import APIError, NotFoundError

from infra.connector.errors import BindError
from infra.connector.jetstream.api import ask
from infra.connector.jetstream.subjects import ANY, REST, covers, overlap

_RESERVED = ("KV_", "OBJ_", "MQTT_", "$MQTT_")
"""Streams of NATS' own features, whose subjects begin with `$`."""


@dataclass(frozen=True)
class _Found:
    streams: tuple[str, ...]
    at: float


class StreamDirectory:
    """Tells the streams of topics, and asks JetStream again only from time to time.

    Streams come and go while functions stay: what was found counts for `refresh` seconds.
    """

    def __init__(
        self, nc: Client, js: JetStreamContext, *, helpers_of: Callable[[str], Collection[str]]
    ) -> None:
        """Make a directory that knows nothing yet.

        Args:
            nc: the connection.
            js: the connection's JetStream context.
            helpers_of: returns the names of the streams that the connector makes for a stream.
        """
        self._nc = nc
        self._js = js
        self._helpers_of = helpers_of
        self._found: dict[tuple[str, str | None], _Found] = {}

    async def streams_of(
        self, topic: str, named: str | None = None, *, refresh: float = 0.0
    ) -> tuple[str, ...]:
        """Return the names of the streams that store messages of a topic, at least one.

        Args:
            topic: a subject; with wildcards, several streams may store parts of it.
            named: the stream that the function names; None to find it by the subject.
            refresh: seconds for which an earlier answer counts.

        Raises:
            BindError: there is none, the named one stores no such message, or JetStream does not
                respond.
        """
        known = self._found.get((topic, named))
        now = time.monotonic()
        if known and now - known.at < refresh:
            return known.streams
        try:
            if named is None:
                streams = await self._by_subject(topic)
            else:
                streams = await self._by_name(named, topic)
        except (APIError, NatsTimeoutError) as error:
            raise BindError(f"JetStream does not tell the stream of {topic}: {error}") from error
        self._found[topic, named] = _Found(streams, now)
        return streams

    async def _by_subject(self, topic: str) -> tuple[str, ...]:
        names = await stream_names(self._nc, topic)
        if topic[0] in (ANY, REST):
            # the connector's own streams, and NATS' buckets, are nobody's events
            own = {helper for name in names for helper in self._helpers_of(name)}
            names = [n for n in names if n not in own and not n.startswith(_RESERVED)]
        if not names:
            raise BindError(f"no stream stores the subject {topic}")
        return tuple(sorted(names))

    async def _by_name(self, stream: str, topic: str) -> tuple[str, ...]:
        try:
            config = (await self._js.stream_info(stream)).config
        except (NotFoundError, ValueError):
            raise BindError(f"there is no stream {stream}") from None
        if not may_store(config, topic):
            stored = ", ".join(config.subjects or ())
            raise BindError(f"stream {stream} does not store {topic}: it stores {stored}")
        return (stream,)


def may_store(config: StreamConfig, topic: str) -> bool:
    """Return whether a stream may hold messages of a topic.

    One that copies other streams or renames subjects may hold any.
    """
    if holds_others_subjects(config):
        return True
    return any(overlap(subject, topic) for subject in config.subjects or ())


def holds_others_subjects(config: StreamConfig) -> bool:
    """Return whether messages of a stream may have subjects that are not its own."""
    return bool(config.mirror or config.sources or config.subject_transform)


async def stream_names(nc: Client, subject: str | None = None) -> list[str]:
    """Return the names of all streams, or of those that store some of a subject.

    Raises:
        nats.errors.Error: JetStream does not respond, or refuses.
    """
    names: list[str] = []
    while True:
        question: dict[str, Any] = {"offset": len(names)}
        if subject is not None:
            question["subject"] = subject
        answer = await ask(nc, "STREAM.NAMES", question)
        page: list[str] = answer.get("streams") or []
        names += page
        if not page or len(names) >= answer.get("total", 0):
            return names


async def subjects_stored(nc: Client, stream: str, subjects: str) -> set[str]:
    """Return the subjects of the messages in a stream; none where there is no such stream.

    Args:
        nc: the connection.
        stream: the stream.
        subjects: which subjects, wildcards allowed.

    Raises:
        nats.errors.Error: JetStream does not respond.
    """
    found: set[str] = set()
    while True:
        question = {"subjects_filter": subjects, "offset": len(found)}
        try:
            answer = await ask(nc, f"STREAM.INFO.{stream}", question)
        except NotFoundError:
            return found
        page: dict[str, int] = answer["state"].get("subjects") or {}
        found |= page.keys()
        if not page or len(found) >= answer.get("total", 0):
            return found


async def add_subjects(nc: Client, stream: str, subjects: Sequence[str]) -> None:
    """Let a stream store subjects that it does not, and change nothing else of it.

    Raises:
        nats.js.errors.NotFoundError: there is no such stream.
        nats.js.errors.APIError: the server refuses.
        nats.errors.Error: JetStream does not respond.
    """
    # as JSON: the client library leaves out fields that it does not know
    config: dict[str, Any] = (await ask(nc, f"STREAM.INFO.{stream}"))["config"]
    existing: list[str] = config.get("subjects") or []
    if missing := not_stored(existing, subjects):
        # the server refuses subjects of a stream that overlap
        kept = [each for each in existing if not any(covers(one, each) for one in missing)]
        await ask(nc, f"STREAM.UPDATE.{stream}", {**config, "subjects": [*kept, *missing]})


def not_stored(stored: Sequence[str], subjects: Sequence[str]) -> list[str]:
    """Return those of some subjects that the subjects of a stream do not cover."""
    return [each for each in subjects if not any(covers(one, each) for one in stored)]
