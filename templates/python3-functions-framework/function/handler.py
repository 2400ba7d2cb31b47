"""The function: `handle` answers every HTTP request."""

import flask


def handle(request: flask.Request) -> str:
    """Greet the person whom the body names."""
    name = request.get_data(as_text=True).strip() or "world"
    return f"Hello, {name}!\n"
