"""What every figure of one installation has in common: the currency of its amounts."""

from functools import cache

from pydantic import Field

from functions.common.settings import ComponentSettings


class WorkspaceSettings(ComponentSettings):
    """Settings that several functions must have the same of."""

    currency: str | None = Field(
        default=None,
        pattern=r"^[A-Z]{3}$",
        description="currency of all amounts (ISO 4217, such as EUR): an event that names another "
        "one is rejected, so that amounts of several are never added up; unset: an event that "
        "names any is rejected. The same for ingest, process-batch and analytics-query",
    )


@cache
def workspace() -> WorkspaceSettings:
    """Return the settings, read once.

    Raises:
        pydantic.ValidationError: one of them is wrong.
    """
    return WorkspaceSettings()
