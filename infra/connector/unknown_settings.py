"""Environment variables that look like settings of the connector and are none."""

import difflib
import re
from collections.abc import Iterable

_FAMILY = "NATS_"
_OF_KUBERNETES = re.compile(r".*_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP)(_\w+)?)?)")
"""What Kubernetes sets in every container for each service, such as one that is called `nats`."""
_MIN_LENGTH = 5
_SIMILARITY = 0.9


def unknown_settings(environment: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Return what is wrong with variables that the connector would ignore, by their names.

    These are all that begin with `NATS_`, and those that differ from a setting by a letter or so.

    Args:
        environment: the names of the variables.
        known: the names of the settings.
    """
    names = {name.upper() for name in known}
    faults: dict[str, str] = {}
    for variable in sorted(environment):
        name = variable.upper()
        if name in names or len(name) < _MIN_LENGTH or _OF_KUBERNETES.fullmatch(name):
            continue
        close = difflib.get_close_matches(name, names, n=1, cutoff=_SIMILARITY)
        hint = f"; did you mean {close[0]}?" if close else ""
        if close or name.startswith(_FAMILY):
            faults[variable] = f"{variable} is not a setting of the connector{hint}"
    return faults
