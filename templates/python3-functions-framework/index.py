"""Serves one function: the process that runs in the image, and locally.

The function is `handle` of the module named by `FUNCTION_MODULE` (in an image `function.handler`).
A coroutine function is served as ASGI and takes a `starlette.requests.Request`; any other is served
as WSGI and takes a `flask.Request`. Functions Framework's own production server runs it.

Environment: `HOST`, `PORT`, `THREADS` (WSGI only), `GRACEFUL_TIMEOUT` (seconds that requests in
hand get on SIGTERM), `KEEP_ALIVE` (seconds an idle connection stays open), `DRAIN_DELAY` (seconds
that new requests are still taken after SIGTERM, while the senders learn of it),
`READY_FILE` (a file that is there once requests can be taken).
"""

import importlib
import inspect
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

# In an image the function's folder holds what `configuration.copy` of stack.yml brought.
sys.path.insert(0, str(Path(__file__).resolve().parent / "function"))
sys.path.insert(1, str(Path(__file__).resolve().parent))


def load(module: str) -> Any:
    """Return `handle` of a module; exit with one line that says why it cannot be had."""
    try:
        return importlib.import_module(module).handle
    except Exception as error:
        here = traceback.extract_tb(error.__traceback__)[-1]
        if os.environ.get("LOG_LEVEL", "").upper() == "DEBUG":
            traceback.print_exc()
        reason = " ".join(str(error).split()) or "no reason given"
        where = f"{here.filename}, line {here.lineno}"
        sys.exit(f"{module} cannot be loaded: {type(error).__name__}: {reason} ({where})")


ready_file = Path(os.environ["READY_FILE"]) if os.environ.get("READY_FILE") else None
if ready_file and __name__ == "__main__":
    ready_file.unlink(missing_ok=True)  # a container that crashed left it to the next

handle = load(os.environ.get("FUNCTION_MODULE", "function.handler"))


def serve() -> None:
    """Serve `handle` until SIGTERM; requests in flight are finished first."""
    from functions_framework._http import create_server  # noqa: PLC0415

    os.environ["FUNCTION_TARGET"] = "handle"
    options: dict[str, object] = {
        "graceful_timeout": int(os.environ.get("GRACEFUL_TIMEOUT", "25")),
        "keepalive": int(os.environ.get("KEEP_ALIVE", "75")),
        "control_socket_disable": True,
    }
    if made := ready_file:
        options["post_worker_init"] = lambda worker: made.touch()
    drain_delay = float(os.environ.get("DRAIN_DELAY", "0"))
    if drain_delay > 0:
        options["when_ready"] = lambda server: delay_sigterm(server, drain_delay)
    # The handler module is loaded already; the framework is given this file, which names it.
    if inspect.iscoroutinefunction(handle):
        from functions_framework.aio import create_asgi_app  # noqa: PLC0415

        app = create_asgi_app("handle", __file__, "http")
    else:
        from functions_framework import create_app  # noqa: PLC0415

        app = create_app("handle", __file__, "http")
    host, port = os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080"))  # noqa: S104
    create_server(app, False, **options).run(host, port)


def delay_sigterm(server: Any, seconds: float) -> None:
    """Let gunicorn's arbiter learn of SIGTERM later; a second one does not prolong the wait.

    A watchdog passes the signal on at once and goes on taking requests until it is left out of the
    load balancing: they must still be answered.
    """

    def wait(signum: int, frame: object) -> None:
        if signal.getitimer(signal.ITIMER_REAL)[0] == 0:
            signal.setitimer(signal.ITIMER_REAL, seconds)

    signal.signal(signal.SIGTERM, wait)
    signal.signal(signal.SIGALRM, lambda signum, frame: server.signal(signal.SIGTERM, frame))


if __name__ == "__main__":
    serve()
