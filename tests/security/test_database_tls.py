"""Protects: PostgreSQL's `sslmode` is stated, and where a CA is known the certificate is verified.

The server is Debian's, with the certificate, the rules of access and the parameters of the overlay
single-node: the embedded one is built without TLS.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest
import yaml

from functions.common.paths import ROOT
from infra.local.servers.postgres import SERVER_SETTINGS, EmbeddedPostgres
from tests.support.manifests import Manifest, copy, make_secrets, named, pod_specs, render
from tests.support.net import free_port, wait_until

OVERLAYS = ("single-node", "production")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy(tmp_path_factory.mktemp("tree"))


@pytest.fixture(scope="module")
def manifests(tree: Path) -> dict[str, list[Manifest]]:
    return {name: render(tree / "infra/kubernetes/overlays" / name) for name in OVERLAYS}


@pytest.fixture(scope="module")
def server(tree: Path, manifests: dict[str, list[Manifest]]) -> Iterator[tuple[Path, int, Path]]:
    """Run a server as the overlay does; yield its programs, its port and its certificate."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found or not shutil.which("setpriv"):
        pytest.skip("PostgreSQL with TLS is not installed (Debian's package postgresql)")
    binaries = found[-1].parent
    made = tree / "infra/kubernetes/overlays/single-node/secrets"
    folder = Path(tempfile.mkdtemp(prefix="universe-test-"))
    owner = pwd.getpwnam("postgres") if os.getuid() == 0 else pwd.getpwuid(os.getuid())
    user = owner.pw_name if os.getuid() == 0 else None
    port = free_port()
    [container] = named(manifests["single-node"], "StatefulSet", "postgres")["spec"]["template"][
        "spec"
    ]["containers"]
    rules = named(manifests["single-node"], "ConfigMap", "postgres-config")["data"]["pg_hba.conf"]
    for name, text in {
        "tls.crt": (made / "postgres.crt").read_text(),
        "tls.key": (made / "postgres.key").read_text(),
        # every connection of this machine comes from the loopback interface, where a pod's do not
        "pg_hba.conf": "\n".join(r for r in rules.splitlines() if "127.0.0.1" not in r) + "\n",
        "password": "owner-password",
    }.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o600)
    for path in (folder, *folder.iterdir()):
        os.chown(path, owner.pw_uid, owner.pw_gid)
    initdb = [binaries / "initdb", "-D", folder / "data", "--auth-host=scram-sha-256"]
    subprocess.run(
        [*initdb, "--username=postgres", f"--pwfile={folder / 'password'}"],
        user=user, check=True, capture_output=True, cwd="/",
    )  # fmt: skip
    arguments = [
        a.replace("/tls/", f"{folder}/").replace("/etc/postgresql/", f"{folder}/")
        for a in container["args"]
        if "ssl" in a or "hba_file" in a
    ]
    options = [part for a in arguments for part in ("-c", a)]
    command = [binaries / "postgres", "-D", folder / "data", "-p", str(port), "-h", "127.0.0.1"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "-k", folder, *options], user=user, stdout=log, stderr=log, cwd="/"
        )

    def is_ready() -> bool:
        assert process.poll() is None, (folder / "log").read_text()
        asked = [binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        return subprocess.run(asked, check=False).returncode == 0

    try:
        wait_until(is_ready, 60)
        yield binaries, port, made / "postgres.crt"
    finally:
        process.terminate()
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def connect(port: int, **options: str) -> str:
    """Connect to the service's name, which is this machine here; return how it is encrypted."""
    given = {"host": "postgres.universe", "hostaddr": "127.0.0.1", "port": str(port),
             "user": "postgres", "password": "owner-password", "dbname": "postgres"}  # fmt: skip
    with psycopg.connect("", connect_timeout=10, **(given | options)) as connection:  # pyright: ignore[reportArgumentType]
        rows = connection.execute(
            "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl"
        ).fetchall()
    return str(rows[0][0]) if rows else ""


@pytest.mark.parametrize(
    "host", ["postgres", "postgres.universe", "postgres.universe.svc.cluster.local"]
)
def test_clients_verify_the_server(server: tuple[Path, int, Path], host: str) -> None:
    """With the certificate that make-secrets.sh makes, by each of the service's names."""
    _, port, certificate = server
    version = connect(port, host=host, sslmode="verify-full", sslrootcert=str(certificate))
    assert version.startswith("TLSv1.")


def test_another_name_or_certificate_is_refused(
    server: tuple[Path, int, Path], tmp_path: Path
) -> None:
    """A server that only claims to be the database gets no password."""
    _, port, certificate = server
    verify = {"sslmode": "verify-full"}
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        connect(port, host="localhost", sslrootcert=str(certificate), **verify)
    make_secrets(tmp_path / "others")
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        connect(port, sslrootcert=str(tmp_path / "others/postgres.crt"), **verify)


def test_server_takes_no_connection_in_the_clear(server: tuple[Path, int, Path]) -> None:
    """sslmode=disable is refused by the server itself."""
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        connect(server[1], sslmode="disable")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_client_of_the_overlays_verifies(
    manifests: dict[str, list[Manifest]], overlay: str
) -> None:
    """The pods that connect say verify-full, and mount the certificate that they name."""
    asking = 0
    for workload, template in pod_specs(manifests[overlay]):
        if template["metadata"]["labels"].get("database") != "client":
            continue
        asking += 1
        [container] = template["spec"]["containers"]
        values = {v["name"]: v.get("value", "") for v in container["env"]}
        url = values.get("DATABASE_READER_URL") or values.get("DATABASE_URL") or ""
        query = parse_qs(urlsplit(url).query)
        modes = [*query.get("sslmode", []), values.get("PGSSLMODE", "")]
        files = [*query.get("sslrootcert", []), values.get("PGSSLROOTCERT", "")]
        assert "verify-full" in modes, workload
        mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
        assert any(str(Path(file).parent) in mounts for file in files if file), workload
    assert asking == 4


@pytest.mark.slow
def test_addresses_of_the_functions_verify(tree: Path) -> None:
    """The secrets `database-url` and `database-reader-url` state it, and the CA is beside them."""
    functions = tree / "infra/kubernetes/overlays/single-node/secrets/functions"
    for name in ("database-url", "database-reader-url"):
        query = parse_qs(urlsplit((functions / name).read_text()).query)
        assert query["sslmode"] == ["verify-full"]
        assert query["sslrootcert"] == ["/var/openfaas/secrets/database-ca"]
    assert "BEGIN CERTIFICATE" in (functions / "database-ca").read_text()
    for overlay in OVERLAYS:
        for manifest in render(tree / "infra/knative" / overlay):
            name = manifest["metadata"]["name"]
            if "knative" not in manifest["apiVersion"] or name == "ingest":
                continue
            text = yaml.safe_dump(manifest["spec"]["template"]["spec"]["volumes"])
            assert "path: database-ca" in text, name


def test_operator_refuses_the_clear_and_has_the_names(
    manifests: dict[str, list[Manifest]],
) -> None:
    """CloudNativePG: TLS only, and a certificate for the name that clients verify."""
    spec = named(manifests["production"], "Cluster", "postgres")["spec"]
    assert spec["postgresql"]["pg_hba"] == ["hostnossl all all all reject"]
    assert {"postgres", "postgres.universe"} <= set(spec["certificates"]["serverAltDNSNames"])


def test_embedded_server_says_that_it_has_no_tls(postgres: EmbeddedPostgres) -> None:
    """It listens on the loopback interface only, and its addresses say sslmode=disable."""
    assert SERVER_SETTINGS["listen_addresses"] == "127.0.0.1"
    assert parse_qs(urlsplit(postgres.url()).query)["sslmode"] == ["disable"]


def test_no_page_or_manifest_leaves_it_open() -> None:
    """No address of PostgreSQL in docs and manifests is without an sslmode."""
    for page in (ROOT / "docs/deploy.md", ROOT / "infra/compose.yaml",
                 *(ROOT / "infra/kubernetes").rglob("*.yaml")):  # fmt: skip
        for line in page.read_text().splitlines():
            if "postgresql://" in line or "postgres://" in line:
                assert "sslmode=" in line, f"{page}: {line}"
