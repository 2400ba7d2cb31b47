"""Takes its time to start."""

import os
import time

from flask import Request

time.sleep(float(os.environ.get("START_SECONDS", "1")))


def handle(request: Request) -> str:
    """Tell which process answers."""
    return f"{os.getppid()} {request.path}"
