"""NATS servers with the configuration that the manifests give them."""

import base64
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from infra.local.servers.nats import nats_server_binary
from tests.support.manifests import Manifest, named
from tests.support.net import free_port, plain_http
from tests.support.tied_process import TiedProcess

USERS = ("admin", "connector", "exporter", "ingest")


def configuration(manifests: list[Manifest]) -> dict[str, str]:
    """Return the files that the pod of NATS has in its folder of configuration, by name."""
    template = named(manifests, "StatefulSet", "nats")["spec"]["template"]
    [volume] = [v for v in template["spec"]["volumes"] if v["name"] == "config"]
    files: dict[str, str] = {}
    for source in volume["projected"]["sources"]:
        if "configMap" in source:
            files |= named(manifests, "ConfigMap", "nats")["data"]
            continue
        name = source["secret"]["name"]
        [secret] = [
            manifest
            for manifest in manifests
            if (manifest["kind"], manifest["metadata"]["name"]) == ("Secret", name)
        ]
        files |= {file: base64.b64decode(text).decode() for file, text in secret["data"].items()}
    return files


@dataclass
class ClusterNats:
    """A server: its port, its process, and the passwords of the users."""

    port: int
    passwords: dict[str, str]
    folder: Path
    monitoring_port: int
    command: list[str]
    process: TiedProcess | None = None

    @property
    def pid(self) -> int:
        """The id of its process."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        """Start it, with the data that it has."""
        with (self.folder / "log").open("ab") as log:
            self.process = TiedProcess(
                self.command,
                env={**os.environ, "SERVER_NAME": self.folder.name},
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def lose(self) -> None:
        """Kill it, and take its disk away."""
        self.kill()
        shutil.rmtree(self.folder / "data")

    def has_caught_up(self) -> bool:
        """Return whether it is ready and has what the other servers have, as its probe asks."""
        try:
            url = f"http://127.0.0.1:{self.monitoring_port}/healthz"
            return plain_http.get(url, timeout=5).is_success
        except httpx.TransportError:
            return False

    def url(self, user: str) -> str:
        """Return the address with a user's login."""
        return f"nats://{user}:{self.passwords[user]}@127.0.0.1:{self.port}"

    @property
    def bare_url(self) -> str:
        """The address without a login."""
        return f"nats://127.0.0.1:{self.port}"


def _for_this_machine(
    text: str,
    folder: Path,
    number: int,
    clients: list[int],
    routes: list[int],
    monitoring_port: int,
) -> str:
    """Return a file of configuration with ports and folders of this machine."""
    for port, mine in {"4222": clients[number], "6222": routes[number]}.items():
        text = re.sub(rf"^(\s*port: ){port}$", rf"\g<1>{mine}", text, flags=re.M)
    for other, port in enumerate(routes):
        text = text.replace(f"nats-{other}.nats-servers:6222", f"127.0.0.1:{port}")
    text = text.replace("http_port: 8222", f"http: 127.0.0.1:{monitoring_port}")
    text = text.replace("/tmp/", f"{folder}/").replace("/data", str(folder / "data"))
    # the whole disk may be smaller than what a cluster's volume holds
    text = re.sub(r"max_file_store: \w+", "max_file_store: 256MiB", text)
    text = text.replace("cluster {", "cluster {\n  host: 127.0.0.1")
    return text.replace("server_name:", "host: 127.0.0.1\nserver_name:")


@contextmanager
def nats_servers(
    files: dict[str, str], folder: Path, count: int, *options: str
) -> Iterator[list[ClusterNats]]:
    """Run servers with a configuration of the manifests, and further options."""
    found = re.findall(r'^(\w+)_PASSWORD: "(\w+)"$', files["nats-passwords.conf"], re.M)
    passwords = {user.lower(): password for user, password in found}
    clients = [free_port() for _ in range(count)]
    routes = [free_port() for _ in range(count)]
    servers: list[ClusterNats] = []
    for number in range(count):
        own = folder / f"nats-{number}"
        own.mkdir()
        monitoring = free_port()
        for name, text in files.items():
            ours = _for_this_machine(text, own, number, clients, routes, monitoring)
            (own / name).write_text(ours)
        command = [nats_server_binary(), "--config", str(own / "nats.conf"), *options]
        servers.append(ClusterNats(clients[number], passwords, own, monitoring, command))
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.kill()
