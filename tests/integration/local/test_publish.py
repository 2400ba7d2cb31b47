"""`universe publish` at an address where no events are posted."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from infra.cli.load.event_generator import generate
from infra.cli.load.sender import LoadPlan, send_events


@pytest.mark.parametrize("status", [404, 405])
async def test_an_address_that_is_not_ingests_is_said(status: int) -> None:
    async def refuse(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post("/", refuse)
    async with TestServer(app) as server:
        url = str(server.make_url("/"))
        summary = await send_events(generate(1), LoadPlan(url, batch=1), lambda _: None)
    assert summary.failed == 1
    assert summary.error == (
        f"HTTP {status}; {url} is not where events are posted: at a gateway that is "
        "/function/ingest/webhook/event, at ingest itself /webhook/event"
    )
