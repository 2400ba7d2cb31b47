"""A function that blocks a thread for each request, until the request's body is there."""

import flask


def handle(request: flask.Request) -> str:
    """Answer with the length of the body.

    With the parameter `size`, with so many bytes; with `read`, with how much could be read of it.
    """
    if size := request.args.get("size"):
        return "x" * int(size)
    if "read" in request.args:
        return str(len(request.stream.read(int(request.args["read"]))))
    return str(len(request.get_data()))
