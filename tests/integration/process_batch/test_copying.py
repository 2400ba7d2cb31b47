"""Several COPYs in one request."""

import psycopg
import pytest
from psycopg import errors
from psycopg.pq import TransactionStatus

from functions.process_batch.copying import CopySequence
from tests.conftest import Database

COPY_ONE, COPY_TWO = "COPY one FROM STDIN", "COPY two FROM STDIN"


@pytest.fixture
def connection(database: Database) -> psycopg.Connection:
    connection = psycopg.connect(database.url, autocommit=True)
    connection.execute("CREATE TABLE one (id integer PRIMARY KEY, name text)")
    connection.execute("CREATE TABLE two (id integer)")
    return connection


def rows(connection: psycopg.Connection) -> tuple[int, int]:
    assert connection.pgconn.transaction_status == TransactionStatus.IDLE
    found = connection.execute("SELECT (SELECT count(*) FROM one), (SELECT count(*) FROM two)")
    row = found.fetchone()
    assert row
    return row


def test_all_is_committed_at_the_end_of_the_last(connection: psycopg.Connection) -> None:
    with connection:
        with CopySequence(connection, COPY_ONE, COPY_TWO) as copy:
            copy.write(["1\tÄ\n"])
            copy.write(["2\tb\n"])
            copy.begin_next()
            copy.write(["1\n"])
        assert rows(connection) == (2, 1)


def test_much_data_arrives_whole(connection: psycopg.Connection) -> None:
    with connection:
        with CopySequence(connection, COPY_ONE) as copy:
            for part in range(4):
                lines = (f"{part * 1000 + n}\t{'ä' * 1000}\n" for n in range(1000))
                copy.write(lines)
        found = connection.execute("SELECT sum(length(name)) FROM one").fetchone()
        assert found == (4_000_000,)


def copy_two(connection: psycopg.Connection, first: str, second: str) -> None:
    with CopySequence(connection, COPY_ONE, COPY_TWO) as copy:
        copy.write([first])
        copy.begin_next()
        copy.write([second])


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [
        ("1\ta\n1\tb\n", "1\n", errors.UniqueViolation),
        ("1\ta\n", "x\n", errors.InvalidTextRepresentation),
    ],
)
def test_an_error_in_one_undoes_all(
    connection: psycopg.Connection, first: str, second: str, kind: type[Exception]
) -> None:
    with connection:
        with pytest.raises(kind):
            copy_two(connection, first, second)
        assert rows(connection) == (0, 0)


def give_up(connection: psycopg.Connection, *, moved_on: bool) -> None:
    with CopySequence(connection, COPY_ONE, COPY_TWO) as copy:
        copy.write(["1\ta\n"])
        if moved_on:
            copy.begin_next()
        raise LookupError


@pytest.mark.parametrize("moved_on", [False, True])
def test_a_block_that_gives_up_stores_nothing(
    connection: psycopg.Connection, moved_on: bool
) -> None:
    with connection:
        with pytest.raises(LookupError):
            give_up(connection, moved_on=moved_on)
        assert rows(connection) == (0, 0)


def test_a_missing_table_is_told(connection: psycopg.Connection) -> None:
    with connection:
        with pytest.raises(errors.UndefinedTable), CopySequence(connection, "COPY no FROM STDIN"):
            pass
        assert rows(connection) == (0, 0)


def lose_connection(connection: psycopg.Connection, other: psycopg.Connection) -> None:
    with CopySequence(connection, COPY_ONE, COPY_TWO) as copy:
        copy.write(["1\ta\n"])
        other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
        copy.begin_next()


def test_a_lost_connection_is_told(connection: psycopg.Connection, database: Database) -> None:
    with psycopg.connect(database.url, autocommit=True) as other:
        with pytest.raises(psycopg.OperationalError):
            lose_connection(connection, other)
        assert other.execute("SELECT count(*) FROM one").fetchone() == (0,)
