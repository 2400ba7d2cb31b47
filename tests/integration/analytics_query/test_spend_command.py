"""`universe spend import`: a file into the database, and over HTTP."""

from pathlib import Path

import psycopg
import pytest

from infra.cli.main import main
from infra.local.servers.postgres import EmbeddedPostgres
from tests.conftest import Database
from tests.support.analytics import analytics
from tests.support.commands import invoke

GOOD = "date,source,campaignId,amount\n2026-11-01,facebook,a,1.50\n2026-11-02,facebook,a,2\n"
BAD = "date,source,campaignId,amount\n2026-11-01,facebook,a,1.50\nyesterday,facebook,a,2\n"


def test_a_file_is_stored_as_a_whole_or_not_at_all(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "spend.csv"
    file.write_text(GOOD)

    def imported(*options: str, url: str = database.url) -> tuple[int, str]:
        done = invoke(main, "spend", "import", str(file), "--url", url, *options)
        return done.exit_code, " ".join(done.output.split())

    def rows() -> int:
        with psycopg.connect(database.url) as connection:
            return len(connection.execute("SELECT 1 FROM workspace.spend").fetchall())

    said = "2 added, 0 changed, 0 removed, 0 were there already"
    assert imported("--dry-run") == (0, f"would be {said}")
    assert rows() == 0
    assert imported(url=database.reader_url) == (0, said)
    assert imported() == (0, "0 added, 0 changed, 0 removed, 2 were there already")
    file.write_text(BAD)
    code, text = imported()
    assert code == 1
    assert "spend.csv is not imported: line 3, date: Expected a date such as 2026-11-30" in text
    assert rows() == 2


@pytest.mark.slow
def test_a_file_is_sent_to_the_function(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path: Path
) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "analytics-write-key").write_text("write\n")
    file = tmp_path / "spend.csv"
    with analytics(postgres, migrated_template, tmp_path, SECRETS_DIR=str(secrets)) as live:

        def imported(key: str) -> tuple[int, str]:
            environment = {"ANALYTICS_WRITE_KEY": key, "STATE_DIR": str(tmp_path / "none")}
            command = ("spend", "import", str(file), "--api", live.function.url)
            done = invoke(main, *command, environment=environment)
            return done.exit_code, " ".join(done.output.split())

        file.write_text(GOOD)
        assert imported("") == (
            1,
            "universe: spend.csv is not imported: Send a key that may write (secret file "
            "analytics-write-key) in the header X-Api-Key. (status 401)",
        )
        assert imported("write") == (0, "2 added, 0 changed, 0 removed, 0 were there already")
        file.write_text(BAD)
        code, text = imported("write")
        assert code == 1
        assert "spend.csv is not imported: line 3, date: Expected a date" in text
        assert live.report("spend")["total"] == "3.50"
