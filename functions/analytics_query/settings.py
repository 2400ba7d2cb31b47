"""Configuration of analytics-query."""

from functools import cache
from typing import Literal

from pydantic import Field

from functions.common.access import Auth
from functions.common.durations import Seconds
from functions.common.postgres import PoolSettings
from functions.common.settings import ComponentSettings, SecretLines
from functions.common.workspace import WorkspaceSettings

from .query.time_zone import TimeZoneName


class AnalyticsQuerySettings(PoolSettings, WorkspaceSettings):
    """The database, time zone and currency, and the limits of reports and exports."""

    timezone: TimeZoneName = Field(
        default="UTC",
        description="time zone of days where a question names none (IANA, such as Europe/Berlin)",
    )
    database_reader_url: str | None = Field(
        default=None, description="PostgreSQL, as the role universe_reader"
    )
    database_url: str | None = Field(
        default=None, description="used where DATABASE_READER_URL is not given"
    )
    db_statement_timeout: Seconds = Field(
        default=10.0, gt=0, description="seconds one SQL statement of a report may take"
    )
    export_timeout: Seconds = Field(
        default=300.0, gt=0, description="seconds an export of raw events may take"
    )
    export_rows_max: int = Field(
        default=5_000_000, ge=1, description="maximum number of events in one export"
    )
    max_page_bytes: int = Field(
        default=2 * 1024**2,
        ge=64 * 1024,
        description="size of a page of raw events in bytes; a page ends before its limit there",
    )
    exact_users_max_events: int = Field(
        default=100_000,
        ge=0,
        description="events up to which users are counted exactly where no sketch has their "
        "number; for more events it is estimated from a sample of the users",
    )
    user_country_max_events: int = Field(
        default=50_000,
        ge=0,
        description="events without a country up to which a filter by country looks at their "
        "users' other events; with more it looks at the events' own country only, and says so",
    )
    user_country_max_stored: int = Field(
        default=200_000,
        ge=0,
        description="stored events up to which a filter by country looks at users' other events, "
        "which reads them all; with more it looks at the events' own country only, and says so",
    )
    filter_max_events: int = Field(
        default=200_000,
        ge=0,
        description="events of a range up to which they are read for a filter or a breakdown by a "
        "property that no rollup has; more are refused, in words, but for `exact=true`",
    )
    attribution_max_events: int = Field(
        default=500_000,
        ge=0,
        description="events of a range, and of the window before it, up to which revenue is "
        "attributed; more are refused, in words, but for `exact=true`",
    )
    report_cache_bytes: int = Field(
        default=32 * 1024**2, ge=0, description="memory for cached reports; 0 disables the cache"
    )
    analytics_auth: Auth = Field(
        default="secret", description="`none` answers anybody, without a key"
    )
    analytics_api_key: SecretLines = Field(
        default=(),
        repr=False,
        description="key that callers must send in X-Api-Key; several lines: any of them",
    )
    analytics_write_auth: Auth = Field(
        default="secret",
        description="`none` lets everybody who may read also write what a team keeps beside its "
        "events (spend, views, links, annotations, alerts), without a key for it",
    )
    analytics_write_key: SecretLines = Field(
        default=(),
        repr=False,
        description="key that callers must send in X-Api-Key to write; it reads as well; without "
        "the file nothing is written",
    )
    analytics_embed_origins: str = Field(
        default="",
        pattern=r"^(https?://[A-Za-z0-9.*:-]+ ?)*$",
        description="sites whose pages may show the dashboard in a frame, such as "
        "`https://intranet.example`, several with a space between; none: only its own",
    )
    max_write_bytes: int = Field(
        default=4 * 1024**2, ge=1024, description="largest body of a request that writes"
    )

    @property
    def url(self) -> str:
        """The URL of the database.

        Raises:
            ValueError: none is set.
        """
        url = self.database_reader_url or self.database_url
        if url is None:
            raise ValueError("neither DATABASE_READER_URL nor DATABASE_URL is set")
        return url


class AlertsSettings(ComponentSettings):
    """How alerts are judged and sent; figures are read with the settings of analytics-query."""

    public_url: str = Field(
        default="",
        pattern=r"^(https?://[!-~]+)?$",
        description="address of the dashboard for people, to which messages link, such as "
        "`https://gateway.example/function/analytics-query/`",
    )
    alerts_delay: Seconds = Field(
        default=300.0,
        description="seconds after the end of an interval until it is judged, for late events",
    )
    alerts_early: Seconds = Field(
        default=300.0,
        gt=0,
        description="seconds between two looks at an interval that is not over, of alerts `above`",
    )
    alerts_timeout: Seconds = Field(
        default=10.0, gt=0, description="seconds that a mail server or a webhook may take to answer"
    )
    alerts_attempts: int = Field(
        default=8, ge=1, description="attempts to send a message, over two hours, until it is lost"
    )
    alerts_private_addresses: bool = Field(
        default=False,
        description="webhooks may be at private addresses: of this machine and its networks. Who "
        "has the write key chooses the address",
    )
    alerts_email_domains: str = Field(
        default="",
        description="domains that e-mail may go to, with commas between; none: any",
    )
    alerts_signing_key: SecretLines = Field(
        default=(),
        repr=False,
        description="what webhooks are signed with, in the header `Universe-Signature`; without "
        "the file they are not",
    )
    smtp_host: str | None = Field(
        default=None, description="mail server; without one no e-mail is sent, and alerts say so"
    )
    smtp_port: int = Field(default=587, ge=1, le=65535, description="its port")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="`tls` from the first byte (port 465), or `none`, for a server on this machine",
    )
    smtp_user: str | None = Field(default=None, description="login there; none: without a login")
    smtp_password: SecretLines = Field(default=(), repr=False, description="password of that login")
    smtp_from: str = Field(
        default="universe@localhost",
        pattern=r"^[^\s<>@]+@[^\s<>@]+$",
        description="address that e-mail is from",
    )


@cache
def settings() -> AnalyticsQuerySettings:
    """Return this process's settings, read once.

    Raises:
        pydantic.ValidationError: one of them is wrong.
    """
    return AnalyticsQuerySettings()
