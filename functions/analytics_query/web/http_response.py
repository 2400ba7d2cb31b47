"""Answers that clients may keep, compressed for those who take it."""

import flask

CACHE_CONTROL = "private, no-cache"
"""Clients keep answers, and ask each time whether they still hold."""


def send(
    body: bytes, compressed: bytes | None, etag: str, request: flask.Request, content_type: str
) -> flask.Response:
    """Return an answer, or 304 where the client has it already."""
    if compressed is not None and request.accept_encodings["gzip"] > 0:
        response = flask.Response(compressed, content_type=content_type)
        response.headers["Content-Encoding"] = "gzip"
        response.set_etag(etag + "-gzip")
    else:
        response = flask.Response(body, content_type=content_type)
        response.set_etag(etag)
    response.headers["Vary"] = "Accept-Encoding"
    response.headers["Cache-Control"] = CACHE_CONTROL
    response.make_conditional(request)
    return response
