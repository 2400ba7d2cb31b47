"""OpenTelemetry spans of what is delivered; imported only where an endpoint is configured.

Each delivery has two: `receive`, which continues the trace of its messages, and in it `invoke`,
the call that the function continues. Messages of several traces are links of a trace of its own.
"""

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    Link,
    Span,
    SpanKind,
    StatusCode,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from infra.connector.delivery.message import Message
from infra.connector.delivery.response import Response, Success

MAX_LINKS = 128
FLUSH_MILLISECONDS = 2000
_PATH = "/v1/traces"


@dataclass
class CallSpan:
    """The spans of one call.

    Attributes:
        headers: the trace headers of the request.
        spans: the spans, which get what is found out.
    """

    headers: dict[str, str]
    spans: Sequence[Span] = field(default_factory=tuple[Span, ...])

    def ended(self, response: Response) -> None:
        """Record what the response means: not its text, which may quote an event."""
        for span in self.spans:
            span.set_attribute("universe.response", type(response).__name__.lower())
            if not isinstance(response, Success):
                span.set_status(StatusCode.ERROR)


class Tracing:
    """Makes spans, and sends them in the background."""

    def __init__(self, endpoint: str) -> None:
        """Begin to send.

        Args:
            endpoint: the URL of an OTLP/HTTP receiver, without the path of traces. All else is
                taken from OpenTelemetry's own variables.
        """
        named = "OTEL_SERVICE_NAME" in os.environ or SERVICE_NAME in os.environ.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        resource = Resource.create(None if named else {SERVICE_NAME: "universe-connector"})
        self._provider = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/").removesuffix(_PATH) + _PATH)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("universe.connector")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def call(self, source: str, messages: Sequence[Message]) -> Generator[CallSpan]:
        """Make the spans of a call, which last as long as the block.

        Args:
            source: the CloudEvents source, `/jetstream/<stream>/<consumer>`.
            messages: what is delivered.
        """
        _, _, stream, consumer = source.split("/", 3)
        contexts = {
            span.trace_id: (context, span)
            for context in (self._propagator.extract(each.lower_headers) for each in messages)
            if (span := get_current_span(context).get_span_context()).is_valid
        }
        parent, links = None, list[Link]()
        if len(contexts) == 1:
            [(parent, _)] = contexts.values()
        else:
            links = [Link(span) for _, span in contexts.values()][:MAX_LINKS]
        receive = self._tracer.start_span(
            f"receive {stream}",
            parent,
            SpanKind.CONSUMER,
            {
                "messaging.system": "nats",
                "messaging.operation.type": "receive",
                "messaging.destination.name": stream,
                "messaging.consumer.group.name": consumer,
                "messaging.batch.message_count": len(messages),
                "messaging.message.id": messages[0].id,
            },
            links,
        )
        within = set_span_in_context(receive)
        invoke = self._tracer.start_span(f"invoke {consumer}", within, SpanKind.CLIENT)
        headers: dict[str, str] = {}
        self._propagator.inject(headers, set_span_in_context(invoke))
        try:
            yield CallSpan(headers, (invoke, receive))
        finally:
            invoke.end()
            receive.end()

    def close(self) -> None:
        """Send what is left, for a short time."""
        self._provider.force_flush(FLUSH_MILLISECONDS)
        self._provider.shutdown()
