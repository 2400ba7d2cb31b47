"""Protects: with the component nats-tls, what goes to NATS goes through TLS, or not at all."""

import asyncio
import base64
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from nats.errors import Error as NatsError

from functions.common.broker import BrokerSettings, connect
from tests.support import kinds
from tests.support.cluster_nats import ClusterNats, configuration, nats_servers
from tests.support.manifests import (
    Manifest,
    check,
    copy,
    make_secrets,
    named,
    pod_specs,
    render,
)
from tests.support.net import eventually

OVERLAYS = (
    "kubernetes/overlays/single-node",
    "kubernetes/overlays/production",
    "knative/single-node",
)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What make-secrets.sh makes for a server on this machine."""
    folder = tmp_path_factory.mktemp("certificates")
    make_secrets(folder, NATS_HOST="localhost")
    return folder


@pytest.fixture(scope="module")
def rendered(
    tmp_path_factory: pytest.TempPathFactory, certificates: Path
) -> dict[str, list[Manifest]]:
    """Each overlay with the component, as its user's own kustomization has it."""
    tree = copy(tmp_path_factory.mktemp("tree"))
    secrets = tree / "infra/kubernetes/nats-tls/secrets"
    secrets.mkdir()
    for name in ("nats.crt", "nats.key"):
        shutil.copy(certificates / name, secrets)
    found: dict[str, list[Manifest]] = {}
    for overlay in OVERLAYS:
        mine = tree / f"mine-{overlay.replace('/', '-')}"
        mine.mkdir()
        (mine / "kustomization.yaml").write_text(
            f"resources: [../infra/{overlay}]\ncomponents: [../infra/kubernetes/nats-tls]\n"
        )
        found[overlay] = render(mine)
    return found


@pytest.fixture(scope="module")
def server(
    rendered: dict[str, list[Manifest]],
    certificates: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[ClusterNats]:
    """A server with the configuration and the options of its pod."""
    manifests = rendered[OVERLAYS[0]]
    pod = named(manifests, "StatefulSet", "nats")["spec"]["template"]["spec"]
    options = [
        each.replace("/tls/tls.", f"{certificates}/nats.") for each in pod["containers"][0]["args"]
    ]
    assert options[:2] == ["--config", "/etc/nats/nats.conf"]
    files = configuration(manifests)
    with nats_servers(files, tmp_path_factory.mktemp("servers"), 1, *options[2:]) as [server]:
        yield server


def settings(url: str, ca: Path | None, timeout: float = 2.0) -> BrokerSettings:
    return BrokerSettings.model_validate(
        {"nats_url": url, "nats_ca_file": ca, "nats_connect_timeout": timeout}
    )


@pytest.mark.parametrize("overlay", kinds.quick_first(OVERLAYS))
def test_every_client_gets_the_certificate(
    rendered: dict[str, list[Manifest]], overlay: str
) -> None:
    """Each pod that has a login for NATS has the file nats-ca, and what is rendered is valid."""
    manifests = rendered[overlay]
    for manifest in manifests:
        check(manifest)
    secrets = {
        each["metadata"]["name"]: each["data"] for each in manifests if each["kind"] == "Secret"
    }
    clients = 0
    for workload, template in pod_specs(manifests):
        files: set[str] = set()
        for volume in template["spec"].get("volumes", []):
            names = [volume.get("secret", {}).get("secretName")]
            names += [each.get("secret", {}).get("name")
                      for each in volume.get("projected", {}).get("sources", [])]  # fmt: skip
            for name in names:
                files |= set(secrets.get(name, ()))
        if "nats-url" in files:
            clients += 1
            assert "nats-ca" in files, workload
    assert clients >= 2
    authority = base64.b64decode(secrets["nats-ca"]["nats-ca"])
    assert authority.startswith(b"-----BEGIN CERTIFICATE-----")


async def test_clients_talk_through_tls(server: ClusterNats, certificates: Path) -> None:
    """With the file they are connected; any other certificate or name is refused, in time."""
    url = server.url("ingest").replace("127.0.0.1", "localhost")
    connection = settings(url, certificates / "nats.crt")

    async def connected() -> bool:
        try:
            nc = await connect(connection, "test")
        except (NatsError, OSError):
            return False
        await nc.close()
        return True

    await eventually(connected)
    for refused in (
        settings(url, None, 0.3),
        settings(url, certificates / "postgres.crt", 0.3),
        settings(server.url("ingest"), certificates / "nats.crt", 0.3),  # a name it does not have
    ):
        with pytest.raises((NatsError, OSError)):
            await connect(refused, "test")


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_no_login_is_sent_to_a_server_that_denies_tls(
    certificates: Path, scheme: str
) -> None:
    """Who sits in between says that there is no TLS, and learns nothing."""
    heard: list[bytes] = []

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.15.1","max_payload":1048576}\r\n')
        heard.append(await reader.read(4096))
        writer.close()

    listener = await asyncio.start_server(pretend, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    ca = certificates / "nats.crt" if scheme == "nats" else None
    with pytest.raises((NatsError, OSError)):
        await connect(settings(f"{scheme}://ingest:secret@127.0.0.1:{port}", ca), "test")
    listener.close()

    async def closed() -> bool:
        return bool(heard)

    await eventually(closed)
    assert set(heard) == {b""}
