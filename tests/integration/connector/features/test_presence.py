"""How connectors know of each other."""

import asyncio
import time

import nats

from infra.connector.cancel import cancel_all
from infra.connector.openfaas.presence import Presence
from tests.support.net import eventually

INTERVAL = 0.1
CONSUMER = "EVENTS/one"


async def test_who_was_stopped_forgets_nobody_and_who_has_gone_is_forgotten(nats_url: str) -> None:
    """A machine that stops for a while hears no one: afterwards each keeps its part of a limit."""
    announced = [0, 0]
    told: tuple[list[int | None], list[int | None]] = ([], [])

    def uses(which: int) -> dict[str, int]:
        announced[which] += 1
        return {CONSUMER: 0}

    def change(which: int) -> None:
        place = both[which].place(CONSUMER)
        told[which].append(place and place.number)

    clients = [await nats.connect(nats_url) for _ in range(2)]
    both = [
        Presence(
            client,
            INTERVAL,
            lambda which=which: uses(which),
            lambda which=which: change(which),
            lambda _: None,
        )
        for which, client in enumerate(clients)
    ]
    tasks = [asyncio.create_task(each.run()) for each in both]

    async def numbers(*expected: int) -> None:
        async def known() -> bool:
            places = [each.place(CONSUMER) for each in both]
            return [place.number for place in places[: len(expected)] if place] == [*expected]

        await eventually(known)

    await numbers(2, 2)

    async def all_told() -> bool:
        return [each[-1:] for each in told] == [[2], [2]]

    await eventually(all_told)  # who heard of the other before its own place was known, again
    before, told = list(announced), ([], [])
    time.sleep(5 * INTERVAL)  # neither does anything meanwhile

    async def several_more() -> bool:
        return all(now >= then + 2 for now, then in zip(announced, before, strict=True))

    await eventually(several_more)
    assert 1 not in told[0] + told[1]
    await clients[1].close()
    await numbers(1)
    await cancel_all(tasks)
    await clients[0].close()
