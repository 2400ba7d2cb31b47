"""Answers on the function's port while the function is being loaded.

An engine's first probe comes before Python has imported a handler, and some engines send requests
then as well. A small process of its own, made before anything large is imported, answers the
probes; loading holds Python's lock for too long to do both in one. Every other request it keeps,
unread, until there is a worker, which gets the connection and answers.
"""

import os
import select
import socket

MAX_WAITING = 512
"""Connections that are kept; a further one gets 503."""
BACKLOG = 2048
_HEAD_BYTES = 4096
_ALIVE = frozenset({b"/_/health", b"/health/liveness"})
_NOT_READY = frozenset({b"/_/ready", b"/health/readiness"})
_STARTING = b'{"status": "starting"}'


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        OSError: the address cannot be had.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def answer_while_loading(listener: socket.socket) -> socket.socket:
    """Start the process that answers; return the channel to it, for `take_over`."""
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        ours.close()
        try:
            _Door(listener, theirs).run()
        finally:
            os._exit(0)
    theirs.close()
    return ours


def take_over(channel: socket.socket) -> list[socket.socket]:
    """End the process that answers, and return the connections that wait."""
    waiting: list[socket.socket] = []
    try:
        channel.sendall(b"!")
        channel.settimeout(10)
        while received := socket.recv_fds(channel, 1, 1):
            data, fds, *_ = received
            if not data:
                break
            waiting += [socket.socket(fileno=fd) for fd in fds]
    except OSError:
        pass  # another worker has done it
    channel.close()
    return waiting


class _Door:
    """Takes connections, until something is written to the channel or its other end is closed."""

    def __init__(self, listener: socket.socket, channel: socket.socket) -> None:
        self._listener = listener
        self._channel = channel
        self._poll = select.poll()
        self._unseen: dict[int, socket.socket] = {}
        self._kept: list[socket.socket] = []

    def run(self) -> None:
        """Answer until then; afterwards hand over what waits."""
        self._poll.register(self._listener, select.POLLIN)
        self._poll.register(self._channel, select.POLLIN)
        while True:
            ready = {fd for fd, _ in self._poll.poll()}
            if self._channel.fileno() in ready:
                break
            for fd in ready & self._unseen.keys():
                self._look(fd)
            if self._listener.fileno() in ready:
                self._accept()
        if self._channel.recv(1):
            for each in (*self._kept, *self._unseen.values()):
                socket.send_fds(self._channel, [b"."], [each.fileno()])

    def _accept(self) -> None:
        try:
            client = self._listener.accept()[0]
        except OSError:
            return
        self._unseen[client.fileno()] = client
        self._poll.register(client, select.POLLIN)

    def _look(self, fd: int) -> None:
        """Answer a probe, and keep what is none."""
        client = self._unseen.pop(fd)
        self._poll.unregister(fd)
        try:
            head = client.recv(_HEAD_BYTES, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError:
            head = b""
        if not head:
            client.close()
            return
        _, _, target = head.partition(b"\r\n")[0].partition(b" ")
        path = target.partition(b" ")[0].partition(b"?")[0]
        if path in _ALIVE:
            _answer(client, b"200 OK")
        elif path in _NOT_READY or len(self._kept) >= MAX_WAITING:
            _answer(client, b"503 Service Unavailable\r\nRetry-After: 1")
        else:
            self._kept.append(client)


def _answer(client: socket.socket, status: bytes) -> None:
    response = (
        b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
        b"Cache-Control: no-store\r\nConnection: close\r\n\r\n%s"
    )
    try:
        client.recv(1 << 16, socket.MSG_DONTWAIT)
        client.send(response % (status, len(_STARTING), _STARTING), socket.MSG_DONTWAIT)
        client.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the client has gone
    client.close()
