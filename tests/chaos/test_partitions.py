"""Several streams in place of one, each with a connector of its own, as docs/scale.md has it."""

import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import nats
import pytest

from functions.common.broker import BrokerSettings, events_stream
from functions.common.paths import ROOT
from infra.database.migrate import migrate
from infra.local.private_file import write_private
from infra.local.process.process import Command
from infra.local.servers.nats import EmbeddedNats
from infra.local.servers.postgres import DATABASE, READER, WRITER, EmbeddedPostgres
from scripts.page_commands import commands, section
from tests.conftest import Database
from tests.support.pipeline import pipeline
from tests.support.tools import nats_cli

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
PARTITIONS = 3
MAPPINGS = {
    "evenly": [
        {"destination": f"partition.{number}.events.$1", "weight": f"{share}%"}
        for number, share in enumerate((34, 33, 33))
    ],
    "by source": f"partition.{{{{partition({PARTITIONS},1)}}}}.events.{{{{wildcard(1)}}}}",
}


class MappingNats(EmbeddedNats):
    """A server that maps what is published to `events.*`, as a part of its configuration says."""

    def __init__(self, folder: Path, mappings: str) -> None:
        super().__init__(folder)
        self._mappings = mappings

    def _prepare(self) -> Command:
        command = super()._prepare()
        others = self._config_file.read_text().strip().removeprefix("{").removesuffix("}")
        write_private(self._config_file, f"{others}\n{self._mappings}".encode())
        return command


@pytest.mark.parametrize("how", MAPPINGS)
async def test_every_event_is_stored_once_by_way_of_several_streams(
    how: str, postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    postgres_server.ensure_database()
    migrate(postgres_server.url())
    postgres_server.set_role_passwords()
    urls = [postgres_server.url(role) for role in (WRITER, READER)]
    mappings = f"mappings: {json.dumps({'events.*': MAPPINGS[how]})}"
    server = MappingNats(tmp_path / "nats", mappings)
    server.start()
    nc = await nats.connect(server.url)
    js = nc.jetstream()
    for number in range(PARTITIONS):
        config = replace(
            events_stream(BrokerSettings()),  # type: ignore[call-arg]
            name=f"EVENTS_{number}",
            subjects=[f"partition.{number}.>"],
        )
        await js.add_stream(config)
    with pipeline(
        tmp_path,
        Database(DATABASE, postgres_server.url(), *urls),
        server.url,
        partitions=[{"TOPICS": f"partition.{number}.>"} for number in range(PARTITIONS)],
    ) as running:
        running.progress()
        running.connectors[0].kill()
        running.connectors[0].start()
        running.progress(events=2000)
        running.everything_is_stored_once()
    states = [(await js.stream_info(f"EVENTS_{n}")).state for n in range(PARTITIONS)]
    assert all(state.messages == 0 for state in states)
    used = [state.last_seq > 0 for state in states]
    assert all(used) if how == "evenly" else any(used)
    assert (await js.stream_info("EVENTS")).state.last_seq == 0
    await nc.close()
    server.stop()


@pytest.mark.parametrize("way", [0, 1], ids=MAPPINGS)
async def test_mappings_and_streams_of_the_page(way: int, tmp_path: Path) -> None:
    page = section((ROOT / "docs/scale.md").read_text(), "Streams by partition")
    mappings = re.findall(r"```\n(mappings: .*?)```", page, re.S)[way]
    [add] = [line for line in commands(page).splitlines() if line.startswith("nats stream add")]
    assert "--replicas 3" in add
    server = MappingNats(tmp_path / "nats", mappings)
    server.start()
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "PATH": f"{nats_cli().parent}{os.pathsep}{os.environ['PATH']}",
        "NATS_URL": server.url,
    }
    for number in range(2):
        # one server, whose disk may be small
        line = add.replace("--replicas 3", "--replicas 1").replace("16GiB", "16MiB")
        line = line.replace("EVENTS_0", f"EVENTS_{number}").replace(".0.", f".{number}.")
        subprocess.run(["sh", "-c", line], env=environment, check=True, stdout=subprocess.DEVNULL)
    nc = await nats.connect(server.url)
    js = nc.jetstream()
    for source in ("facebook", "tiktok"):
        for _ in range(20):
            await js.publish(f"events.{source}", b"{}")
    found = [await js.stream_info(f"EVENTS_{number}") for number in range(2)]
    assert sum(each.state.messages for each in found) == 40
    for number, each in enumerate(found):
        ours = events_stream(BrokerSettings())  # type: ignore[call-arg]
        assert each.config.subjects == [f"partition.{number}.>"]
        assert each.config.max_bytes == 16 * 1024**2
        for name in ("retention", "storage", "discard", "duplicate_window"):
            assert getattr(each.config, name) == getattr(ours, name), name
    await nc.close()
    server.stop()
