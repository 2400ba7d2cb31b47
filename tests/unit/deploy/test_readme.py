"""README.md and CONTRIBUTING.md: events that are valid, targets and paths that are there."""

import json
import re
from copy import deepcopy
from typing import Any, get_args, get_type_hints

import pytest

from functions.common.events import SOURCES, facebook, tiktok, validate_json
from functions.common.paths import ROOT

README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
EVENTS: list[dict[str, Any]] = [
    json.loads(text) for text in re.findall(r"^```json\n(.*?)^```", README, re.M | re.S)
]
TYPES = {
    (module.SOURCE.name, stage): declared
    for module in (facebook, tiktok)
    for stage, declared in (("top", module.Top), ("bottom", module.Bottom))
}


def stage_of(event: dict[str, Any]) -> tuple[str, str]:
    return event["source"], event["funnelStage"]


def fields_of(declared: Any) -> dict[str, Any]:
    """Return the fields of a typed dictionary, those of nested ones below them."""
    hints = get_type_hints(declared)
    return {
        name: fields_of(hint) if hasattr(hint, "__required_keys__") else None
        for name, hint in hints.items()
    }


def names_of(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: names_of(part) for name, part in value.items()}
    return None


def test_there_is_an_event_of_each_source_and_stage() -> None:
    assert {module.SOURCE.name for module in (facebook, tiktok)} == set(SOURCES)
    assert sorted(stage_of(event) for event in EVENTS) == sorted(TYPES)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: "-".join(stage_of(event)))
def test_events_are_valid_and_have_every_field(event: dict[str, Any]) -> None:
    validate_json(json.dumps(event).encode())
    fields = fields_of(TYPES[stage_of(event)])
    # refused where no currency is set, as on the platform of the README
    fields["data"]["engagement"].pop("currency", None)
    assert names_of(event) == fields


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: "-".join(stage_of(event)))
def test_events_may_have_more_fields(event: dict[str, Any]) -> None:
    more = deepcopy(event)
    more["data"]["engagement"]["another"] = more["another"] = 1
    validate_json(json.dumps(more).encode())


@pytest.mark.parametrize("stage", TYPES, ids="-".join)
def test_the_table_has_the_event_types(stage: tuple[str, str]) -> None:
    row = re.search(rf"^\| `{stage[0]}` \| `{stage[1]}` \| (.*?) \|", README, re.M)
    assert row
    assert set(re.findall(r"`([\w.]+)`", row[1])) == set(
        get_args(get_type_hints(TYPES[stage])["eventType"])
    )


def test_make_has_the_targets() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    others = [(ROOT / name).read_text() for name in (".ci/run", "docs/deploy.md")]
    for text in (README, CONTRIBUTING, *others):
        used = set(re.findall(r"(?:^|`|\n *)make ([a-z-]+)", text))
        assert used
        assert used <= targets


def test_the_tree_shows_what_is_there() -> None:
    [tree] = re.findall(r"^## Where things are\n+```\n(.*?)^```", README, re.M | re.S)
    paths = re.findall(r"^[a-z_]+(?:/[a-z_]+)*/|^[a-z]+\.yml|  infra/[a-z]+/", tree, re.M)
    paths = [path.strip() for path in paths]
    assert {"functions/common/", "sql/", "stack.yml"} <= set(paths)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    shown = {path for path in paths if path.startswith("infra/")}
    there = {f"infra/{path.name}/" for path in (ROOT / "infra").iterdir() if path.is_dir()}
    assert shown == there - {"infra/__pycache__/"}
