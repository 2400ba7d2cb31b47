"""Tasks end when they are cancelled, whatever loses a cancellation."""

import asyncio

from infra.connector.cancel import cancel_all


async def test_a_task_that_loses_a_cancellation_ends() -> None:
    lost = 0

    async def loses_one() -> None:
        nonlocal lost
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            lost += 1
        await asyncio.sleep(60)

    task = asyncio.create_task(loses_one())
    await asyncio.sleep(0)
    await cancel_all((task,))
    assert (lost, task.cancelled()) == (1, True)


async def test_nothing_to_cancel() -> None:
    await cancel_all(())
