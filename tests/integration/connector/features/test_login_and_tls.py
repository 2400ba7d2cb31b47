"""The connector against NATS servers that ask for credentials, and over TLS; secrets from files."""

from pathlib import Path

import nats
import pytest

from functions.common.broker import BrokerSettings, connect
from functions.common.nats_client import NatsConnectError
from tests.support import kinds
from tests.support.connector import ConnectorProcess
from tests.support.fakes import FakeFunction
from tests.support.jetstream import drained, event, publish, streams
from tests.support.net import wait_until
from tests.support.protected_nats import (
    Prepare,
    creds,
    mutual_tls,
    mutual_tls_without_certificate,
    nkey,
    password,
    server,
    tls,
    token,
)


def write(folder: Path, files: dict[str, str]) -> str:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)
    return str(folder)


@pytest.mark.parametrize(
    "prepare", kinds.quick_first([creds, mutual_tls, password, token, nkey, tls], 2)
)
async def test_credentials_come_from_secret_files(prepare: Prepare, tmp_path: Path) -> None:
    protected = prepare(tmp_path)
    with server(tmp_path, protected) as url, FakeFunction(tmp_path).start().ready() as function:
        nc = await nats.connect(url, **protected.options)
        js = await streams(nc)
        await publish(js, event("a"))
        with ConnectorProcess(
            tmp_path,
            url,
            "outsider",
            FUNCTION_URL=function.url,
            SECRETS_DIR=str(tmp_path / "none"),
            NATS_CONNECT_TIMEOUT="300ms",
        ) as outsider:
            outsider.start()
            wait_until(lambda: outsider.health()[0] == 503)
            wait_until(lambda: "waiting for NATS" in outsider.log.read_text())
        folder = write(tmp_path / "secrets", protected.secrets)
        with ConnectorProcess(
            tmp_path, url, FUNCTION_URL=function.url, SECRETS_DIR=folder
        ) as connector:
            connector.start().bound()
            await drained(js)
            assert function.done() == ["a"]
        for name, text in protected.secrets.items():
            assert name == "nats-user" or text.strip() not in connector.log.read_text()
        await nc.close()


async def test_wrong_credentials_are_told(tmp_path: Path) -> None:
    protected = token(tmp_path)
    with server(tmp_path, protected) as url:
        folder = write(tmp_path / "secrets", protected.wrong)
        with ConnectorProcess(
            tmp_path, url, FUNCTION_URL="http://127.0.0.1:1/", SECRETS_DIR=folder
        ) as connector:
            connector.start()
            wait_until(lambda: "authorization violation" in connector.log.read_text().lower())
            assert connector.health("liveness")[0] == 200
            assert connector.health()[0] == 503
            assert connector.stop() == 0


REFUSALS = [
    password,
    pytest.param(token, marks=pytest.mark.slow),
    pytest.param(nkey, marks=pytest.mark.slow),
    pytest.param(tls, marks=pytest.mark.slow),
    pytest.param(mutual_tls, marks=pytest.mark.slow),
    mutual_tls_without_certificate,
]


@pytest.mark.parametrize("prepare", REFUSALS)
async def test_what_is_wrong_is_told(
    prepare: Prepare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal says what the server said, and which setting to look at."""
    protected = prepare(tmp_path)
    monkeypatch.setenv("SECRETS_DIR", write(tmp_path / "secrets", protected.wrong))
    told = ""
    with server(tmp_path, protected) as url:
        # now and then the server resets the connection before it is heard; components ask again
        for _ in range(10):
            with pytest.raises(NatsConnectError) as refused:
                await connect(BrokerSettings(nats_url=url, nats_connect_timeout=0.5), "test")
            told = str(refused.value)
            if "reset by peer" not in told:
                break
    assert protected.told in told


async def test_an_address_without_a_server_is_told() -> None:
    for url, told in {
        "nats://127.0.0.1:1": "nothing listens there: is NATS running, and NATS_URL right?",
        "nats://no.such.host.invalid": "there is no such host: is NATS_URL right?",
    }.items():
        with pytest.raises(NatsConnectError, match=told):
            await connect(BrokerSettings(nats_url=url), "test")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"nats-key": "k"}, "no NATS_CERT_FILE"),
        ({"nats-cert": "not a certificate"}, "cannot be used"),
        ({"nats-ca": "not a certificate"}, "the CA certificate"),
    ],
)
async def test_files_that_cannot_be_used_are_told(
    files: dict[str, str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRETS_DIR", write(tmp_path / "secrets", files))
    with pytest.raises(NatsConnectError, match=told):
        await connect(BrokerSettings(nats_url="nats://127.0.0.1:1"), "test")
