"""Functions as real processes, run by the entry file of the template as in an image."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.net import free_port, plain_http, wait_until
from tests.support.secrets import open_doors, secrets_folder
from tests.support.tied_process import ForkedProcess, TiedProcess, start_python

ROOT = Path(__file__).resolve().parents[2]
ENTRY = ROOT / "templates" / "python3-functions-framework" / "index.py"


@dataclass(frozen=True)
class Function:
    """A function that runs.

    Attributes:
        url: where it listens, without a slash at the end.
        process: its process.
        log: the file with what it wrote to its standard output and error.
    """

    url: str
    process: ForkedProcess | TiedProcess
    log: Path

    def stop(self, seconds: float = 30) -> int:
        """Ask it to end, and return its exit status."""
        self.process.terminate()
        return self.process.wait(seconds)


@contextmanager
def running(module: str, log: Path, **settings: str) -> Iterator[Function]:
    """Run the handler module as a function until the block ends.

    Args:
        module: such as `functions.ingest.handler`.
        log: a file for its output.
        settings: variables besides those that a replica inherits. By default there is the secret
            that batches are signed with and no other, and the doors without a key are open.
    """
    port = free_port()
    secrets = settings.get("SECRETS_DIR") or secrets_folder(log.with_name(log.name + "-secrets"))
    variables = {
        "FUNCTION_MODULE": module,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "SECRETS_DIR": str(secrets),
        **open_doors(Path(secrets)),
        **settings,
    }
    with log.open("ab") as output:
        process = start_python([str(ENTRY)], variables, output.fileno())
    function = Function(f"http://127.0.0.1:{port}", process, log)

    def answers() -> bool:
        assert process.poll() is None, f"the function ended: {log.read_text()[-2000:]}"
        try:
            # a client without certificates: loading them takes longer than the function's start
            url = function.url + "/health/liveness"
            return plain_http.get(url, timeout=5).is_success
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, 60)
        yield function
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
