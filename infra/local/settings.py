"""Settings of the single-machine platform, from the environment."""

from pathlib import Path

from pydantic import Field

from functions.common.paths import ROOT
from functions.common.settings import ComponentSettings


class PlatformSettings(ComponentSettings):
    """Where the platform keeps its state, and which servers it uses."""

    state_dir: Path = Field(Path(".universe"), description="NATS store, PostgreSQL data, logs")
    gateway_port: int = Field(8080, ge=0, le=65535, description="the gateway's port, 0 for any")
    nats_url: str | None = Field(
        None, description="a NATS server to use instead of the embedded one"
    )
    database_url: str | None = Field(
        None,
        description="a PostgreSQL database to use instead of the embedded one, as its owner",
    )
    database_writer_url: str | None = Field(
        None, description="the same database as role universe_writer; by default DATABASE_URL"
    )
    database_reader_url: str | None = Field(
        None, description="the same database as role universe_reader; by default DATABASE_URL"
    )
    retention_days: int = Field(
        0, ge=0, description="whole days of events that are kept besides today, 0 for all"
    )
    stack_files: str = Field(
        str(ROOT / "stack.yml"), description="OpenFaaS stack files to deploy, comma-separated"
    )
    connector: bool = Field(True, description="run the JetStream connector")
    connector_port: int = Field(
        0, description="the connector's port for health and metrics, 0 for any"
    )
    exporter: bool = Field(True, description="run the exporter of database and stream metrics")
    exporter_port: int = Field(
        0, description="the exporter's port for health and metrics, 0 for any"
    )
