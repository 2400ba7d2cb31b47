"""Sketches without numpy, as in the image of process-batch."""

import subprocess
import sys

from functions.common import sketches
from functions.common.paths import ROOT

WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None  # as if it were not installed
from functions.common import sketches
for add in (sketches.add_to_hll, sketches.add_to_theta):
    print(add(add(None, ["a", "b"]), ["c"]).hex())
"""


def test_sketches_are_made_without_numpy_and_without_a_word_of_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NUMPY], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [bytes.fromhex(line) for line in done.stdout.split()] == [
        add(add(None, ["a", "b"]), ["c"]) for add in (sketches.add_to_hll, sketches.add_to_theta)
    ]
