"""The function analytics-query, running against a database full of events."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from psycopg import sql

from infra.local.servers.postgres import READER, EmbeddedPostgres
from tests.support.functions import Function, running

HANDLER = "functions.analytics_query.handler"


@dataclass(frozen=True)
class Analytics:
    """The running function.

    Attributes:
        function: its process.
        client: sends requests to it.
        owner_url: its database, as the role that owns it.
    """

    function: Function
    client: httpx.Client
    owner_url: str

    def get(self, path: str, **params: Any) -> httpx.Response:
        """Send a request for `/analytics/<path>`."""
        return self.client.get(f"/analytics/{path}", params=params)

    def report(self, name: str, **params: Any) -> dict[str, Any]:
        """Return the JSON of a report."""
        answer = self.get(name, **params)
        assert answer.status_code == 200, answer.text
        return answer.json()


@contextmanager
def analytics(
    postgres: EmbeddedPostgres, template: str, folder: Path, **environment: str
) -> Generator[Analytics]:
    """Run the function on a fresh migrated database until the block ends."""
    name = sql.Identifier(f"analytics_{uuid4().hex[:12]}")
    with psycopg.connect(postgres.url(database="postgres"), autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, sql.Identifier(template))
        )
        database = name.as_string().strip('"')
        variables = {"DATABASE_READER_URL": postgres.url(READER, database), **environment}
        with (
            running(HANDLER, folder / "analytics.log", **variables) as function,
            httpx.Client(base_url=function.url, timeout=60, verify=False) as client,
        ):
            yield Analytics(function, client, postgres.url(database=database))
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


@contextmanager
def beside(live: Analytics, folder: Path, **environment: str) -> Generator[httpx.Client]:
    """Run the function once more on the same database, with other settings; yield its client."""
    variables = {"DATABASE_READER_URL": live.owner_url, **environment}
    with (
        running(HANDLER, folder / "log", **variables) as function,
        httpx.Client(base_url=function.url, verify=False) as client,
    ):
        yield client
