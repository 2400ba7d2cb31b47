"""Judges alerts and sends their messages, once.

    python -m functions.analytics_query.alerts check [--dry-run]
    python -m functions.analytics_query.alerts test NAME

In an image: `python -m function.alerts`. Several may run at the same time: each alert is judged by
one of them. Configuration: the settings of analytics-query, and those of alerts.
"""

import argparse
import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import chain

from pydantic import ValidationError

from functions.common.errors import SecretError, UniverseError
from functions.common.settings import setting_faults

from ..formatting import format_time
from ..settings import AlertsSettings
from .check import Said, check, look
from .deliver import Sent, Waiting, deliver, try_out


def main() -> int:
    """Run a command; return the exit status.

    It is 1 where the database is away, a setting is wrong, or a test was not sent to everybody.
    """
    parser = argparse.ArgumentParser(prog="alerts")
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="judge what is due, and send")
    checking.add_argument("--dry-run", action="store_true", help="only say what each sees")
    commands.add_parser("test", help="send a test").add_argument("name")
    given = parser.parse_args()
    try:
        options = AlertsSettings()
        if given.command == "test":
            return _test(options, given.name)
        if given.dry_run:
            lines = (line for said in look(options) for line in _seen(said))
        else:
            judged = (f"{said.name}: {said.words}" for said in check(options))
            lines = chain(judged, map(_line, deliver(options)))
        for line in lines:
            print(line, flush=True)
    except (ValidationError, SecretError) as error:
        print("wrong setting " + "; ".join(setting_faults(error)), file=sys.stderr)
        return 1
    except UniverseError as error:
        print(str(error), file=sys.stderr)
        return 1
    return 0


def _test(options: AlertsSettings, name: str) -> int:
    """Send a test, and say what comes of it; return the exit status."""
    sent: list[bool] = []
    for what in try_out(options, name):
        print(_line(what), flush=True)
        if isinstance(what, Sent):
            sent.append(what.error is None)
    if all(sent):
        return 0
    print(f"the test was sent to {sum(sent)} of {len(sent)} recipients", file=sys.stderr)
    return 1


def _seen(said: Said) -> Iterator[str]:
    yield f"{said.name}: {said.words}"
    if said.message is not None:
        yield f"  would be sent: {said.message.subject}"
        for row in said.message.rows:
            yield f"  {row.title}: {row.value} {row.change}".rstrip()


def _line(what: Sent | Waiting) -> str:
    """Return what is said of a message."""
    if isinstance(what, Waiting):
        count = "1 message waits" if what.messages == 1 else f"{what.messages} messages wait"
        error = f"; last error: {what.error}" if what.error else ""
        return (
            f"{count} for {what.recipient} since {_second(what.since)}, "
            f"tried again at {_second(what.next_at)}{error}"
        )
    if what.error is None:
        return f"{what.name}: sent"
    again = f"; tried again at {_second(what.again)}" if what.again else ""
    return f"{what.name}: not sent: {what.error}{again}"


def _second(moment: datetime) -> str:
    return format_time(moment.replace(microsecond=0))


if __name__ == "__main__":
    sys.exit(main())
