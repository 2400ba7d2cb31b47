"""The process of an embedded server: started until it answers, ended by a signal."""

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.local.errors import PlatformError
from infra.local.process.parent_death import die_with_parent


@dataclass
class ServerProcess:
    """A server that runs as a child of this process, and ends with it.

    Attributes:
        name: what users are told of it.
        log_file: where its output goes.
        end_signal: the signal that makes it stop in order.
        crash_signal: the signal that makes it stop at once.
        stop_seconds: how long it may take to stop in order.
    """

    name: str
    log_file: Path
    end_signal: signal.Signals
    crash_signal: signal.Signals
    stop_seconds: float
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def start(
        self,
        args: Sequence[str],
        answers: Callable[[], bool],
        seconds: float,
        user: str | None = None,
    ) -> None:
        """Start the process and wait until it answers.

        Args:
            args: the command.
            answers: tells whether the server takes connections.
            seconds: how long that may take.
            user: the user to run as; None for this process's.

        Raises:
            PlatformError: it did not start; the message has the last line of its log.
        """
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                args,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd="/",
                user=user,
                start_new_session=True,  # Ctrl-C is for the platform, which stops it in order
                preexec_fn=die_with_parent(self.end_signal),
            )
        deadline = time.monotonic() + seconds
        while not answers():
            if self.pid is None or time.monotonic() > deadline:
                self.crash()
                lines = self.log_file.read_text(errors="replace").splitlines() or ["no output"]
                raise PlatformError(f"{self.name} did not start: {lines[-1]}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it in order."""
        self._end(self.end_signal)

    def crash(self) -> None:
        """Stop it at once."""
        self._end(self.crash_signal)

    def _end(self, signum: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signum)
        try:
            process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(self.crash_signal)
            process.wait()
