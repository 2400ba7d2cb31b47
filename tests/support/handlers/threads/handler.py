"""A function that blocks a thread for each request, until the request's body is there."""

import flask


def handle(request: flask.Request) -> str:
    """Answer with the length of the body."""
    return str(len(request.get_data()))
