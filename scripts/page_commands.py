#!/usr/bin/env python3
"""Prints the shell commands of a section of a page, so that what the page says is what runs."""

import argparse
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path


def section(page: str, title: str) -> str:
    """Return a section of second order.

    Raises:
        LookupError: there is none of that title.
    """
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    if found is None:
        raise LookupError(f"there is no section {title!r}")
    return found[1]


def commands(text: str, left_out: Sequence[str] = ()) -> str:
    """Return the shell commands of a text, each on one line where it was continued.

    Args:
        text: Markdown, whose blocks marked `sh` are taken.
        left_out: patterns; lines in which one is found are not taken.
    """
    blocks = re.findall(r"^( *)```sh\n(.*?)^ *```", text, re.M | re.S)
    script = "\n".join(textwrap.dedent(block) for _, block in blocks)
    lines = re.sub(r"\\\n\s*", "", script).splitlines()
    kept = [line for line in lines if not any(re.search(pattern, line) for pattern in left_out)]
    return "\n".join(["set -eu", *kept])


def main() -> None:
    """Print the commands."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path, help="a page in Markdown, such as docs/deploy.md")
    parser.add_argument("title", help="of a section of second order")
    parser.add_argument(
        "--leave-out", action="append", default=[], metavar="PATTERN", help="lines to leave out"
    )
    options = parser.parse_args()
    try:
        print(commands(section(options.page.read_text(), options.title), options.leave_out))
    except (OSError, LookupError) as error:
        parser.exit(1, f"{options.page}: {error}\n")


if __name__ == "__main__":
    main()
