"""What schemathesis has to be told of: bodies with an event on each line."""

import schemathesis
from schemathesis import SerializationContext


@schemathesis.serializer("application/x-ndjson")
def lines(ctx: SerializationContext, value: object) -> bytes:
    """Send the text that an example or the generator gives."""
    del ctx
    return value.encode() if isinstance(value, str) else str(value).encode()
