"""What a function imports when it starts: each import delays its first response."""

import os
import subprocess
import sys

import pytest

OPEN_DOORS = {"INGEST_AUTH": "none", "ANALYTICS_AUTH": "none", "BATCH_AUTH": "none"}


@pytest.mark.parametrize("function", ["ingest", "process_batch", "analytics_query"])
def test_numbers_are_loaded_when_they_are_needed(function: str) -> None:
    """numpy, and datasketches, which imports it, take as long as a fifth of a start."""
    program = (
        f"import sys, functions.{function}.handler\n"
        "print([name for name in ('numpy', 'datasketches') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | OPEN_DOORS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
