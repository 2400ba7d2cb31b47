"""What is to be bound: the functions with a topic, and the streams of their topics."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from typing import NamedTuple

from infra.connector.bindings.spec import BindingSpec, DeliveryOptions
from infra.connector.errors import BindError
from infra.connector.jetstream.subjects import covers
from infra.connector.openfaas.annotations import (
    check_names,
    read_delivery_options,
    read_replica_limits,
    read_topics,
)
from infra.connector.openfaas.gateway import DeployedFunction, Gateway
from infra.connector.settings import ConnectorSettings

_Given = tuple[Mapping[str, str], Mapping[str, str]]
"""The annotations and labels of a function."""


class BindingKey(NamedTuple):
    """Identifies a binding."""

    function: str
    stream: str


def fixed_specs(settings: ConnectorSettings) -> tuple[list[BindingSpec], dict[str, str]]:
    """Return what the one function behind a fixed URL wants, or why it cannot be bound."""
    assert settings.fixed_url is not None
    options = settings.delivery_defaults()
    try:
        check_loops(settings.topics, options)
    except ValueError as error:
        return [], {settings.function_name: str(error)}
    spec = BindingSpec(
        function=settings.function_name,
        url=settings.fixed_url,
        topics=settings.topics,
        stream=settings.stream,
        options=options,
        consumer=settings.consumer,
    )
    return [spec], {}


def check_loops(topics: Iterable[str], options: DeliveryOptions) -> None:
    """Check that a function does not get what is published of its own processing.

    Raises:
        ValueError: it would, without end.
    """
    targets = {"result-topic": options.result_topic, "error-topic": options.error_topic}
    for name, target in targets.items():
        for topic in topics:
            if target is not None and covers(topic, target):
                raise ValueError(f"a loop: jetstream.{name} {target} is of its own topic {topic}")


class SpecReader:
    """Reads what functions want, anew only where their annotations or labels have changed.

    Of a discovery without changes that was three quarters of the work.
    """

    def __init__(self, gateway: Gateway, settings: ConnectorSettings) -> None:
        self._gateway = gateway
        self._settings = settings
        self._defaults = settings.delivery_defaults()
        self._known: dict[str, tuple[_Given, BindingSpec | str | None]] = {}

    def read(
        self, functions: Iterable[DeployedFunction]
    ) -> tuple[list[BindingSpec], dict[str, str]]:
        """Return what functions with a topic want, and by function why others cannot be bound."""
        before, self._known = self._known, {}
        specs: list[BindingSpec] = []
        faults: dict[str, str] = {}
        for function in functions:
            name, given = function.full_name, (function.annotations, function.labels)
            known = before.get(name)
            wanted = known[1] if known and known[0] == given else self._read(function)
            self._known[name] = (given, wanted)
            if isinstance(wanted, BindingSpec):
                specs.append(wanted)
            elif wanted is not None:
                faults[name] = wanted
        return specs, faults

    def _read(self, function: DeployedFunction) -> BindingSpec | str | None:
        """Return what a function wants; None if nothing, a text if it cannot be had."""
        try:
            return self._spec(function)
        except ValueError as error:
            return str(error)

    def _spec(self, function: DeployedFunction) -> BindingSpec | None:
        settings = self._settings
        check_names(function.annotations)
        topics = read_topics(function.annotations)
        if topics is None:
            return None
        options = read_delivery_options(function.annotations, self._defaults)
        check_loops(topics, options)
        if options.result_topic is not None and settings.invoke_async:
            raise ValueError("INVOKE_ASYNC: there is no answer for jetstream.result-topic")
        if options.order_by:
            options.order_by.check(topics)
        replicas = read_replica_limits(
            function.labels, function.annotations, settings.replica_defaults()
        )
        return BindingSpec(
            function=function.full_name,
            url=self._gateway.invocation_url(function.full_name),
            topics=topics,
            stream=function.annotations.get("jetstream.stream") or settings.stream,
            options=options,
            replicas=replicas if settings.scaling else None,
            consumer=function.annotations.get("jetstream.consumer") or None,
        )


async def resolve_streams(
    specs: Iterable[BindingSpec],
    faults: dict[str, str],
    streams_of: Callable[[str, str | None], Awaitable[Iterable[str]]],
) -> tuple[dict[BindingKey, BindingSpec], set[str]]:
    """Return the wanted bindings, and the functions whose streams cannot be found now.

    Args:
        specs: what the functions want.
        faults: gets why the streams of a function cannot be found.
        streams_of: returns the streams that store messages of a topic, given the stream that the
            function names, or raises BindError.
    """
    wanted: dict[BindingKey, BindingSpec] = {}
    unresolved: set[str] = set()
    for spec in specs:
        by_stream: dict[str, list[str]] = {}
        try:
            for topic in spec.topics:
                for stream in await streams_of(topic, spec.stream):
                    by_stream.setdefault(stream, []).append(topic)
        except BindError as error:
            faults[spec.function] = str(error)
            unresolved.add(spec.function)
            continue
        for stream, topics in by_stream.items():
            key = BindingKey(spec.function, stream)
            wanted[key] = replace(spec, topics=tuple(topics), stream=stream)
    return wanted, unresolved
