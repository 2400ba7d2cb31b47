"""What the function answers besides figures: caching, access, faults, contract."""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from openapi_spec_validator import validate
from pydantic import TypeAdapter

from functions.analytics_query.reports import REPORTS as REPORTS_BY_NAME
from infra.cli.load.event_generator import Mix
from infra.local.servers.postgres import EmbeddedPostgres
from tests.support.analytics import HANDLER, Analytics, analytics
from tests.support.functions import running
from tests.support.net import free_port, plain_http, wait_until
from tests.support.stored_events import compact_deltas, generated, store

EVENTS = generated(600, seed=5, mix=Mix(days=3, users=50))
REPORTS = (
    "overview",
    "timeseries",
    "funnel",
    "countries",
    "campaigns",
    "users",
    "revenue",
    "demographics",
    "breakdown",
    "steps",
    "retention",
    "live",
    "spend",
    "economics",
    "attribution",
    "properties",
    "properties/values",
    "events",
)
LISTS = ("annotations", "views", "shares", "share", "alerts")
PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def live(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Analytics]:
    with analytics(postgres, migrated_template, tmp_path_factory.mktemp("analytics")) as function:
        store(function.owner_url, EVENTS[:-1])
        compact_deltas(function.owner_url)
        yield function


def metric(live: Analytics, name: str, **labels: str) -> float:
    wanted = ",".join(f'{label}="{value}"' for label, value in labels.items())
    line = re.compile(re.escape(f"{name}{{{wanted}}}") + r" (\S+)")
    found = line.search(live.client.get("/metrics").text)
    return float(found[1]) if found else 0.0


def snapshot(live: Analytics) -> str:
    """Return which transactions a question sees now."""
    with psycopg.connect(live.owner_url) as connection:
        [(text,)] = connection.execute("SELECT pg_current_snapshot()::text").fetchall()
    return text


@pytest.mark.parametrize("name", REPORTS)
def test_the_same_question_is_not_computed_twice(live: Analytics, name: str) -> None:
    seconds = "universe_analytics_query_report_seconds_count"
    for _ in range(10):
        seen = snapshot(live)
        first = live.get(name, source="facebook")
        computed = metric(live, seconds, report=name)
        again = live.get(name, source="facebook")
        if snapshot(live) == seen:  # else autovacuum has committed meanwhile, and that is new
            break
    else:
        raise AssertionError("the database never rests")
    assert again.content == first.content
    assert again.headers["etag"] == first.headers["etag"]
    assert metric(live, seconds, report=name) == computed
    assert metric(live, "universe_analytics_query_report_cache_hits_total", report=name) >= 1


def test_an_answer_that_still_holds_is_not_sent_again(live: Analytics) -> None:
    etag = live.get("overview").headers["etag"]
    answer = live.client.get("/analytics/overview", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == etag
    assert "no-cache" in answer.headers["cache-control"]


def test_a_new_event_is_in_the_next_answer(live: Analytics) -> None:
    before = live.get("overview")
    store(live.owner_url, EVENTS[-1:])
    after = live.client.get(
        "/analytics/overview", headers={"If-None-Match": before.headers["etag"]}
    )
    assert after.status_code == 200
    assert after.json()["totals"]["events"] == before.json()["totals"]["events"] + 1
    compact_deltas(live.owner_url)
    compacted = live.client.get(
        "/analytics/overview", headers={"If-None-Match": after.headers["etag"]}
    )
    assert compacted.status_code == 304, "compaction changes no figure"


def test_large_answers_are_compressed_for_those_who_take_it(live: Analytics) -> None:
    plain = live.client.get(
        "/analytics/timeseries?interval=minute", headers={"Accept-Encoding": "identity"}
    )
    packed = live.client.get(
        "/analytics/timeseries?interval=minute", headers={"Accept-Encoding": "gzip"}
    )
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert int(packed.headers["content-length"]) < len(plain.content) / 5
    assert packed.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("name", [name for name in REPORTS if name != "live"])
@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({"from": "yesterday"}, "from"),
        ({"from": "2024-06-31"}, "from"),
        ({"to": "2024-06-15T10:00:00"}, "to"),
        ({"to": "1718445600"}, "to"),
        ({"from": "0001-01-01T00:00:00+10:00"}, "from"),
        ({"from": "2024-06-15", "to": "2024-06-14"}, "to"),
        ({"source": "myspace"}, "source"),
        ({"funnelStage": "middle"}, "funnelStage"),
        ({"eventType": ""}, "eventType"),
        ({"country": "x" * 201}, "country"),
        ({"campaignId": "a\x00b"}, "campaignId"),
        ({"form": "2024-06-15"}, "form"),
        ({"source": ["facebook", "tiktok"]}, "source"),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_named(
    live: Analytics, name: str, params: dict[str, Any], wrong: str
) -> None:
    answer = live.get(name, **params)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == PROBLEM
    problem = answer.json()
    assert [fault["parameter"] for fault in problem["errors"]] == [wrong]
    assert wrong in problem["detail"]


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("timeseries", {"interval": "fortnight"}),
        ("timeseries", {"split": "userId"}),
        ("timeseries", {"limit": "0"}),
        ("timeseries", {"interval": "minute", "from": "2024-01-01", "to": "2024-06-01"}),
        ("countries", {"limit": "ten"}),
        ("campaigns", {"sort": "luck"}),
        ("users", {"by": "name"}),
        ("overview", {"exact": "perhaps"}),
    ],
)
def test_a_wrong_option_is_named(live: Analytics, name: str, params: dict[str, str]) -> None:
    answer = live.get(name, **params)
    assert answer.status_code == 422
    assert [fault["parameter"] for fault in answer.json()["errors"]] == [next(iter(params))]


@pytest.mark.parametrize(
    "start",
    [
        "2024-06-19T12:00:00Z",
        "2024-06-19T14:00:00+02:00",
        "2024-06-19T14:00:00 02:00",
        "2024-06-19T02:30:00-0930",
        "2024-06-19t12:00:00.000z",
    ],
)
def test_any_offset_is_understood(live: Analytics, start: str) -> None:
    assert live.report("overview", **{"from": start})["from"] == "2024-06-19T12:00:00Z"


def test_a_timeseries_chooses_a_fitting_interval(live: Analytics) -> None:
    def interval(start: str, end: str) -> str:
        return live.report("timeseries", **{"from": start, "to": end})["interval"]

    assert interval("2024-06-19T00:00:00Z", "2024-06-19T06:00:00Z") == "minute"
    assert interval("2024-06-12", "2024-06-20") == "hour"
    assert interval("2024-05-12", "2024-06-20") == "day"


@pytest.mark.parametrize("path", ["/nothing", "/analytics", "/analytics/", "/assets/../handler.py"])
def test_an_unknown_path_is_not_found(live: Analytics, path: str) -> None:
    answer = live.client.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == PROBLEM


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(live: Analytics, method: str) -> None:
    answer = live.client.request(method, "/analytics/overview")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert answer.headers["content-type"] == PROBLEM


def test_the_correlation_id_is_answered_and_logged(live: Analytics) -> None:
    answer = live.client.get("/analytics/funnel", headers={"X-Call-Id": "abc-123"})
    assert answer.headers["x-call-id"] == "abc-123"

    def logged() -> bool:
        lines = [json.loads(line) for line in live.function.log.read_text().splitlines()]
        return any(
            line.get("callId") == "abc-123" and line.get("route") == "/analytics/funnel"
            for line in lines
        )

    assert wait_until(logged)


def test_health_and_metrics(live: Analytics) -> None:
    assert live.client.get("/health/liveness").json() == {"status": "ok"}
    assert live.client.get("/health/readiness").json()["checks"] == {"database": "ok"}
    assert 'universe_analytics_query_requests_total{route="/health/readiness"' in (
        live.client.get("/metrics").text
    )


def test_only_the_key_opens_reports(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path: Path
) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "analytics-api-key").write_text("s3cret\n")
    secrets = str(tmp_path / "secrets")
    with analytics(postgres, migrated_template, tmp_path, SECRETS_DIR=secrets) as live:

        def status(**headers: str) -> int:
            return live.client.get("/analytics/overview", headers=headers).status_code

        assert status() == 401
        assert status(**{"X-Api-Key": "wrong"}) == 401
        assert status(**{"X-Api-Key": "s3cret"}) == 200
        assert status(Authorization="Bearer s3cret") == 200
        refused = live.client.get("/analytics/events?format=csv")
        assert (refused.status_code, refused.headers["content-type"]) == (401, PROBLEM)
        assert refused.headers["www-authenticate"] == "Bearer"
        for open_path in ("/", "/api", "/openapi.json", "/health/readiness", "/metrics"):
            assert live.client.get(open_path).status_code == 200
        metrics = live.client.get("/metrics").text
        refused_total = "universe_analytics_query_credentials_refused_total"
        assert f'{refused_total}{{fault="missing",route="/analytics/overview"}} 1.0' in metrics
        assert f'{refused_total}{{fault="wrong",route="/analytics/overview"}} 1.0' in metrics
        assert f'{refused_total}{{fault="missing",route="/analytics/events"}} 1.0' in metrics


@pytest.mark.parametrize("bound", ["USER_COUNTRY_MAX_EVENTS", "USER_COUNTRY_MAX_STORED"])
def test_users_countries_are_looked_up_among_so_many_events_only(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path: Path, bound: str
) -> None:
    """The look-up reads events; where it would take long the report says whose country it is."""
    with analytics(postgres, migrated_template, tmp_path, **{bound: "5"}) as live:
        store(live.owner_url, EVENTS)
        bounded = live.report("overview", country="US")
        assert bounded["leftOut"]["countryOf"] == "event"
        assert bounded == live.report("overview", country="US", countryOf="event")
        exact = live.report("overview", country="US", exact="true")
        assert exact["leftOut"]["countryOf"] == "user"
        assert exact["leftOut"]["byUser"]["events"] > 0


def test_a_slow_report_is_cut_off_with_a_clear_message(
    postgres: EmbeddedPostgres, migrated_template: str, tmp_path: Path
) -> None:
    with analytics(postgres, migrated_template, tmp_path, DB_STATEMENT_TIMEOUT="0.3") as live:
        store(live.owner_url, EVENTS)
        with psycopg.connect(live.owner_url) as blocker:
            blocker.execute("LOCK TABLE rollup_day_types IN ACCESS EXCLUSIVE MODE")
            answer = live.get("overview")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == PROBLEM
        assert "time limit" in answer.json()["detail"]
        assert live.get("overview").status_code == 200


@pytest.mark.slow
def test_a_database_that_comes_back_is_used_again(
    postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    postgres_server.ensure_database("universe")
    url = postgres_server.url()
    with psycopg.connect(url) as connection:
        connection.execute("SELECT 1")
    variables = {"DATABASE_READER_URL": url, "DB_POOL_TIMEOUT": "1"}
    with (
        running(HANDLER, tmp_path / "log", **variables) as function,
        httpx.Client(base_url=function.url, timeout=30, verify=False) as client,
    ):
        assert client.get("/health/readiness").status_code == 200
        postgres_server.kill()
        answer = client.get("/analytics/overview")
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        readiness = client.get("/health/readiness")
        assert readiness.status_code == 503
        assert client.get("/health/liveness").status_code == 200
        postgres_server.start()
        wait_until(lambda: client.get("/health/readiness").status_code == 200, 60)


def test_without_a_database_the_function_still_starts(tmp_path: Path) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/nothing"
    variables = {"DATABASE_READER_URL": "", "DATABASE_URL": url, "DB_POOL_TIMEOUT": "0.5"}
    with running(HANDLER, tmp_path / "log", **variables) as function:
        assert plain_http.get(function.url + "/health/readiness", timeout=30).status_code == 503
        assert plain_http.get(function.url + "/", timeout=30).status_code == 200


@pytest.mark.parametrize("read_only", ["on", "off"])
def test_the_reader_cannot_write(
    live: Analytics, postgres: EmbeddedPostgres, read_only: str
) -> None:
    database = urlsplit(live.owner_url).path.removeprefix("/")
    with psycopg.connect(postgres.url("universe_reader", database), autocommit=True) as connection:
        connection.execute(f"SET default_transaction_read_only = {read_only}")  # pyright: ignore
        with pytest.raises(
            (psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)
        ):
            connection.execute("DELETE FROM events")


def test_the_contract_is_valid_and_its_examples_fit(live: Analytics) -> None:
    document = live.client.get("/openapi.json").json()
    validate(document)
    assert document["openapi"].startswith("3.1")
    written = ("alerts/test",)  # there is nothing to read there
    assert set(document["paths"]) == {f"/analytics/{name}" for name in (*REPORTS, *LISTS, *written)}
    schemas = document["components"]["schemas"]
    assert [schema["title"] for schema in schemas.values()] == list(schemas), "one name, one schema"
    reading = [path["get"] for path in document["paths"].values() if "get" in path]
    for operation in reading:
        assert {"200", "304", "401", "422", "503"} <= set(operation["responses"])
        example = operation["responses"]["200"]["content"]["application/json"]["example"]
        report = REPORTS_BY_NAME[operation["operationId"].replace("-", "/")]
        TypeAdapter(report.response).validate_python(example)


@pytest.mark.slow
def test_the_live_function_keeps_its_contract(live: Analytics, tmp_path: Path) -> None:
    """Schemathesis makes up requests from the contract and checks every answer against it."""
    schemathesis(live, tmp_path, "--phases=examples,fuzzing", "--max-examples=2")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_live_function_keeps_its_contract_at_length(live: Analytics, tmp_path: Path) -> None:
    """The same with every phase and more examples."""
    schemathesis(live, tmp_path, "--phases=examples,coverage,fuzzing", "--max-examples=15")


def schemathesis(live: Analytics, folder: Path, *options: str) -> None:
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        live.function.url + "/openapi.json",
        "--url",
        live.function.url,
        "--seed=1",
        "--generation-deterministic",
        "--checks=all",
        # a range that ends before it starts is valid by the schema alone
        "--exclude-checks=positive_data_acceptance",
        "--suppress-health-check=all",
        "--no-color",
        *options,
    ]
    run = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=900, check=False
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]


@pytest.mark.parametrize("name", ["charts/charts.js", "swagger-ui-bundle.js", "swagger-ui.css"])
def test_assets_are_served_locally(live: Analytics, name: str) -> None:
    answer = live.client.get(f"/assets/{name}", headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert answer.headers["content-encoding"] == "gzip"
    again = live.client.get(
        f"/assets/{name}",
        headers={"If-None-Match": answer.headers["etag"], "Accept-Encoding": "gzip"},
    )
    assert again.status_code == 304
    with live.client.stream("GET", f"/assets/{name}", headers={"Accept-Encoding": "gzip"}) as raw:
        assert gzip.decompress(b"".join(raw.iter_raw())) == answer.content


def test_the_files_of_the_page_are_kept(live: Analytics) -> None:
    """Their path changes with them; a page of another version gets the present files, unkept."""
    page = live.client.get("/").text
    paths = re.findall(r'(?:href|src)="(assets/[^"]+)"', page)
    folder = paths[0].rsplit("/", 1)[0]
    begun = [f"{folder}/early.js", f"{folder}/dashboard.js"]
    assert set(begun) < set(paths)
    later = {
        f"{folder}/{name}"
        for script in begun
        for name in re.findall(r'\bimport\("\./([^"]+)"\)', live.client.get("/" + script).text)
    }
    assert len(later) > 10
    assert f"{folder}/charts/charts.js" in later
    for path in later.union(paths):
        answer = live.client.get("/" + path)
        assert answer.status_code == 200, path
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    old = live.client.get("/assets/0123456789abcdef/charts/charts.js")
    assert old.status_code == 200
    assert old.headers["cache-control"] == "private, no-cache"
    assert live.client.get("/assets/0123456789abcdef/nothing.js").status_code == 404
