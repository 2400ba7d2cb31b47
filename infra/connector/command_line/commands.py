"""Commands about functions and their consumers, for people who run the connector."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any

import aiohttp
import click
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from functions.common.broker import BrokerSettings
from functions.common.durations import parse_duration
from functions.common.errors import UniverseError
from functions.common.nats_client import NatsClient
from infra.connector.bindings.orphans import FunctionConsumer, function_consumers, remove_consumers
from infra.connector.command_line.program import default_broker, default_connector_url
from infra.connector.delivery.pause import FOREVER_SECONDS
from infra.connector.jetstream.connection import connect_once
from infra.connector.openfaas.presence import ask_to_look


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def connector() -> None:
    """Look after the functions of the JetStream connector."""


PAUSES_SINCE = (2, 11)
_OPTIONS = (
    click.option("--nats-url", envvar="NATS_URL", help="NATS servers.  [env: NATS_URL]"),
    click.option(
        "--consumer-prefix", envvar="CONSUMER_PREFIX", default="", help="The connector's setting."
    ),
    click.option("--stream", help="On this stream only; by default on all."),
)


def _of_a_function(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that tell the consumers of a function."""
    return reduce(lambda made, option: option(made), _OPTIONS, command)


@connector.command()
@click.argument("function")
@_of_a_function
@click.option("--force", is_flag=True, help="Even if somebody is pulling from it.")
def forget(
    function: str, stream: str | None, consumer_prefix: str, nats_url: str | None, force: bool
) -> None:
    """Remove the consumers of FUNCTION, which is not coming back.

    What waits for it on a stream with interest retention is deleted, unless others wait for it,
    too; on a work queue it stays, for a function that gets these subjects. Should FUNCTION come
    back, it gets what its streams hold then.
    """
    settings = BrokerSettings(nats_url=nats_url) if nats_url else default_broker()
    try:
        removed = asyncio.run(_forget(settings, function, stream, consumer_prefix, force=force))
    except (UniverseError, NatsError, OSError) as error:
        raise click.ClickException(str(error) or type(error).__name__) from error
    for consumer in removed:
        click.echo(
            f"removed consumer {consumer.name} of stream {consumer.stream}: "
            f"{consumer.lag} messages waited for {function}"
        )


@connector.command()
@click.argument("function")
@click.option("--for", "span", help="For so long, such as 10m; by default until `resume`.")
@_of_a_function
def pause(function: str, span: str | None, **where: str | None) -> None:
    """Deliver nothing to FUNCTION until `resume`, by any connector.

    Its consumers are paused in NATS (2.11 or later). Calls that are running end in peace, and what
    waits for a call goes back to the stream.
    """
    try:
        seconds = FOREVER_SECONDS if span is None else parse_duration(span)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--for") from None
    paused = _change_pause(function, seconds, where)
    end = "until `resume`" if span is None else f"for {span}"
    for stream, name in paused:
        click.echo(f"paused consumer {name} of stream {stream} {end}")


@connector.command()
@click.argument("function")
@_of_a_function
def resume(function: str, **where: str | None) -> None:
    """Deliver to FUNCTION again what has waited since `pause`."""
    for stream, name in _change_pause(function, 0.0, where):
        click.echo(f"resumed consumer {name} of stream {stream}")


@connector.command("explain")
@click.argument("function")
@click.option(
    "--url",
    envvar="CONNECTOR_URL",
    help="A connector; by default that of the running platform, or of this machine."
    "  [env: CONNECTOR_URL]",
)
def explain_function(function: str, url: str | None) -> None:
    """Say why FUNCTION gets messages or does not, as the connector at --url sees it."""
    try:
        url = url or default_connector_url()
    except UniverseError as error:
        raise click.ClickException(f"{error}, or name a connector with --url") from error
    try:
        state = asyncio.run(_state(url))
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
        reason = str(error) or type(error).__name__
        raise click.ClickException(f"no connector responds at {url}: {reason}") from error
    sentences = [
        sentence
        for binding in state["bindings"]
        if binding["function"] == function
        for sentence in binding["explanation"]
    ]
    if fault := state["unbound"].get(function):
        sentences.append(f"{function} cannot be bound: {fault}")
    sentences += [
        f"the consumer {orphan['consumer']} of stream {orphan['stream']} is {function}'s, which "
        f"has no binding to it any more: {orphan['lag']} messages wait ({orphan['remove']})"
        for orphan in state["orphans"]
        if orphan["function"] == function
    ]
    if not sentences:
        raise click.ClickException(
            f"the connector knows of no function {function} with the annotation topic"
        )
    for sentence in sentences:
        click.echo(sentence)


def _change_pause(
    function: str, seconds: float, where: Mapping[str, str | None]
) -> list[tuple[str, str]]:
    url = where["nats_url"]
    settings = BrokerSettings(nats_url=url) if url else default_broker()
    prefix = where["consumer_prefix"] or ""
    try:
        return asyncio.run(_pause(settings, function, where["stream"], prefix, seconds))
    except (UniverseError, NatsError, OSError) as error:
        raise click.ClickException(str(error) or type(error).__name__) from error


async def _pause(
    settings: BrokerSettings, function: str, stream: str | None, prefix: str, seconds: float
) -> list[tuple[str, str]]:
    """Pause the consumers of a function for so long, or resume them; return streams and names."""
    nc = await connect_once(settings, "universe-connector-command")
    until = datetime.now(UTC) + timedelta(seconds=seconds)
    try:
        version = nc.connected_server_version
        if (version.major, version.minor) < PAUSES_SINCE:
            raise UniverseError(
                f"the NATS server is {version.major}.{version.minor}.{version.patch}, and pauses "
                "consumers from 2.11 on: upgrade it, or use the annotation jetstream.paused, which "
                "works with any"
            )
        js = nc.jetstream()
        consumers = await _consumers(nc, js, function, stream, prefix)
        found = [(consumer.stream, consumer.name) for consumer in consumers]
        for its_stream, name in found:
            await js.pause_consumer(its_stream, name, until.isoformat())
        await ask_to_look(nc, [f"{its_stream}/{name}" for its_stream, name in found])
        return found
    finally:
        await nc.close()


async def _consumers(
    nc: NatsClient, js: JetStreamContext, function: str, stream: str | None, prefix: str
) -> list[FunctionConsumer]:
    """Return the consumers of a function, at least one, on a stream or on all."""
    consumers = await function_consumers(nc, js, prefix)
    found = [
        consumer
        for consumer in consumers.found
        if consumer.function == function and stream in (None, consumer.stream)
    ]
    if not found:
        text = f"no connector has made a consumer for {function}"
        hidden = [str(error) for name, error in consumers.refused.items() if stream in (None, name)]
        raise UniverseError(f"{text}, or it cannot be seen: {hidden[0]}" if hidden else text)
    return found


async def _state(url: str) -> dict[str, Any]:
    timeout = aiohttp.ClientTimeout(total=10)
    async with (
        aiohttp.ClientSession(timeout=timeout, raise_for_status=True) as session,
        session.get(f"{url.rstrip('/')}/bindings") as response,
    ):
        return await response.json()


async def _forget(
    settings: BrokerSettings, function: str, stream: str | None, prefix: str, *, force: bool
) -> list[FunctionConsumer]:
    nc = await connect_once(settings, "universe-connector-command")
    try:
        js = nc.jetstream()
        found = await _consumers(nc, js, function, stream, prefix)
        used = [consumer.stream for consumer in found if consumer.in_use]
        if used and not force:
            raise UniverseError(
                f"a connector delivers messages of {', '.join(used)} to {function}: remove the "
                "function first, or use --force"
            )
        await remove_consumers(js, found)
        return found
    finally:
        await nc.close()
