"""What a function imports when it starts: each import delays its first response."""

import os
import subprocess
import sys

import pytest

from functions.common.paths import ROOT

OPEN_DOORS = {"INGEST_AUTH": "none", "ANALYTICS_AUTH": "none", "BATCH_AUTH": "none"}


SERVED = """
import sys
sys.path.insert(0, "templates/python3-functions-framework")
import functions.{function}.handler as module
from serving import asgi, limits
if {by_itself}:
    asgi.server(module.middleware(asgi.Framework("")), "127.0.0.1:0", {{}})
    asgi.one_write_worker(limits.read_limits(), [], {{}})
print([name for name in {later} if name in sys.modules])
"""
NUMBERS = ["numpy", "datasketches"]


@pytest.mark.parametrize(
    ("function", "later"),
    [
        ("ingest", [*NUMBERS, "flask", "functions_framework"]),
        ("process_batch", NUMBERS),
        ("analytics_query", NUMBERS),
    ],
)
def test_what_takes_long_is_loaded_when_it_is_needed(function: str, later: list[str]) -> None:
    """numpy, which datasketches imports, takes as long as a fifth of a start; so does Flask."""
    program = SERVED.format(function=function, by_itself=function == "ingest", later=later)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | OPEN_DOORS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
