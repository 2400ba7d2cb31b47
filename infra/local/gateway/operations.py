"""The paths of functions that are for those who operate the platform.

`/metrics` tells figures of the business and of the machine; `/health/readiness` names what a
function depends on and looks at it each time. Through the gateway they ask for its login. Liveness
stays open: it says one word, and asks nothing.
"""

from urllib.parse import unquote

from infra.local.functions.version import Version


def is_operation(version: Version, target: str) -> bool:
    """Return whether path and query, as they were received, lead to such a path."""
    path = target if "?" not in target else target[: target.index("?")]
    if "%" in path:  # functions decode it
        path = unquote(path)
    return path.rstrip("/") in version.operation_paths
