"""The worker: pulls messages, 5,000 at a time, and inserts them as rows, up to 500 at a time."""

import asyncio
import os
from datetime import UTC, datetime
from typing import Any

import nats
import orjson
import uvloop
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from tests.bench.usual.events import COLUMNS, EVENT, row

FETCH = 5000
IN_PARALLEL = 300
INSERT_ROWS = 500
CONNECTIONS = 4
_ROW = f"({', '.join(['%s'] * COLUMNS)})"


def _insert(rows: int) -> bytes:
    return f"INSERT INTO usual VALUES {', '.join([_ROW] * rows)} ON CONFLICT DO NOTHING".encode()


class Writer:
    """Collects the rows of messages in parallel, and writes those that wait with one INSERT."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool
        self._waiting: asyncio.Queue[tuple[tuple[Any, ...], asyncio.Future[None]]]
        self._waiting = asyncio.Queue()

    async def add(self, values: tuple[Any, ...]) -> None:
        """Return once the row is committed."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((values, done))
        await done

    async def run(self) -> None:
        """Write for ever, on one connection at a time."""
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < INSERT_ROWS and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            try:
                async with self._pool.connection() as connection:
                    await connection.execute(
                        _insert(len(batch)), [value for values, _ in batch for value in values]
                    )
            except Exception as error:
                for _, done in batch:
                    done.set_exception(error)
            else:
                for _, done in batch:
                    done.set_result(None)


async def _process(message: Msg, writer: Writer, slots: asyncio.Semaphore) -> None:
    async with slots:
        content = orjson.loads(message.data)
        event = EVENT.validate_python(content)
        data = Jsonb(content["data"], dumps=orjson.dumps)
        await writer.add(row(event, data, datetime.now(UTC)))
        await message.ack()


async def main() -> None:
    """Work until the process is stopped."""
    nc = await nats.connect(os.environ["NATS_URL"])
    consumer = await nc.jetstream().pull_subscribe(
        "events.>",
        "worker",
        stream="EVENTS",
        config=ConsumerConfig(ack_wait=30, max_ack_pending=4 * FETCH),
    )
    slots = asyncio.Semaphore(IN_PARALLEL)
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        os.environ["DATABASE_URL"], min_size=CONNECTIONS, max_size=CONNECTIONS, open=False
    )
    async with pool:
        writer = Writer(pool)
        writers = [asyncio.create_task(writer.run()) for _ in range(CONNECTIONS)]
        while writers:
            try:
                messages = await consumer.fetch(FETCH, timeout=0.1)
            except TimeoutError:
                continue
            await asyncio.gather(*(_process(message, writer, slots) for message in messages))


if __name__ == "__main__":
    uvloop.run(main())
