"""A connection for one command: tried once, its failure one sentence."""

import logging

from nats.errors import Error as NatsError

from functions.common import broker
from functions.common.broker import BrokerSettings, connect, without_login
from functions.common.nats_client import NatsClient
from infra.connector.errors import NatsUnavailableError


async def connect_once(settings: BrokerSettings, name: str) -> NatsClient:
    """Return a connection to NATS.

    Args:
        settings: how to reach NATS.
        name: the name of the connection.

    Raises:
        NatsUnavailableError: NATS does not respond.
    """
    logging.getLogger(broker.__name__).setLevel(logging.CRITICAL)  # the error is printed once
    try:
        return await connect(settings, name, forever=False)
    except (NatsError, OSError) as error:
        url, reason = without_login(settings.nats_url), str(error) or type(error).__name__
        raise NatsUnavailableError(f"NATS does not respond at {url}: {reason}") from error
