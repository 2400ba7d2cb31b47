"""Sketches without numpy, where the image of process-batch has none."""

import subprocess
import sys

from packaging.requirements import Requirement

from functions.common import sketches
from functions.common.paths import ROOT

OVERRIDES = ROOT / "functions/process_batch/overrides.txt"
SKETCHES = """
import sys
if "without numpy" in sys.argv:
    sys.modules["numpy"] = None  # as if it were not installed
from functions.common import sketches
for add in (sketches.add_to_hll, sketches.add_to_theta):
    print(add(add(None, ["a", "b"]), ["c"]).hex())
"""


def image_has_numpy() -> bool:
    lines = [line for line in OVERRIDES.read_text().splitlines() if not line.startswith("#")]
    [numpy] = [Requirement(line) for line in lines]
    assert numpy.name == "numpy"
    assert numpy.marker is not None
    return numpy.marker.evaluate()


def test_sketches_are_made_by_what_the_image_has_and_without_a_word() -> None:
    packages = "with numpy" if image_has_numpy() else "without numpy"
    done = subprocess.run(
        [sys.executable, "-c", SKETCHES, packages],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert [bytes.fromhex(line) for line in done.stdout.split()] == [
        add(add(None, ["a", "b"]), ["c"]) for add in (sketches.add_to_hll, sketches.add_to_theta)
    ]
