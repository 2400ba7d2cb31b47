"""What a team keeps beside its events, in the schema `workspace`: the only rows that are written.

Reading is a report as any other (`reports/`). What writes is a `Write`, listed here.
"""

from . import spend
from .write import Write

WRITES: tuple[Write, ...] = (spend.WRITE,)
