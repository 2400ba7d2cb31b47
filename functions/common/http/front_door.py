"""Health, metrics, correlation id, problem details and request metrics, for any web framework."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Generic, Protocol, TypeVar

import orjson
from prometheus_client import Counter, Histogram

from functions.common import health, metrics
from functions.common.correlation import CALL_ID, CALL_ID_HEADER, HeaderLookup, call_id_from
from functions.common.errors import CredentialsRefusedError, RequestRefusedError
from functions.common.problem import PROBLEM_JSON, problem

logger = logging.getLogger(__name__)

OPERATIONS = frozenset({health.LIVENESS, health.READINESS, health.METRICS})
"""Routes that every function has; the front door answers them itself."""
UNKNOWN = "unknown"
"""The route, in metrics, of paths that lead nowhere."""

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
"""Seconds, the same for the requests of all functions."""

READ_METHODS = ("GET", "HEAD")
NOSNIFF = ("X-Content-Type-Options", "nosniff")
"""A header of every response."""


HandlerT = TypeVar("HandlerT")
"""What serves a route; its type is that of the web framework."""


@dataclass(slots=True)  # not frozen: see Request in asgi.py
class RawResponse:
    """A response that no web framework's own class holds yet."""

    status: int
    body: bytes
    content_type: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class ResponseHeaders(Protocol):
    """Headers of a framework's response."""

    def __setitem__(self, key: str, value: str, /) -> None: ...

    def setdefault(self, key: str, value: str, /) -> object: ...


class FrameworkResponse(Protocol):
    """A response of flask."""

    @property
    def status_code(self) -> int: ...

    @property
    def headers(self) -> ResponseHeaders: ...


def problem_response(error: RequestRefusedError) -> RawResponse:
    """Return a refusal as RFC 9457 problem details."""
    body = problem(error.status, error.detail, title=error.title, **error.extensions)
    headers = {"Cache-Control": "no-store", **error.headers}
    return RawResponse(error.status, orjson.dumps(body), PROBLEM_JSON, headers)


@dataclass(frozen=True, slots=True)
class Route(Generic[HandlerT]):
    """What a function has at a path.

    Attributes:
        methods: that it takes.
        handler: serves its requests; may raise RequestRefusedError.
        log_level: of the line about each of its requests.
    """

    methods: tuple[str, ...]
    handler: HandlerT
    log_level: int = logging.DEBUG


class FrontDoor(Generic[HandlerT]):
    """Takes the requests of one function in, and sends its responses out.

    Args:
        requests: counts requests by `route` and `status`.
        seconds: the time from a request's arrival to its response; a streamed body comes after it.
        over_limit: counts, by `reason`, requests that break a bound.
        refused: counts, by `route` and `fault`, requests without valid credentials.
        routes: by path. The path is the label `route` in metrics, so there is a fixed number.
        find_route: returns the key in `routes` of a request's path where they differ, for example
            by a slash at the end; a key that is not there means that the path leads nowhere.
        hint: a sentence that tells what there is, for those who asked for something else.
    """

    def __init__(
        self,
        requests: Counter,
        seconds: Histogram,
        over_limit: Counter | None = None,
        *,
        refused: Counter,
        routes: Mapping[str, Route[HandlerT]],
        hint: str,
        find_route: Callable[[str], str] = str,
    ) -> None:
        self.requests = requests
        self.seconds = seconds
        self.routes = routes
        self.over_limit = over_limit
        self.refused = refused
        self.hint = hint
        self._find_route = find_route
        self._counters: dict[tuple[str, int], Counter] = {}

    def count(self, route: str, status: int) -> None:
        """Count a request."""
        counter = self._counters.get((route, status))
        if counter is None:  # to look it up by its labels takes longer than to count
            counter = self._counters[route, status] = self.requests.labels(route, status)
        counter.inc()

    def route(self, path: str) -> str:
        """Return the route of a path, `UNKNOWN` where there is none."""
        operation = path.rstrip("/")
        if operation in OPERATIONS:
            return operation
        name = self._find_route(path)
        return name if name in self.routes else UNKNOWN


class Exchange(Generic[HandlerT]):
    """One request on its way to a response.

    Attributes:
        route: the route of its path.
        call_id: its correlation id, which log lines carry from now on.
    """

    __slots__ = ("_door", "_method", "_path", "_started", "call_id", "route")

    def __init__(
        self,
        door: FrontDoor[HandlerT],
        method: str,
        path: str,
        headers: HeaderLookup,
    ) -> None:
        self._started = perf_counter()
        self._door = door
        self._method, self._path = method, path
        self.call_id = call_id_from(headers)
        CALL_ID.set(self.call_id)
        self.route = door.route(path)

    def check(self) -> None:
        """Refuse what leads nowhere.

        Raises:
            RequestRefusedError: 404, there is no such route; 405, it has no such method.
        """
        if self.route == UNKNOWN:
            raise RequestRefusedError(404, f"There is nothing at {self._path}. {self._door.hint}")
        operation = self.route in OPERATIONS
        allowed = READ_METHODS if operation else self._door.routes[self.route].methods
        if self._method not in allowed:
            raise RequestRefusedError(
                405,
                f"{self._method} is not supported here: use {' or '.join(allowed)}.",
                headers={"Allow": ", ".join(allowed)},
            )

    @property
    def handler(self) -> HandlerT:
        """What serves this request, which `check` let in and which is none of `OPERATIONS`."""
        return self._door.routes[self.route].handler

    def operation(self, checks: health.Checks) -> RawResponse:
        """Answer one of `OPERATIONS`; `checks` are those of readiness."""
        if self.route == health.METRICS:
            body, content_type = metrics.render()
            return RawResponse(200, body, content_type)
        status, body = health.report(checks)
        return RawResponse(status, body, health.JSON)

    def failed(self, error: Exception) -> RawResponse:
        """Return the response to a request that raised an error: what it says, or 500."""
        if isinstance(error, RequestRefusedError):
            if error.reason and self._door.over_limit:
                self._door.over_limit.labels(error.reason).inc()
            if isinstance(error, CredentialsRefusedError):
                self._door.refused.labels(self.route, error.fault).inc()
            return problem_response(error)
        logger.error("request failed", exc_info=error)
        detail = f"An unexpected error occurred; the log has it under call id {self.call_id}."
        return problem_response(RequestRefusedError(500, detail))

    def finish(self, response: FrameworkResponse) -> None:
        """Complete the headers of a framework's response, count it and log it."""
        response.headers[CALL_ID_HEADER] = self.call_id
        response.headers.setdefault(*NOSNIFF)
        self.record(response.status_code)

    def record(self, status: int) -> None:
        """Count the request by the status of its response, and log it.

        The line has nothing of path, query and body, which may be secrets or say who somebody is;
        the names of parameters as well, since anything can be written there.
        """
        door, route = self._door, self.route
        seconds = perf_counter() - self._started
        door.count(route, status)
        if route not in OPERATIONS:
            door.seconds.observe(seconds)
        level = door.routes[route].log_level if route in door.routes else logging.DEBUG
        if logger.isEnabledFor(level):
            fields = {
                "method": self._method,
                "route": route,
                "status": status,
                "seconds": round(seconds, 6),
            }
            logger.log(level, "request served", extra=fields)
