"""Time zones by their names, and what a date means in one."""

from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise PydanticCustomError(
            "unknown_timezone", "Expected a name such as Europe/Berlin or UTC"
        ) from error
    return name


TimeZoneName = Annotated[str, Field(max_length=64), AfterValidator(_known_zone)]
"""A time zone of the IANA database."""
