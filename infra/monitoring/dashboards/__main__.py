"""Writes the dashboards: `python -m infra.monitoring.dashboards`."""

import json
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from infra.monitoring.dashboards import (
    analytics_query,
    connector,
    database,
    dead_letters,
    functions,
    ingest,
    overview,
    process_batch,
)
from infra.monitoring.dashboards.dashboard import Dashboard

FOLDER = Path(__file__).resolve().parents[1] / "grafana" / "dashboards"
DASHBOARDS: list[Dashboard] = [
    overview.DASHBOARD,
    ingest.DASHBOARD,
    connector.DASHBOARD,
    process_batch.DASHBOARD,
    analytics_query.DASHBOARD,
    functions.DASHBOARD,
    database.DASHBOARD,
    dead_letters.DASHBOARD,
]


def files() -> dict[str, str]:
    """Return the text of each dashboard's file by its name."""
    return {
        dashboard.file_name: json.dumps(dashboard.build(), cls=JSONEncoder, indent=2) + "\n"
        for dashboard in DASHBOARDS
    }


def main() -> None:
    """Write the files, and remove those of dashboards that are no more."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    written = files()
    for name, text in written.items():
        (FOLDER / name).write_text(text)
    for file in FOLDER.glob("*.json"):
        if file.name not in written:
            file.unlink()


if __name__ == "__main__":
    main()
