"""Nothing waits for minutes for a database that is gone."""

import ast
from pathlib import Path

import yaml

from functions.common.paths import ROOT
from tests.support.manifests import make_secrets, pod_specs

SOURCES = [
    path for folder in ("functions", "infra") for path in sorted((ROOT / folder).rglob("*.py"))
]


def connects(path: Path) -> list[ast.Call]:
    """Return the calls of psycopg's `connect`."""
    text = path.read_text()
    if "psycopg" not in text:
        return []
    return [
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "connect"
        and ast.unparse(node.func.value).startswith(("psycopg", "Connection"))
    ]


def test_every_connection_of_the_code_has_a_time_out() -> None:
    calls = {path: connects(path) for path in SOURCES}
    assert sum(map(len, calls.values())) >= 4
    for path, found in calls.items():
        for call in found:
            assert "connect_timeout" in {each.arg for each in call.keywords}, path


def test_every_job_on_the_database_has_a_time_out() -> None:
    files = [
        ROOT / "infra/kubernetes/base" / name for name in ("migrate.yaml", "housekeeping.yaml")
    ]
    jobs = list(
        pod_specs([each for file in files for each in yaml.safe_load_all(file.read_text())])
    )
    assert len(jobs) == 2
    for name, template in jobs:
        [container] = template["spec"]["containers"]
        variables = {each["name"]: each.get("value", "") for each in container["env"]}
        timed = "connect_timeout=" in variables.get("DATABASE_URL", "")
        assert timed or "PGCONNECT_TIMEOUT" in variables, name


def test_passwords_that_are_there_stay(tmp_path: Path) -> None:
    """The page's commands, run again for a second engine, leave a live database's passwords."""
    make_secrets(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(before) > 10
    make_secrets(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
