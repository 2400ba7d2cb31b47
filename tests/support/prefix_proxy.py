"""A reverse proxy that mounts a server below a path, as gateways do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.support.net import plain_http

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "server", "date"}


@contextmanager
def mounted(target: str, prefix: str) -> Iterator[str]:
    """Serve `target` below `prefix`; give the URL of the mounted server, without a last slash."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.removeprefix(prefix)
            if path == self.path or (path and path[0] not in "/?"):
                self.send_response(404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            url = target + (path if path.startswith("/") else "/" + path)
            headers = {name: value for name, value in self.headers.items() if name != "Host"}
            with plain_http.stream("GET", url, headers=headers, timeout=60) as answer:
                body = b"".join(answer.iter_raw())
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in HOP_BY_HOP | {"content-length"}:
                    self.send_header(name, value)
            if answer.status_code != 304:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{prefix}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
