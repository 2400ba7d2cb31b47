"""Several streams in place of one, each with a connector of its own, as docs/scale.md has it."""

import json
from dataclasses import replace
from pathlib import Path

import nats
import pytest

from functions.common.broker import BrokerSettings, events_stream
from infra.database.migrate import migrate
from infra.local.private_file import write_private
from infra.local.process.process import Command
from infra.local.servers.nats import EmbeddedNats
from infra.local.servers.postgres import DATABASE, READER, WRITER, EmbeddedPostgres
from tests.conftest import Database
from tests.support.pipeline import pipeline

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
    """A server that maps what is published to `events.*`."""

    def __init__(self, folder: Path, mapping: object) -> None:
        super().__init__(folder)
        self._mapping = mapping

    def _prepare(self) -> Command:
        command = super()._prepare()
        config = json.loads(self._config_file.read_text()) | {
            "mappings": {"events.*": self._mapping}
        }
        write_private(self._config_file, json.dumps(config).encode())
        return command


@pytest.mark.parametrize("how", MAPPINGS)
async def test_every_event_is_stored_once_by_way_of_several_streams(
    how: str, postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    postgres_server.ensure_database()
    migrate(postgres_server.url())
    postgres_server.set_role_passwords()
    urls = [postgres_server.url(role) for role in (WRITER, READER)]
    server = MappingNats(tmp_path / "nats", MAPPINGS[how])
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
