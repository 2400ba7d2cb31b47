"""Header fields as they were received."""

Fields = list[tuple[bytes, bytes, bytes]]
"""Of each field its name in lower case, its name and its value, in their order."""
