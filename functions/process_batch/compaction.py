"""Folding rollup deltas into the rollup tables, in the background, one process at a time."""


def wake() -> None:
    """Tell the compactor that there is something to fold."""
