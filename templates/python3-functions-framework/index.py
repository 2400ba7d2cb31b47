"""Serves one function: the process that runs in the image, and locally.

The function is `handle` of the module named by `FUNCTION_MODULE` (in an image `function.handler`).
A coroutine function is served as ASGI and takes a `starlette.requests.Request`; any other is served
as WSGI and takes a `flask.Request`. Functions Framework's own production server runs it.

Environment: `HOST`, `PORT`, `THREADS` (WSGI only), `GRACEFUL_TIMEOUT` (seconds that requests in
hand get on SIGTERM), `KEEP_ALIVE` (seconds an idle connection stays open).
"""

import importlib
import inspect
import os
import sys
from pathlib import Path

# In an image the function's folder holds what `configuration.copy` of stack.yml brought.
sys.path.insert(0, str(Path(__file__).resolve().parent / "function"))
sys.path.insert(1, str(Path(__file__).resolve().parent))

handle = importlib.import_module(os.environ.get("FUNCTION_MODULE", "function.handler")).handle


def serve() -> None:
    """Serve `handle` until SIGTERM; requests in hand are finished first."""
    from functions_framework._http import create_server  # noqa: PLC0415

    os.environ["FUNCTION_TARGET"] = "handle"
    options: dict[str, object] = {
        "graceful_timeout": int(os.environ.get("GRACEFUL_TIMEOUT", "25")),
        "keepalive": int(os.environ.get("KEEP_ALIVE", "75")),
        "control_socket_disable": True,
    }
    # The handler module is loaded already; the framework is given this file, which names it.
    if inspect.iscoroutinefunction(handle):
        from functions_framework.aio import create_asgi_app  # noqa: PLC0415

        app = create_asgi_app("handle", __file__, "http")
    else:
        from functions_framework import create_app  # noqa: PLC0415

        app = create_app("handle", __file__, "http")
    host, port = os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080"))  # noqa: S104
    create_server(app, False, **options).run(host, port)


if __name__ == "__main__":
    serve()
