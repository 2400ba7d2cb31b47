"""Commands about functions and their consumers, for people who run the connector."""

import asyncio
from typing import Any

import aiohttp
import click
from nats.errors import Error as NatsError

from functions.common.broker import BrokerSettings
from functions.common.errors import UniverseError
from infra.connector.bindings.orphans import FunctionConsumer, function_consumers, remove_consumers
from infra.connector.dlq.command import default_broker
from infra.connector.jetstream.connection import connect_once


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def connector() -> None:
    """Look after the functions of the JetStream connector."""


@connector.command()
@click.argument("function")
@click.option("--stream", help="On this stream only; by default on all.")
@click.option(
    "--consumer-prefix", envvar="CONSUMER_PREFIX", default="", help="The connector's setting."
)
@click.option("--nats-url", envvar="NATS_URL", help="NATS servers.  [env: NATS_URL]")
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


@connector.command("explain")
@click.argument("function")
@click.option(
    "--url",
    envvar="CONNECTOR_URL",
    default="http://127.0.0.1:8083",
    show_default=True,
    help="A connector.  [env: CONNECTOR_URL]",
)
def explain_function(function: str, url: str) -> None:
    """Say why FUNCTION gets messages or does not, as the connector at --url sees it."""
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
        found = [
            consumer
            for consumer in await function_consumers(nc, js, prefix)
            if consumer.function == function and stream in (None, consumer.stream)
        ]
        if not found:
            raise UniverseError(f"no connector has made a consumer for {function}")
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
