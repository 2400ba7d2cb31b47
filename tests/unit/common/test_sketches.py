"""Sketches without numpy, where the image of process-batch has none."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
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


def test_two_threads_at_once_leave_stderr_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "_datasketches.py").write_text("import time\ntime.sleep(0.05)\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "_datasketches", raising=False)
    before = sys.stderr
    first_use: Callable[[], object] = sketches._library.__wrapped__
    try:
        with ThreadPoolExecutor(2) as threads:
            for used in [threads.submit(first_use) for _ in range(2)]:
                used.result()
        assert sys.stderr is before
    finally:
        sys.stderr = before
        sys.modules.pop("_datasketches", None)
