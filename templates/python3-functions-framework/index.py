"""Serves one function: the process that runs in the image, and locally.

The function is `handle` of the module named by `FUNCTION_MODULE` (in an image `function.handler`).
A coroutine function is served as ASGI and takes a `starlette.requests.Request`; any other is served
as WSGI and takes a `flask.Request`. The production server of Functions Framework, gunicorn, runs
it. Where the module of a coroutine function has `middleware`, that is given the framework's ASGI
application, which is loaded once it is called, and returns the one to serve.

Environment: `HOST`, `PORT`, `THREADS` (WSGI only), `BODY_TIMEOUT` (WSGI only: seconds in which a
body must come, or its first 64 KiB and then each 256 KiB), `RESPONSE_TIMEOUT` (WSGI only: seconds
in which a client must read something of its response), `GRACEFUL_TIMEOUT` (seconds that requests in
hand get on SIGTERM), `KEEP_ALIVE` (seconds an idle connection stays open), `DRAIN_DELAY` (seconds
that new requests are still taken after SIGTERM, while the senders learn of it),
`READY_FILE` (a file that is there while requests shall come), `ANSWER_WHILE_LOADING` (1: probes are
answered and requests wait from the process's first moments on), and of OpenFaaS' watchdog
`read_timeout`, `exec_timeout`, `write_timeout` (durations such as 30s) and `max_inflight`.
"""

import os
import signal
import sys
from typing import Any

from serving import starting

# The listener comes first, before anything that takes long to import.
listener = channel = None
if __name__ == "__main__" and os.environ.get("ANSWER_WHILE_LOADING") == "1":
    # the first process of a container has to say itself that SIGTERM ends it
    signal.signal(signal.SIGTERM, lambda signum, frame: os._exit(0))
    host, port = os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080"))  # noqa: S104
    try:
        listener = starting.listen(host, port)
    except OSError as error:
        sys.exit(f"{host}:{port} cannot be listened on: {error.strerror}")
    channel = starting.answer_while_loading(listener)

import gc  # noqa: E402

if __name__ == "__main__":
    gc.disable()  # until all is loaded: of what modules make, nothing is garbage

import importlib  # noqa: E402
import inspect  # noqa: E402
import socket  # noqa: E402
import traceback  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402

from serving import asgi, limits, wsgi  # noqa: E402

# In an image the function's folder holds what `configuration.copy` of stack.yml brought.
sys.path.insert(0, str(Path(__file__).resolve().parent / "function"))
sys.path.insert(1, str(Path(__file__).resolve().parent))


def load(name: str) -> tuple[Any, Any, dict[bytes, Any]]:
    """Return `handle` of a module, its `middleware` or None, and its `shortcuts`.

    Where they cannot be had, exit with one line that says why.
    """
    try:
        module = importlib.import_module(name)
        shortcuts = getattr(module, "shortcuts", {})
        return module.handle, getattr(module, "middleware", None), shortcuts
    except Exception as error:
        here = traceback.extract_tb(error.__traceback__)[-1]
        if os.environ.get("LOG_LEVEL", "").upper() == "DEBUG":
            traceback.print_exc()
        reason = " ".join(str(error).split()) or "no reason given"
        where = f"{here.filename}, line {here.lineno}"
        sys.exit(f"{name} cannot be loaded: {type(error).__name__}: {reason} ({where})")


ready_file = Path(os.environ["READY_FILE"]) if os.environ.get("READY_FILE") else None
if ready_file and __name__ == "__main__":
    ready_file.unlink(missing_ok=True)  # a container that crashed left it to the next

handle, middleware, shortcuts = load(os.environ.get("FUNCTION_MODULE", "function.handler"))


def serve() -> None:
    """Serve `handle` until SIGTERM; requests in flight are finished first."""
    os.environ["FUNCTION_TARGET"] = "handle"
    waiting: list[socket.socket] = []
    bounds = limits.read_limits()
    drain_delay = float(os.environ.get("DRAIN_DELAY", "0"))

    def begin(_: object) -> None:
        if channel:
            waiting.extend(starting.take_over(channel))
        if ready_file:
            ready_file.touch()

    options: dict[str, object] = {
        "graceful_timeout": int(os.environ.get("GRACEFUL_TIMEOUT", "25")),
        "keepalive": int(os.environ.get("KEEP_ALIVE", "75")),
        "control_socket_disable": True,
        "post_worker_init": begin,
        "when_ready": lambda server: drain_on_sigterm(server, drain_delay),
    }
    if listener:
        options["bind"] = f"fd://{listener.detach()}"  # gunicorn closes it once it has its own
    host, port = os.environ.get("HOST", "0.0.0.0"), int(os.environ.get("PORT", "8080"))  # noqa: S104
    # The handler module is loaded already; the framework is given this file, which names it.
    if inspect.iscoroutinefunction(handle):
        framework = asgi.Framework(__file__)
        app = middleware(framework) if middleware else framework.load()
        app = asgi.take_calls(app, bounds, ready_file)
        # they do not count their calls: where these have a limit, ASGI takes all
        options["worker_class"] = asgi.one_write_worker(
            bounds, waiting, {} if bounds.inflight else shortcuts
        )
        run = asgi.server(app, f"{host}:{port}", options).run
    else:
        from functions_framework import create_app  # noqa: PLC0415
        from functions_framework._http import create_server  # noqa: PLC0415

        app = create_app("handle", __file__, "http")
        threads = wsgi.Threads(
            int(os.environ.get("THREADS", (os.cpu_count() or 1) * 4)),
            float(os.environ.get("BODY_TIMEOUT", "30")),
            float(os.environ.get("RESPONSE_TIMEOUT", "30")),
        )
        options["worker_class"] = wsgi.body_first_worker(threads, bounds, ready_file, waiting)
        run = partial(create_server(app, False, **options).run, host, port)
    gc.freeze()
    gc.enable()
    run()


def drain_on_sigterm(server: Any, seconds: float) -> None:
    """Let gunicorn's arbiter learn of SIGTERM later; a second one does not prolong the wait.

    Whoever balances the load learns at the same moment that requests shall go elsewhere, and those
    that come until it has must still be answered.
    """

    def wait(signum: int, frame: object) -> None:
        if ready_file:
            ready_file.unlink(missing_ok=True)
        if seconds <= 0:
            server.signal(signum, frame)
        elif signal.getitimer(signal.ITIMER_REAL)[0] == 0:
            signal.setitimer(signal.ITIMER_REAL, seconds)

    signal.signal(signal.SIGTERM, wait)
    signal.signal(signal.SIGALRM, lambda signum, frame: server.signal(signal.SIGTERM, frame))


if __name__ == "__main__":
    serve()
