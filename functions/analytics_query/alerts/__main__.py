"""Judges alerts and sends their messages, once.

    python -m functions.analytics_query.alerts check [--dry-run]
    python -m functions.analytics_query.alerts test NAME

In an image: `python -m function.alerts`. Several may run at the same time: each alert is judged by
one of them. Configuration: the settings of analytics-query, and those of alerts.
"""

import argparse
import sys

from pydantic import ValidationError

from functions.common.errors import SecretError, UniverseError
from functions.common.settings import setting_faults

from ..settings import AlertsSettings
from .check import check, look
from .deliver import deliver, try_out


def main() -> int:
    """Run a command; return the exit status: 1 where the database is away or a setting wrong."""
    parser = argparse.ArgumentParser(prog="alerts")
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="judge what is due, and send")
    checking.add_argument("--dry-run", action="store_true", help="only say what each sees")
    commands.add_parser("test", help="send a test").add_argument("name")
    given = parser.parse_args()
    try:
        options = AlertsSettings()
        if given.command == "test":
            try_out(given.name)
        else:
            for said in look(options) if given.dry_run else check(options):
                print(f"{said.name}: {said.words}", flush=True)
                if given.dry_run and said.message is not None:
                    print(f"  would be sent: {said.message.subject}")
                    for row in said.message.rows:
                        print(f"  {row.title}: {row.value} {row.change}".rstrip())
            if given.dry_run:
                return 0
        for sent in deliver(options):
            what = "sent" if sent.error is None else f"not sent: {sent.error}"
            print(f"{sent.name}: {what}", flush=True)
    except (ValidationError, SecretError) as error:
        print("wrong setting " + "; ".join(setting_faults(error)), file=sys.stderr)
        return 1
    except UniverseError as error:
        print(str(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
