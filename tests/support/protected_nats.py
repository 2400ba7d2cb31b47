"""NATS servers that let not everybody in, and what opens them."""

import base64
import hashlib
import json
import os
import secrets
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nkeys

from infra.local.servers.nats import nats_server_binary
from tests.support.net import free_port, wait_until
from tests.support.tied_process import TiedProcess

Prepare = Callable[[Path], "Protected"]


@dataclass
class Protected:
    """A server that lets not everybody in.

    Attributes:
        config: what its configuration has for that.
        secrets: the secret files that open it.
        options: the same for the client of the test.
        scheme: of its address.
        wrong: secret files that do not open it.
        told: what is said about those.
    """

    config: dict[str, Any]
    secrets: dict[str, str]
    options: dict[str, Any]
    scheme: str = "nats"
    wrong: dict[str, str] = field(default_factory=dict[str, str])
    told: str = "check NATS_USER and NATS_PASSWORD, NATS_TOKEN"


def password(_: Path) -> Protected:
    user = {"user": "me", "password": "s3cret"}
    return Protected(
        {"authorization": {"users": [user]}},
        {"nats-user": "me\n", "nats-password": "s3cret\n"},
        user,
        wrong={"nats-user": "me", "nats-password": "other"},
    )


def token(_: Path) -> Protected:
    return Protected(
        {"authorization": {"token": "t0ken"}},
        {"nats-token": "t0ken"},
        {"token": "t0ken"},
        wrong={"nats-token": "other"},
    )


def nkey(folder: Path) -> Protected:
    pair = _pair(b"U")
    seed = folder / "seed"
    seed.write_text(_seed(pair))
    return Protected(
        {"authorization": {"users": [{"nkey": _public_key(pair)}]}},
        {"nats-nkey": _seed(pair)},
        {"nkeys_seed": str(seed)},
        wrong={"nats-nkey": _seed(_pair(b"U"))},
    )


def creds(folder: Path) -> Protected:
    operator, account, user = _pair(b"O"), _pair(b"A"), _pair(b"U")
    limits = {"subs": -1, "data": -1, "payload": -1}
    operator_jwt = _jwt(operator, operator, "operator", {"type": "operator", "version": 2})
    account_claims: dict[str, Any] = {
        "type": "account",
        "version": 2,
        "limits": {
            **limits,
            "imports": -1,
            "exports": -1,
            "conn": -1,
            "leaf": -1,
            "mem_storage": -1,
            "disk_storage": -1,
            "streams": -1,
            "consumer": -1,
            "wildcards": True,
        },
    }
    account_jwt = _jwt(account, operator, "account", account_claims)
    system = _pair(b"A")
    system_claims: dict[str, Any] = {
        "type": "account",
        "version": 2,
        "limits": {**account_claims["limits"]},
    }
    for name in ("mem_storage", "disk_storage", "streams", "consumer"):
        del system_claims["limits"][name]
    system_jwt = _jwt(system, operator, "system", system_claims)
    user_jwt = _jwt(user, account, "user", {"type": "user", "version": 2, **limits})
    text = (
        f"-----BEGIN NATS USER JWT-----\n{user_jwt}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{_seed(user)}\n"
        "------END USER NKEY SEED------\n"
    )
    file = folder / "user.creds"
    file.write_text(text)
    return Protected(
        {
            "operator": operator_jwt,
            "resolver": "MEMORY",
            "system_account": _public_key(system),
            "resolver_preload": {
                _public_key(account): account_jwt,
                _public_key(system): system_jwt,
            },
        },
        {"nats-creds": text},
        {"user_credentials": str(file)},
    )


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make a key and a certificate for this machine that is its own CA; return their files."""
    key, file = folder / f"{name}-key.pem", folder / f"{name}-cert.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", f"/CN={name}"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(file)),
        ],
        check=True,
        capture_output=True,
    )
    return key, file


def tls(folder: Path) -> Protected:
    key, own = certificate(folder, "server")
    return Protected(
        {"tls": {"cert_file": str(own), "key_file": str(key)}},
        {"nats-ca": own.read_text()},
        {"tls": ssl.create_default_context(cafile=str(own))},
        scheme="tls",
        wrong={"nats-ca": certificate(folder, "other")[1].read_text()},
        told="not signed by a CA known here: put its CA into NATS_CA_FILE",
    )


def mutual_tls(folder: Path) -> Protected:
    """A server that asks clients for a certificate, and gets along without any other login."""
    plain = tls(folder)
    key, own = certificate(folder, "client")
    context: ssl.SSLContext = plain.options["tls"]
    context.load_cert_chain(own, key)
    plain.config["tls"] |= {"ca_file": str(own), "verify": True}
    wrong_key, wrong = certificate(folder, "stranger")
    return Protected(
        plain.config,
        {**plain.secrets, "nats-cert": own.read_text(), "nats-key": key.read_text()},
        plain.options,
        scheme="tls",
        wrong={**plain.secrets, "nats-cert": wrong.read_text(), "nats-key": wrong_key.read_text()},
        told="the server refuses the client's certificate",
    )


def mutual_tls_without_certificate(folder: Path) -> Protected:
    """The same; what is wrong is that the client has none."""
    protected = mutual_tls(folder)
    protected.wrong = {"nats-ca": protected.secrets["nats-ca"]}
    protected.told = "the server wants a client certificate: set NATS_CERT_FILE and NATS_KEY_FILE"
    return protected


def _pair(prefix: bytes) -> nkeys.KeyPair:
    kinds = {b"U": nkeys.PREFIX_BYTE_USER, b"A": nkeys.PREFIX_BYTE_ACCOUNT}
    kind = kinds.get(prefix, nkeys.PREFIX_BYTE_OPERATOR)
    seed = nkeys.encode_seed(secrets.token_bytes(32), kind)
    return nkeys.from_seed(seed)


def _seed(pair: nkeys.KeyPair) -> str:
    return bytes(pair.seed or b"").decode()


def _public_key(pair: nkeys.KeyPair) -> str:
    return bytes(pair.public_key or b"").decode()


def _jwt(subject: nkeys.KeyPair, issuer: nkeys.KeyPair, name: str, claims: dict[str, Any]) -> str:
    def encoded(value: dict[str, Any]) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    body = {
        "jti": hashlib.sha256(name.encode()).hexdigest(),
        "iat": int(time.time()),
        "iss": _public_key(issuer),
        "sub": _public_key(subject),
        "name": name,
        "nats": claims,
    }
    text = encoded({"typ": "JWT", "alg": "ed25519-nkey"}) + b"." + encoded(body)
    signature = base64.urlsafe_b64encode(issuer.sign(text)).rstrip(b"=")
    return (text + b"." + signature).decode()


@contextmanager
def server(
    folder: Path, protected: Protected, name: str = "nats", program: Path | None = None
) -> Iterator[str]:
    """Run a server in a folder, of another version where its program is given; yield its URL."""
    jetstream = {"store_dir": str(folder / f"{name}-store")}
    text = json.dumps({"jetstream": jetstream, **protected.config})[1:-1]
    with _running(folder, name, text, {}, program) as port:
        yield f"{protected.scheme}://127.0.0.1:{port}"


@contextmanager
def server_with(folder: Path, configuration: str, **environment: str) -> Iterator[int]:
    """Run a server with JetStream and further configuration, and yield its port."""
    text = f'jetstream {{ store_dir: "{folder}/store" }}\n{configuration}'
    with _running(folder, "nats", text, environment) as port:
        yield port


@contextmanager
def _running(
    folder: Path,
    name: str,
    configuration: str,
    environment: dict[str, str],
    program: Path | None = None,
) -> Iterator[int]:
    port = free_port()
    config, log = folder / f"{name}.conf", folder / f"{name}.log"
    config.write_text(f"host: 127.0.0.1\nport: {port}\n{configuration}\n")
    with log.open("wb") as output:
        command = [str(program or nats_server_binary()), "-c", str(config)]
        process = TiedProcess(command, stderr=output, env={**os.environ, **environment})

    def listens() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    try:
        wait_until(listens)
        yield port
    finally:
        process.terminate()
        process.wait(30)
