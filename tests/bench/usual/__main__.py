"""Starts the usual service with servers of its own: `python -m tests.bench.usual FOLDER`.

With `--on-disk` its broker acknowledges messages when they are on the disk, as the platform's does.
Prints its addresses as JSON once it is up, and runs until it is stopped.
"""

import asyncio
import json
import os
import signal
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import nats
import nats.errors
import psycopg
from nats.js.api import RetentionPolicy, StorageType, StreamConfig

from infra.local.servers.nats import nats_server_binary
from infra.local.servers.ports import free_port
from infra.local.servers.postgres import EmbeddedPostgres
from tests.support.net import plain_http, wait_until
from tests.support.tied_process import TiedProcess

SCHEMA = (Path(__file__).parent / "schema.sql").read_bytes()
START_SECONDS = 60.0
ON_DISK = "--on-disk"


def _nats_options(folder: Path, port: int, on_disk: bool) -> list[str]:
    """Return the options of a server that is otherwise as it comes.

    Unless `on_disk`, it acknowledges messages before they are on the disk, which it writes every
    two minutes: that is how it is run usually, and faster.
    """
    configuration = folder / "nats.conf"
    sync = ', sync_interval: "always"' if on_disk else ""
    configuration.write_text(f'jetstream {{ store_dir: "{folder / "nats"}"{sync} }}\n')
    return ["-c", str(configuration), "-a", "127.0.0.1", "-p", str(port)]


async def _made_stream(url: str) -> bool:
    try:
        nc = await nats.connect(url, allow_reconnect=False)
    except (OSError, nats.errors.Error):
        return False
    await nc.jetstream().add_stream(
        StreamConfig(
            name="EVENTS",
            subjects=["events.>"],
            storage=StorageType.FILE,
            retention=RetentionPolicy.WORK_QUEUE,
        )
    )
    await nc.close()
    return True


def main() -> None:
    """Run it."""
    folder, on_disk = Path(sys.argv[1]), ON_DISK in sys.argv[2:]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    processes: list[TiedProcess] = []
    with suppress(KeyboardInterrupt), ExitStack() as stack:

        def start(name: str, *command: str, **environment: str) -> None:
            log = stack.enter_context((folder / f"{name}.log").open("ab"))
            process = TiedProcess(command, env=os.environ | environment, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.kill)
            processes.append(process)

        nats_port = free_port()
        nats_url = f"nats://127.0.0.1:{nats_port}"
        start("nats", nats_server_binary(), *_nats_options(folder, nats_port, on_disk))
        database = EmbeddedPostgres(folder / "postgres")
        stack.callback(database.stop)
        database.start()
        database.ensure_database()
        with psycopg.connect(database.url()) as connection:
            connection.execute(SCHEMA)
        wait_until(lambda: asyncio.run(_made_stream(nats_url)), START_SECONDS)
        port = free_port()
        environment = {
            "NATS_URL": nats_url,
            "DATABASE_URL": database.url(),
            "PORT": str(port),
        }
        for name in ("api", "worker"):
            start(name, sys.executable, "-m", f"tests.bench.usual.{name}", **environment)
        url = f"http://127.0.0.1:{port}/webhook/event"
        wait_until(lambda: _answers(url), START_SECONDS)
        addresses = {"events": url, "nats": nats_url, "database": database.url()}
        print(json.dumps(addresses), flush=True)
        while all(process.poll() is None for process in processes):
            time.sleep(0.5)


def _answers(url: str) -> bool:
    try:
        plain_http.get(url)
    except httpx.TransportError:
        return False
    return True


if __name__ == "__main__":
    main()
