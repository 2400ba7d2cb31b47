"""Progress of a benchmark: a bar on a terminal, else a line for each step."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, TimeElapsedColumn


class Steps:
    """Tells which of a number of steps is being done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None)
        self._started = time.monotonic()
        self._total: int | None = None
        self._begun = 0

    def expect(self, total: int) -> None:
        """Take note of how many steps there are."""
        self._total = total
        self._progress.update(self._task, total=total)

    def prepare(self, text: str) -> None:
        """Tell what is being done before the steps, or between them."""
        if self._progress.console.is_terminal:
            self._progress.update(self._task, description=text)
            return
        seconds = time.monotonic() - self._started
        self._progress.console.print(f"{seconds:4.0f} s  {text}", highlight=False)

    def begin(self, text: str) -> None:
        """Begin the next step."""
        self._progress.update(self._task, completed=self._begun)
        self._begun += 1
        self.prepare(f"{self._begun}/{self._total} {text}")


@contextmanager
def steps() -> Iterator[Steps]:
    """Show progress on the standard error until the block ends."""
    columns = (*Progress.get_default_columns(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Steps(progress)
