"""Publishes what functions answer, and copies of their dead letters, for other functions."""

from collections.abc import Iterable, Mapping, Sequence

from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.errors import APIError

from functions.common.broker import MSG_ID
from functions.common.correlation import CALL_ID, CALL_ID_HEADER, TRACE_HEADERS
from infra.connector import metrics
from infra.connector.delivery.message import Message
from infra.connector.delivery.results import Result
from infra.connector.errors import BindError
from infra.connector.jetstream.outgoing import PUBLISH_TIMEOUT_SECONDS, Outgoing, publish_all
from infra.connector.jetstream.streams import stream_names

RESULT_OF = "Result-Of"
RESULT_FUNCTION = "Result-Function"


class ResultPublisher:
    """Publishes the results of one function."""

    def __init__(
        self,
        nc: Client,
        js: JetStreamContext,
        labels: tuple[str, str],
        consumer: str,
        result_topic: str | None,
        error_topic: str | None,
    ) -> None:
        """Make a publisher.

        Args:
            nc: the connection.
            js: the connection's JetStream context.
            labels: function and stream.
            consumer: the function's consumer.
            result_topic: the subject of results; None: there are none.
            error_topic: the subject of copies of dead letters; None: there are none.
        """
        self._nc = nc
        self._js = js
        self._function = labels[0]
        self._consumer = consumer
        self.result_topic = result_topic
        self.error_topic = error_topic
        # what is under way may still have a result for a topic that is not wanted any more
        self._target = result_topic
        self._max_result = 0
        self._published = {
            kind: metrics.PUBLISHED.labels(*labels, kind) for kind in ("result", "error")
        }

    async def ensure(self) -> None:
        """Look whether there are streams that store what is to be published.

        Raises:
            BindError: there is none.
        """
        if self.result_topic is not None:
            self._max_result = await self._limit_of(self.result_topic, "result-topic")
        if self.error_topic is not None:
            await self._limit_of(self.error_topic, "error-topic")

    def change(self, result_topic: str | None, error_topic: str | None) -> bool:
        """Publish to other topics from now on; return whether `ensure` has to be called."""
        before = (self.result_topic, self.error_topic)
        self.result_topic, self.error_topic = result_topic, error_topic
        self._target = result_topic or self._target
        return before != (result_topic, error_topic)

    async def _limit_of(self, topic: str, name: str) -> int:
        """Return the size in bytes of the largest message that may be published to a topic."""
        try:
            streams = await stream_names(self._nc, topic)
            if not streams:
                raise BindError(f"no stream stores {topic}, its jetstream.{name}")
            largest = (await self._js.stream_info(streams[0])).config.max_msg_size or 0
        except (APIError, NatsTimeoutError) as error:
            raise BindError(f"JetStream does not tell the stream of {topic}: {error}") from error
        return min(largest, self._nc.max_payload) if largest > 0 else self._nc.max_payload

    def of_message(self, message: Message, results: Sequence[Result]) -> list[Outgoing]:
        """Return the results of a message as they are published.

        A message id that is the same for each attempt lets the stream store each of them once; the
        time distinguishes messages of a stream that was deleted and created again.
        """
        assert self._target is not None
        top = message.top
        identity = f"result:{self._consumer}:{message.id}:{top.key.time}"
        carried = {
            name: value for name in TRACE_HEADERS if (value := message.lower_headers.get(name))
        }
        carried[CALL_ID_HEADER] = message.headers.get(CALL_ID_HEADER) or CALL_ID.get()
        fixed = {RESULT_OF: message.id, RESULT_FUNCTION: self._function}
        return [
            Outgoing(
                self._target,
                result.data,
                _merged(carried, result.headers, fixed)
                | {MSG_ID: f"{identity}:{number}" if number else identity},
            )
            for number, result in enumerate(results)
        ]

    def too_large(self, messages: Iterable[Outgoing]) -> str | None:
        """Return why results cannot be published, however often that is tried; None: they can."""
        largest = max((message.size for message in messages), default=0)
        if largest <= self._max_result:
            return None
        return (
            f"its result has {largest} bytes with its headers, and NATS stores "
            f"{self._max_result} in {self._target}"
        )

    def of_dead_letters(self, letters: Iterable[Outgoing]) -> list[Outgoing]:
        """Return copies of dead letters, for the topic of errors; none where there is no such."""
        topic = self.error_topic
        if topic is None:
            return []
        return [
            Outgoing(
                topic, letter.payload, letter.headers | {MSG_ID: f"error:{letter.headers[MSG_ID]}"}
            )
            for letter in letters
        ]

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publish results, and return when the server has stored each.

        Raises:
            ExceptionGroup: as `publish_all`.
        """
        await self._publish(messages, "result")

    async def publish_errors(self, messages: Sequence[Outgoing]) -> None:
        """Publish copies of dead letters, as `publish` does results."""
        await self._publish(messages, "error")

    async def _publish(self, messages: Sequence[Outgoing], kind: str) -> None:
        await publish_all(
            messages,
            lambda message: self._js.publish(
                message.subject,
                message.payload,
                timeout=PUBLISH_TIMEOUT_SECONDS,
                headers=dict(message.headers) or None,
            ),
        )
        self._published[kind].inc(len(messages))


def _merged(*headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers of which later ones replace earlier ones, whatever the case of a name."""
    names: dict[str, tuple[str, str]] = {}
    for some in headers:
        names |= {name.lower(): (name, value) for name, value in some.items()}
    return dict(names.values())
