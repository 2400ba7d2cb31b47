"""Responses that clients may cache, compressed for clients that accept gzip."""

import flask

CACHE_CONTROL = "private, no-cache"
"""Clients may cache a response, and revalidate it with its entity tag before each use."""


def cacheable_response(
    body: bytes, compressed: bytes | None, etag: str, request: flask.Request, content_type: str
) -> flask.Response:
    """Return a response, or 304 if the client already has this body."""
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
