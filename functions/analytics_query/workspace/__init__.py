"""What a team keeps beside its events, in the schema `workspace`: the only rows that are written.

Reading is a report as any other (`reports/`). What writes is a `Write`, listed here.
"""

from . import alerts, annotations, shares, spend, views
from .write import Write

WRITES: tuple[Write, ...] = (
    spend.WRITE,
    views.ADD,
    views.CHANGE,
    views.DELETE,
    annotations.ADD,
    annotations.DELETE,
    shares.ADD,
    shares.REVOKE,
    alerts.ADD,
    alerts.CHANGE,
    alerts.DELETE,
    alerts.TEST,
)
