"""What is wrong with a request, or with the database, as problem details."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

from pydantic import ValidationError

from functions.common.errors import (
    DatabaseUnavailableError,
    QueryTimeoutError,
    RequestRefusedError,
)

logger = logging.getLogger(__name__)

RETRY_AFTER = 2
"""Seconds after which a caller should try again while the database is unavailable."""


@contextmanager
def refusals(too_long: str, title: str | None = None) -> Generator[None]:
    """Refuse the request where the database is unavailable within the block, or takes too long.

    Args:
        too_long: what to tell the caller of a statement that took too long.
        title: of that problem.

    Raises:
        RequestRefusedError: 503.
    """
    try:
        yield
    except QueryTimeoutError as error:
        raise RequestRefusedError(503, too_long, title=title) from error
    except DatabaseUnavailableError as error:
        logger.warning("database unavailable: %s", error)
        raise RequestRefusedError(
            503, "The database cannot be reached now. Try again soon.", retry_after=RETRY_AFTER
        ) from error


def invalid_parameters(faults: list[dict[str, str]]) -> RequestRefusedError:
    """Return the refusal that names what is wrong with a request's parameters.

    Args:
        faults: each has the `parameter`, a `message` for a person and a `type` for programs.
    """
    detail = "; ".join(f"{fault['parameter']}: {fault['message']}" for fault in faults)
    return RequestRefusedError(422, detail, errors=faults)


def invalid_parameter(parameter: str, message: str, type_: str) -> RequestRefusedError:
    """Return the refusal for one parameter."""
    return invalid_parameters([{"parameter": parameter, "message": message, "type": type_}])


def faults_of(error: ValidationError, *, whole: bool = False) -> list[dict[str, str]]:
    """Return what is wrong with parameters, one entry each.

    Args:
        error: as pydantic found it.
        whole: whether to name the whole place within a value (`0.amount`), not its first part.
    """
    return [
        {
            "parameter": ".".join(map(str, fault["loc"] if whole else fault["loc"][:1]))
            or str(fault.get("ctx", {}).get("parameter", "body" if whole else "")),
            "message": _message(fault["type"], fault["msg"]),
            "type": fault["type"],
        }
        for fault in error.errors(include_url=False, include_input=False)
    ]


def _message(kind: str, message: str) -> str:
    return "There is no such parameter" if kind == "extra_forbidden" else message
