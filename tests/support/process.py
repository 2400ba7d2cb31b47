"""A Python program as a process of its own."""

import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.tied_process import ForkedProcess, TiedProcess, start_python


class Process:
    """A Python program as a process, which can be started again."""

    def __init__(self, arguments: list[str], log: Path, environment: dict[str, str]) -> None:
        self._arguments = arguments
        self._environment = environment
        self._watch: threading.Thread | None = None
        self._watching = threading.Event()
        self.log = log
        self.starts = 0
        self.process: ForkedProcess | TiedProcess | None = None

    def start(self) -> Self:
        """Start it."""
        with self.log.open("ab") as output:
            self.process = start_python(self._arguments, self._environment, output.fileno())
        self.starts += 1
        return self

    def keep_running(self) -> Self:
        """Start it whenever it does not run, as an engine does."""
        self._watching.set()

        def watch() -> None:
            while self._watching.is_set():
                if self.process is None or self.process.poll() is not None:
                    self.start()
                threading.Event().wait(0.02)

        self._watch = threading.Thread(target=watch, daemon=True)
        self._watch.start()
        return self

    def signal(self, signum: int) -> None:
        """Send a signal."""
        assert self.process
        self.process.send_signal(signum)

    def kill(self) -> None:
        """Kill it, and wait until it is gone."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self, seconds: float = 40) -> int:
        """Ask it to end, and return its exit status."""
        if self._watch:
            self._watching.clear()
            self._watch.join()
            self._watch = None
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
