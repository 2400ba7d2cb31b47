"""A cluster of NATS servers on this machine, whose members can be killed and started again."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.servers.nats import nats_server_binary
from tests.support.net import free_port, wait_until
from tests.support.tied_process import TiedProcess


@dataclass
class Member:
    """One server: its name, the port of its clients, its configuration, its process."""

    name: str
    port: int
    config: Path
    process: TiedProcess | None = field(default=None)

    def start(self) -> None:
        """Start it, and wait until it listens."""
        with self.config.with_suffix(".log").open("ab") as log:
            command = [nats_server_binary(), "-c", str(self.config)]
            self.process = TiedProcess(command, stderr=log, env=dict(os.environ))
        wait_until(self._listens)

    def kill(self) -> None:
        """Kill it, as a machine that dies would."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


@contextmanager
def nats_cluster(folder: Path, size: int = 3) -> Iterator[dict[str, Member]]:
    """Run a cluster with JetStream, and yield its servers by name."""
    routes = [free_port() for _ in range(size)]
    urls = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    members: dict[str, Member] = {}
    for number, route in enumerate(routes):
        name, port = f"n{number}", free_port()
        config = folder / f"{name}.conf"
        config.write_text(
            f"host: 127.0.0.1\nport: {port}\nserver_name: {name}\n"
            f'jetstream {{ store_dir: "{folder}/{name}" }}\n'
            f"cluster {{ name: c, host: 127.0.0.1, port: {route}, routes: [{urls}] }}\n"
        )
        members[name] = Member(name, port, config)
    try:
        for member in members.values():
            member.start()
        yield members
    finally:
        for member in members.values():
            member.kill()
